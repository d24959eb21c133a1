"""Chance that is the same everywhere: integer draws by seed, purpose and index.

A draw depends on nothing but its three arguments, so any part of the world can be made alone, in
any order and on any number of threads. Only wrapping 64-bit integer arithmetic is used; floats
and library generators may differ between versions and machines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

MILLION = 1_000_000
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
# 32 letters and digits that are not taken for one another, with both cases in use.
_ALPHABET = np.frombuffer(b"abcdefghjkmnpqrstuvwxyzABEKQRT23", dtype=np.uint8)
_CODE_LENGTH = 13  # 13 x 5 bits hold a whole 64-bit word, so that different words differ


def _mix(words: Words) -> Words:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014); one-to-one on 64 bits."""
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return words ^ (words >> np.uint64(31))


@dataclass(frozen=True, slots=True)
class Draws:
    """Draws of one seed. `purpose` keeps draws for different things apart."""

    seed: int

    def words(self, purpose: str, ids: Ints) -> Words:
        """One uniform 64-bit word for each id; different ids give different words."""
        text = f"{self.seed}|{purpose}".encode()
        key = np.uint64(int.from_bytes(hashlib.sha256(text).digest()[:8], "little"))
        mixed = _mix(np.asarray(ids, dtype=np.int64).view(np.uint64) * _GOLDEN + key)
        return _mix(mixed ^ key)

    def below(self, purpose: str, ids: Ints, limit: int | Ints) -> Ints:
        """Uniform integers from 0 to `limit` - 1; limits lie under 2^31."""
        high = self.words(purpose, ids) >> np.uint64(33)
        drawn: Ints = (high.astype(np.int64) * np.asarray(limit, dtype=np.int64)) >> 31
        return drawn

    def between(self, purpose: str, ids: Ints, first: int, last: int) -> Ints:
        """Uniform integers from `first` to `last`, both included."""
        return self.below(purpose, ids, last - first + 1) + first

    def chance(self, purpose: str, ids: Ints, per_million: int) -> Flags:
        """True for about `per_million` ids in a million."""
        return self.below(purpose, ids, MILLION) < per_million

    def pick(self, purpose: str, ids: Ints, weights: Sequence[int]) -> Ints:
        """Index of one of several weights, each in proportion to its weight."""
        edges = np.cumsum(np.asarray(weights, dtype=np.int64))
        drawn = self.below(purpose, ids, int(edges[-1]))
        found: Ints = np.searchsorted(edges, drawn, side="right").astype(np.int64)
        return found

    def share_out(self, purpose: str, ids: Ints, weights: Sequence[int]) -> Ints:
        """Like `pick`, but with exact shares among these very ids, so that few of them suffice."""
        edges = np.cumsum(np.asarray(weights, dtype=np.int64))
        rank = np.empty(len(ids), dtype=np.int64)
        rank[np.argsort(self.words(purpose, ids), kind="stable")] = np.arange(len(ids))
        point = (2 * rank + 1) * edges[-1] // max(2 * len(ids), 1)
        found: Ints = np.searchsorted(edges, point, side="right").astype(np.int64)
        return found

    def codes(self, purpose: str, ids: Ints, prefix: str = "") -> pl.Series:
        """Opaque ids of 13 characters behind a prefix, unique by id within a purpose."""
        words = self.words(f"code {purpose}", ids)
        shifts = np.arange(_CODE_LENGTH, dtype=np.uint64) * np.uint64(5)
        letters = (words[:, None] >> shifts[None, :]) & np.uint64(31)
        head = np.frombuffer(prefix.encode(), dtype=np.uint8)
        size = len(head) + _CODE_LENGTH
        data = np.empty((len(words), size), dtype=np.uint8)
        data[:, : len(head)] = head
        data[:, len(head) :] = _ALPHABET[letters]
        ends = np.arange(len(words) + 1, dtype=np.int64) * size
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(data)]
        series = pl.from_arrow(pa.Array.from_buffers(pa.large_string(), len(words), buffers))
        assert isinstance(series, pl.Series)  # noqa: S101 - from_arrow of an array is a series
        return series


def to_step(amounts: Ints, step: Ints) -> Ints:
    """Amounts rounded down to a multiple of each row's step."""
    return amounts // step * step
