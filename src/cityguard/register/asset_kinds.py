"""What an asset can be: a closed list, what people also call each kind, and which kinds direct a physical process."""

from __future__ import annotations

import re
import unicodedata

ALIASES: dict[str, tuple[str, ...]] = {
    "server": ("服务器", "主机", "host", "物理服务器"),
    "virtual": ("虚拟机", "云主机", "云服务器", "vm", "容器", "virtual machine"),
    "application": ("应用", "应用服务器", "应用系统", "中间件", "web", "web服务器", "app"),
    "database": ("数据库", "数据库服务器", "db"),
    "storage": ("存储", "存储设备", "nas", "san", "备份服务器", "磁带库"),
    "network": ("网络设备", "交换机", "路由器", "无线", "无线控制器", "switch", "router"),
    "security": ("安全设备", "防火墙", "堡垒机", "网闸", "入侵检测", "firewall", "waf", "vpn"),
    "terminal": ("终端", "办公终端", "办公电脑", "电脑", "pc", "desktop"),
    "printer": ("打印机", "复印机", "一体机"),
    "camera": ("摄像机", "摄像头", "球机", "nvr", "录像机"),
    "iot": ("物联网设备", "物联网终端", "门禁", "一卡通", "道闸"),
    "historian": ("历史库", "历史数据库", "实时数据库", "历史站"),
    "engineering": ("工程师站", "组态站", "engineering station", "ews"),
    "hmi": ("操作员站", "人机界面", "触摸屏", "监控站", "scada", "operator station"),
    "plc": ("可编程控制器", "可编程逻辑控制器", "plc控制器", "pac"),
    "rtu": ("远程终端单元", "远程测控终端", "遥测终端", "遥测终端机", "remote terminal unit", "dtu", "ftu", "rtu/dtu"),
    "ied": ("智能电子设备", "继电保护", "保护装置", "测控装置", "relay"),
    "dcs": ("集散控制系统", "分散控制系统", "dcs控制站"),
    "sis": ("安全仪表系统", "安全仪表", "safety"),
    "controller": ("控制器", "控制设备", "工控设备", "工控机", "楼宇控制器", "ddc", "温控器", "控制柜"),
    "signal": ("信号机", "交通信号机", "信号控制机", "traffic signal"),
    "gateway": ("网关", "工业网关", "协议网关", "物联网网关", "采集网关", "数采仪", "边缘网关", "plc-gateway"),
    "sensor": ("传感器", "变送器", "仪表", "流量计", "液位计", "监测仪"),
    "actuator": ("执行器", "变频器", "驱动器", "阀门", "泵", "drive", "vfd"),
    "meter": ("电表", "水表", "气表", "热表", "计量表", "智能电表"),
    "charger": ("充电桩",),
}
"""Kind -> what else it is called, in lower case. Of an ambiguous word the kind that is never probed owns it."""

PROCESS = frozenset((
    *("engineering", "hmi", "plc", "rtu", "ied", "dcs", "sis", "controller", "signal"),
    *("gateway", "sensor", "actuator", "meter", "charger", "iot"),
))  # fmt: skip
"""Kinds that direct or measure a physical process: never probed, wherever they stand."""

KINDS = tuple(ALIASES)

_BY_WORD = {word: kind for kind, words in ALIASES.items() for word in (kind, *words)}
_REMARK = re.compile(r"\s*\([^()]{0,100}\)\s*$")


def normal(text: str) -> str:
    """The kind a word means: ``PLC``, ``可编程逻辑控制器`` and ``PLC (S7-1200)`` are ``plc``.

    A word that means none comes back as it is, for the caller to refuse.
    """
    if len(text) > 200:
        return text
    word = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return _BY_WORD.get(word) or _BY_WORD.get(_REMARK.sub("", word)) or text
