"""Parameters of OPC UA services (OPC 10000-4, clause 5) to address, quantity, value and details."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cityguard.decoders.ot import opcua_names as names
from cityguard.decoders.ot.opcua_types import MAX_VALUES, Reader, Short

MAX_LISTED = 64
"""Nodes, endpoints or results of one message that are written out."""

Fields = dict[str, Any]
Read = Callable[[Reader, Fields, Fields], None]


def request_header(read: Reader, extra: Fields) -> None:
    """7.32: who asks under which handle."""
    token = read.node()
    read.skip(8)
    extra["request_handle"] = read.u32()
    diagnostics = read.u32()
    audit = read.string()
    extra["timeout"] = read.u32()
    read.extension()
    if token != "i=0":  # noqa: S105
        extra["session_token"] = token
    if diagnostics:
        extra["return_diagnostics"] = diagnostics
    if audit:
        extra["audit_entry"] = audit


def response_header(read: Reader, extra: Fields) -> int:
    """7.33; returns the service's result."""
    read.skip(8)
    extra["request_handle"] = read.u32()
    code = read.u32()
    read.diagnostic()
    read.strings()
    read.extension()
    return code


def body(kind: int, read: Reader, row: Fields, extra: Fields) -> bool:
    """What follows the header of a message of this type; False = it breaks off."""
    one = _BODIES.get(kind)
    if one is None:
        return True
    try:
        one(read, row, extra)
    except Short:
        return False
    return True


def _open(read: Reader, row: Fields, extra: Fields) -> None:
    extra["protocol_version"] = read.u32()
    extra["request_type"] = "Renew" if read.u32() else "Issue"
    mode = read.u32()
    extra["security_mode"] = names.MODES.get(mode, str(mode))
    read.octets()
    extra["lifetime"] = read.u32()


def _opened(read: Reader, row: Fields, extra: Fields) -> None:
    extra["protocol_version"] = read.u32()
    extra["channel"], extra["token"] = read.u32(), read.u32()
    read.skip(8)
    extra["lifetime"] = read.u32()


def _application(read: Reader) -> Fields:
    """An ApplicationDescription."""
    uri, product = read.string(), read.string()
    name, kind = read.localized(), read.u32()
    read.string()
    read.string()
    return {"uri": uri, "product": product, "name": name, "type": kind, "urls": read.strings()[:MAX_VALUES]}


def _endpoint(read: Reader) -> Fields:
    """An EndpointDescription."""
    url, server = read.string(), _application(read)
    certificate = read.octets()
    mode, policy = read.u32(), read.string()
    tokens = []
    for _ in range(read.count()):
        told: Fields = {"policy": read.string(), "type": _pick(names.TOKEN_TYPES, read.u32())}
        read.string()
        read.string()
        tokens.append(told | {"security_policy": read.string()})
    return {
        "url": url,
        "server": server,
        "certificate": bool(certificate),
        "mode": names.MODES.get(mode, str(mode)),
        "policy": policy,
        "tokens": tokens[:MAX_LISTED],
        "profile": read.string(),
        "level": read.u8(),
    }


def _endpoints(read: Reader, row: Fields, extra: Fields) -> None:
    found = [_endpoint(read) for _ in range(read.count())]
    row["ot.quantity"] = len(found)
    extra["endpoints"] = found[:MAX_LISTED]


def _ask_endpoints(read: Reader, row: Fields, extra: Fields) -> None:
    row["ot.address"] = read.string()


def _servers(read: Reader, row: Fields, extra: Fields) -> None:
    found = [_application(read) for _ in range(read.count())]
    row["ot.quantity"] = len(found)
    extra["servers"] = found[:MAX_LISTED]


def _create_session(read: Reader, row: Fields, extra: Fields) -> None:
    extra["client"] = _application(read)
    extra["server_uri"] = read.string()
    row["ot.address"] = read.string()
    extra["session_name"] = read.string()
    read.octets()
    extra["certificate"] = bool(read.octets())
    extra["session_timeout"] = read.f64()
    extra["max_response"] = read.u32()


def _session_created(read: Reader, row: Fields, extra: Fields) -> None:
    extra["session"], extra["session_token"] = read.node(), read.node()
    extra["session_timeout"] = read.f64()
    read.octets()
    extra["certificate"] = bool(read.octets())
    _endpoints(read, {}, extra)


