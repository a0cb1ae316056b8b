"""Messages and parameters of JT/T 808-2011, -2013 and -2019: names, classes, widths.

From public implementations of the standard; its text was not read.
"""

from __future__ import annotations

_TABLE = """
0001 terminal_general_response diagnostic
0002 terminal_heartbeat diagnostic
0003 terminal_logout diagnostic
0004 query_server_time diagnostic
0005 terminal_resend_request diagnostic
0100 terminal_register diagnostic
0102 terminal_authentication diagnostic
0104 query_parameters_response read
0107 query_attributes_response read
0108 upgrade_result diagnostic
0200 location_report read
0201 location_query_response read
0301 event_report read
0302 question_response read
0303 information_demand read
0500 vehicle_control_response control
0608 query_areas_response read
0700 recorder_upload read
0701 electronic_waybill_report read
0702 driver_identity_report read
0704 location_batch_report read
0705 can_data_upload read
0800 multimedia_event read
0801 multimedia_upload read
0802 stored_multimedia_response read
0805 camera_shoot_response control
0900 transparent_up diagnostic
0901 compressed_report read
0a00 terminal_rsa_key diagnostic
8001 platform_general_response diagnostic
8003 platform_resend_request diagnostic
8004 server_time_response diagnostic
8100 terminal_register_response diagnostic
8103 set_parameters program
8104 query_parameters read
8105 terminal_control control
8106 query_specified_parameters read
8107 query_attributes read
8108 upgrade_package program
8201 location_query read
8202 location_tracking control
8203 confirm_alarm control
8204 link_test diagnostic
8300 text_message control
8301 set_events write
8302 question control
8303 set_information_menu write
8304 information_service control
8400 call_back control
8401 set_phone_book write
8500 vehicle_control control
8600 set_circular_area write
8601 delete_circular_area write
8602 set_rectangular_area write
8603 delete_rectangular_area write
8604 set_polygonal_area write
8605 delete_polygonal_area write
8606 set_route write
8607 delete_route write
8608 query_areas read
8700 recorder_query read
8701 recorder_parameters write
8702 query_driver_identity read
8800 multimedia_upload_response read
8801 camera_shoot control
8802 search_stored_multimedia read
8803 upload_stored_multimedia control
8804 sound_recording control
8805 upload_single_multimedia control
8900 transparent_down diagnostic
8a00 platform_rsa_key diagnostic
"""
_VIDEO = """
1003 video_attributes_response read
1005 passenger_flow read
1205 video_resources_response read
1206 video_upload_result diagnostic
9003 query_video_attributes read
9101 live_video control
9102 live_video_control control
9105 live_video_status diagnostic
9201 video_playback control
9202 video_playback_control control
9205 query_video_resources read
9206 video_upload control
9207 video_upload_control control
9301 camera_rotation control
"""
"""JT/T 1078 in the frames of 808."""
MESSAGES: dict[int, tuple[str, str]] = {
    int(code, 16): (name, kind) for code, name, kind in (line.split() for line in (_TABLE + _VIDEO).split("\n") if line)
}
"""Message id -> name, class."""
ANSWERS = frozenset(
    (
        *(0x0001, 0x0104, 0x0107, 0x0108, 0x0201, 0x0302, 0x0500, 0x0608, 0x0802, 0x0805),
        *(0x8001, 0x8004, 0x8100, 0x8800, 0x1003, 0x1205, 0x1206),
    )
)
"""Messages that answer another."""

_TEXTS = (0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x1A, 0x1D, 0x23, 0x24, 0x25, 0x26)
TEXTS = frozenset((*_TEXTS, *range(0x40, 0x45), 0x48, 0x49, 0x83))
"""Parameters that are text (GBK)."""
SECRETS = frozenset((0x12, 0x16, 0x25))
"""Passwords of dialling in: never shown."""
SERVERS = frozenset((0x13, 0x17, 0x1A, 0x1D, 0x26))
"""Parameters that say where the terminal reports to."""
PARAMETERS = {
    0x01: "heartbeat_interval",
    0x10: "main_apn",
    0x13: "main_server",
    0x14: "backup_apn",
    0x17: "backup_server",
    0x18: "tcp_port",
    0x19: "udp_port",
    0x1A: "card_main_server",
    0x1B: "card_tcp_port",
    0x1C: "card_udp_port",
    0x1D: "card_backup_server",
    0x20: "report_strategy",
    0x26: "slave_server",
    0x27: "sleep_report_interval",
    0x29: "report_interval",
    0x40: "platform_phone",
    0x48: "monitor_phone",
    0x50: "alarm_mask",
    0x55: "maximum_speed",
    0x57: "continuous_driving",
    0x80: "odometer",
    0x83: "plate",
}
CONTROLS = {
    1: "wireless_upgrade",
    2: "connect_server",
    3: "power_off",
    4: "reset",
    5: "factory_reset",
    6: "data_off",
    7: "radio_off",
}
"""Command words of 8105."""
