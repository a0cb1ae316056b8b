"""The event schema: every column of every dataset, once. ``docs/fields.md`` and store templates come from here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import polars as pl

Kind = Literal["time", "ip", "keyword", "text", "long", "int", "port", "double", "bool", "keywords", "json"]

DTYPES: dict[Kind, pl.DataType] = {
    "time": pl.Datetime("us", "UTC"),
    "ip": pl.String(),
    "keyword": pl.String(),
    "text": pl.String(),
    "long": pl.Int64(),
    "int": pl.Int32(),
    "port": pl.Int32(),
    "double": pl.Float64(),
    "bool": pl.Boolean(),
    "keywords": pl.List(pl.String()),
    "json": pl.String(),
}
"""How each kind is held in a polars table. Integers are signed everywhere: Elasticsearch and Spark agree on it."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its ECS name, how it is held, and what it says."""

    name: str
    kind: Kind
    en: str
    zh: str

    @property
    def dtype(self) -> pl.DataType:
        return DTYPES[self.kind]


def _group(prefix: str, *rows: tuple[str, Kind, str, str]) -> tuple[Column, ...]:
    return tuple(Column(prefix + name, kind, en, zh) for name, kind, en, zh in rows)


COMMON = _group(
    "",
    ("@timestamp", "time", "when it happened, µs UTC", "发生时间（UTC）"),
    ("event.id", "keyword", "our id, 32 hex digits, beginning with time", "事件编号"),
    ("event.dataset", "keyword", "which table the row belongs to", "数据集"),
    ("event.ingested", "time", "when it was received or read", "接收时间"),
    ("event.original", "text", "the raw line, where there is one", "原始日志"),
    ("event.fields", "json", "JSON text: whatever has no column of its own", "其余字段（JSON）"),
    ("event.flags", "keywords", "clock_skew, truncated, undecoded …", "标记"),
    ("event.code", "keyword", "the source's own number for this kind of event", "事件代码"),
    ("event.action", "keyword", "what was done", "动作"),
    ("event.outcome", "keyword", "success, failure or unknown", "结果"),
    ("event.severity", "int", "the source's own severity; scale as in the collector", "来源级别"),
    ("event.reason", "keyword", "why, in the source's own words", "原因"),
    ("event.count", "long", "how many such events the row stands for, as the source says", "合并次数"),
    ("event.provider", "keyword", "program or channel that wrote the event", "来源程序"),
    ("message", "text", "the free text of the event", "内容"),
    ("log.syslog.severity.code", "int", "syslog severity, 0 worst to 7", "Syslog 级别"),
    ("event.logsource", "keyword", "the log source (Sigma) of the batch it came with, on one line", "Sigma 日志源"),
    ("log.level", "keyword", "level in the source's own word", "日志级别"),
    ("observer.name", "keyword", "collector that received it", "采集器"),
    ("observer.ip", "ip", "transport peer, never the claimed host", "发送端地址"),
    ("log.file.path", "keyword", "file it was read from", "来源文件"),
    ("event.sequence", "long", "ordinal of the item in its input, from 0", "输入内序号"),
    ("log.offset", "long", "byte offset, packet or record number in the file", "文件内位置"),
)

ENDPOINTS = tuple(
    column
    for side, zh in (("source", "源"), ("destination", "目的"))
    for column in _group(
        side + ".",
        ("ip", "ip", f"{side} address, canonical text", f"{zh}地址"),
        ("port", "port", f"{side} port", f"{zh}端口"),
        ("mac", "keyword", f"{side} MAC, lower case with colons", f"{zh}MAC"),
        ("bytes", "long", f"bytes sent by the {side}, from the IP header on", f"{zh}发送字节"),
        ("packets", "long", f"packets sent by the {side}", f"{zh}发送包数"),
        ("asset", "keyword", f"register: asset of the {side} address", f"{zh}资产"),
        ("system", "keyword", f"register: information system of the {side}", f"{zh}信息系统"),
        ("department", "keyword", f"register: department of the {side}", f"{zh}部门"),
        ("segment", "keyword", f"register: segment of the {side}", f"{zh}网段"),
        ("zone", "keyword", f"register: zone of the {side}'s segment", f"{zh}安全域"),
        ("grade", "int", f"register: 等保 grade of the {side}'s system", f"{zh}等级"),
        ("is_registered", "bool", f"register: whether the {side} address is a known asset", f"{zh}是否已登记"),
    )
)

