"""Sigma's log sources of Windows events: which rules a (channel, event id) answers to, and which dataset it is.

Facts as in the Sigma specification's taxonomy appendix and SigmaHQ's log source guides.
"""

from __future__ import annotations

from cityguard.model import LogSource

SYSMON = "Microsoft-Windows-Sysmon/Operational"
_MS = "Microsoft-Windows-"

SYSMON_CATEGORIES: dict[int, tuple[str, ...]] = {
    1: ("process_creation",),
    2: ("file_change",),
    3: ("network_connection",),
    4: ("sysmon_status",),
    5: ("process_termination",),
    6: ("driver_load",),
    7: ("image_load",),
    8: ("create_remote_thread",),
    9: ("raw_access_thread",),
    10: ("process_access",),
    11: ("file_event",),
    12: ("registry_add", "registry_delete", "registry_event"),
    13: ("registry_set", "registry_event"),
    14: ("registry_rename", "registry_event"),
    15: ("create_stream_hash",),
    16: ("sysmon_status",),
    17: ("pipe_created",),
    18: ("pipe_created",),
    19: ("wmi_event",),
    20: ("wmi_event",),
    21: ("wmi_event",),
    22: ("dns_query",),
    23: ("file_delete",),
    24: ("clipboard_capture",),
    25: ("process_tampering",),
    26: ("file_delete_detected", "file_delete"),
    27: ("file_block_executable",),
    28: ("file_block_shredding",),
    29: ("file_executable_detected",),
    255: ("sysmon_error",),
}
"""Sysmon event id -> categories. Id 12 is told apart by EventType: see ``sysmon_registry``."""

SERVICES: dict[str, str] = {
    "application": "application",
    "security": "security",
    "system": "system",
    "setup": "setup",
    SYSMON.lower(): "sysmon",
    "windows powershell": "powershell-classic",
    "powershellcore/operational": "powershell",
    "msexchange management": "msexchange-management",
    "dns server": "dns-server",
    "openssh/operational": "openssh",
    **{
        (_MS + channel).lower(): service
        for channel, service in (
            ("PowerShell/Operational", "powershell"),
            ("TaskScheduler/Operational", "taskscheduler"),
            ("WMI-Activity/Operational", "wmi"),
            ("DNS-Server/Audit", "dns-server-audit"),
            ("DNS-Server/Analytical", "dns-server-analytic"),
            ("DNS Client Events/Operational", "dns-client"),
            ("DNS-Client/Operational", "dns-client"),
            ("DriverFrameworks-UserMode/Operational", "driver-framework"),
            ("NTLM/Operational", "ntlm"),
            ("DHCP-Server/Operational", "dhcp"),
            ("AppLocker/MSI and Script", "applocker"),
            ("AppLocker/EXE and DLL", "applocker"),
            ("AppLocker/Packaged app-Deployment", "applocker"),
            ("AppLocker/Packaged app-Execution", "applocker"),
            ("AppModel-Runtime/Admin", "appmodel-runtime"),
            ("AppXDeploymentServer/Operational", "appxdeployment-server"),
            ("AppxPackaging/Operational", "appxpackaging-om"),
            ("Bits-Client/Operational", "bits-client"),
            ("CAPI2/Operational", "capi2"),
            ("CertificateServicesClient-Lifecycle-System/Operational", "certificateservicesclient-lifecycle-system"),
            ("CodeIntegrity/Operational", "codeintegrity-operational"),
            ("Diagnosis-Scripted/Operational", "diagnosis-scripted"),
            ("Windows Firewall With Advanced Security/Firewall", "firewall-as"),
            ("Hyper-V-Worker-Admin", "hyper-v-worker"),
            ("IIS-Configuration/Operational", "iis-configuration"),
            ("Kernel-EventTracing", "kernel-event-tracing"),
            ("Kernel-ShimEngine/Operational", "kernel-shimengine"),
            ("LDAP-Client/Debug", "ldap"),
            ("LSA/Operational", "lsa-server"),
            ("PrintService/Admin", "printservice-admin"),
            ("PrintService/Operational", "printservice-operational"),
            ("Security-Mitigations/Kernel Mode", "security-mitigations"),
            ("Security-Mitigations/User Mode", "security-mitigations"),
            ("SENSE/Operational", "sense"),
            ("ServiceBus-Client", "microsoft-servicebus-client"),
            ("ServiceBus-Client/Admin", "microsoft-servicebus-client"),
            ("ServiceBus-Client/Operational", "microsoft-servicebus-client"),
            ("Shell-Core/Operational", "shell-core"),
            ("SmbClient/Audit", "smbclient-audit"),
            ("SmbClient/Connectivity", "smbclient-connectivity"),
            ("SmbClient/Security", "smbclient-security"),
            ("SMBServer/Connectivity", "smbserver-connectivity"),
            ("TerminalServices-LocalSessionManager/Operational", "terminalservices-localsessionmanager"),
            ("TerminalServices-RemoteConnectionManager/Operational", "terminalservices-remoteconnectionmanager"),
            ("VHDMP/Operational", "vhdmp"),
            ("WinRM/Operational", "winrm"),
            ("Windows Defender/Operational", "windefend"),
            ("Kernel-File/Analytic", "kernel-file"),
        )
    },
}
"""Channel in lower case -> Sigma service."""

