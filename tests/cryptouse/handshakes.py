"""Handshakes as the decoders store them, made by hand: rows of ``tls`` and ``ssh``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from cityguard import columns, ids
from cityguard.model import EventBatch

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


def day(count: int) -> datetime:
    """Midnight, so many days from now."""
    return NOW.replace(hour=0, minute=0) + timedelta(days=count)


def batch(dataset: str, rows: Sequence[Mapping[str, Any]], now: datetime = NOW) -> EventBatch:
    """A batch of rows; ``at`` of one is its time, a minute ago unless told."""
    number = np.arange(len(rows), dtype=np.int64)
    ms = np.array([int(row.get("at", now - timedelta(minutes=1)).timestamp() * 1000) for row in rows], np.int64)
    key = ids.source_key(dataset, repr(rows))
    table = pl.DataFrame(
        [{name: value for name, value in row.items() if name != "at"} for row in rows],
        infer_schema_length=None,
        schema_overrides={name: columns.BY_NAME[name].dtype for row in rows for name in row if name != "at"},
    ).with_columns(
        pl.Series("@timestamp", ms * 1000).cast(pl.Datetime("us", "UTC")),
        ids.event_ids(key, ms, number, np.zeros(len(rows), dtype=np.int64)),
    )
    return EventBatch(dataset, "test", columns.conform(dataset, table), part=key.hex())


def seen(server: str, port: int = 443, client: str = "10.0.9.9", **more: Any) -> dict[str, Any]:
    """One handshake; keyword arguments are columns of ``tls.``, dots as two underscores."""
    row = {"source.ip": client, "destination.ip": server, "destination.port": port, "network.transport": "tcp"}
    return row | {f"tls.{name.replace('__', '.')}": value for name, value in more.items()}


def tlcp(server: str, sha: str = "s1", **more: Any) -> dict[str, Any]:
    """A handshake of TLCP with a pair of SM2 certificates."""
    pair = {
        "server__hash__sha256": sha, "server__subject": f"CN=gw-{sha}", "server__issuer": "CN=SM2 CA",
        "server__not_before": day(-300), "server__not_after": day(65), "server__x509__public_key_algorithm": "SM2",
        "server__x509__public_key_size": 256, "server__x509__signature_algorithm": "SM2-with-SM3",
        "server__key__sha256": f"k-{sha}", "server__key_usage": ["digitalSignature"],
        "server__certificate_pair": "double", "server__encryption__hash__sha256": f"e-{sha}",
        "server__encryption__subject": f"CN=gw-{sha}", "server__encryption__issuer": "CN=SM2 CA",
        "server__encryption__not_before": day(-300), "server__encryption__not_after": day(65),
        "server__encryption__x509__public_key_algorithm": "SM2",
        "server__encryption__x509__signature_algorithm": "SM2-with-SM3",
        "server__encryption__key__sha256": f"ek-{sha}",
    }  # fmt: skip
    told = {"version": "tlcp1.1", "version_protocol": "tlcp", "cipher": "ECC_SM4_GCM_SM3", "guomi": True}
    return seen(server, **{**told, "guomi_offered": True, **pair, **more})


def ordinary(server: str, sha: str = "r1", *, offered: bool = False, **more: Any) -> dict[str, Any]:
    """A handshake of TLS 1.2 with an RSA certificate."""
    shown = {
        "server__hash__sha256": sha, "server__subject": f"CN=www-{sha}", "server__issuer": "CN=RSA CA",
        "server__not_before": day(-300), "server__not_after": day(400), "server__x509__public_key_algorithm": "RSA",
        "server__x509__public_key_size": 2048, "server__x509__signature_algorithm": "sha256WithRSAEncryption",
        "server__key__sha256": f"k-{sha}",
    }  # fmt: skip
    told = {"version": "1.2", "version_protocol": "tls", "cipher": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"}
    return seen(server, **{**told, "guomi": False, "guomi_offered": offered, **shown, **more})