NETWORK = _group(
    "network.",
    ("transport", "keyword", "tcp, udp, icmp, ipv6-icmp … (IANA name)", "传输协议"),
    ("protocol", "keyword", "application protocol: dns, tls, http, modbus …", "应用协议"),
    ("bytes", "long", "bytes both ways, from the IP header on", "总字节"),
    ("packets", "long", "packets both ways", "总包数"),
    ("frame_bytes", "long", "bytes both ways on the wire", "帧字节"),
    ("community_id", "keyword", "Community ID v1, seed 0", "流标识"),
    ("vlan.id", "int", "outermost 802.1Q tag", "VLAN"),
    ("direction", "keyword", "inbound, outbound, internal as the source says", "方向"),
    ("tunnel", "keywords", "tunnels the packets came through, outermost first: gre, vxlan, gtp …", "隧道"),
)

CALENDAR = _group(
    "calendar.",
    ("workday", "bool", "Monday to Friday in the city's time zone", "是否工作日"),
    ("hour", "int", "hour 0-23 in the city's time zone", "小时（城市时区）"),
)

FLOW = _group(
    "",
    ("event.start", "time", "first packet", "开始"),
    ("event.end", "time", "last packet", "结束"),
    ("event.duration", "long", "end - start in nanoseconds", "时长（纳秒）"),
    ("tcp.flags", "int", "OR of all TCP flags seen", "TCP 标志"),
    ("flow.sampling", "int", "1 of N packets was looked at; null = all", "采样率"),
    ("flow.state", "keyword", "close reason: established, fin, rst, syn_only …", "连接状态"),
    ("tcp.retransmits", "long", "segments that sent bytes again", "重传段数"),
    ("tcp.out_of_order", "long", "segments that came late and filled a gap", "乱序段数"),
    ("outer.source.ip", "ip", "source of the outermost packet of a tunnel", "隧道外层源地址"),
    ("outer.destination.ip", "ip", "destination of the outermost packet of a tunnel", "隧道外层目的地址"),
    ("icmp.type", "int", "ICMP type", "ICMP 类型"),
    ("icmp.code", "int", "ICMP code", "ICMP 代码"),
)

EXPORT = _group(
    "",
    ("network.application", "keyword", "application as the exporter names it", "应用（导出端识别）"),
    ("source.as.number", "long", "autonomous system of the source", "源自治系统号"),
    ("destination.as.number", "long", "autonomous system of the destination", "目的自治系统号"),
    ("observer.ingress.interface.id", "long", "interface the traffic came in by (ifIndex)", "入接口索引"),
    ("observer.egress.interface.id", "long", "interface the traffic went out by (ifIndex)", "出接口索引"),
)

IDENTITY = _group(
    "",
    ("user.name", "keyword", "account that acted", "账号"),
    ("user.domain", "keyword", "domain of the account", "账号域"),
    ("user.id", "keyword", "SID or UID", "账号标识"),
    ("user.target.name", "keyword", "account acted upon", "目标账号"),
    ("host.name", "keyword", "host as it names itself", "主机名"),
    ("host.ip", "ip", "host address as it claims", "主机地址"),
    ("service.name", "keyword", "service concerned", "服务"),
    ("user.effective.name", "keyword", "account it acted as", "实际账号"),
    ("group.name", "keyword", "group concerned", "用户组"),
    ("group.id", "keyword", "its SID or GID", "用户组标识"),
    ("group.domain", "keyword", "its domain", "用户组域"),
    ("user.target.domain", "keyword", "domain of the account acted upon", "目标账号域"),
    ("source.domain", "keyword", "name of the source, where it is given instead of an address", "源主机名"),
    ("destination.domain", "keyword", "name of the destination", "目的主机名"),
    ("error.message", "text", "what went wrong, in the source's own words", "错误内容"),
)

