#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
# A helper program of its own: it drives scapy (GPL-2.0-only) in its own process and only writes files.
# Nothing of cityguard imports it, and the wheel does not carry it.
"""Crafts the captures in ``pcaps/``, the same bytes every time: python scripts/craft_pcaps.py [NAME ...]

A capture is a module of ``scripts/crafting`` with ``craft()``; each writes beside it a YAML that says how it was made
and what it must raise.
"""

import importlib
import pkgutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from scripts import crafting
from scripts.city import plan

if __name__ == "__main__":
    plan.PCAPS.mkdir(exist_ok=True)
    known = [found.name for found in pkgutil.iter_modules(crafting.__path__) if found.name != "capture"]
    for name in sys.argv[1:] or known:
        importlib.import_module(f"scripts.crafting.{name}").craft()
