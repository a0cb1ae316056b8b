"""What policy lines, acts and violations are called by people: plain sentences in Chinese and English."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from cityguard.model import Text
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
_FUNCTIONS = {
    ("modbus", "1"): "读线圈",
    ("modbus", "2"): "读离散输入",
    ("modbus", "3"): "读保持寄存器",
    ("modbus", "4"): "读输入寄存器",
    ("modbus", "5"): "写单个线圈",
    ("modbus", "6"): "写单个寄存器",
    ("modbus", "8"): "诊断",
    ("modbus", "15"): "写多个线圈",
    ("modbus", "16"): "写多个寄存器",
    ("modbus", "22"): "掩码写寄存器",
    ("modbus", "23"): "读写多个寄存器",
    ("modbus", "43"): "读设备标识",
    ("s7comm", "4"): "读变量",
    ("s7comm", "5"): "写变量",
    ("s7comm", "40"): "PI 服务（启动等）",
    ("s7comm", "41"): "停止 PLC",
    ("s7comm", "26"): "请求下装",
    ("s7comm", "27"): "下装块",
    ("s7comm", "28"): "结束下装",
    ("s7comm", "29"): "开始上装",
    ("s7comm", "30"): "上装块",
    ("s7comm", "31"): "结束上装",
    ("s7comm", "240"): "建立通信",
    ("iec104", "45"): "单点命令",
    ("iec104", "46"): "双点命令",
    ("iec104", "47"): "步调节命令",
    ("iec104", "48"): "归一化设定值",
    ("iec104", "49"): "标度化设定值",
    ("iec104", "50"): "浮点设定值",
    ("iec104", "100"): "总召唤",
    ("iec104", "101"): "电能量召唤",
    ("iec104", "103"): "时钟同步",
    ("iec104", "105"): "复位进程",
    ("hj212", "1000"): "设置超时与重发",
    ("hj212", "1001"): "提取硬件序列号",
    ("hj212", "1002"): "设置设备标识",
    ("hj212", "1011"): "提取时间",
    ("hj212", "1012"): "设置时间",
    ("hj212", "1013"): "请求校时",
    ("hj212", "1014"): "设置密钥",
    ("hj212", "1061"): "提取实时间隔",
    ("hj212", "1062"): "设置实时间隔",
    ("hj212", "1063"): "提取分钟间隔",
    ("hj212", "1064"): "设置分钟间隔",
    ("hj212", "1072"): "设置口令",
    ("hj212", "2011"): "实时数据",
    ("hj212", "2012"): "停止实时数据",
    ("hj212", "2021"): "设备状态",
    ("hj212", "2022"): "停止设备状态",
    ("hj212", "2031"): "日数据",
    ("hj212", "2041"): "日运行时间",
    ("hj212", "2051"): "分钟数据",
    ("hj212", "2061"): "小时数据",
    ("hj212", "2081"): "开机时间",
    ("hj212", "3011"): "零点与量程校准",
    ("hj212", "3012"): "即时采样",
    ("hj212", "3013"): "清洗反吹",
    ("hj212", "3014"): "比对采样",
    ("hj212", "3015"): "超标留样",
    ("hj212", "3016"): "设置采样周期",
    ("hj212", "3017"): "提取仪表序列号",
    ("hj212", "3018"): "提取仪表状态",
    ("hj212", "3019"): "提取仪表参数",
    ("hj212", "3020"): "现场机日志与状态",
    ("hj212", "3021"): "设置仪表参数",
    ("hj212", "9015"): "心跳",
    ("sl651", "47"): "链路保持",
    ("sl651", "48"): "测试",
    ("sl651", "49"): "均匀时段报",
    ("sl651", "50"): "定时报",
    ("sl651", "51"): "加报",
    ("sl651", "52"): "小时报",
    ("sl651", "53"): "人工置数",
    ("sl651", "54"): "图片",
    ("sl651", "55"): "查询实时数据",
    ("sl651", "56"): "查询时段数据",
    ("sl651", "57"): "查询人工置数",
    ("sl651", "58"): "查询要素",
    ("sl651", "64"): "修改基本配置",
    ("sl651", "65"): "读基本配置",
    ("sl651", "66"): "修改运行参数",
    ("sl651", "67"): "读运行参数",
    ("sl651", "68"): "查询水泵数据",
    ("sl651", "69"): "查询软件版本",
    ("sl651", "70"): "查询状态",
    ("sl651", "71"): "清除存储",
    ("sl651", "72"): "恢复出厂",
    ("sl651", "73"): "修改口令",
    ("sl651", "74"): "设置时钟",
    ("sl651", "75"): "设置 IC 卡",
    ("sl651", "76"): "控制水泵",
    ("sl651", "77"): "控制阀门",
    ("sl651", "78"): "控制闸门",
    ("sl651", "79"): "定值控制",
    ("sl651", "80"): "查询事件",
    ("sl651", "81"): "读时钟",
    ("dlt645", "3"): "安全认证",
    ("dlt645", "8"): "广播校时",
    ("dlt645", "17"): "读数据",
    ("dlt645", "18"): "读后续数据",
    ("dlt645", "19"): "读通信地址",
    ("dlt645", "20"): "写数据",
    ("dlt645", "21"): "写通信地址",
    ("dlt645", "22"): "冻结",
    ("dlt645", "23"): "改通信速率",
    ("dlt645", "24"): "改口令",
    ("dlt645", "25"): "需量清零",
    ("dlt645", "26"): "电表清零",
    ("dlt645", "27"): "事件清零",
    ("dlt645", "28"): "拉合闸等继电器控制",
    ("dlt645", "29"): "多功能端子输出",
    ("cjt188", "1"): "读数据",
    ("cjt188", "3"): "读地址",
    ("cjt188", "4"): "写数据",
    ("cjt188", "9"): "读密钥版本",
    ("cjt188", "21"): "写地址",
    ("cjt188", "22"): "写机电同步",
    ("dlt698", "1"): "链路",
    ("dlt698", "2"): "建立连接",
    ("dlt698", "3"): "断开连接",
    ("dlt698", "5"): "读取",
    ("dlt698", "6"): "设置",
    ("dlt698", "7"): "操作",
    ("dlt698", "8"): "上报",
    ("dlt698", "9"): "代理",
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
    """What is done: ``读保持寄存器`` / ``Read Holding Registers (Modbus 3)``."""
    known = [_FUNCTIONS.get((protocol, code)) for code in codes]
    kind = CLASSES.get(klass, Text(klass, klass))
    spoken = PROTOCOLS.get(protocol, protocol)
    said = "、".join(codes[:SHOWN]) + ("…" if len(codes) > SHOWN else "")
    if codes and all(known):
        zh = "、".join(str(one) for one in known[:SHOWN])
    else:
        zh = f"{kind.zh} {name or said}".strip() if codes else kind.zh
    en = name if name and len(codes) == 1 else f"{kind.en} {name or ', '.join(codes[:SHOWN])}".strip()
    note = "" if protocol == ANY else spoken if said in (name, "") else f"{spoken} {said}"
    return Text(f"{zh}（{note}）" if note else zh, f"{en} ({note.replace('、', ', ')})" if note else en)


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