DNS = _group(
    "dns.",
    ("id", "int", "transaction id", "事务号"),
    ("type", "keyword", "query or answer", "类型"),
    ("question.name", "keyword", "name asked for, without the last dot", "查询名"),
    ("question.type", "keyword", "A, AAAA, TXT …", "查询类型"),
    ("question.class", "keyword", "IN, CH …", "查询类"),
    ("response_code", "keyword", "NOERROR, NXDOMAIN …", "响应码"),
    ("answers.data", "keywords", "answers' data", "应答"),
    ("answers.ttl", "keywords", "answers' TTL in seconds, as text", "应答 TTL"),
    ("resolved_ip", "keywords", "addresses among the answers", "解析地址"),
    ("header_flags", "keywords", "AA, TC, RD, RA …", "标志位"),
    ("op_code", "keyword", "QUERY, NOTIFY, UPDATE …", "操作码"),
    ("rejected", "bool", "refused: an error code and no record of any kind", "是否被拒绝"),
    ("answers.name", "keywords", "owner names of the answers", "应答属主"),
    ("answers.type", "keywords", "types of the answers", "应答类型"),
    ("answers_count", "int", "answers as the header counts them", "应答数"),
    ("edns.version", "int", "EDNS version, where the message has OPT", "EDNS 版本"),
    ("edns.udp_size", "int", "datagram size the asker takes", "EDNS 报文长度"),
    ("edns.client_subnet", "keyword", "client subnet the resolver tells", "客户端子网"),
)

HTTP = _group(
    "",
    ("http.request.method", "keyword", "method", "方法"),
    ("http.request.bytes", "long", "request size", "请求字节"),
    ("http.request.referrer", "keyword", "Referer", "来源页"),
    ("http.request.body.bytes", "long", "request body size", "请求体字节"),
    ("http.response.status_code", "int", "status code", "状态码"),
    ("http.response.bytes", "long", "response size", "响应字节"),
    ("http.response.body.bytes", "long", "response body size", "响应体字节"),
    ("http.response.mime_type", "keyword", "Content-Type", "内容类型"),
    ("http.version", "keyword", "1.0, 1.1 …", "HTTP 版本"),
    ("url.original", "keyword", "request target as sent", "请求目标"),
    ("url.path", "keyword", "path", "路径"),
    ("url.query", "keyword", "query without ?", "查询串"),
    ("url.domain", "keyword", "Host", "主机头"),
    ("url.extension", "keyword", "what follows the last dot of the path", "扩展名"),
    ("url.scheme", "keyword", "http, https …", "协议方案"),
    ("user_agent.original", "keyword", "User-Agent", "用户代理"),
    ("http.request.mime_type", "keyword", "Content-Type of the request", "请求内容类型"),
    ("http.response.status_text", "keyword", "reason phrase", "状态短语"),
    ("http.proxied", "keywords", "headers that tell of proxies: Via, X-Forwarded-For …", "代理头"),
    ("http.file.names", "keywords", "file names in Content-Disposition, both ways", "文件名"),
    ("http.response.body.mime_type", "keyword", "what the body is by its first bytes", "响应体实际类型"),
    ("url.port", "port", "port in Host or the target", "主机头端口"),
)

