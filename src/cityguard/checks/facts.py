"""What probes found of a host, as plain facts: made by the scanner, read by the checks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cityguard.model import Text

TlsVersion = Literal["ssl3", "1.0", "1.1", "1.2", "1.3", "tlcp1.1"]


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate as served; parsed, never verified."""

    subject: str
    issuer: str
    serial: str
    not_before: datetime
    not_after: datetime
    key: str  # rsa, ec, sm2, ed25519, dsa, other
    key_bits: int
    signature: str  # e.g. sha256WithRSAEncryption
    names: tuple[str, ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class Tls:
    """A TLS (or TLCP) server: the versions it accepted, and the suite it chose of each weak group offered."""

    versions: tuple[str, ...] = ()
    suites: tuple[str, ...] = ()  # chosen with ordinary offers, one per version
    weak: tuple[tuple[str, str], ...] = ()  # (group, chosen suite)
    certificate: Certificate | None = None


@dataclass(frozen=True, slots=True)
class Ssh:
    """An SSH server: its banner and what its KEXINIT offers."""

    banner: str
    kex: tuple[str, ...] = ()
    host_keys: tuple[str, ...] = ()
    ciphers: tuple[str, ...] = ()
    macs: tuple[str, ...] = ()
    compression: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Port:
    """An open TCP port and what spoke there. ``banner`` is printable ASCII, bounded."""

    number: int
    banner: str = ""
    tls: Tls | None = None
    ssh: Ssh | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """One probed address. ``failed`` says why nothing is known: not reached, stopped, or refused."""

    address: str
    asset: str
    probed: tuple[int, ...] = ()
    open: tuple[Port, ...] = ()
    failed: str = ""
    refused: Text | None = None

    @property
    def is_known(self) -> bool:
        return not self.failed and self.refused is None