def _activate(read: Reader, row: Fields, extra: Fields) -> None:
    extra["signature_algorithm"] = read.string()
    read.octets()
    for _ in range(read.count()):
        read.octets()
        read.octets()
    extra["locales"] = read.strings()[:MAX_VALUES]
    kind, held = read.extension()
    code = int(kind[2:]) if kind.startswith("i=") else -1
    extra["user_token"] = names.TOKENS.get(code, kind)
    if held is None:
        return
    inner = Reader(held)
    extra["user_policy"] = inner.string()
    if code == 324:
        extra["user"] = inner.string()
        extra["password"] = bool(inner.octets())
        extra["password_encryption"] = inner.string()


def _close_session(read: Reader, row: Fields, extra: Fields) -> None:
    extra["delete_subscriptions"] = bool(read.u8())


def _item(read: Reader) -> Fields:
    """A ReadValueId."""
    told = {"node": read.node(), "attribute": names.attribute(read.u32()), "range": read.string()}
    read.qualified()
    return {name: value for name, value in told.items() if value}


def _listed(found: list[Fields], row: Fields, extra: Fields) -> None:
    nodes = [one.get("node") or "" for one in found[:MAX_VALUES]]
    row["ot.address"] = ",".join(nodes) or None
    row["ot.quantity"] = len(found)
    extra["nodes"] = found[:MAX_LISTED]


def _read(read: Reader, row: Fields, extra: Fields) -> None:
    extra["max_age"] = read.f64()
    extra["timestamps"] = read.u32()
    _listed([_item(read) for _ in range(read.count())], row, extra)


def _results(found: list[tuple[str | None, int | None]], row: Fields, extra: Fields) -> None:
    """Values with their status codes; when every one is bad so is the message."""
    values = [text or "" for text, _ in found]
    codes = [code or 0 for _, code in found]
    row["ot.value"] = ",".join(values[:MAX_VALUES]) if any(values) else None
    _outcome(codes, row, extra)


def _outcome(codes: list[int], row: Fields, extra: Fields) -> None:
    extra["results"] = [names.status(code) for code in codes[:MAX_LISTED]]
    if codes and all(code >> 31 for code in codes):
        row["ot.status"], row["ot.function.class"] = names.status(codes[0]), "error"


def _have_read(read: Reader, row: Fields, extra: Fields) -> None:
    _results([read.value() for _ in range(read.count())], row, extra)


def _write(read: Reader, row: Fields, extra: Fields) -> None:
    found, values = list[Fields](), list[str]()
    for _ in range(read.count()):
        told = {"node": read.node(), "attribute": names.attribute(read.u32()), "range": read.string()}
        text, _ = read.value()
        found.append({name: value for name, value in told.items() if value} | {"value": text})
        values.append(text or "")
    _listed(found, row, extra)
    row["ot.value"] = ",".join(values[:MAX_VALUES]) or None


def _codes(read: Reader, row: Fields, extra: Fields) -> None:
    _outcome([read.u32() for _ in range(read.count())], row, extra)


def _call(read: Reader, row: Fields, extra: Fields) -> None:
    found, values = list[Fields](), list[str]()
    for _ in range(read.count()):
        target, method = read.node(), read.node()
        arguments = [read.variant() for _ in range(read.count())]
        found.append({"node": target, "method": method, "arguments": arguments[:MAX_VALUES]})
        values += arguments
    _listed(found, row, extra)
    row["ot.address"] = ",".join(f"{one['node']}/{one['method']}" for one in found[:MAX_VALUES]) or None
    row["ot.value"] = ",".join(values[:MAX_VALUES]) or None


def _called(read: Reader, row: Fields, extra: Fields) -> None:
    codes, values = list[int](), list[str]()
    for _ in range(read.count()):
        codes.append(read.u32())
        read.skip(4 * read.count())
        for _ in range(read.count()):
            read.diagnostic()
        values += [read.variant() for _ in range(read.count())]
    row["ot.value"] = ",".join(values[:MAX_VALUES]) or None
    _outcome(codes, row, extra)