TLS = _group(
    "tls.",
    ("version", "keyword", "1.0 … 1.3, tlcp1.1, or ike1.0, ike1.1, ike2.0", "版本"),
    ("version_protocol", "keyword", "tls, ssl, dtls, tlcp, or ike (IPsec key exchange)", "协议族"),
    ("cipher", "keyword", "chosen suite, IANA name; IKE: encryption/hash/authentication/group", "套件"),
    ("client.ciphers", "keywords", "offered suites", "客户端套件"),
    ("client.server_name", "keyword", "SNI", "SNI"),
    ("client.ja3", "keyword", "JA3 hash", "JA3"),
    ("server.ja3s", "keyword", "JA3S hash", "JA3S"),
    ("next_protocol", "keyword", "ALPN", "ALPN"),
    ("established", "bool", "handshake finished", "握手完成"),
    ("server.subject", "keyword", "certificate subject, RFC 4514", "证书主体"),
    ("server.issuer", "keyword", "certificate issuer", "证书颁发者"),
    ("server.not_before", "time", "certificate valid from", "证书起始"),
    ("server.not_after", "time", "certificate valid until", "证书到期"),
    ("server.days_left", "int", "whole days until the certificate ends; negative once it has", "证书剩余天数"),
    ("server.days_old", "int", "whole days since the certificate began; negative before", "证书生效天数"),
    ("server.hash.sha256", "keyword", "certificate SHA-256", "证书摘要"),
    ("server.x509.serial_number", "keyword", "certificate serial, hex", "证书序列号"),
    ("server.x509.signature_algorithm", "keyword", "signature algorithm", "签名算法"),
    ("server.x509.public_key_algorithm", "keyword", "public key algorithm", "公钥算法"),
    ("server.x509.public_key_size", "int", "public key size in bits", "公钥长度"),
    ("server.x509.alternative_names", "keywords", "subject alternative names", "备用名"),
    ("server.x509.public_key_curve", "keyword", "curve of an elliptic-curve key", "公钥曲线"),
    ("server.x509.version_number", "int", "certificate version, 1 to 3", "证书版本"),
    ("server.hash.sha1", "keyword", "certificate SHA-1", "证书 SHA-1"),
    ("server.certificate_chain", "keywords", "SHA-256 of every certificate, the server's first", "证书链"),
    ("server.encryption.subject", "keyword", "TLCP: subject of the encryption certificate", "加密证书主体"),
    ("server.encryption.hash.sha256", "keyword", "TLCP: encryption certificate SHA-256", "加密证书摘要"),
    ("client.subject", "keyword", "client certificate subject, RFC 4514", "客户端证书主体"),
    ("client.issuer", "keyword", "client certificate issuer", "客户端证书颁发者"),
    ("client.not_before", "time", "client certificate valid from", "客户端证书起始"),
    ("client.not_after", "time", "client certificate valid until", "客户端证书到期"),
    ("client.hash.sha256", "keyword", "client certificate SHA-256", "客户端证书摘要"),
    ("client.x509.serial_number", "keyword", "client certificate serial, hex", "客户端证书序列号"),
    ("client.certificate_chain", "keywords", "SHA-256 of every certificate of the client", "客户端证书链"),
    ("client.ja4", "keyword", "JA4 client fingerprint", "JA4"),
    ("client.alpn", "keywords", "application protocols the client offers", "客户端 ALPN"),
    ("client.version", "keyword", "highest version the client offers", "客户端最高版本"),
    ("curve", "keyword", "group of the key exchange", "密钥交换曲线"),
    ("resumed", "bool", "an earlier session goes on", "会话恢复"),
    ("alert", "keyword", "last alert sent in the clear", "告警"),
    ("guomi", "bool", "a 国密 suite was chosen (TLCP, RFC 8998, IKE with SM algorithms)", "国密套件"),
    ("guomi_offered", "bool", "the client offers a 国密 suite", "提供国密套件"),
    ("key_exchange", "keyword", "how keys are agreed: ECDHE, ECC, RSA, DHE, IBC, PSK …", "密钥交换方式"),
    ("forward_secrecy", "bool", "a long-term key that leaks later does not open the session", "前向安全"),
    ("client.groups", "keywords", "groups the client offers", "客户端曲线与群"),
    ("client.signature_algorithms", "keywords", "signature algorithms the client takes", "客户端签名算法"),
    ("client.certificate_pair", "keyword", "TLCP: as server.certificate_pair, of the client", "客户端双证书情况"),
    ("client.x509.public_key_algorithm", "keyword", "key algorithm of the client certificate", "客户端公钥算法"),
    ("client.x509.signature_algorithm", "keyword", "signature algorithm of the client certificate", "客户端签名算法"),
    ("server.key_usage", "keywords", "key usage of the certificate", "密钥用途"),
    ("server.key.sha256", "keyword", "SHA-256 of its public key, to see one key in several certificates", "公钥摘要"),
    ("server.certificate_pair", "keyword", "TLCP: double, single, swapped, mismatched or unusual", "双证书情况"),
    ("server.encryption.issuer", "keyword", "TLCP: issuer of the encryption certificate", "加密证书颁发者"),
    ("server.encryption.not_before", "time", "TLCP: encryption certificate valid from", "加密证书起始"),
    ("server.encryption.not_after", "time", "TLCP: encryption certificate valid until", "加密证书到期"),
    ("server.encryption.days_left", "int", "TLCP: whole days until it ends", "加密证书剩余天数"),
    ("server.encryption.key_usage", "keywords", "TLCP: key usage of the encryption certificate", "加密证书密钥用途"),
    ("server.encryption.key.sha256", "keyword", "TLCP: SHA-256 of its public key", "加密公钥摘要"),
    ("server.encryption.x509.serial_number", "keyword", "TLCP: its serial, hex", "加密证书序列号"),
    ("server.encryption.x509.signature_algorithm", "keyword", "TLCP: its signature algorithm", "加密证书签名算法"),
    ("server.encryption.x509.public_key_algorithm", "keyword", "TLCP: its key algorithm", "加密证书公钥算法"),
    ("exchange", "keyword", "IKE: kind of exchange: main, aggressive, ike_sa_init …", "IKE 交换类型"),
    ("authentication", "keywords", "IKE: methods of authentication proposed", "IKE 认证方式"),
)