_OTHER_CATEGORIES: dict[tuple[str, int], tuple[str, ...]] = {
    ("security", 4688): ("process_creation",),
    ("security", 4689): ("process_termination",),
    ("powershell", 4103): ("ps_module",),
    ("powershell", 4104): ("ps_script",),
    ("powershell-classic", 400): ("ps_classic_start",),
    ("powershell-classic", 600): ("ps_classic_provider_start",),
    ("powershell-classic", 800): ("ps_classic_script",),
}
_REGISTRY = {"createkey": "registry_add", "createvalue": "registry_add", "deletekey": "registry_delete"}
_REGISTRY["deletevalue"] = "registry_delete"

_FILE = {2, 11, 15, 23, 26, 27, 28, 29}
_PROCESS = {1, 5, 6, 7, 8, 9, 10, 25}
_LOGON = {4624, 4625, 4626, 4634, 4647, 4648, 4649, 4672, 4768, 4769, 4770, 4771, 4772, 4773, 4774, 4776, 4777, 4778}
_LOGON |= {4779, 4800, 4801, 4964, 5378}
_PROCESSES = {4688, 4689, 4696}
_FILES = {4656, 4658, 4660, 4663, 4664, 4670, 4985, 5140, 5142, 5143, 5144, 5145}
_SOCKETS = {5031, 5150, 5151, 5152, 5153, 5154, 5155, 5156, 5157, 5158, 5159}


def logsource(channel: str, event_id: int | None, event_type: str = "", product: str = "windows") -> LogSource:
    """The log source of a class of events; ``event_type`` is Sysmon's, for registry events."""
    service = SERVICES.get(channel.lower(), "")
    if service == "sysmon":
        categories = SYSMON_CATEGORIES.get(event_id or 0, ())
        one = _REGISTRY.get(event_type.lower())
        if event_id == 12 and one:
            categories = (one, "registry_event")
    else:
        categories = _OTHER_CATEGORIES.get((service, event_id or 0), ())
    return LogSource(categories, (product,), (service,) if service else ())


def dataset(channel: str, event_id: int | None) -> str:
    """The dataset of a class of events."""
    service, number = SERVICES.get(channel.lower(), ""), event_id or 0
    if service == "sysmon":
        if number in _FILE:
            return "file"
        if number in (12, 13, 14):
            return "registry"
        if number in (3, 22):
            return "network"
        return "process" if number in _PROCESS else "host"
    if service == "security":
        if number in _LOGON:
            return "auth"
        if number in _PROCESSES:
            return "process"
        if number in _FILES:
            return "file"
        if number in _SOCKETS:
            return "network"
        return "registry" if number == 4657 else "audit"
    if service == "openssh":
        return "auth"
    return "process" if service.startswith("powershell") else "host"