def _browse(read: Reader, row: Fields, extra: Fields) -> None:
    view = read.node()
    read.skip(12)
    extra["max_references"] = read.u32()
    if view != "i=0":
        extra["view"] = view
    found = []
    for _ in range(read.count()):
        node, direction, reference = read.node(), read.u32(), read.node()
        told = {"node": node, "direction": _pick(names.DIRECTIONS, direction), "reference": reference}
        found.append(told | {"subtypes": bool(read.u8()), "classes": read.u32(), "mask": read.u32()})
    _listed(found, row, extra)


def _browsed(read: Reader, row: Fields, extra: Fields) -> None:
    codes, found, points = list[int](), list[Fields](), 0
    for _ in range(read.count()):
        codes.append(read.u32())
        points += read.octets() is not None
        for _ in range(read.count()):
            reference, forward, node = read.node(), bool(read.u8()), read.node()
            told = {"node": node, "reference": reference, "forward": forward, "name": read.qualified()}
            told |= {"display": read.localized(), "class": read.u32(), "type": read.node()}
            found.append(told)
    row["ot.quantity"] = len(found)
    extra["references"] = found[:MAX_LISTED]
    if points:
        extra["continuation_points"] = points
    _outcome(codes, row, extra)


def _browse_next(read: Reader, row: Fields, extra: Fields) -> None:
    extra["release"] = bool(read.u8())
    row["ot.quantity"] = read.count()


def _subscribe(read: Reader, row: Fields, extra: Fields) -> None:
    extra["interval"], extra["lifetime_count"], extra["keep_alive"] = read.f64(), read.u32(), read.u32()
    extra["max_notifications"], extra["enabled"], extra["priority"] = read.u32(), bool(read.u8()), read.u8()


def _subscribed(read: Reader, row: Fields, extra: Fields) -> None:
    extra["subscription"] = read.u32()
    extra["interval"], extra["lifetime_count"], extra["keep_alive"] = read.f64(), read.u32(), read.u32()
    row["ot.address"] = str(extra["subscription"])


def _monitor(read: Reader, row: Fields, extra: Fields) -> None:
    extra["subscription"], extra["timestamps"] = read.u32(), read.u32()
    found = []
    for _ in range(read.count()):
        told = _item(read) | {"mode": read.u32(), "handle": read.u32(), "interval": read.f64()}
        read.extension()
        found.append(told | {"queue": read.u32(), "discard_oldest": bool(read.u8())})
    _listed(found, row, extra)


def _monitored(read: Reader, row: Fields, extra: Fields) -> None:
    codes, items = list[int](), list[Fields]()
    for _ in range(read.count()):
        codes.append(read.u32())
        items.append({"item": read.u32(), "interval": read.f64(), "queue": read.u32()})
        read.extension()
    extra["items"] = items[:MAX_LISTED]
    _outcome(codes, row, extra)


def _publish(read: Reader, row: Fields, extra: Fields) -> None:
    row["ot.quantity"] = read.count()


def _published(read: Reader, row: Fields, extra: Fields) -> None:
    extra["subscription"] = read.u32()
    row["ot.address"] = str(extra["subscription"])
    read.skip(4 * read.count())
    extra["more"] = bool(read.u8())
    extra["notification"] = read.u32()
    read.skip(8)
    values, handles = list[str](), list[int]()
    for _ in range(read.count()):
        kind, held = read.extension()
        if kind == "i=811" and held is not None:  # DataChangeNotification
            inner = Reader(held)
            for _ in range(inner.count()):
                handles.append(inner.u32())
                values.append(inner.value()[0] or "")
    row["ot.quantity"] = len(values)
    row["ot.value"] = ",".join(values[:MAX_VALUES]) or None
    if handles:
        extra["handles"] = handles[:MAX_LISTED]


def _subscription(read: Reader, row: Fields, extra: Fields) -> None:
    extra["subscription"] = read.u32()
    row["ot.address"] = str(extra["subscription"])


def _subscriptions(read: Reader, row: Fields, extra: Fields) -> None:
    found = [read.u32() for _ in range(read.count())]
    row["ot.address"] = ",".join(map(str, found[:MAX_VALUES])) or None
    row["ot.quantity"] = len(found)
    extra["subscriptions"] = found[:MAX_LISTED]


