"""Makes ``examples/city`` again, the same bytes every time: ``python -m scripts.city``."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import yaml
from scripts.city import backups, configs, flows, logs, plan, register, wire

_HEAD = "# 样例城市，全部虚构；由 python -m scripts.city 生成 / the sample city, fictional; made by python -m scripts.city\n"


def main() -> None:
    """Write register, flows, logs, configurations, backups and drill plans."""
    out = plan.OUT
    for folder in ("logs", "flows", "configs", "backups", "drills"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(register.build(_rng("register")), allow_unicode=True, sort_keys=False, width=1000)
    (out / "register.yml").write_text(_HEAD + text, encoding="utf-8")
    records = flows.build(_rng("flows"))
    boot = plan.epoch(plan.START) - 86_400
    datagrams = wire.netflow9(records, boot, 7)
    capture = wire.pcap((when, wire.udp("10.99.0.1", "10.99.0.53", 40_000, 2055, data)) for when, data in datagrams)
    _gzip(out / "flows" / "border.netflow9.pcap.gz", capture)
    for name, made in (
        ("fw-01.log", logs.firewall),
        ("vpn-gw-01.log", logs.gateway),
        ("jump-01.json", logs.jump_host),
        ("portal-access.log", logs.portal),
    ):
        _gzip(out / "logs" / f"{name}.gz", made(_rng(name)).encode())
    configs.write(out)
    backups.write(_rng("backups"), out)


def _rng(name: str) -> random.Random:
    return random.Random(f"{plan.SEED}/{name}")


def _gzip(path: Path, data: bytes) -> None:
    path.write_bytes(gzip.compress(data, 9, mtime=0))


if __name__ == "__main__":
    main()
