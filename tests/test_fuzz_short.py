"""A short walk of the fuzzer's targets: mutated good and bad files, the same ones every time."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from how_often import how_often

sys.path.insert(0, str(Path(__file__).resolve().parent / "fuzz"))

from targets import TARGETS, seeds

INPUTS = how_often("RECON_INPUTS", short=40, long=2_000)
HOSTILE = (
    b"\x00",
    b"\xff",
    b'"',
    b",",
    b"\n",
    b"\r",
    b"{",
    b"]",
    b"\xe2\x80\xae",
    b"=",
    b"1e9",
    b"NaN",
)


def mutated(seed: bytes, luck: random.Random) -> bytes:
    """A few bytes taken out, doubled, swapped for hostile ones."""
    data = bytearray(seed)
    for _ in range(luck.randint(1, 6)):
        at, length = luck.randint(0, len(data)), luck.randint(0, 12)
        act = luck.randrange(4)
        if act == 0:
            del data[at : at + length]
        elif act == 1:
            data[at:at] = data[at : at + length]
        elif act == 2:
            data[at:at] = luck.choice(HOSTILE)
        else:
            data[at : at + 1] = bytes([luck.randrange(256)])
    return bytes(data)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_hostile_input_gets_an_answer_of_the_product(name):
    """Read, set aside or refused with a message: never another exception, never untied counts."""
    luck = random.Random(f"{name}-7")  # noqa: S311 - mutations, no secrets
    starts = seeds(name)

    for number in range(INPUTS):
        TARGETS[name](mutated(starts[number % len(starts)], luck))
