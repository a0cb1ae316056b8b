"""Names of CIP services and statuses, types of its data (ODVA CIP volume 1, Logix 5000 data access manual)."""

from __future__ import annotations

SERVICES: dict[int, tuple[str, str | None]] = {
    0x01: ("Get_Attributes_All", "read"),
    0x02: ("Set_Attributes_All", "write"),
    0x03: ("Get_Attribute_List", "read"),
    0x04: ("Set_Attribute_List", "write"),
    0x05: ("Reset", "control"),
    0x06: ("Start", "control"),
    0x07: ("Stop", "control"),
    0x08: ("Create", "program"),
    0x09: ("Delete", "program"),
    0x0A: ("Multiple_Service_Packet", None),
    0x0D: ("Apply_Attributes", "write"),
    0x0E: ("Get_Attribute_Single", "read"),
    0x10: ("Set_Attribute_Single", "write"),
    0x11: ("Find_Next_Object_Instance", "read"),
    0x14: ("Error_Response", "error"),
    0x15: ("Restore", "program"),
    0x16: ("Save", "program"),
    0x17: ("No_Operation", "diagnostic"),
    0x18: ("Get_Member", "read"),
    0x19: ("Set_Member", "write"),
    0x1A: ("Insert_Member", "write"),
    0x1B: ("Remove_Member", "write"),
    0x1C: ("GroupSync", "control"),
    0x1D: ("Get_Connection_Point_Member_List", "read"),
}
"""Common services (volume 1, appendix A): name and class of the command."""

_FILE = {
    0x4B: ("Initiate_Upload", "program"),
    0x4C: ("Initiate_Download", "program"),
    0x4D: ("Initiate_Partial_Read", "program"),
    0x4E: ("Initiate_Partial_Write", "program"),
    0x4F: ("Upload_Transfer", "program"),
    0x50: ("Download_Transfer", "program"),
    0x51: ("Clear_File", "program"),
}
_TAGS: dict[int, tuple[str, str | None]] = {
    0x4C: ("Read_Tag", "read"),
    0x4D: ("Write_Tag", "write"),
    0x4E: ("Read_Modify_Write_Tag", "write"),
    0x52: ("Read_Tag_Fragmented", "read"),
    0x53: ("Write_Tag_Fragmented", "write"),
    0x55: ("Get_Instance_Attribute_List", "read"),
}
OBJECTS: dict[int, dict[int, tuple[str, str | None]]] = {
    0x06: {
        0x4E: ("Forward_Close", None),
        0x52: ("Unconnected_Send", None),
        0x54: ("Forward_Open", None),
        0x56: ("Get_Connection_Data", "diagnostic"),
        0x57: ("Search_Connection_Data", "diagnostic"),
        0x5A: ("Get_Connection_Owner", "diagnostic"),
        0x5B: ("Large_Forward_Open", None),
    },
    0x05: {0x4B: ("Connection_Bind", None), 0x4C: ("Producing_Application_Lookup", "read")},
    0x37: dict(_FILE),
    0x67: {0x4B: ("Execute_PCCC", "program"), 0x4C: ("Execute_DH+", "program")},
    0x68: {
        0x4C: ("Read_Tag", "read"),
        0x4D: ("Write_Tag", "write"),
        0x4E: ("Read_Modify_Write_Tag", "write"),
        0x55: ("Get_Instance_Attribute_List", "read"),
    },
    0x6B: dict(_TAGS),
    0x6C: dict(_TAGS),
    0x74: {0x4B: ("Lock_Controller", "control"), 0x4C: ("Unlock_Controller", "control")},
    0xF5: {0x4C: ("Get_And_Clear", "diagnostic")},
    0xF6: {0x4C: ("Get_And_Clear", "diagnostic")},
    0x39: {
        0x4B: ("Recover", "control"),
        0x4E: ("Perform_Diagnostics", "diagnostic"),
        0x4F: ("Configure_Request", "program"),
        0x50: ("Validate_Configuration", "program"),
        0x52: ("Configuration_Lock", "control"),
        0x53: ("Mode_Change", "control"),
        0x54: ("Safety_Reset", "control"),
    },
}
"""Object class -> its own services (0x4B-0x63)."""
STATUSES = {
    0x00: "Success",
    0x01: "Connection failure",
    0x02: "Resource unavailable",
    0x03: "Invalid parameter value",
    0x04: "Path segment error",
    0x05: "Path destination unknown",
    0x06: "Partial transfer",
    0x07: "Connection lost",
    0x08: "Service not supported",
    0x09: "Invalid attribute value",
    0x0A: "Attribute list error",
    0x0B: "Already in requested mode/state",
    0x0C: "Object state conflict",
    0x0D: "Object already exists",
    0x0E: "Attribute not settable",
    0x0F: "Privilege violation",
    0x10: "Device state conflict",
    0x11: "Reply data too large",
    0x12: "Fragmentation of a primitive value",
    0x13: "Not enough data",
    0x14: "Attribute not supported",
    0x15: "Too much data",
    0x16: "Object does not exist",
    0x17: "Service fragmentation sequence not in progress",
    0x18: "No stored attribute data",
    0x19: "Store operation failure",
    0x1A: "Routing failure, request packet too large",
    0x1B: "Routing failure, response packet too large",
    0x1C: "Missing attribute list entry data",
    0x1D: "Invalid attribute value list",
    0x1E: "Embedded service error",
    0x1F: "Vendor specific error",
    0x20: "Invalid parameter",
    0x21: "Write-once value or medium already written",
    0x22: "Invalid reply received",
    0x25: "Key failure in path",
    0x26: "Path size invalid",
    0x27: "Unexpected attribute in list",
    0x28: "Invalid member id",
    0x29: "Member not settable",
    0x2A: "Group 2 only server general failure",
}