def _publishing(read: Reader, row: Fields, extra: Fields) -> None:
    row["ot.value"] = "true" if read.u8() else "false"
    _subscriptions(read, row, extra)


def _add_nodes(read: Reader, row: Fields, extra: Fields) -> None:
    found = []
    for _ in range(read.count()):
        told: Fields = {"parent": read.node(), "reference": read.node(), "node": read.node(), "name": read.qualified()}
        told |= {"class": read.u32()}
        read.extension()
        found.append(told | {"type": read.node()})
    _listed(found, row, extra)


def _added(read: Reader, row: Fields, extra: Fields) -> None:
    codes, nodes = list[int](), list[Fields]()
    for _ in range(read.count()):
        codes.append(read.u32())
        nodes.append({"node": read.node()})
    extra["nodes"] = nodes[:MAX_LISTED]
    _outcome(codes, row, extra)


def _delete_nodes(read: Reader, row: Fields, extra: Fields) -> None:
    _listed([{"node": read.node(), "references": bool(read.u8())} for _ in range(read.count())], row, extra)


def _references(read: Reader, row: Fields, extra: Fields) -> None:
    found = []
    for _ in range(read.count()):
        told = {"node": read.node(), "reference": read.node(), "forward": bool(read.u8())}
        read.string()
        found.append(told | {"target": read.node(), "class": read.u32()})
    _listed(found, row, extra)


def _unreference(read: Reader, row: Fields, extra: Fields) -> None:
    found = []
    for _ in range(read.count()):
        told = {"node": read.node(), "reference": read.node(), "forward": bool(read.u8()), "target": read.node()}
        found.append(told | {"both": bool(read.u8())})
    _listed(found, row, extra)


def _nodes(read: Reader, row: Fields, extra: Fields) -> None:
    _listed([{"node": read.node()} for _ in range(read.count())], row, extra)


def _paths(read: Reader, row: Fields, extra: Fields) -> None:
    found = []
    for _ in range(read.count()):
        node, steps = read.node(), list[str]()
        for _ in range(read.count()):
            read.node()
            read.skip(2)
            steps.append(read.qualified())
        found.append({"node": node, "path": "/".join(steps[:MAX_VALUES])})
    _listed(found, row, extra)


def _history(read: Reader, row: Fields, extra: Fields) -> None:
    extra["details"], _ = read.extension()
    extra["timestamps"], extra["release"] = read.u32(), bool(read.u8())
    found = []
    for _ in range(read.count()):
        told = {"node": read.node(), "range": read.string()}
        read.qualified()
        read.octets()
        found.append({name: value for name, value in told.items() if value})
    _listed(found, row, extra)


def _history_update(read: Reader, row: Fields, extra: Fields) -> None:
    found = []
    for _ in range(read.count()):
        kind, held = read.extension()
        found.append({"node": Reader(held).node() if held else None, "details": kind})
    _listed(found, row, extra)


def _pick(table: tuple[str, ...], value: int) -> str:
    return table[value] if value < len(table) else str(value)


_BODIES: dict[int, Read] = {
    422: _ask_endpoints,
    425: _servers,
    428: _ask_endpoints,
    431: _endpoints,
    446: _open,
    449: _opened,
    461: _create_session,
    464: _session_created,
    467: _activate,
    473: _close_session,
    488: _add_nodes,
    491: _added,
    494: _references,
    497: _codes,
    500: _delete_nodes,
    503: _codes,
    506: _unreference,
    509: _codes,
    527: _browse,
    530: _browsed,
    533: _browse_next,
    536: _browsed,
    554: _paths,
    560: _nodes,
    566: _nodes,
    631: _read,
    634: _have_read,
    664: _history,
    673: _write,
    676: _codes,
    700: _history_update,
    712: _call,
    715: _called,
    751: _monitor,
    754: _monitored,
    763: _subscription,
    769: _subscription,
    775: _subscription,
    781: _subscription,
    784: _codes,
    787: _subscribe,
    790: _subscribed,
    793: _subscription,
    799: _publishing,
    802: _codes,
    826: _publish,
    829: _published,
    832: _subscription,
    841: _subscriptions,
    847: _subscriptions,
    850: _codes,
}