SSH = _group(
    "ssh.",
    ("version", "int", "1 or 2", "版本"),
    ("client", "keyword", "client banner", "客户端标识"),
    ("server", "keyword", "server banner", "服务端标识"),
    ("auth_success", "bool", "logged in", "是否登录成功"),
    ("auth_attempts", "int", "attempts", "尝试次数"),
    ("kex_alg", "keyword", "key exchange", "密钥交换"),
    ("cipher_alg", "keyword", "cipher", "加密算法"),
    ("mac_alg", "keyword", "MAC", "MAC 算法"),
    ("host_key_alg", "keyword", "host key algorithm", "主机密钥算法"),
    ("host_key", "keyword", "host key fingerprint", "主机密钥指纹"),
    ("compression_alg", "keyword", "compression", "压缩算法"),
    ("hassh", "keyword", "HASSH of the client's offer", "HASSH"),
    ("hassh_server", "keyword", "HASSH of the server's offer", "HASSH 服务端"),
)

OT = _group(
    "ot.",
    ("protocol", "keyword", "modbus, s7comm, iec104 …", "工控协议"),
    ("function.code", "int", "decimal, as docs/fields.md fixes it per protocol", "功能码"),
    ("function.name", "keyword", "name of the function", "功能名"),
    ("function.class", "keyword", "read, write, control, program, diagnostic or error", "功能类别"),
    ("unit_id", "keyword", "unit, station, slave or device, as the protocol writes it", "单元号"),
    ("address", "keyword", "first address, object or tag", "地址"),
    ("quantity", "int", "number of items", "数量"),
    ("value", "keyword", "values, comma separated, bounded", "值"),
    ("status", "keyword", "exception or status code", "状态"),
    ("message.type", "keyword", "the protocol's own kind of message, lower case", "报文类型"),
    ("transaction_id", "long", "transaction or invoke id", "事务号"),
    ("is_request", "bool", "request rather than response", "是否请求"),
    ("request_id", "keyword", "request number where it is no plain number: QN, SN, call id", "请求编号"),
    ("edition", "keyword", "edition of the protocol the message follows", "协议版本"),
    ("time", "time", "time the message itself tells", "报文时间"),
    ("time_offset", "double", "that time minus the time of capture, seconds", "时间偏差"),
    ("station_kind", "keyword", "kind of station or device as it says itself: code and word", "站点类型"),
    ("platform_id", "keyword", "platform or centre the message names", "平台编号"),
    ("target", "keyword", "host, address or URL a command sends the device to", "指向目标"),
    ("target_ip", "ip", "the same where it is an IP address", "指向地址"),
    ("target_registered", "bool", "register: that address is an asset's; null: it is none", "指向地址是否已登记"),
    ("password.verdict", "keyword", "weak, default or ok: a password seen in clear", "口令判定"),
    ("password.length", "int", "its length", "口令长度"),
    ("password.hash", "keyword", "keyed hash of it, to see one password at many stations", "口令摘要"),
    ("encrypted", "bool", "the content is enciphered", "是否加密"),
    ("flags", "keywords", "marks of the message: data flags, variants of a check", "报文标记"),
    ("station.id", "keyword", "register: the registered station the message is about", "登记站点"),
    (
        "station.registered",
        "bool",
        "register: whether the message's station is listed; null: none of its protocol is",
        "站点是否已登记",
    ),
    ("station.in_maintenance", "bool", "register: inside a maintenance window of the station", "是否在维护窗口内"),
    (
        "station.limit_exceeded",
        "bool",
        "register: a value written is outside the limits of the station",
        "写入值是否超出登记限值",
    ),
    (
        "platform.registered",
        "bool",
        "register: one end is a registered platform of the station; null: none is listed",
        "平台地址是否已登记",
    ),
    ("platform.ip", "ip", "register: the end that is a registered platform of the station", "平台地址（登记）"),
    (
        "carrier.registered",
        "bool",
        "register: the other end is an address or carrier range of the station",
        "站点地址是否已登记",
    ),
)

