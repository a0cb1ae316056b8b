"""The register of the sample city: 50 departments, 115 systems, their assets and segments."""

from __future__ import annotations

import random
from datetime import date, timedelta
from typing import Any

from scripts.city import plan

DEPARTMENTS = [
    "市政府办公室",
    "市发展和改革局",
    "市教育局",
    "市科学技术局",
    "市工业和信息化局",
    "市民族宗教事务局",
    "市公安局",
    "市民政局",
    "市司法局",
    "市财政局",
    "市人力资源和社会保障局",
    "市自然资源和规划局",
    "市生态环境局",
    "市住房和城乡建设局",
    "市城市管理局",
    "市交通运输局",
    "市水务局",
    "市农业农村局",
    "市商务局",
    "市文化广电和旅游局",
    "市卫生健康委员会",
    "市退役军人事务局",
    "市应急管理局",
    "市审计局",
    "市国有资产监督管理委员会",
    "市行政审批局",
    "市市场监督管理局",
    "市体育局",
    "市统计局",
    "市医疗保障局",
    "市信访局",
    "市地方金融监督管理局",
    "市机关事务管理局",
    "市大数据管理中心",
    "市住房公积金管理中心",
    "市公共资源交易中心",
    "市档案馆",
    "市气象局",
    "市税务局",
    "市邮政管理局",
    "市供销合作总社",
    "市城市供热公司",
    "市自来水公司",
    "市公共交通集团",
    "市燃气公司",
    "东湖区政府",
    "西岭区政府",
    "南屏县政府",
    "北渡县政府",
    "高新技术产业开发区管委会",
]

KINDS = ("业务管理系统", "公众服务平台")
SHARED = (
    ("sys-gov-service", "政务服务一体化平台", "市行政审批局", 3, 3, ("cloud",)),
    ("sys-exchange", "数据共享交换平台", "市大数据管理中心", 3, 3, ("cloud", "bigdata")),
    ("sys-portal", "市政府门户网站", "市政府办公室", 3, 3, ("cloud",)),
    ("sys-oa", "协同办公系统", "市政府办公室", 2, 2, ("cloud",)),
    ("sys-mail", "政务邮件系统", "市大数据管理中心", 2, 2, ("cloud",)),
    ("sys-vpn", "安全接入平台", "市大数据管理中心", 3, 3, ()),
    ("sys-soc", "安全监测中心", "市大数据管理中心", 3, 2, ()),
    ("sys-water-scada", "水厂生产调度系统", "市自来水公司", 2, 3, ("ics",)),
    ("sys-heat-scada", "集中供热监控系统", "市城市供热公司", 2, 3, ("ics",)),
    ("sys-signal", "交通信号控制系统", "市公安局", 2, 3, ("ics",)),
)


FIELD = (
    ("sys-env", "污染源自动监控系统", "市生态环境局", 2, 3, ("iot",)),
    ("sys-hydro", "水情遥测系统", "市水务局", 2, 3, ("iot",)),
    ("sys-video", "公共安全视频平台", "市公安局", 3, 3, ("iot",)),
    ("sys-meter", "公共机构能耗监测系统", "市机关事务管理局", 2, 2, ("iot",)),
    ("sys-charge", "公交充电管理系统", "市公共交通集团", 2, 2, ("iot",)),
)
"""Systems of the city's field equipment."""


def department_id(index: int) -> str:
    return f"dept-{index + 1:02d}"


def build(rng: random.Random) -> dict[str, list[dict[str, Any]]]:
    """The whole register as plain lists, in the order of the file."""
    ids = {name: department_id(index) for index, name in enumerate(DEPARTMENTS)}
    systems, assets = _systems(rng, ids)
    field = random.Random(f"{plan.SEED}/register/field")
    systems += [_system(field, identity, name, ids[owner], s, a, more) for identity, name, owner, s, a, more in FIELD]
    assets += _field()
    return {
        "departments": [
            {"id": ids[name], "name": name, "leader": "分管领导", "contact": "安全专员", "phone": f"0000-88{index:04d}"}
            for index, name in enumerate(DEPARTMENTS)
        ],
        "systems": systems,
        "assets": assets,
        "segments": _segments(ids),
        "stations": _stations(),
    }


