"""Every decoder comes back from damaged bytes, and from every input that once made one fall."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fuzz.conversation import Chunk
from fuzz.targets import targets
from hypothesis import given
from hypothesis import strategies as st

from fuzz import conversation, mutate

FOUND = Path(__file__).parent / "regressions"
MUTATIONS = 40


@pytest.mark.parametrize("name", list(targets()))
def test_a_decoder_takes_its_seeds_and_damaged_ones(name: str) -> None:
    run = targets()[name]
    for data in (*mutate.seeds(name)[:10], *mutate.mutations(name, MUTATIONS)):
        begun = time.monotonic()
        run(data)
        if time.monotonic() - begun >= mutate.SLOW:  # the first time loops may have been compiled
            assert mutate.seconds(run, data) < mutate.SLOW


@pytest.mark.parametrize("path", sorted(FOUND.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_an_input_that_made_a_decoder_fall_does_so_no_more(path: Path) -> None:
    targets()[path.parent.name](path.read_bytes())


def test_every_decoder_on_the_wire_has_seeds() -> None:
    bare = [name for name in targets() if name.startswith(("wire-", "text-")) and mutate.seeds(name) == [b""]]
    assert not bare, f"no seeds for {bare}: pytest -p fuzz.record tests/decoders"


@given(st.lists(st.builds(Chunk, st.binary(max_size=40), st.integers(0, 1), st.booleans(), st.booleans()), max_size=8))
def test_a_conversation_comes_back_as_it_was_packed(chunks: list[Chunk]) -> None:
    assert list(conversation.unpack(conversation.pack(chunks))) == chunks