PROCESS = _group(
    "",
    ("process.name", "keyword", "file name of the program", "进程名"),
    ("process.executable", "keyword", "full path of the program", "程序路径"),
    ("process.pid", "long", "process id", "进程号"),
    ("process.thread.id", "long", "thread id", "线程号"),
    ("process.entity_id", "keyword", "process as the source numbers it once and for all (GUID)", "进程唯一标识"),
    ("process.command_line", "text", "command line", "命令行"),
    ("process.args", "keywords", "arguments, the program first", "参数"),
    ("process.working_directory", "keyword", "working directory", "工作目录"),
    ("process.parent.name", "keyword", "parent's file name", "父进程名"),
    ("process.parent.executable", "keyword", "parent's path", "父程序路径"),
    ("process.parent.pid", "long", "parent's id", "父进程号"),
    ("process.parent.command_line", "text", "parent's command line", "父命令行"),
    ("process.hash.sha256", "keyword", "program's SHA-256", "程序摘要"),
    ("registry.path", "keyword", "registry key and value", "注册表路径"),
    ("registry.value", "keyword", "registry value name", "注册表值名"),
    ("registry.data.strings", "keyword", "registry data", "注册表数据"),
)

FILE = _group(
    "file.",
    ("path", "keyword", "file concerned", "文件"),
    ("name", "keyword", "its name", "文件名"),
    ("hash.md5", "keyword", "its MD5", "文件 MD5"),
    ("hash.sha256", "keyword", "its SHA-256", "文件 SHA-256"),
)

DATABASE = _group(
    "db.",
    ("name", "keyword", "database or schema", "数据库"),
    ("statement", "text", "statement as the source gives it, secrets masked where the source masks them", "语句"),
    ("rows_affected", "long", "rows returned or changed", "行数"),
)

CLOUD = _group(
    "cloud.",
    ("provider", "keyword", "aliyun, huaweicloud, tencentcloud, aws …", "云服务商"),
    ("account.id", "keyword", "account or project", "云账号"),
    ("region", "keyword", "region", "地域"),
)

