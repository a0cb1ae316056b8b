"""The walls around a restore: limits, no network, own process space, an account without rights. Standard library.

Limits always hold. Namespaces, Landlock and the change of account depend on the kernel and on what the account
may do; what could not be had is reported, so that a drill's record says how well it was walled in.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import resource
import signal
import struct
from collections.abc import Iterable
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET, _CLONE_NEWIPC = 0x10000000, 0x20000000, 0x40000000, 0x08000000
_PR_SET_PDEATHSIG, _PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _AMBIENT_RAISE = 1, 8, 47, 2
_CAP_VERSION_3 = 0x20080522
_DAC_READ_SEARCH = 2  # number of the capability: to read what modes forbid
_NOBODY = 65534


def limit(*, memory: int, cpu_s: int, file_bytes: int, processes: int) -> None:
    """Set what this process and its children may use; soft and hard alike.

    Linux counts processes per account, wherever they run; ``processes`` come on top of those already there.
    """
    for what, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, _threads(account()) + processes),
    ):
        _, hard = resource.getrlimit(what)
        ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (ceiling, ceiling))


def account() -> int:
    """The user id a restore runs under: nobody in place of root, else our own."""
    if os.geteuid() != 0:
        return os.geteuid()
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return _NOBODY


def _threads(uid: int) -> int:
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone meanwhile
            if process.stat().st_uid == uid:
                count += sum(1 for _ in (process / "task").iterdir())
    return count


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends, however it ends; a change of account forgets it."""
    _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def isolate() -> bool:
    """Leave the network and the process space behind; children only. False = not allowed here."""
    wanted = _CLONE_NEWNET | _CLONE_NEWPID | _CLONE_NEWIPC
    uid, gid = os.getuid(), os.getgid()
    libc = _libc()
    if libc.unshare(wanted) == 0:
        return True
    if libc.unshare(wanted | _CLONE_NEWUSER) != 0:
        return False
    with contextlib.suppress(OSError):  # without a map we are nobody inside, and files stay ours all the same
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    return True


def lower(own: Iterable[Path]) -> bool:
    """Root becomes nobody, owner of ``own``, with one right left: to read. Anybody else loses every right.

    The right to read is for backups only root may read; Landlock says which. False = still root.
    """
    root = os.geteuid() == 0
    lowered = not root or _become(account(), tuple(own))
    if not (root and _capabilities(1 << _DAC_READ_SEARCH)):
        _capabilities(0)
    die_with_parent()
    return lowered


def _become(uid: int, own: tuple[Path, ...]) -> bool:
    """False where root may not: in a user namespace, or in a container without the right."""
    _libc().prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    try:
        for path in own:
            os.chown(path, uid, uid)
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    except OSError:
        with contextlib.suppress(OSError):
            for path in own:
                os.chown(path, os.geteuid(), os.getegid())
        return False
    return True


def strip(*, keep_reading: bool) -> None:
    """For a probe: no right at all, or the right to read where modes forbid it and Landlock does not."""
    if not keep_reading:
        _capabilities(0)
        return
    _libc().prctl(_PR_CAP_AMBIENT, _AMBIENT_RAISE, _DAC_READ_SEARCH, 0, 0)


def reaches(path: Path, mode: int) -> bool:
    """Whether this account gets at ``path`` without the right to read everything."""
    right = 1 << _DAC_READ_SEARCH
    _capabilities(right, effective=0)
    try:
        return os.access(path, mode, effective_ids=True)
    finally:
        _capabilities(right)


def _capabilities(mask: int, *, effective: int | None = None) -> bool:
    """Hold these of the first 32 capabilities and no other; see capset(2)."""
    low = struct.pack("=III", mask if effective is None else effective, mask, mask)
    return bool(_libc().capset(struct.pack("=Ii", _CAP_VERSION_3, 0), low + bytes(12)) == 0)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
