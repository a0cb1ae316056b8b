"""Watches what a drill's place holds while foreign programs write into it: bytes, entries, and the disk under it."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

SLACK_BYTES = 1 << 20  # folders and the probe's output
SLACK_ENTRIES = 1000
DISK_FLOOR = 256 << 20  # bytes left for everybody else
_PAUSE, _SHARE = 0.1, 10  # seconds between looks; a look may take a tenth of the time


class Quota:
    """A bound on one place; looked at from outside, so that a program within cannot lift it."""

    def __init__(self, place: Path, most_bytes: int, most_entries: int) -> None:
        self.place = place
        self.most_bytes = most_bytes
        self.most_entries = most_entries
        self._due = 0.0

    def wait(self) -> float:
        """Seconds until the next look."""
        return max(0.01, self._due - time.monotonic())

    def fault(self) -> str:
        """Why the drill must stop; "" when all is well or it is not yet time to look."""
        begun = time.monotonic()
        if begun < self._due:
            return ""
        try:
            fault = self._fault()
        except PermissionError:
            fault = "a folder of the place was closed to the watch"
        self._due = time.monotonic() + max(_PAUSE, _SHARE * (time.monotonic() - begun))
        return fault

    def _fault(self) -> str:
        used, entries = self._look()
        if used > self.most_bytes + SLACK_BYTES:
            return f"quota: more than {self.most_bytes} bytes written in all"
        if entries > self.most_entries + SLACK_ENTRIES:
            return f"quota: more than {self.most_entries} entries written in all"
        free = shutil.disk_usage(self.place).free
        return f"quota: less than {DISK_FLOOR >> 20} MiB left on the disk" if free < DISK_FLOOR else ""

    def _look(self) -> tuple[int, int]:
        """Bytes on disk and entries, no further than the bounds; links are counted, never followed."""
        used, entries, waiting = 0, 0, [str(self.place)]
        while waiting:
            try:
                with os.scandir(waiting.pop()) as listing:
                    for entry in listing:
                        entries += 1
                        used += _size(entry)
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
            except (FileNotFoundError, NotADirectoryError):
                continue  # gone while we looked
            if entries > self.most_entries + SLACK_ENTRIES:
                break
        return used, entries


def _size(entry: os.DirEntry[str]) -> int:
    try:
        info = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return 0
    return min(info.st_blocks * 512, info.st_size)  # holes take no place; small files are bounded by their number
