"""Landlock by system call: what a process and its children may still read, run and write. Standard library.

Source: Linux ``include/uapi/linux/landlock.h`` and ``Documentation/userspace-api/landlock.rst``.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

_PR_SET_NO_NEW_PRIVS = 38
_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same numbers on every architecture

# rights by the ABI version that brought them
EXECUTE, _WRITE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_RMDIR, _RMFILE, _MKDIR, _MKREG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_MAKE_OTHERS = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12  # devices, sockets, FIFOs, links
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15  # 2, 3, 5
_TCP = 0b11  # bind, connect: 4
_SCOPES = 0b11  # abstract UNIX sockets, signals: 6
_OF_A_FILE = EXECUTE | _WRITE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

READ = _READ_FILE | _READ_DIR
RUN = READ | EXECUTE

PROGRAMS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
FILES = (
    *("/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/localtime", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf"),
    *("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"),
)
"""What programs need to start; passwords, keys, settings, homes and other processes are not among it."""


def confine(work: Path, *, read: Iterable[str] = (), run: Iterable[str] = ()) -> bool:
    """From now on: write only below ``work``, read and run only what is named here and what programs need.

    Files restored below ``work`` may be read, never run. Without TCP and signals to others where the kernel
    knows how. False = this kernel has no Landlock, nothing was changed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    version = libc.syscall(_CREATE, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    below = READ | _WRITE | _RMDIR | _RMFILE | _MKDIR | _MKREG
    below |= (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    handled = below | EXECUTE | _MAKE_OTHERS | (_IOCTL_DEV if version >= 5 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = libc.syscall(_CREATE, struct.pack("=QQQ", handled, _TCP, _SCOPES)[:size], ctypes.c_size_t(size), 0)
    if rules < 0:
        return False
    try:
        for path in (*PROGRAMS, sys.prefix, sys.base_prefix, str(Path(__file__).parents[1]), *run):
            _allow(libc, rules, path, RUN)
        for path in (*FILES, *read):
            _allow(libc, rules, path, READ)
        _allow(libc, rules, "/dev/null", _READ_FILE | _WRITE)
        return _allow(libc, rules, str(work), below) and libc.syscall(_RESTRICT, rules, 0) == 0
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: str, access: int) -> bool:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False  # not there: nothing to allow
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            access &= _OF_A_FILE
        return bool(libc.syscall(_ADD, rules, 1, struct.pack("=Qi", access, fd), 0) == 0)
    finally:
        os.close(fd)
