"""Where a rule's field stands in our tables, when no column bears its own name."""

from __future__ import annotations

from cityguard.model import EventBatch, LogSource


def _table(*rows: tuple[str, str]) -> dict[str, str]:
    return {name: column for names, column in rows for name in names.split()}


COLUMN: dict[str, str] = _table(
    # network and firewall (Sigma taxonomy), Zeek, Sysmon 3
    ("src_ip SourceIp SourceAddress IpAddress ClientAddress srcip c-ip id.orig_h clientip", "source.ip"),
    ("dst_ip DestinationIp DestAddress DestinationAddress dstip s-ip id.resp_h", "destination.ip"),
    ("src_port SourcePort SourcePortNumber IpPort srcport id.orig_p", "source.port"),
    ("DestinationHostname", "destination.domain"),
    ("SourceHostname", "source.domain"),
    ("dst_port DestinationPort DestPort dstport s-port id.resp_p", "destination.port"),
    ("transport Protocol protocol proto", "network.transport"),
    ("app service_name", "network.protocol"),
    ("action", "event.action"),
    ("orig_bytes bytes_out", "source.bytes"),
    ("resp_bytes bytes_in", "destination.bytes"),
    # DNS
    ("query QueryName dns_query qname record", "dns.question.name"),
    ("record_type qtype_name", "dns.question.type"),
    ("answer answers QueryResults", "dns.answers.data"),
    ("rcode_name", "dns.response_code"),
    # web server and proxy (W3C names)
    ("c-uri cs-uri", "url.original"),
    ("cs-uri-stem c-uri-path", "url.path"),
    ("cs-uri-query c-uri-query", "url.query"),
    ("cs-host cs-dns r-dns", "url.domain"),
    ("cs-method method", "http.request.method"),
    ("sc-status status_code", "http.response.status_code"),
    ("c-useragent cs-user-agent user_agent", "user_agent.original"),
    ("cs-referer cs-referrer c-referer", "http.request.referrer"),
    ("sc-bytes", "http.response.bytes"),
    ("cs-bytes", "http.request.bytes"),
    ("cs-username", "user.name"),
    # operating systems
    ("EventID EventCode", "event.code"),
    ("Provider_Name SourceName", "event.provider"),
    ("Computer ComputerName hostname host", "host.name"),
    ("User SubjectUserName user username acct", "user.name"),
    ("TargetUserName", "user.target.name"),
    ("Image NewProcessName exe", "process.executable"),
    ("CommandLine ProcessCommandLine", "process.command_line"),
    ("CurrentDirectory cwd", "process.working_directory"),
    ("ParentImage ParentProcessName", "process.parent.executable"),
    ("ParentCommandLine", "process.parent.command_line"),
    ("TargetFilename FileName", "file.path"),
    ("TargetObject", "registry.path"),
    ("Details", "registry.data.strings"),
)
"""Sigma's own name -> our column."""

BOOKKEEPING = frozenset(
    {
        "@timestamp",
        "event.id",
        "event.dataset",
        "event.ingested",
        "event.fields",
        "event.flags",
        "event.sequence",
        "observer.name",
        "log.file.path",
        "log.offset",
        *(f"{side}.{name}" for side in ("source", "destination") for name in ("asset", "system", "department")),
        *(f"{side}.{name}" for side in ("source", "destination") for name in ("segment", "zone", "grade")),
        "source.is_registered",
        "destination.is_registered",
        "calendar.workday",
        "calendar.hour",
        "ot.station.id",
        "ot.station.registered",
        "ot.station.in_maintenance",
        "ot.station.limit_exceeded",
        "ot.platform.registered",
        "ot.platform.ip",
        "ot.carrier.registered",
        "ot.target_registered",
    }
)
"""What we add to an event; keywords look at what its source said only."""

_SOURCES: dict[str, LogSource] = {
    "flow": LogSource(("network", "firewall"), (), ("connection",)),
    "dns": LogSource(("network", "dns"), (), ("dns",)),
    "http": LogSource(("network", "webserver", "proxy"), (), ("http",)),
    "tls": LogSource(("network",), (), ("tls",)),
    "ssh": LogSource(("network",), (), ("ssh",)),
    "web": LogSource(("webserver", "web"), (), ()),
    "firewall": LogSource(("firewall",), (), ()),
    "ids": LogSource(("ids",), (), ()),
}


def logsource(batch: EventBatch) -> LogSource:
    """The batch's log source; told from its dataset where the collector did not say."""
    if batch.logsource is not None:
        return batch.logsource
    if batch.dataset == "ot":
        column = batch.table["ot.protocol"] if "ot.protocol" in batch.table.columns else None
        names = () if column is None else tuple(sorted(column.drop_nulls().unique().to_list()))
        return LogSource(("ot_command",), names, ())
    return _SOURCES.get(batch.dataset, LogSource())


ENTITIES = ("source.ip", "destination.ip", "user.name", "host.name")
"""Whom an alert is about; the group key of rules that give none."""
