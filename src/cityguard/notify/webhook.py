"""Alerts as one JSON message to a webhook: 企业微信, 钉钉, 飞书, or plain JSON for anything else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import SplitResult, quote_plus, urlsplit

import msgspec
import orjson

from cityguard.errors import InputError
from cityguard.model import Alert
from cityguard.notify.base import digest

Form = Literal["wecom", "dingtalk", "feishu", "json"]
MAX_ANSWER = 64 * 1024
MAX_ALERTS = 100


@dataclass(frozen=True, slots=True)
class Webhook:
    """One receiver. The name is resolved once per message and that address is the one connected to.

    Redirects are never followed, link-local and multicast addresses never used, and plain http only inside the city
    (private or loopback addresses).
    """

    url: str
    form: Form = "json"
    secret: str = ""  # signing key of 钉钉 and 飞书 robots; empty = they check a keyword or the address
    timeout_s: float = 5.0
    tls: ssl.SSLContext | None = None

    def tell(self, alerts: Sequence[Alert]) -> None:
        """Send one message.

        Raises:
            InputError: the address may not be used.
            OSError: no connection, or an answer that is not 2xx.
        """
        target, body = _FORMS[self.form](self.url, self.secret, alerts)
        parts = urlsplit(target)
        address = resolve(parts)
        connection = self._connect(parts, address)
        try:
            headers = {"Host": parts.netloc, "Content-Type": "application/json", "User-Agent": "cityguard"}
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            answer.read(MAX_ANSWER)
            if not 200 <= answer.status < 300:
                raise OSError(f"webhook answered {answer.status}")
        finally:
            connection.close()

    def _connect(self, parts: SplitResult, address: str) -> http.client.HTTPConnection:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        connection = http.client.HTTPConnection(address, port, timeout=self.timeout_s)
        if parts.scheme == "https":
            context = self.tls or ssl.create_default_context()
            sock = socket.create_connection((address, port), self.timeout_s)
            try:
                connection.sock = context.wrap_socket(sock, server_hostname=parts.hostname)
            except BaseException:
                sock.close()
                raise
        return connection


def resolve(parts: SplitResult) -> str:
    """The address a webhook may connect to.

    Raises:
        InputError: the scheme, a user in the address, or the network it points to is not allowed.
        OSError: the name cannot be resolved.
    """
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise InputError("a webhook is http(s)://host/path without a user", place=f"{parts.scheme}://{host}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    address = ipaddress.ip_address(str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0]).split("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    if address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved:
        raise InputError(f"a webhook may not go to {address}", place=host)
    if parts.scheme == "http" and not address.is_private:
        raise InputError("a webhook outside the city's own networks needs https", place=host)
    return str(address)


def _wecom(url: str, secret: str, alerts: Sequence[Alert]) -> tuple[str, bytes]:
    return url, orjson.dumps({"msgtype": "text", "text": {"content": digest(alerts)}})


def _dingtalk(url: str, secret: str, alerts: Sequence[Alert]) -> tuple[str, bytes]:
    body = orjson.dumps({"msgtype": "text", "text": {"content": digest(alerts)}})
    if not secret:
        return url, body
    stamp = str(int(time.time() * 1000))
    joiner = "&" if urlsplit(url).query else "?"
    sign = quote_plus(_sign(secret, f"{stamp}\n{secret}"))
    return f"{url}{joiner}timestamp={stamp}&sign={sign}", body


def _feishu(url: str, secret: str, alerts: Sequence[Alert]) -> tuple[str, bytes]:
    message: dict[str, Any] = {"msg_type": "text", "content": {"text": digest(alerts)}}
    if secret:
        stamp = str(int(time.time()))
        # 飞书 signs an empty message with "timestamp\nsecret" as the key.
        message |= {"timestamp": stamp, "sign": _sign(f"{stamp}\n{secret}", "")}
    return url, orjson.dumps(message)


def _json(url: str, secret: str, alerts: Sequence[Alert]) -> tuple[str, bytes]:
    return url, orjson.dumps({"alerts": [msgspec.to_builtins(alert) for alert in alerts[:MAX_ALERTS]]})


def _sign(key: str, text: str) -> str:
    return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()).decode()


_FORMS: dict[Form, Callable[[str, str, Sequence[Alert]], tuple[str, bytes]]] = {
    "wecom": _wecom,
    "dingtalk": _dingtalk,
    "feishu": _feishu,
    "json": _json,
}
