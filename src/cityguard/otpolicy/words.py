"""What policy lines, acts and violations are called by people: plain sentences in Chinese and English."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from cityguard.model import Text
from cityguard.otpolicy import functions
from cityguard.otpolicy.policy import ANY, PLATFORM, Line
from cityguard.register.register import Register

SHOWN = 6  # addresses and codes of a sentence
PROTOCOLS = {
    "modbus": "Modbus",
    "s7comm": "S7",
    "s7comm_plus": "S7+",
    "iec104": "IEC 104",
    "dnp3": "DNP3",
    "mms": "MMS",
    "enip": "EtherNet/IP",
    "cip": "CIP",
    "bacnet": "BACnet",
    "opcua": "OPC UA",
    "hj212": "HJ 212",
    "sl651": "SL 651",
    "szy206": "SZY206",
    "gb28181": "GB/T 28181",
    "dlt645": "DL/T 645",
    "dlt698": "DL/T 698.45",
    "cjt188": "CJ/T 188",
    "jt808": "JT/T 808",
    "jt809": "JT/T 809",
    "gbt20999": "GB/T 20999",
    "ocpp": "OCPP",
}
CLASSES = {
    "read": Text("读取", "read"),
    "write": Text("写入", "write"),
    "control": Text("控制", "control"),
    "program": Text("组态与程序", "program or configure"),
    "diagnostic": Text("诊断", "diagnose"),
    ANY: Text("任何操作", "do anything to"),
}
FLAGS = {
    "alerted": Text("学习期间该主站有告警", "alerts named this master while it was learned"),
    "unregistered": Text("主站不在资产台账", "the master is not in the register"),
    "not_platform": Text("主站不是该站点登记的平台", "the master is no registered platform of the station"),
    "changes": Text("写入、控制或组态类操作", "it writes, controls or programs"),
    "rare": Text("只出现过一两次", "seen once or twice only"),
    "off_hours": Text("出现在非工作时间", "seen outside working hours"),
    "wider": Text("比现行策略宽", "wider than what is in force"),
    "renew": Text("现行策略行已到期", "the line in force has expired"),
}
"""Why a person should look twice at a proposed line."""
REASONS = {
    "none": Text("没有任何策略行允许", "no policy line allows it"),
    "master": Text("策略行 {line} 只允许其他主站这样做", "policy line {line} allows it to other masters only"),
    "code": Text(
        "策略行 {line} 允许该主站，但不允许此操作", "policy line {line} allows this master, but not this deed"
    ),
    "address": Text("超出策略行 {line} 允许的地址 {allowed}", "outside the addresses {allowed} of policy line {line}"),
    "window": Text(
        "不在策略行 {line} 允许的时间内（{allowed}）", "outside the hours of policy line {line} ({allowed})"
    ),
    "expired": Text("策略行 {line} 已于 {allowed} 到期", "policy line {line} expired on {allowed}"),
}
MODES = {
    "enforced": Text("已执行（违反即告警）", "enforced: violations are told"),
    "learning": Text("学习中", "learning"),
}
NEVER_BLOCKS = Text("策略只告警，不阻断任何通信。", "A policy only tells; it never blocks traffic.")


class Names:
    """What places and masters are called, by the register."""

    def __init__(self, register: Register) -> None:
        self.register = register
        self._assets = {one.id: one.name for one in register.assets}
        self._segments = {one.id: one.name for one in register.segments}
        self._platforms = {address for one in register.stations for address in one.platforms}

    def place(self, scope: str) -> Text:
        """A station or ``segment:ID``."""
        if scope.startswith("segment:"):
            name = self._segments.get(scope[8:], scope[8:])
            return Text(f"网段 {name}", f"segment {name}")
        if (station := self.register.station(scope)) is not None:
            return Text(station.name, station.name)
        head, slash, unit = scope.rpartition("/")
        if slash and (name := self._owner(head)):
            return Text(f"{name} 单元 {unit}", f"{name} unit {unit}")
        name = self._owner(scope)
        return Text(name, name) if name else Text(scope, scope)

    def _owner(self, key: str) -> str:
        if key in self._assets:
            return self._assets[key]
        asset = self.register.find_asset(key)
        return asset.name if asset is not None else ""

    def is_registered(self, master: str) -> bool:
        """Whether an address is an asset's, or that of a station's platform."""
        return master in self._platforms or self.register.find_asset(master) is not None

    def master(self, master: str) -> Text:
        """An address with the name of its asset."""
        if master == ANY:
            return Text("任何主站", "any master")
        if master == PLATFORM:
            return Text("登记的平台", "a registered platform")
        asset = None if "/" in master else self.register.find_asset(master)
        return Text(f"{master}（{asset.name}）", f"{master} ({asset.name})") if asset else Text(master, master)


def deed(protocol: str, klass: str, codes: Sequence[str], name: str = "") -> Text:
    """What is done: ``读保持寄存器（Modbus 3）`` / ``Read Holding Registers (Modbus 3)``."""
    kind, spoken = CLASSES.get(klass, Text(klass, klass)), PROTOCOLS.get(protocol, protocol)
    if not codes:
        return kind if protocol == ANY else Text(f"{kind.zh}（{spoken}）", f"{kind.en} ({spoken})")
    shown, more = codes[:SHOWN], "…" if len(codes) > SHOWN else ""
    known = [functions.called(protocol, code, name if len(codes) == 1 else "") for code in shown]
    written = [functions.written(code) for code in shown]  # a code, or the name where there are no numbers
    zh = "、".join(one.zh for one in known)
    if not all(one.zh for one in known):
        other = functions.plain(name) or ("" if len(codes) > 1 else functions.plain(codes[0]))
        zh = kind.zh if other.isdigit() or not other else f"{kind.zh} {other}"
    zh, said = f"{zh}{more}", "、".join(written) + more
    note_zh = spoken if said == zh else f"{spoken} {said}"
    if len(codes) > 1 and all(one.en for one in known):
        pairs = (one.en if one.en == code else f"{one.en} ({code})" for one, code in zip(known, written, strict=True))
        en, note = ", ".join(pairs) + more, spoken
    else:
        en = known[0].en if len(codes) == 1 and known[0].en else kind.en
        note = spoken if said == en else f"{spoken} {', '.join(written)}{more}"
    return Text(f"{zh}（{note_zh if protocol != ANY else said}）", f"{en} ({note if protocol != ANY else said})")


def where(addresses: Sequence[str], total: int = 0) -> Text:
    """The addresses of a line; empty = any. ``total``: how many there are, where not all are given."""
    if not addresses:
        return Text("任何地址", "any address")
    count = max(total, len(addresses))
    more = count - SHOWN
    plain = [word.removeprefix("=") for word in addresses[:SHOWN]]
    return Text(
        f"地址 {'、'.join(plain)}{f' 等 {count} 段' if more > 0 else ''}",
        f"addresses {', '.join(plain)}{f' and {more} more' if more > 0 else ''}",
    )


def when(windows: Sequence[str]) -> Text:
    """The windows of a line; none = always."""
    if not windows:
        return Text("全天", "at any time")
    zh = [one.replace("workday", "工作日").replace("restday", "休息日").replace("daily", "每天") for one in windows]
    return Text("、".join(zh), ", ".join(windows))


def sentence(line: Line, names: Names) -> Text:
    """``10.66.10.5 对 水厂控制器1 读保持寄存器 …，全天；3,402 次``."""
    master, place = names.master(line.master), names.place(line.scope)
    did, spots, hours = (
        deed(line.protocol, line.klass, line.codes, line.name),
        where(line.addresses),
        when(line.windows),
    )
    zh = f"{master.zh} 对 {place.zh} {did.zh}，{spots.zh}，{hours.zh}"
    en = f"{master.en} to {place.en}: {did.en}, {spots.en}, {hours.en}"
    if line.count:
        zh, en = f"{zh}；{line.count:,} 次", f"{en}; {'once' if line.count == 1 else f'{line.count:,} times'}"
    if line.period_s:
        zh, en = f"{zh}，约每 {span(line.period_s).zh}", f"{en}, about every {span(line.period_s).en}"
    return Text(zh, en)


def flags(found: Iterable[str]) -> Text:
    """Flags of a proposed line in words."""
    told = [FLAGS[one] for one in found if one in FLAGS]
    return Text("；".join(one.zh for one in told), "; ".join(one.en for one in told))


def span(seconds: float) -> Text:
    """A length of time, roughly."""
    for size, zh, en in ((86_400, "天", "d"), (3_600, "小时", "h"), (60, "分钟", "min")):
        if seconds >= 2 * size:
            number = f"{seconds / size:.1f}".removesuffix(".0")
            return Text(f"{number} {zh}", f"{number} {en}")
    number = f"{seconds:.1f}".removesuffix(".0")
    return Text(f"{number} 秒", f"{number} s")


def stamp(moment: datetime, zone: ZoneInfo) -> str:
    """A moment in the city's time, to the minute."""
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M")
