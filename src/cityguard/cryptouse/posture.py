"""An indicative view along GB/T 39786-2021: what the wire shows of a system's use of cryptography, and what it cannot.

It is no assessment (密评): each line says what was seen, and a person judges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cityguard.cryptouse import judging
from cityguard.cryptouse.inventory import Inventory, Service
from cityguard.model import Text

Sign = Literal["good", "part", "bad", "unseen"]


@dataclass(frozen=True, slots=True)
class Line:
    """One aspect of one system."""

    layer: Text
    aspect: Text
    sign: Sign
    said: Text


NETWORK = Text("网络和通信安全", "Network and communication")
DEVICE = Text("设备和计算安全", "Devices and computing")
APPLICATION = Text("应用和数据安全", "Applications and data")

UNKNOWN: tuple[Text, ...] = (
    Text(
        "物理和环境、管理制度、人员、建设运行与应急处置各层面不在流量中，须现场核查。",
        "Physical surroundings, rules, people, operation and emergencies are not in traffic: somebody has to look.",
    ),
    Text(
        "密码产品是否经检测认证、算法实现是否正确、随机数是否合格，流量看不出。",
        "Whether products are certified, algorithms rightly implemented and random numbers good cannot be seen.",
    ),
    Text(
        "私钥如何生成、存放、备份与销毁，以及加密私钥是否由密钥管理中心托管，流量看不出。",
        "How private keys are made, kept, backed up and destroyed, and who holds a copy, cannot be seen.",
    ),
    Text(
        "存储数据是否加密或有完整性保护，流量看不出。",
        "Whether stored data is enciphered or protected against change cannot be seen.",
    ),
    Text(
        "TLS 1.3 与 RFC 8998 的证书在加密之后发送，仅能看到协商的套件；证书以现场检查为准。",
        "TLS 1.3 and RFC 8998 send certificates encrypted: only the suite is seen; look at certificates on the spot.",
    ),
    Text(
        "未验证签名与证书链：此处只读证书自述的内容，不判断颁发机构是否合法。",
        "No signature and no chain is verified: what a certificate says of itself is read, not who vouches for it.",
    ),
    Text(
        "只包含采集点看到的链路和时段；没看到不等于没有，也不等于合规。",
        "Only the links and hours that were captured are in it; what was not seen may exist, and silence is no proof.",
    ),
    Text(
        "IPsec 只看到第一阶段协商；ESP 之内使用何种算法须查网关配置。",
        "Of IPsec only the first phase is seen; what is used inside ESP stands in the gateway's configuration.",
    ),
)
"""What a passive tool cannot know, in plain words."""


def posture(found: Inventory) -> list[Line]:
    """The lines of a system, a department or the city: whatever the inventory was narrowed to."""
    wire = [one for one in found.services if one.protocol != "ssh"]
    return [
        _confidential(wire),
        _integrity(wire),
        _authentic(found, wire),
        _admission([one for one in wire if "ike" in one.protocol]),
        _administration([one for one in found.services if "ssh" in one.protocol]),
        _transport(wire),
    ]


def _confidential(wire: list[Service]) -> Line:
    aspect = Text("通信机密性：国密套件的使用", "Confidentiality: use of national suites")
    agreed = [one for one in wire if one.state != "unanswered"]
    if not agreed:
        return Line(NETWORK, aspect, "unseen", _NOTHING)
    national = sum(one.state == "national" for one in agreed)
    mixed = sum(one.state == "mixed" for one in agreed)
    always = sum(one.state == "turned_down" for one in agreed)
    sometimes = sum("sometimes_turned_down" in one.problems for one in agreed)
    sign: Sign = "good" if national == len(agreed) else "part" if national or mixed else "bad"
    return Line(
        NETWORK,
        aspect,
        sign,
        Text(
            f"{len(agreed)} 个加密服务中 {national} 个只用国密、{mixed} 个并用；"
            f"{always + sometimes} 个收到国密提议而选了其他（从未采用 {always}，有时未采用 {sometimes}）",
            f"Encrypted services: {len(agreed)}; national suites only: {national}, also others: {mixed}; "
            f"chose another though national was offered: {always + sometimes} "
            f"(always: {always}, sometimes: {sometimes})",
        ),
    )


def _integrity(wire: list[Service]) -> Line:
    aspect = Text("通信完整性：过时版本与不安全套件", "Integrity: outdated versions and broken suites")
    if not wire:
        return Line(NETWORK, aspect, "unseen", _NOTHING)
    weak = [one for one in wire if {"weak_version", "weak_suite", "sha1"} & set(one.problems)]
    return Line(
        NETWORK,
        aspect,
        "bad" if weak else "good",
        Text(
            f"{len(weak)} 个服务协商过不安全的版本或套件" if weak else "未见不安全的版本或套件",
            f"Services that agreed on a broken version or suite: {len(weak)}"
            if weak
            else "No broken version or suite was seen",
        ),
    )


def _authentic(found: Inventory, wire: list[Service]) -> Line:
    aspect = Text("通信实体真实性：证书", "Authenticity of the ends: certificates")
    seen = found.certificates
    if not seen:
        return Line(
            NETWORK,
            aspect,
            "unseen",
            Text("未见证书（TLS 1.3 的证书是加密的）", "No certificate was seen (TLS 1.3 hides them)"),
        )
    sm2 = sum(one.is_sm2 for one in seen)
    bad = [one for one in seen if {"expired", *judging.WEAK} & set(one.problems)]
    clients = sum(one.roles == ("client",) for one in seen)
    pairs = sum(bool(set(judging.PAIR) & set(one.problems)) for one in wire)
    sign: Sign = "bad" if bad or pairs else "good" if sm2 == len(seen) else "part"
    return Line(
        NETWORK,
        aspect,
        sign,
        Text(
            f"{len(seen)} 张证书（其中客户端 {clients} 张），SM2 {sm2} 张；"
            f"有问题 {len(bad)} 张；双证书不合要求的服务 {pairs} 个",
            f"Certificates: {len(seen)} (of clients: {clients}), of SM2: {sm2}, with faults: {len(bad)}; "
            f"services without a proper pair: {pairs}",
        ),
    )


def _admission(tunnels: list[Service]) -> Line:
    aspect = Text("安全接入：IPsec 协商", "Admission of devices: IPsec")
    if not tunnels:
        return Line(NETWORK, aspect, "unseen", Text("未见 IPsec 协商", "No IPsec negotiation was seen"))
    national = sum(one.state in ("national", "mixed") for one in tunnels)
    weak = sum(bool(set(judging.WEAK) & set(one.problems)) for one in tunnels)
    sign: Sign = "bad" if weak else "good" if national == len(tunnels) else "part"
    return Line(
        NETWORK,
        aspect,
        sign,
        Text(
            f"{len(tunnels)} 个 IPsec 对端，国密 {national} 个，算法薄弱 {weak} 个",
            f"IPsec peers: {len(tunnels)}, national: {national}, weak: {weak}",
        ),
    )


def _administration(shells: list[Service]) -> Line:
    aspect = Text("远程管理通道：SSH 算法", "Remote administration: SSH algorithms")
    if not shells:
        return Line(DEVICE, aspect, "unseen", Text("未见 SSH", "No SSH was seen"))
    weak = sum("weak_suite" in one.problems for one in shells)
    national = sum(one.state in ("national", "mixed") for one in shells)
    sign: Sign = "bad" if weak else "good" if national == len(shells) else "part"
    return Line(
        DEVICE,
        aspect,
        sign,
        Text(
            f"{len(shells)} 个 SSH 服务，使用国密算法 {national} 个，算法薄弱 {weak} 个",
            f"SSH services: {len(shells)}, with national algorithms: {national}, weak: {weak}",
        ),
    )


def _transport(wire: list[Service]) -> Line:
    aspect = Text("重要数据传输：前向安全", "Data in transit: forward secrecy")
    known = [use.forward for one in wire for use in one.used if use.forward is not None]
    if not known:
        return Line(APPLICATION, aspect, "unseen", _NOTHING)
    kept = sum(known)
    sign: Sign = "good" if kept == len(known) else "part"
    return Line(
        APPLICATION,
        aspect,
        sign,
        Text(
            f"{len(known)} 种协商方式中 {kept} 种具有前向安全性（TLCP 的 ECC 套件没有）",
            f"{kept} of {len(known)} ways of agreeing have forward secrecy (ECC suites of TLCP have none)",
        ),
    )


_NOTHING = Text("未见加密通信", "No encrypted traffic was seen")
