"""Names of BACnet services, objects, properties, errors and units (ANSI/ASHRAE 135, clauses 20 and 21, annex J)."""

from __future__ import annotations


def _words(text: str) -> list[str]:
    """Names in order, blanks between."""
    return text.split()


BVLC = (
    "BVLC-Result",
    "Write-Broadcast-Distribution-Table",
    "Read-Broadcast-Distribution-Table",
    "Read-Broadcast-Distribution-Table-Ack",
    "Forwarded-NPDU",
    "Register-Foreign-Device",
    "Read-Foreign-Device-Table",
    "Read-Foreign-Device-Table-Ack",
    "Delete-Foreign-Device-Table-Entry",
    "Distribute-Broadcast-To-Network",
    "Original-Unicast-NPDU",
    "Original-Broadcast-NPDU",
    "Secure-BVLL",
)
BVLC_CLASSES = {1: "write", 2: "read", 3: "read", 5: "control", 6: "read", 7: "read", 8: "write"}
BVLC_RESULTS = {
    0x0000: "success",
    0x0010: "write-broadcast-distribution-table-nak",
    0x0020: "read-broadcast-distribution-table-nak",
    0x0030: "register-foreign-device-nak",
    0x0040: "read-foreign-device-table-nak",
    0x0050: "delete-foreign-device-table-entry-nak",
    0x0060: "distribute-broadcast-to-network-nak",
}
NETWORK: dict[int, tuple[str, str | None]] = {
    0x00: ("Who-Is-Router-To-Network", "diagnostic"),
    0x01: ("I-Am-Router-To-Network", None),
    0x02: ("I-Could-Be-Router-To-Network", None),
    0x03: ("Reject-Message-To-Network", "error"),
    0x04: ("Router-Busy-To-Network", None),
    0x05: ("Router-Available-To-Network", None),
    0x06: ("Initialize-Routing-Table", "write"),
    0x07: ("Initialize-Routing-Table-Ack", None),
    0x08: ("Establish-Connection-To-Network", "control"),
    0x09: ("Disconnect-Connection-To-Network", "control"),
    0x0A: ("Challenge-Request", None),
    0x0B: ("Security-Payload", None),
    0x0C: ("Security-Response", None),
    0x0D: ("Request-Key-Update", None),
    0x0E: ("Update-Key-Set", "write"),
    0x0F: ("Update-Distribution-Key", "write"),
    0x10: ("Request-Master-Key", None),
    0x11: ("Set-Master-Key", "write"),
    0x12: ("What-Is-Network-Number", "diagnostic"),
    0x13: ("Network-Number-Is", None),
}
CONFIRMED: tuple[tuple[str, str | None], ...] = (
    ("acknowledgeAlarm", "control"),
    ("confirmedCOVNotification", None),
    ("confirmedEventNotification", None),
    ("getAlarmSummary", "read"),
    ("getEnrollmentSummary", "read"),
    ("subscribeCOV", "read"),
    ("atomicReadFile", "read"),
    ("atomicWriteFile", "program"),
    ("addListElement", "write"),
    ("removeListElement", "write"),
    ("createObject", "program"),
    ("deleteObject", "program"),
    ("readProperty", "read"),
    ("readPropertyConditional", "read"),
    ("readPropertyMultiple", "read"),
    ("writeProperty", "write"),
    ("writePropertyMultiple", "write"),
    ("deviceCommunicationControl", "control"),
    ("confirmedPrivateTransfer", None),
    ("confirmedTextMessage", None),
    ("reinitializeDevice", "control"),
    ("vtOpen", "control"),
    ("vtClose", "control"),
    ("vtData", "control"),
    ("authenticate", None),
    ("requestKey", None),
    ("readRange", "read"),
    ("lifeSafetyOperation", "control"),
    ("subscribeCOVProperty", "read"),
    ("getEventInformation", "read"),
    ("subscribeCOVPropertyMultiple", "read"),
    ("confirmedCOVNotificationMultiple", None),
    ("confirmedAuditNotification", None),
    ("auditLogQuery", "read"),
)
UNCONFIRMED: tuple[tuple[str, str | None], ...] = (
    ("i-Am", None),
    ("i-Have", None),
    ("unconfirmedCOVNotification", None),
    ("unconfirmedEventNotification", None),
    ("unconfirmedPrivateTransfer", None),
    ("unconfirmedTextMessage", None),
    ("timeSynchronization", "write"),
    ("who-Has", "diagnostic"),
    ("who-Is", "diagnostic"),
    ("utcTimeSynchronization", "write"),
    ("writeGroup", "write"),
    ("unconfirmedCOVNotificationMultiple", None),
    ("unconfirmedAuditNotification", None),
    ("who-Am-I", "diagnostic"),
    ("you-Are", "write"),
)
REJECTS = _words(
    "other buffer-overflow inconsistent-parameters invalid-parameter-data-type invalid-tag "
    "missing-required-parameter parameter-out-of-range too-many-arguments undefined-enumeration "
    "unrecognized-service invalid-data-encoding"
)
ABORTS = _words(
    "other buffer-overflow invalid-apdu-in-this-state preempted-by-higher-priority-task "
    "segmentation-not-supported security-error insufficient-security window-size-out-of-range "
    "application-exceeded-reply-time out-of-resources tsm-timeout apdu-too-long"
)
ERROR_CLASSES = _words("device object property resources security services vt communication")
_ERRORS = _words(
    "other authentication-failed configuration-in-progress device-busy dynamic-creation-not-supported "
    "file-access-denied incompatible-security-levels inconsistent-parameters "
    "inconsistent-selection-criterion invalid-data-type invalid-file-access-method "
    "invalid-file-start-position invalid-operator-name invalid-parameter-data-type invalid-time-stamp "
    "key-generation-error missing-required-parameter no-objects-of-specified-type no-space-for-object "
    "no-space-to-add-list-element no-space-to-write-property no-vt-sessions-available "
    "property-is-not-a-list object-deletion-not-permitted object-identifier-already-exists "
    "operational-problem password-failure read-access-denied security-not-supported "
    "service-request-denied timeout unknown-object unknown-property removed-enumeration unknown-vt-class "
    "unknown-vt-session unsupported-object-type value-out-of-range vt-session-already-closed "
    "vt-session-termination-failure write-access-denied character-set-not-supported invalid-array-index "
    "cov-subscription-failed not-cov-property optional-functionality-not-supported "
    "invalid-configuration-data datatype-not-supported duplicate-name duplicate-object-id "
    "property-is-not-an-array"
)
_LATER_ERRORS = _words(
    "invalid-event-state no-alarm-configured log-buffer-full logged-value-purged no-property-specified "
    "not-configured-for-triggered-logging unknown-subscription parameter-out-of-range "
    "list-element-not-found busy communication-disabled success access-denied bad-destination-address "
    "bad-destination-device-id bad-signature bad-source-address bad-timestamp cannot-use-key "
    "cannot-verify-message-id correct-key-revision destination-device-id-required duplicate-message "
    "encryption-not-configured encryption-required incorrect-key invalid-key-data key-update-in-progress "
    "malformed-message not-key-server security-not-configured source-security-required too-many-keys "
    "unknown-authentication-type unknown-key unknown-key-revision unknown-source-message "
    "not-router-to-dnet router-busy unknown-network-message message-too-long security-error "
    "addressing-error write-bdt-failed read-bdt-failed register-foreign-device-failed read-fdt-failed "
    "delete-fdt-entry-failed distribute-broadcast-failed unknown-file-size abort-apdu-too-long "
    "abort-application-exceeded-reply-time abort-out-of-resources abort-tsm-timeout "
    "abort-window-size-out-of-range file-full inconsistent-configuration inconsistent-object-type "
    "internal-error not-configured out-of-memory value-too-long abort-insufficient-security "
    "abort-security-error duplicate-entry invalid-value-in-this-state"
)
ERRORS = dict(enumerate(_ERRORS)) | dict(enumerate(_LATER_ERRORS, 73))
OBJECTS = _words(
    "analog-input analog-output analog-value binary-input binary-output binary-value calendar command "
    "device event-enrollment file group loop multi-state-input multi-state-output notification-class "
    "program schedule averaging multi-state-value trend-log life-safety-point life-safety-zone "
    "accumulator pulse-converter event-log global-group trend-log-multiple load-control structured-view "
    "access-door timer access-credential access-point access-rights access-user access-zone "
    "credential-data-input network-security bitstring-value characterstring-value datepattern-value "
    "date-value datetimepattern-value datetime-value integer-value large-analog-value octetstring-value "
    "positive-integer-value timepattern-value time-value notification-forwarder alert-enrollment channel "
    "lighting-output binary-lighting-output network-port elevator-group escalator lift staging audit-log "
    "audit-reporter"
)
_PROPERTIES = _words(
    "acked-transitions ack-required action action-text active-text active-vt-sessions alarm-value "
    "alarm-values all all-writes-successful apdu-segment-timeout apdu-timeout "
    "application-software-version archive bias change-of-state-count change-of-state-time "
    "notification-class 18 controlled-variable-reference controlled-variable-units "
    "controlled-variable-value cov-increment date-list daylight-savings-status deadband "
    "derivative-constant derivative-constant-units description description-of-halt device-address-binding "
    "device-type effective-period elapsed-active-time error-limit event-enable event-state event-type "
    "exception-schedule fault-values feedback-value file-access-method file-size file-type "
    "firmware-revision high-limit inactive-text in-process instance-of integral-constant "
    "integral-constant-units issue-confirmed-notifications limit-enable list-of-group-members "
    "list-of-object-property-references 55 local-date local-time location low-limit "
    "manipulated-variable-reference maximum-output max-apdu-length-accepted max-info-frames max-master "
    "max-pres-value minimum-off-time minimum-on-time minimum-output min-pres-value model-name "
    "modification-date notify-type number-of-apdu-retries number-of-states object-identifier object-list "
    "object-name object-property-reference object-type optional out-of-service output-units "
    "event-parameters polarity present-value priority priority-array priority-for-writing "
    "process-identifier program-change program-location program-state proportional-constant "
    "proportional-constant-units protocol-conformance-class protocol-object-types-supported "
    "protocol-services-supported protocol-version read-only reason-for-halt recipient recipient-list "
    "reliability relinquish-default required resolution segmentation-supported setpoint "
    "setpoint-reference state-text status-flags system-status time-delay time-of-active-time-reset "
    "time-of-state-count-reset time-synchronization-recipients units update-interval utc-offset "
    "vendor-identifier vendor-name vt-classes-supported weekly-schedule attempted-samples average-value "
    "buffer-size client-cov-increment cov-resubscription-interval current-notify-time event-time-stamps "
    "log-buffer log-device-object-property enable log-interval maximum-value minimum-value "
    "notification-threshold previous-notify-time protocol-revision records-since-notification "
    "record-count start-time stop-time stop-when-full total-record-count valid-samples window-interval "
    "window-samples maximum-value-timestamp minimum-value-timestamp variance-value "
    "active-cov-subscriptions backup-failure-timeout configuration-files database-revision direct-reading "
    "last-restore-time maintenance-required member-of mode operation-expected setting silenced "
    "tracking-value zone-members life-safety-alarm-values max-segments-accepted profile-name "
    "auto-slave-discovery manual-slave-address-binding slave-address-binding slave-proxy-enable "
    "last-notify-record schedule-default accepted-modes adjust-value count count-before-change "
    "count-change-time cov-period input-reference limit-monitoring-interval logging-object logging-record "
    "prescale pulse-rate scale scale-factor update-time value-before-change value-set value-change-time "
    "align-intervals 194 interval-offset last-restart-reason logging-type 198 199 200 201 "
    "restart-notification-recipients time-of-device-restart time-synchronization-interval trigger "
    "utc-time-synchronization-recipients node-subtype node-type structured-object-list "
    "subordinate-annotations subordinate-list actual-shed-level duty-window expected-shed-level "
    "full-duty-baseline 216 217 requested-shed-level shed-duration shed-level-descriptions shed-levels "
    "state-description 223 224 225 door-alarm-state door-extended-pulse-time door-members "
    "door-open-too-long-time door-pulse-time door-status door-unlock-delay-time lock-status "
    "masked-alarm-values secured-status"
)
_LATER_PROPERTIES = _words(
    "backup-and-restore-state backup-preparation-time restore-completion-time restore-preparation-time "
    "bit-mask bit-text is-utc group-members group-member-names member-status-flags "
    "requested-update-interval covu-period covu-recipients event-message-texts event-message-texts-config "
    "event-detection-enable event-algorithm-inhibit event-algorithm-inhibit-ref time-delay-normal "
    "reliability-evaluation-inhibit fault-parameters fault-type local-forwarding-only "
    "process-identifier-filter subscribed-recipients port-filter authorization-exemptions "
    "allow-group-delay-inhibit channel-number control-groups execution-delay last-priority write-status "
    "property-list serial-number blink-warn-enable default-fade-time default-ramp-rate "
    "default-step-increment egress-time in-progress instantaneous-power lighting-command "
    "lighting-command-default-priority max-actual-value min-actual-value power transition egress-active "
    "interface-value fault-high-limit fault-low-limit low-diff-limit strike-count "
    "time-of-strike-count-reset default-timeout initial-timeout last-state-change state-change-values "
    "timer-running timer-state apdu-length ip-address ip-default-gateway ip-dhcp-enable "
    "ip-dhcp-lease-time ip-dhcp-lease-time-remaining ip-dhcp-server ip-dns-server "
    "bacnet-ip-global-address bacnet-ip-mode bacnet-ip-multicast-address bacnet-ip-nat-traversal "
    "ip-subnet-mask bacnet-ip-udp-port bbmd-accept-fd-registrations bbmd-broadcast-distribution-table "
    "bbmd-foreign-device-table changes-pending command fd-bbmd-address fd-subscription-lifetime "
    "link-speed link-speeds link-speed-autonegotiate mac-address network-interface-name network-number "
    "network-number-quality network-type routing-table virtual-mac-address-table command-time-array "
    "current-command-priority last-command-time value-source value-source-array"
)
PROPERTIES = dict(enumerate(_PROPERTIES)) | dict(enumerate(_LATER_PROPERTIES, 338))
UNITS = _words(
    "square-meters square-feet milliamperes amperes ohms volts kilovolts megavolts volt-amperes "
    "kilovolt-amperes megavolt-amperes volt-amperes-reactive kilovolt-amperes-reactive "
    "megavolt-amperes-reactive degrees-phase power-factor joules kilojoules watt-hours kilowatt-hours "
    "btus therms ton-hours joules-per-kilogram-dry-air btus-per-pound-dry-air cycles-per-hour "
    "cycles-per-minute hertz grams-of-water-per-kilogram-dry-air percent-relative-humidity millimeters "
    "meters inches feet watts-per-square-foot watts-per-square-meter lumens luxes foot-candles kilograms "
    "pounds-mass tons kilograms-per-second kilograms-per-minute kilograms-per-hour pounds-mass-per-minute "
    "pounds-mass-per-hour watts kilowatts megawatts btus-per-hour horsepower tons-refrigeration pascals "
    "kilopascals bars pounds-force-per-square-inch centimeters-of-water inches-of-water "
    "millimeters-of-mercury centimeters-of-mercury inches-of-mercury degrees-celsius degrees-kelvin "
    "degrees-fahrenheit degree-days-celsius degree-days-fahrenheit years months weeks days hours minutes "
    "seconds meters-per-second kilometers-per-hour feet-per-second feet-per-minute miles-per-hour "
    "cubic-feet cubic-meters imperial-gallons liters us-gallons cubic-feet-per-minute "
    "cubic-meters-per-second imperial-gallons-per-minute liters-per-second liters-per-minute "
    "us-gallons-per-minute degrees-angular degrees-celsius-per-hour degrees-celsius-per-minute "
    "degrees-fahrenheit-per-hour degrees-fahrenheit-per-minute no-units parts-per-million "
    "parts-per-billion percent percent-per-second per-minute per-second psi-per-degree-fahrenheit radians "
    "revolutions-per-minute"
)
ENUMERATED = {
    36: _words("normal fault offnormal high-limit low-limit life-safety-alarm"),
    79: OBJECTS,
    107: _words("segmented-both segmented-transmit segmented-receive no-segmentation"),
    112: _words(
        "operational operational-read-only download-required download-in-progress non-operational backup-in-progress"
    ),
    117: UNITS,
}
"""Property -> names of its enumerated values."""
REINITIALIZE = _words(
    "coldstart warmstart start-backup end-backup start-restore end-restore abort-restore activate-changes"
)
COMMUNICATION = _words("enable disable disable-initiation")


def named(names: list[str], value: int) -> str:
    """The name of a value, else its number."""
    return names[value] if 0 <= value < len(names) else str(value)
