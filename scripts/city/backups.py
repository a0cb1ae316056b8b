"""Backups of the sample city: three that restore, one that does not, each with its manifest and drill plan."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import tarfile
from pathlib import Path

from scripts.city import plan

_TAKEN = plan.START.replace(hour=2, minute=0)
PLANS = (
    (
        "gov-service-db",
        "政务服务数据库恢复演练",
        "Restore of the service platform's database",
        "sys-gov-service",
        False,
    ),
    (
        "exchange-config",
        "数据交换平台配置恢复演练",
        "Restore of the exchange platform's configuration",
        "sys-exchange",
        False,
    ),
    ("water-history", "水厂历史数据恢复演练", "Restore of the water plant's historian", "sys-water-scada", True),
)


def write(rng: random.Random, out: Path) -> None:
    """Write archives, manifests and plans; the historian's archive has one damaged member."""
    for name, zh, en, system, broken in PLANS:
        files = {f"data/part-{n:02d}.csv": _table(rng, n) for n in range(12)}
        files["schema.sql"] = b"CREATE TABLE reading(id INTEGER, at TEXT, value REAL);\n"
        manifest = "".join(f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in sorted(files.items()))
        if broken:
            damaged = bytearray(files["data/part-07.csv"])
            damaged[len(damaged) // 2] ^= 0x20
            files["data/part-07.csv"] = bytes(damaged)
            del files["data/part-11.csv"]
        (out / "backups" / f"{name}.tar.gz").write_bytes(_archive(files))
        (out / "backups" / f"{name}.sha256").write_text(manifest, encoding="utf-8")
        (out / "drills" / f"{name}.yml").write_text(_plan(name, zh, en, system), encoding="utf-8")


def _table(rng: random.Random, number: int) -> bytes:
    rows = (f"{number * 1000 + n},2026-03-10T{n % 24:02d}:00:00+08:00,{rng.uniform(0, 9):.3f}\n" for n in range(400))
    return ("id,at,value\n" + "".join(rows)).encode()


def _archive(files: dict[str, bytes]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, data in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mtime, entry.mode = len(data), int(_TAKEN.timestamp()), 0o640
            tar.addfile(entry, io.BytesIO(data))
    return gzip.compress(plain.getvalue(), mtime=0)


def _plan(name: str, zh: str, en: str, system: str) -> str:
    return f"""id: {name}
title: {{zh: {zh}, en: {en}}}
system: {system}
kind: data
scenario: 存储损坏
backup:
  path: ../backups/{name}.tar.gz
  manifest: ../backups/{name}.sha256
  taken: {_TAKEN.isoformat()}
incident: {_TAKEN.replace(hour=9, minute=30).isoformat()}
rto: 4
rpo: 24
"""