def _systems(rng: random.Random, ids: dict[str, str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    systems, assets = [], []
    for identity, name, owner, s_grade, a_grade, extensions in SHARED:
        systems.append(_system(rng, identity, name, ids[owner], s_grade, a_grade, extensions))
    assets.extend(_special())
    number = 0
    for index, owner in enumerate(DEPARTMENTS):
        short = owner.removeprefix("市")
        for kind in KINDS:
            number += 1
            identity = f"sys-{number:03d}"
            s_grade, a_grade = rng.choice(((2, 2), (2, 2), (2, 2), (3, 3), (2, 3), (1, 1)))
            systems.append(_system(rng, identity, short + kind, ids[owner], s_grade, a_grade, ("cloud",)))
            for host in range(1, rng.choice((2, 2, 3)) + 1):
                role = ("application", "database", "server")[host - 1]
                ports = {"application": ["443/tcp", "22/tcp"], "database": ["5236/tcp", "22/tcp"], "server": ["22/tcp"]}
                assets.append(
                    {
                        "id": f"{identity}-h{host}",
                        "name": f"{short}{kind}{'应用' if host == 1 else '数据库' if host == 2 else '辅助'}服务器",
                        "system": identity,
                        "addresses": [f"10.40.{index + 10}.{(number % 2) * 100 + host + 10}"],
                        "kind": role,
                        "os": "openEuler 22.03",
                        "criticality": "高" if s_grade >= 3 else "中",
                        "ports": ports[role],
                    }
                )
    return systems, assets


def _system(
    rng: random.Random, identity: str, name: str, owner: str, s_grade: int, a_grade: int, extensions: tuple[str, ...]
) -> dict[str, Any]:
    grade = max(s_grade, a_grade)
    filed = date(2025, 1, 1) + timedelta(days=rng.randrange(300))
    made: dict[str, Any] = {
        "id": identity,
        "name": name,
        "department": owner,
        "s_grade": s_grade,
        "a_grade": a_grade,
        "owner": "系统责任人",
        "operator": "运维单位",
        "importance": "重要" if grade >= 3 else "一般",
        "data_class": "重要" if grade >= 3 else "一般",
        "extensions": list(extensions),
    }
    if grade >= 2 and rng.random() > 0.06:
        made |= {"filing_number": f"99{rng.randrange(10**9):09d}", "filing_expires": filed + timedelta(days=3 * 365)}
    if grade >= 2 and rng.random() > 0.12:
        made["last_assessed"] = date(2025, 3, 20) + timedelta(days=rng.randrange(340))
    if grade >= 3:
        made |= {"rto_hours": 4.0, "rpo_hours": 24.0}
    return made


def _special() -> list[dict[str, Any]]:
    """The assets the story needs, by hand."""
    rows = (
        (
            "gov-web-1",
            "政务服务前端服务器",
            "sys-gov-service",
            ["10.40.1.11"],
            "application",
            ["443/tcp", "80/tcp", "22/tcp"],
            [],
        ),
        (
            "gov-app-1",
            "政务服务应用服务器",
            "sys-gov-service",
            ["10.40.1.12"],
            "application",
            ["8443/tcp", "22/tcp"],
            [],
        ),
        ("gov-db-1", "政务服务数据库", "sys-gov-service", ["10.40.1.13"], "database", ["5236/tcp", "22/tcp"], []),
        ("gov-backup-1", "政务服务备份服务器", "sys-gov-service", [plan.BACKUP_FROM], "server", ["22/tcp"], ["backup"]),
        ("dr-backup-1", "灾备中心存储", "sys-exchange", [plan.BACKUP_TO], "server", ["22/tcp", "873/tcp"], ["backup"]),
        ("exchange-1", "交换节点", "sys-exchange", ["172.16.20.11"], "application", ["443/tcp"], []),
        ("portal-1", "门户网站服务器", "sys-portal", ["172.16.0.80"], "application", ["443/tcp", "80/tcp"], []),
        ("oa-1", "协同办公服务器", "sys-oa", ["10.10.1.20"], "application", ["443/tcp"], []),
        ("dns-1", "域名服务器", "sys-soc", [plan.RESOLVER], "server", ["53/udp", "53/tcp"], []),
        ("mail-1", "邮件服务器", "sys-mail", ["10.10.1.25"], "application", ["25/tcp", "443/tcp"], []),
        ("vpn-gw-01", "安全接入网关", "sys-vpn", [plan.VPN_GATEWAY], "security", ["443/tcp", "22/tcp"], []),
        ("vpn-pool", "接入用户地址池", "sys-vpn", ["172.16.10.128/25"], "terminal", [], []),
        ("jump-01", "运维跳板机", "sys-soc", [plan.JUMP], "server", ["3389/tcp"], ["jump"]),
        ("scanner-01", "漏洞扫描器", "sys-soc", [plan.SCANNER], "security", [], ["authorised_scanner"]),
        ("fw-01", "边界防火墙", "sys-soc", ["10.99.0.1"], "security", ["22/tcp", "8443/tcp"], []),
        (
            "water-hist",
            "水厂历史数据库",
            "sys-water-scada",
            [plan.HISTORIAN],
            "historian",
            ["3389/tcp", "1433/tcp"],
            [],
        ),
        ("water-eng", "水厂工程师站", "sys-water-scada", [plan.ENGINEERING], "engineering", ["3389/tcp"], []),
        ("water-scada", "水厂监控主机", "sys-water-scada", [plan.SCADA], "hmi", [], ["modbus_masters"]),
        *(
            (f"water-plc-{n}", f"水厂控制器{n}", "sys-water-scada", [address], "plc", ["502/tcp"], [])
            for n, address in enumerate(plan.PLCS, 1)
        ),
        ("heat-eng", "供热工程师站", "sys-heat-scada", [plan.HEAT_VENDOR], "engineering", [], ["modbus_masters"]),
        ("heat-plc-1", "供热控制器1", "sys-heat-scada", [plan.HEAT_PLC], "plc", ["502/tcp"], []),
        ("heat-plc-2", "供热控制器2", "sys-heat-scada", ["10.67.10.12"], "plc", ["502/tcp"], []),
        ("signal-ctl", "信号控制中心主机", "sys-signal", ["10.68.10.5"], "hmi", ["161/udp"], []),
        *(
            (f"signal-{n}", f"路口信号机{n}", "sys-signal", [f"10.68.10.{20 + n}"], "plc", ["161/udp"], [])
            for n in range(1, 7)
        ),
    )
    fronts: tuple[tuple[str, str, str, list[str], str, list[str], list[str]], ...] = tuple(
        (
            f"exch-{n:02d}",
            f"{name.removeprefix('市')}前置交换机",
            "sys-exchange",
            [f"10.20.{n}.10"],
            "application",
            ["443/tcp"],
            [],
        )
        for n, name in enumerate(DEPARTMENTS[:47], 1)  # three departments never registered theirs
    )
    keys = ("id", "name", "system", "addresses", "kind", "ports", "groups")
    return [{key: value for key, value in zip(keys, row, strict=True) if value != []} for row in (*rows, *fronts)]


def _field() -> list[dict[str, Any]]:
    """Platforms and stations of the field equipment."""
    rows: list[tuple[str, str, str, str, str]] = [
        ("env-platform", "污染源监控平台", "sys-env", plan.ENV_PLATFORM, "application"),
        ("hydro-centre", "水情中心站", "sys-hydro", plan.HYDRO_CENTRE, "application"),
        ("video-platform", "视频联网平台", "sys-video", plan.VIDEO_PLATFORM, "application"),
        ("video-media", "视频流媒体服务器", "sys-video", plan.VIDEO_MEDIA, "server"),
        ("video-nvr-1", "路口硬盘录像机", "sys-video", plan.VIDEO_NVR, "camera"),
        ("meter-master", "能耗采集主站", "sys-meter", plan.METER_MASTER, "application"),
        ("charge-central", "充电管理平台", "sys-charge", plan.CHARGE_CENTRAL, "application"),
        ("tlcp-gw-01", "国密接入网关", "sys-vpn", plan.TLCP_GATEWAY, "security"),
    ]
    for prefix, name, system, kind, addresses in (
        ("env-station", "数采仪", "sys-env", "rtu", plan.ENV_STATIONS),
        ("hydro-station", "水文遥测终端", "sys-hydro", "rtu", plan.HYDRO_STATIONS),
        ("meter-gw", "表计集中器", "sys-meter", "meter", plan.METER_GATEWAYS),
        ("charge-point", "充电桩", "sys-charge", "charger", plan.CHARGE_POINTS),
    ):
        rows += [(f"{prefix}-{n}", f"{name}{n}", system, address, kind) for n, address in enumerate(addresses, 1)]
    return [
        {"id": identity, "name": name, "system": system, "addresses": [address], "kind": kind}
        for identity, name, system, address, kind in rows
    ]


def _stations() -> list[dict[str, Any]]:
    """Stations of the field equipment, with the platform each obeys and the range it comes from."""
    rows: list[tuple[str, str, str, str, str, str, int]] = [
        *((unit, f"数采仪{n}", "hj212", "sys-env", plan.ENV_PLATFORM, "10.69.10.0/24", 600)
          for n, unit in enumerate(plan.ENV_STATIONS.values(), 1)),
        *((unit, f"水文遥测终端{n}", "sl651", "sys-hydro", plan.HYDRO_CENTRE, "10.70.10.0/24", 3_600)
          for n, unit in enumerate(plan.HYDRO_STATIONS.values(), 1)),
        *((unit, f"充电桩{n}", "ocpp", "sys-charge", plan.CHARGE_CENTRAL, "10.73.10.0/24", 900)
          for n, unit in enumerate(plan.CHARGE_POINTS.values(), 1)),
        (plan.VIDEO_NVR_ID, "路口硬盘录像机", "gb28181", "sys-video", plan.VIDEO_PLATFORM, "10.71.10.0/24", 180),
        *((unit, f"路口摄像机{n}", "gb28181", "sys-video", plan.VIDEO_PLATFORM, "10.71.10.0/24", 0)
          for n, unit in enumerate(plan.VIDEO_CAMERAS, 1)),
    ]  # fmt: skip
    return [
        {
            "id": unit,
            "name": name,
            "protocol": protocol,
            "system": system,
            "platforms": [platform],
            "carriers": [carrier],
        }
        | ({"period_s": period} if period else {})
        for unit, name, protocol, system, platform, carrier, period in rows
    ]


def _segments(ids: dict[str, str]) -> list[dict[str, Any]]:
    rows: list[tuple[str, str, list[str], str, bool, str]] = [
        ("seg-public", "公用网络区", ["10.10.0.0/16"], "公用网络区", False, "passive"),
        ("seg-office", "办公网", ["10.30.0.0/16"], "办公", False, "passive"),
        ("seg-internet", "互联网接入区", ["172.16.0.0/24"], "互联网接入区", False, "passive"),
        ("seg-access", "安全接入平台", ["172.16.10.0/24"], "安全接入平台", False, "passive"),
        ("seg-exchange", "数据交换区", ["172.16.20.0/24"], "数据交换区", False, "passive"),
        ("seg-manage", "管理区", ["10.99.0.0/24"], "管理区", False, "passive"),
        ("seg-cloud", "政务云", ["10.40.0.0/16"], "政务云", False, "passive"),
        ("seg-dr", "灾备中心", ["10.41.0.0/16"], "政务云", False, "passive"),
        ("seg-water-dmz", "水厂隔离区", ["10.66.0.0/24"], "工业互联网", True, "never"),
        ("seg-water", "水厂控制网", ["10.66.10.0/24"], "工业互联网", True, "never"),
        ("seg-heat-dmz", "供热隔离区", ["10.67.0.0/24"], "工业互联网", True, "never"),
        ("seg-heat", "供热控制网", ["10.67.10.0/24"], "工业互联网", True, "never"),
        ("seg-signal", "交通信号控制网", ["10.68.10.0/24"], "工业互联网", True, "never"),
        ("seg-env", "污染源监控网", ["10.69.0.0/16"], "工业互联网", True, "never"),
        ("seg-hydro", "水情遥测网", ["10.70.0.0/16"], "工业互联网", True, "never"),
        ("seg-video", "视频专网", ["10.71.0.0/16"], "工业互联网", True, "never"),
        ("seg-meter", "能耗采集网", ["10.72.0.0/16"], "工业互联网", True, "never"),
        ("seg-charge", "充电桩网", ["10.73.0.0/16"], "工业互联网", True, "never"),
    ]
    made = [{"id": i, "name": n, "cidrs": c, "zone": z, "ot": ot, "scan": scan} for i, n, c, z, ot, scan in rows]
    for index, name in enumerate(DEPARTMENTS):
        made.append(
            {
                "id": f"seg-vpn-{index + 1:02d}",
                "name": f"{name.removeprefix('市')}专用网络",
                "cidrs": [f"10.20.{index + 1}.0/24"],
                "zone": "专用网络区",
                "scan": "passive",
                "department": ids[name],
            }
        )
    return made
