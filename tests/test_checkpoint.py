"""State and cursors become durable together: stopped before any write, everything is as before the step or after it."""

from __future__ import annotations

import pytest

from cityguard.checkpoint import Checkpoint, Cursor


class Stopped(Exception):
    """The process ended here."""


class Store(dict[str, bytes]):
    """Values that are durable at once, until ``left`` more were written."""

    left = 1000

    def get_value(self, key: str) -> bytes | None:
        return self.get(key)

    def put_value(self, key: str, value: bytes) -> None:
        if not self.left:
            raise Stopped
        self.left -= 1
        self[key] = value


def seen(store: Store) -> tuple[dict[str, bytes | None], dict[str, int]]:
    found = Checkpoint(store)
    return {name: found.state(name) for name in ("rules", "forest")}, found.done


@pytest.mark.parametrize("left", range(6))
def test_a_step_that_was_stopped_anywhere_is_the_one_before_or_the_whole_new_one(left: int) -> None:
    store = Store()
    before, after = {"rules": b"1", "forest": b"a"}, {"rules": b"2", "forest": b"b"}
    Checkpoint(store).commit(before, {"one": 10})
    store.left = left
    try:
        Checkpoint(store).commit(after, {"one": 20})
        ended = True
    except Stopped:
        ended = False
    assert ended == (left >= 3)
    assert seen(store) == ((after, {"one": 20}) if ended else (before, {"one": 10}))
    store.left = 1000
    Checkpoint(store).commit({"rules": b"3", "forest": b"c"}, {"one": 30})  # and it goes on from either
    assert seen(store) == ({"rules": b"3", "forest": b"c"}, {"one": 30})


def test_a_state_that_did_not_change_is_not_written_again() -> None:
    store = Store()
    one = Checkpoint(store)
    one.commit({"rules": b"1", "forest": b"a"}, {})
    store.left = 2
    one.commit({"rules": b"1", "forest": b"b"}, {})
    assert seen(store)[0] == {"rules": b"1", "forest": b"b"}


def test_a_state_from_before_there_were_steps_is_found() -> None:
    assert Checkpoint(Store(rules=b"old")).state("rules") == b"old"


def test_a_cursor_forgets_blocks_whose_effects_are_durable() -> None:
    cursor = Cursor(done=0, ends=[10, 20, 30], tries=2, turns=[1, 3, 4])
    cursor.checkpointed(20)
    assert (cursor.done, cursor.ends, cursor.turns, cursor.tries) == (20, [30], [4], 0)
    cursor.checkpointed(15)
    assert cursor.done == 20
