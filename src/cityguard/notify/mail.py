"""Alerts as one plain-text mail, over SMTP with TLS wherever a password is sent."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage

from cityguard.errors import InputError
from cityguard.model import Alert
from cityguard.notify.base import digest


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail server and who is written to."""

    host: str
    sender: str
    to: tuple[str, ...]
    port: int = 25
    username: str = ""
    password: str = ""
    starttls: bool = False
    timeout_s: float = 10.0

    def tell(self, alerts: Sequence[Alert]) -> None:
        """Send one mail.

        Raises:
            InputError: a password without TLS.
            OSError: the server cannot be reached or refuses (smtplib's errors are OSErrors).
        """
        if self.username and not self.starttls:
            raise InputError("a password is sent only over TLS", place=self.host, remedy="starttls: true")
        with smtplib.SMTP(self.host, self.port, timeout=self.timeout_s) as server:
            if self.starttls:
                server.starttls(context=ssl.create_default_context())
            if self.username:
                server.login(self.username, self.password)
            server.send_message(message(alerts, self.sender, self.to))


def message(alerts: Sequence[Alert], sender: str, to: Sequence[str]) -> EmailMessage:
    """The mail itself; its subject holds counts only, never an attacker's words."""
    mail = EmailMessage()
    mail["Subject"] = f"[cityguard] 新告警 {len(alerts)} 条"
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail.set_content(digest(alerts), charset="utf-8")
    return mail
