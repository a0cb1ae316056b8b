"""Bulk requests that lose nothing: each item is created, was there, is tried again, or is refused with a reason."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import polars as pl

from cityguard.errors import StoreError

MAX_BYTES, MAX_ITEMS = 5_000_000, 5_000
FIRST_S, LONGEST_S = 0.5, 60.0

Outcome = Literal["done", "retry", "split", "dead"]


def outcome(status: int, error: Mapping[str, Any] | None = None) -> Outcome:
    """What an item's answer asks for.

    2xx and 409 (the id is there already) are done. Overload, a missing or read-only cluster, a shard limit and
    rights can be mended without touching the item, so it is tried again; 413 wants smaller requests; whatever
    is wrong with the item itself (mapping, parsing, no such index) goes to the dead letters.
    """
    if 200 <= status < 300 or status == 409:
        return "done"
    if status == 413:
        return "split"
    if status in (401, 403, 408, 429) or status >= 500:
        return "retry"
    if status == 400 and (error or {}).get("type") == "validation_exception":
        return "retry"  # e.g. the cluster's shards are used up
    return "dead"


@dataclass(frozen=True, slots=True)
class Answer:
    """A bulk request's answer: its own status, and per item (status, error), empty if the request failed whole."""

    status: int
    items: tuple[tuple[int, Mapping[str, Any] | None], ...] = ()
    reason: str = ""


class Send(Protocol):
    """Sends one body to one index; status 0 = no answer (refused, cut, timed out)."""

    def __call__(self, index: str, body: bytes) -> Answer: ...


@dataclass(slots=True)
class Result:
    """What became of the items: counts, and (position, reason) of the refused ones."""

    created: int = 0
    existing: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)


class Bulk:
    """Sends items until each has an outcome.

    Args:
        send: does one request.
        patience_s: how long an item without an outcome is tried again before the caller is told.
    """

    def __init__(self, send: Send, *, patience_s: float) -> None:
        self._send, self._patience_s = send, patience_s

    def run(self, index: str, items: pl.Series, *, lines: int = 2) -> Result:
        """Send items to an index.

        Args:
            index: its name.
            items: String series; each is the action line, a line end, and the document (no line end last).
            lines: of each item, 1 for actions without a document; items of any other length are refused unsent,
                since a further line would be an action of its own.

        Raises:
            StoreError: some item still has no outcome when the patience is over; what was created stays, and
                sending everything again adds nothing twice.
        """
        result = Result()
        whole = (items.str.count_matches("\n", literal=True) == lines - 1).fill_null(False)
        result.refused += [(int(n), f"not {lines} lines") for n in (~whole).arg_true()]
        sound = whole.arg_true().to_numpy()
        for at in _slices(items.filter(whole)):
            at = sound[at]
            self._finish(index, items, at, result)
        return result

    def _finish(self, index: str, items: pl.Series, at: np.ndarray[Any, Any], result: Result) -> None:
        end, tries, reason = time.monotonic() + self._patience_s, 0, ""
        work = [at]
        while work:
            at = work.pop()
            answer = self._send(index, _body(items, at))
            again, reason = _book(answer, at, items, result)
            if again is None:  # too large
                work += np.array_split(at, 2)
            elif len(again):
                pause = random.uniform(0, min(LONGEST_S, FIRST_S * 2**tries))  # noqa: S311 - full jitter
                tries += 1
                if time.monotonic() + pause > end:
                    raise StoreError(
                        f"{len(again)} records are not stored yet ({reason})",
                        place=index,
                        remedy="see to the cluster; the input is kept and sent again",
                    )
                threading.Event().wait(pause)
                work.append(again)


def _book(
    answer: Answer, at: np.ndarray[Any, Any], items: pl.Series, result: Result
) -> tuple[np.ndarray[Any, Any] | None, str]:
    """Count an answer; returns the positions to send again (None: send all in halves) and why."""
    if len(answer.items) != len(at):
        match outcome(answer.status) if answer.status >= 300 else "retry":
            case "split" if len(at) > 1:
                return None, ""
            case "retry":
                return at, answer.reason
            case _:
                result.refused += [(int(n), f"{answer.status} {answer.reason}"[:1_000]) for n in at]
                return at[:0], ""
    again: list[int] = []
    reason = ""
    for position, (status, error) in zip(at.tolist(), answer.items, strict=True):
        if status == 409:
            result.existing += 1
        elif status < 300:
            result.created += 1
        elif outcome(status, error) == "retry":
            again.append(position)
            reason = _reason(status, error)
        else:
            result.refused.append((position, _reason(status, error)))
    return np.array(again, dtype=np.int64), reason


def _reason(status: int, error: Mapping[str, Any] | None) -> str:
    error = error or {}
    cause = error.get("caused_by") or {}
    return f"{status} {error.get('type', '')}: {error.get('reason', '')} {cause.get('reason', '')}".strip()[:1_000]


def _slices(items: pl.Series) -> Iterator[np.ndarray[Any, Any]]:
    """Positions in runs of at most ``MAX_ITEMS`` and, unless one item alone is larger, ``MAX_BYTES``."""
    ends = np.cumsum(items.str.len_bytes().to_numpy().astype(np.int64) + 1)
    at = 0
    while at < len(items):
        before = int(ends[at - 1]) if at else 0
        stop = int(np.searchsorted(ends, before + MAX_BYTES, side="right"))
        stop = max(at + 1, min(stop, at + MAX_ITEMS, len(items)))
        yield np.arange(at, stop)
        at = stop


def _body(items: pl.Series, at: np.ndarray[Any, Any]) -> bytes:
    """The request's body; ``at`` is mostly a run, which is a slice without copying."""
    is_run = len(at) == at[-1] - at[0] + 1
    some = items.slice(int(at[0]), len(at)) if is_run else items.gather(pl.Series(at))
    return str(some.str.join("\n")[0]).encode() + b"\n"