TYPES = {
    0xC1: "B",
    0xC2: "b",
    0xC3: "h",
    0xC4: "i",
    0xC5: "q",
    0xC6: "B",
    0xC7: "H",
    0xC8: "I",
    0xC9: "Q",
    0xCA: "f",
    0xCB: "d",
    0xD1: "B",
    0xD2: "H",
    0xD3: "I",
    0xD4: "Q",
}
"""Elementary data type -> its form for ``struct`` (volume 1, appendix C)."""

PCCC: dict[tuple[int, int], tuple[str, str]] = {
    (0x01, -1): ("Unprotected Read", "read"),
    (0x02, -1): ("Protected Bit Write", "write"),
    (0x05, -1): ("Unprotected Bit Write", "write"),
    (0x08, -1): ("Unprotected Write", "write"),
    (0x00, -1): ("Protected Write", "write"),
    (0x06, 0x00): ("Echo", "diagnostic"),
    (0x06, 0x03): ("Diagnostic Status", "diagnostic"),
    (0x0F, 0x02): ("Bit Write", "write"),
    (0x0F, 0x07): ("Disable Forces", "control"),
    (0x0F, 0x0F): ("Change Mode", "control"),
    (0x0F, 0x11): ("Get Edit Resource", "program"),
    (0x0F, 0x12): ("Return Edit Resource", "program"),
    (0x0F, 0x26): ("Read-Modify-Write", "write"),
    (0x0F, 0x3A): ("Set CPU Mode", "control"),
    (0x0F, 0x41): ("Enable Forces", "control"),
    (0x0F, 0x50): ("Download All Request", "program"),
    (0x0F, 0x52): ("Download Completed", "program"),
    (0x0F, 0x53): ("Upload All Request", "program"),
    (0x0F, 0x55): ("Upload Completed", "program"),
    (0x0F, 0x57): ("Initialize Memory", "program"),
    (0x0F, 0x67): ("Typed Write", "write"),
    (0x0F, 0x68): ("Typed Read", "read"),
    (0x0F, 0x80): ("Change Mode", "control"),
    (0x0F, 0x81): ("Open File", "program"),
    (0x0F, 0x82): ("Close File", "program"),
    (0x0F, 0x8F): ("Apply Port Configuration", "program"),
    (0x0F, 0xA1): ("Protected Typed Logical Read, two fields", "read"),
    (0x0F, 0xA2): ("Protected Typed Logical Read, three fields", "read"),
    (0x0F, 0xA7): ("Protected Typed File Read", "program"),
    (0x0F, 0xA9): ("Protected Typed Logical Write, two fields", "write"),
    (0x0F, 0xAA): ("Protected Typed Logical Write, three fields", "write"),
    (0x0F, 0xAB): ("Protected Typed Logical Write with mask", "write"),
    (0x0F, 0xAF): ("Protected Typed File Write", "program"),
}
"""PCCC command and function (-1 = none) -> name and class (DF1 protocol and command set manual, chapter 7)."""


def service(code: int, klass: int, symbolic: bool) -> tuple[str, str | None]:
    """Name and class of a service; what codes above 0x4A mean depends on the object they are sent to."""
    known = SERVICES.get(code)
    if known is None:
        known = OBJECTS.get(klass, {}).get(code)
    if known is None and symbolic:
        known = _TAGS.get(code)
    return known or (f"Service 0x{code:02X}", None)
