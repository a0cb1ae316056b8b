"""Placeholder lists that the register gives: ``%segments.ot%``, ``%segments.<zone>%``, ``%register.<kind>%``."""

from __future__ import annotations

from cityguard.register.register import Register

FAMILIES = ("segments.", "register.")


def of_register(register: Register) -> dict[str, list[str]]:
    """Lists by name; what has no entry has no list, so that a rule that needs it waits instead of never matching.

    ``segments.ot`` holds the networks of segments marked OT, ``segments.<zone>`` and ``segments.<id>`` those of a
    zone and of one segment; ``register.<kind>`` and ``register.<group>`` the addresses of assets of a kind or group,
    ``register.all`` of all assets.
    """
    found: dict[str, dict[str, None]] = {}

    def give(name: str, texts: tuple[str, ...]) -> None:
        if texts and name:
            found.setdefault(name, {}).update(dict.fromkeys(texts))

    for segment in register.segments:
        for name in {"ot" if segment.ot else "", segment.zone, segment.id} - {""}:
            give(f"segments.{name}", segment.cidrs)
    for asset in register.assets:
        for name in {"all", asset.kind, *asset.groups} - {""}:
            give(f"register.{name}", asset.addresses)
    return {name: list(texts) for name, texts in found.items()}
