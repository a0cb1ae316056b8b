"""Real servers on loopback for the scanner to meet: TLS of several ages, SSH, plain, silent and hostile ones."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from cityguard.checks.ports import OT


@dataclass
class Served:
    """A running server: where, and what it saw."""

    address: str
    port: int
    arrivals: list[float] = field(default_factory=list)
    most_at_once: int = 0
    now_open: int = 0


@contextmanager
def serve(address: str, talk: Callable[[socket.socket], None], port: int = 0) -> Iterator[Served]:
    """Listen on ``address`` and let ``talk`` have each connection in a thread of its own."""
    listener = socket.create_server((address, port))
    while not port and listener.getsockname()[1] in OT:  # by chance; such a port would never be asked
        listener.close()
        listener = socket.create_server((address, port))
    listener.settimeout(0.05)
    served = Served(address, listener.getsockname()[1])
    ended, lock = threading.Event(), threading.Lock()
    threads: list[threading.Thread] = []

    def one(connection: socket.socket) -> None:
        with lock:
            served.now_open += 1
            served.most_at_once = max(served.most_at_once, served.now_open)
        with connection, suppress(OSError):
            connection.settimeout(3)
            talk(connection)
        with lock:
            served.now_open -= 1

    def accept() -> None:
        while not ended.is_set():
            with suppress(OSError):
                connection, _ = listener.accept()
                served.arrivals.append(time.monotonic())
                threads.append(threading.Thread(target=one, args=(connection,), daemon=True))
                threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield served
    finally:
        ended.set()
        accepting.join()
        listener.close()
        for thread in threads:
            thread.join(timeout=4)


def silent(connection: socket.socket) -> None:
    """Read and say nothing until the other side goes."""
    while connection.recv(4096):
        pass


def greeting(connection: socket.socket) -> None:
    """Speak first, as mail and file servers do."""
    connection.sendall(b"220 hello\r\n")
    connection.recv(1)


def tls(context: ssl.SSLContext) -> Callable[[socket.socket], None]:
    """Finish a handshake if the client does, then wait for the end."""

    def talk(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1)

    return talk


def certificate(
    folder: Path, start: datetime, days: int, *, bits: int = 2048, curve: bool = False, name: str = "web.example"
) -> Path:
    """A self-signed certificate with its key, one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1()) if curve else rsa.generate_private_key(65537, bits)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(4711)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}-{bits}-{days}.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def context(pem: Path, lowest: ssl.TLSVersion, highest: ssl.TLSVersion, ciphers: str | None = None) -> ssl.SSLContext:
    """A server context of exactly these versions."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are the point
        if ciphers:
            made.set_ciphers(ciphers)
        made.load_cert_chain(pem)
        made.minimum_version, made.maximum_version = lowest, highest
    return made


def kexinit(lists: list[str]) -> bytes:
    """An SSH KEXINIT packet with ten name-lists."""
    payload = b"\x14" + bytes(16)
    for names in lists:
        payload += struct.pack(">I", len(names)) + names.encode()
    payload += bytes(5)
    padding = 8 - (len(payload) + 5) % 8 + 4
    return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding)


SSH_WEAK = [
    "curve25519-sha256,diffie-hellman-group1-sha1",
    "ssh-ed25519,ssh-dss",
    *["aes256-gcm@openssh.com,3des-cbc"] * 2,
    *["hmac-sha2-256,hmac-md5"] * 2,
    *["none"] * 2,
    *[""] * 2,
]
SSH_GOOD = ["curve25519-sha256", "ssh-ed25519", *["aes256-ctr"] * 2, *["hmac-sha2-256"] * 2, *["none"] * 2, "", ""]


def ssh(lists: list[str], banner: bytes = b"SSH-2.0-OpenSSH_9.2p1\r\n") -> Callable[[socket.socket], None]:
    """Banner, wait for the client's, KEXINIT."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(banner)
        if connection.recv(256).startswith(b"SSH-"):
            connection.sendall(kexinit(lists))
            connection.recv(1)

    return talk
