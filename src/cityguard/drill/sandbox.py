"""The walls around a restore: limits, no network, own process space, writes only below one folder. Standard library.

Limits always hold. Namespaces and Landlock depend on the kernel and on what the account may do; what could
not be had is reported, so that a drill's record says how well it was walled in.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import struct
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET, _CLONE_NEWIPC = 0x10000000, 0x20000000, 0x40000000, 0x08000000
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446  # the same numbers on every architecture

# landlock.h: rights that change something, by the ABI version that brought them
_WRITE, _RMDIR, _RMFILE, _MKDIR, _MKREG = 1 << 1, 1 << 4, 1 << 5, 1 << 7, 1 << 8
_MAKE_OTHERS = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12  # devices, sockets, FIFOs, links
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_TCP = 0b11  # bind, connect: ABI 4


def limit(*, memory: int, cpu_s: int, file_bytes: int) -> None:
    """Set what this process and its children may use; soft and hard alike."""
    for what, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (ceiling, ceiling))


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends, however it ends."""
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


def confine(folder: Path) -> bool:
    """Landlock: from now on nothing is written, made or removed but below ``folder`` (and /dev/null)."""
    libc = _libc()
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    version = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    below = _WRITE | _RMDIR | _RMFILE | _MKDIR | _MKREG
    below |= (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    attributes = struct.pack("=QQ", below | _MAKE_OTHERS, _TCP)[: 16 if version >= 4 else 8]
    ruleset = libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        return False
    try:
        return (
            _allow(ruleset, str(folder), below)
            and _allow(ruleset, "/dev/null", _WRITE)
            and libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0) == 0
        )
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> bool:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", access, fd)
        return bool(_libc().syscall(_LANDLOCK_ADD, ruleset, 1, rule, 0) == 0)
    finally:
        os.close(fd)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
