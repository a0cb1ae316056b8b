"""Settings: one YAML file, environment over it, every key documented and every fault named with its line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from cityguard import content
from cityguard.errors import ContentErrors, InputError
from cityguard.model import Level

NAME = "cityguard.yml"
SEARCH = (Path(NAME), Path("~/.config/cityguard") / NAME, Path("/etc/cityguard") / NAME)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
MIN_RETENTION_DAYS = 180  # 网络安全法: network logs are kept at least six months

Positive = Annotated[int, msgspec.Meta(gt=0)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


def _help(default: Any, zh: str, en: str) -> Any:
    return field(default=default, metadata={"zh": zh, "en": en})


@dataclass(frozen=True, slots=True)
class Elasticsearch:
    """``store.elasticsearch``: a cluster of 8.x or 9.x."""

    hosts: tuple[str, ...] = _help(("http://127.0.0.1:9200",), "集群地址", "addresses of the cluster")
    prefix: str = _help("cityguard", "索引前缀", "prefix of every index and data stream")
    ca_file: str = _help("", "CA 证书文件", "CA bundle; empty = the system's")
    username: str = _help("", "用户名", "user name; empty = no authentication")
    password_file: str = _help("", "口令文件（0400）", "file that holds the password, mode 0400")
    timeout_s: Positive = _help(30, "请求超时（秒）", "seconds until a request is given up")


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """``store``: where events, alerts and evidence are kept."""

    kind: Literal["embedded", "elasticsearch"] = _help("embedded", "存储类型", "embedded or elasticsearch")
    elasticsearch: Elasticsearch = field(default_factory=Elasticsearch)


@dataclass(frozen=True, slots=True)
class WebSettings:
    """``web``: the console and the API."""

    host: str = _help("127.0.0.1", "监听地址", "address to bind; others than loopback need TLS and an account")
    port: Port = _help(8443, "端口", "port")
    tls_cert: str = _help("", "TLS 证书（PEM）", "TLS certificate chain, PEM")
    tls_key: str = _help("", "TLS 私钥（PEM）", "TLS key, PEM, mode 0400")
    idle_minutes: Positive = _help(15, "会话空闲超时（分钟）", "minutes until an idle session ends")
    session_hours: Positive = _help(8, "会话最长时间（小时）", "hours until any session ends")


@dataclass(frozen=True, slots=True)
class Listener:
    """One entry of ``listen``: a network receiver."""

    name: str = _help("", "名称", "name of the source, shown in the ledger")
    collector: str = _help("", "采集器", "collector that reads it, e.g. netflow or huawei-usg")
    kind: Literal["udp", "tcp"] = _help("udp", "协议", "udp, or tcp with one line per event")
    host: str = _help("127.0.0.1", "监听地址", "address to bind")
    port: Port = _help(0, "端口", "port")
    segment: str = _help("", "所属网段", "segment of the register the source stands in")


@dataclass(frozen=True, slots=True)
class SyslogReceiver:
    """One entry of ``notify.syslog``."""

    host: str = _help("", "接收地址", "receiver of RFC 5424 messages over UDP")
    port: Port = _help(514, "端口", "port")


@dataclass(frozen=True, slots=True)
class WebhookReceiver:
    """One entry of ``notify.webhooks``."""

    url: str = _help("", "地址", "address; plain http only inside the city")
    form: Literal["wecom", "dingtalk", "feishu", "json"] = _help("json", "消息格式", "wecom, dingtalk, feishu or json")
    secret_file: str = _help("", "签名密钥文件（0400）", "file that holds the signing secret, mode 0400")


@dataclass(frozen=True, slots=True)
class MailReceiver:
    """One entry of ``notify.mail``."""

    host: str = _help("", "邮件服务器", "mail server")
    port: Port = _help(25, "端口", "port")
    sender: str = _help("", "发件人", "sender")
    to: tuple[str, ...] = _help((), "收件人", "who is written to")
    username: str = _help("", "用户名", "user name; empty = no login")
    password_file: str = _help("", "口令文件（0400）", "file that holds the password, mode 0400")
    starttls: bool = _help(False, "启用 STARTTLS", "use STARTTLS; needed where a password is sent")


def _each(item: type) -> Any:
    return field(default=(), metadata={"item": item})


@dataclass(frozen=True, slots=True)
class Notify:
    """``notify``: who is told of fresh alerts. Nothing is sent unless something stands here."""

    level: Level = _help("high", "通知的最低级别", "lowest level that is told")
    syslog: tuple[SyslogReceiver, ...] = _each(SyslogReceiver)
    webhooks: tuple[WebhookReceiver, ...] = _each(WebhookReceiver)
    mail: tuple[MailReceiver, ...] = _each(MailReceiver)


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """``scan``: limits that no job may exceed."""

    rate_per_s: Positive = _help(10, "每秒探测数", "probes per second, in all")
    per_host: Positive = _help(2, "单主机并发", "connections to one host at a time")
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = _help(
        3.0, "超时（秒）", "seconds until a probe is given up"
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """``limits``: bounds on what one input may cost."""

    file_mb: Positive = _help(4096, "单文件上限（MiB，解压后）", "MiB of one input, after decompression")
    ratio: Positive = _help(200, "压缩比上限", "decompressed / compressed, past the first 16 MiB")
    line_kb: Positive = _help(64, "单行上限（KiB）", "KiB of one line; longer lines are cut and flagged")
    spool_mb: Positive = _help(1024, "缓冲区上限（MiB）", "MiB of spool per source; then receivers count drops")


@dataclass(frozen=True, slots=True)
class Detection:
    """``detection``: what rules may cost."""

    budget_ms: Annotated[float, msgspec.Meta(gt=0)] = _help(
        50.0,
        "单条规则每万条事件的处理器时间上限（毫秒）",
        "CPU milliseconds a rule may take per 10,000 events; above it the rule rests for a million events and an alert "
        "names it",
    )


@dataclass(frozen=True, slots=True)
class Anomaly:
    """``anomaly``: the isolation forest per segment."""

    enabled: bool = _help(True, "是否启用", "fit and score the forest")
    budget_per_day: Annotated[float, msgspec.Meta(gt=0)] = _help(
        2.0, "每网段每日误报预算", "false alarms allowed per segment and day on the training window"
    )
    min_rows: Positive = _help(200, "最少训练窗口数", "windows needed before a forest is fitted")


@dataclass(frozen=True, slots=True)
class OtPolicy:
    """``ot_policy``: stations held to their policy, and silence of registered stations."""

    enabled: bool = _help(True, "是否启用", "hold OT messages against the policy and watch registered stations")
    missed_periods: Positive = _help(
        3, "静默判定的周期数", "expected periods a registered station may miss before its silence is told"
    )
    lateness_s: Annotated[int, msgspec.Meta(ge=0)] = _help(
        120, "静默判定的延迟余量（秒）", "seconds by which its messages may come late on top of that"
    )


@dataclass(frozen=True, slots=True)
class Correlations:
    """``correlations``: bounds on what rules that count over time may hold."""

    lateness_s: Positive = _help(
        600,
        "允许的事件迟到时间（秒）",
        "seconds by which an event may be received after it happened; later ones are counted, not correlated "
        "by what is decided at window close",
    )
    max_hits: Positive = _help(
        1_000_000, "保留命中数上限（合计）", "hits kept in all; beyond it the oldest leave and are counted"
    )
    max_hits_each: Positive = _help(
        200_000,
        "单条关联规则保留命中数上限",
        "hits kept of one correlation; beyond it the oldest leave and are counted",
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an operator may set. Relative paths stand against the file's folder."""

    home: str = _help("var", "数据目录", "folder of all data; one folder, safe to copy when stopped")
    content: str = _help(
        "", "本市内容目录", "the city's own rules, collectors and reports; read after the shipped ones"
    )
    register: str = _help("", "资产台账文件", "register file (YAML) loaded at start; empty = the one in home")
    timezone: str = _help("Asia/Shanghai", "城市时区", "the city's time zone, IANA name")
    language: Literal["zh-CN", "en"] = _help(
        "zh-CN", "界面语言", "language of reports, and of pages until a user chooses"
    )
    city: str = _help("", "城市名称", "name printed on pages and reports")
    retention_days: Annotated[int, msgspec.Meta(ge=MIN_RETENTION_DAYS)] = _help(
        400, "日志保存天数（≥180）", "days events are kept; below 180 is refused"
    )
    backups: str = _help("", "备份与演练计划目录", "folder of drill plans")
    configs: str = _help("", "主机配置文本目录", "folder of collected configuration texts, one per asset id")
    schedules: str = _help("", "计划任务文件", "file of schedules (YAML) loaded at start")
    store: StoreSettings = field(default_factory=StoreSettings)
    web: WebSettings = field(default_factory=WebSettings)
    listen: tuple[Listener, ...] = _each(Listener)
    notify: Notify = field(default_factory=Notify)
    scan: ScanSettings = field(default_factory=ScanSettings)
    limits: Limits = field(default_factory=Limits)
    detection: Detection = field(default_factory=Detection)
    anomaly: Anomaly = field(default_factory=Anomaly)
    ot_policy: OtPolicy = field(default_factory=OtPolicy)
    correlations: Correlations = field(default_factory=Correlations)
    base: Path = field(default_factory=Path.cwd, metadata={"internal": True})

    @property
    def home_path(self) -> Path:
        return self.resolve(self.home)

    @property
    def content_path(self) -> Path | None:
        return self.resolve(self.content) if self.content else None

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def resolve(self, path: str) -> Path:
        """A path as the file means it: against the folder the file stands in."""
        return (self.base / Path(path).expanduser()).resolve()


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read settings: the named file, else the first of ``SEARCH`` that exists, else defaults; then ``CITYGUARD_*``.

    Raises:
        InputError: the named file does not exist.
        ContentErrors: every fault of the file, each with file, line and remedy.
    """
    found = path or next((p.expanduser() for p in SEARCH if p.expanduser().is_file()), None)
    if found is None:
        return _environment(Settings(), environ)
    document = content.load(found)
    data = document.data if document.data is not None else {}
    faults = [*_unknown(data, Settings, document, ()), *_broken(data, document)]
    if not faults:
        settings = msgspec.convert(data, Settings)
        faults = list(_listeners(settings, document))
    if faults:
        raise ContentErrors(list(faults))
    return _environment(replace(settings, base=found.resolve().parent), environ)


def reference(kind: type = Settings, prefix: str = "") -> Iterator[tuple[str, Any, str, str]]:
    """Yield (key, default, zh, en) of every setting; ``docs/configuration.md`` holds them all."""
    sample = kind()
    for item in fields(kind):
        value, name = getattr(sample, item.name), prefix + item.name
        if is_dataclass(value):
            yield from reference(type(value), name + ".")
        elif "item" in item.metadata:
            yield from reference(item.metadata["item"], name + "[].")
        elif not item.metadata.get("internal"):
            yield name, value, item.metadata["zh"], item.metadata["en"]


def _unknown(data: Any, kind: type, document: content.Document, where: content.Where) -> Iterator[InputError]:
    if not isinstance(data, dict):
        return
    known = {item.name: item for item in fields(kind) if not item.metadata.get("internal")}
    sample = kind()
    for key, value in data.items():
        if key not in known:
            near = _nearest(str(key), list(known))
            yield InputError(f"unknown key '{key}'", place=document.place(*where, str(key)), remedy=near)
        elif "item" in known[key].metadata and isinstance(value, list):
            for index, entry in enumerate(value):
                yield from _unknown(entry, known[key].metadata["item"], document, (*where, str(key), index))
        elif is_dataclass(getattr(sample, key)):
            yield from _unknown(value, type(getattr(sample, key)), document, (*where, str(key)))


def _nearest(key: str, known: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(key, known, 1)
    return f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(sorted(known))}"


def _broken(data: Any, document: content.Document) -> Iterator[InputError]:
    try:
        settings = msgspec.convert(data, Settings)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        parts = path.rstrip("`").replace("[", ".").replace("]", "").split(".")
        where = [int(part) if part.isdigit() else part for part in parts if part]
        name = ".".join(str(part) for part in where)
        yield InputError(f"{name}: {text}", place=document.place(*where), remedy="see docs/configuration.md")
        return
    try:
        _ = settings.zone
    except (KeyError, ValueError, OSError):
        yield InputError(
            f"timezone: '{settings.timezone}' is not an IANA time zone",
            place=document.place("timezone"),
            remedy="e.g. Asia/Shanghai",
        )


def _listeners(settings: Settings, document: content.Document) -> Iterator[InputError]:
    """Names become folders, so they are held to plain words; each name and port once."""
    seen: set[object] = set()
    for index, one in enumerate(settings.listen):
        for key, value, good, remedy in (
            ("name", one.name, _NAME.fullmatch(one.name) is not None, "lower-case letters, digits, - and _"),
            ("port", one.port, one.port > 0, "1 to 65535"),
            ("name", one.name, one.name not in seen, "another listener has this name"),
            ("port", one.port, (one.kind, one.host, one.port) not in seen, "another listener has this address"),
        ):
            if not good:
                place = document.place("listen", index, key)
                yield InputError(f"listen[{index}].{key}: {value!r} will not do", place=place, remedy=remedy)
        seen |= {one.name, (one.kind, one.host, one.port)}


def _environment(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """The few keys a container sets from outside: CITYGUARD_HOME, _CONTENT, _STORE, _ELASTICSEARCH, _LANGUAGE."""
    if home := environ.get("CITYGUARD_HOME"):
        settings = replace(settings, home=str(Path(home).expanduser().absolute()))
    if folder := environ.get("CITYGUARD_CONTENT"):
        settings = replace(settings, content=str(Path(folder).expanduser().absolute()))
    if language := environ.get("CITYGUARD_LANGUAGE"):
        if language not in ("zh-CN", "en"):
            raise InputError(f"'{language}' is not a language", place="CITYGUARD_LANGUAGE", remedy="zh-CN or en")
        settings = replace(settings, language="en" if language == "en" else "zh-CN")
    if hosts := environ.get("CITYGUARD_ELASTICSEARCH"):
        cluster = replace(settings.store.elasticsearch, hosts=tuple(hosts.split(",")))
        settings = replace(settings, store=StoreSettings("elasticsearch", cluster))
    return settings