DEVICE = _group(
    "",
    ("rule.id", "keyword", "device's rule or signature id", "规则编号"),
    ("rule.name", "keyword", "device's rule or policy name", "规则名"),
    ("rule.category", "keyword", "device's rule category", "规则类别"),
    ("rule.ruleset", "keyword", "policy or profile the rule belongs to", "策略"),
    ("vulnerability.id", "keyword", "CVE or other number", "漏洞编号"),
    ("observer.vendor", "keyword", "maker", "厂商"),
    ("observer.product", "keyword", "product", "产品"),
    ("observer.hostname", "keyword", "device name as it claims", "设备名"),
    ("observer.serial_number", "keyword", "its serial number", "设备序列号"),
    ("observer.ingress.zone", "keyword", "zone the traffic came from", "入域"),
    ("observer.egress.zone", "keyword", "zone the traffic went to", "出域"),
    ("observer.ingress.interface.name", "keyword", "interface the traffic came in by", "入接口"),
    ("observer.egress.interface.name", "keyword", "interface the traffic left by", "出接口"),
    ("client.ip", "ip", "client behind a proxy, as the device claims (X-Forwarded-For)", "真实客户端地址"),
    ("client.nat.ip", "ip", "address the client was given (VPN)", "分配地址"),
    ("source.nat.ip", "ip", "source after translation", "源转换地址"),
    ("source.nat.port", "port", "source port after translation", "源转换端口"),
    ("destination.nat.ip", "ip", "destination after translation", "目的转换地址"),
    ("destination.nat.port", "port", "destination port after translation", "目的转换端口"),
)

_KEYS = COMMON + ENDPOINTS + NETWORK + CALENDAR
# What any log may tell besides its own subject: who, with which program, through which device.
_LOG = _KEYS + IDENTITY + FLOW + PROCESS + FILE + DEVICE + HTTP + DATABASE + CLOUD


def _table(*groups: tuple[Column, ...]) -> tuple[Column, ...]:
    """The columns of groups, each once."""
    return tuple({column.name: column for group in groups for column in group}.values())


DATASETS: dict[str, tuple[Column, ...]] = {
    "flow": _table(_KEYS, FLOW, DEVICE, IDENTITY, PROCESS, CLOUD, EXPORT),
    "dns": _table(_LOG, DNS),
    "http": _LOG,
    "tls": _table(_LOG, TLS),
    "ssh": _table(_LOG, SSH),
    "ot": _table(_KEYS, OT, IDENTITY, DEVICE),
    "web": _LOG,
    "auth": _LOG,
    "process": _LOG,
    "file": _LOG,
    "registry": _LOG,
    "network": _table(_LOG, DNS),
    "host": _LOG,
    "firewall": _LOG,
    "ids": _table(_LOG, DNS, TLS, SSH),
    "audit": _LOG,
}
"""Dataset name -> its columns. Columns outside this list are the source's own names ("native")."""

BY_NAME: dict[str, Column] = {column.name: column for columns in DATASETS.values() for column in columns}


def names(dataset: str) -> frozenset[str]:
    """Names of a dataset's own columns.

    Raises:
        KeyError: there is no such dataset.
    """
    return frozenset(column.name for column in DATASETS[dataset])


def native(dataset: str, table: pl.DataFrame) -> list[str]:
    """Columns of ``table`` that the schema does not know: the source's own names, which rules match on."""
    known = names(dataset)
    return [name for name in table.columns if name not in known]


def conform(dataset: str, table: pl.DataFrame) -> pl.DataFrame:
    """Cast the schema's columns to their types; what does not fit becomes null. Native columns stay as they are."""
    wrong = [
        pl.col(column.name).cast(column.dtype, strict=False)
        for column in DATASETS[dataset]
        if column.name in table.columns and table.schema[column.name] != column.dtype
    ]
    return table.with_columns(wrong) if wrong else table


def empty(columns: Iterable[Column]) -> pl.DataFrame:
    """A table of no rows with the given columns."""
    return pl.DataFrame(schema={column.name: column.dtype for column in columns})
