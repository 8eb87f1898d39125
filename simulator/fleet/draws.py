"""Random numbers that depend on what they are for, and on nothing else.

Owns the one source of a car's choices: a number is a function of the seed, the car and a counter,
so car 17 takes the same turns whether it drives alone or among ten thousand, and no state is kept
per car. Seed, purpose, car and counter go through the mixing function of SplitMix64 (Steele, Lea
and Flood 2014, "Fast Splittable Pseudorandom Number Generators", OOPSLA, section 4).
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.fleet.arrays import FloatArray, IntArray

_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)  # 2^64 divided by the golden ratio, made odd
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)
_UNIT: Final = 2.0**-53


class Purpose(IntEnum):
    """What a number is drawn for; two purposes never share a stream."""

    TURN = 1
    STOP = 2
    DWELL = 3
    TEMPER = 4
    SIGN = 5
    EAST = 6
    NORTH = 7
    TIME = 8


def uniform(seed: int, purpose: Purpose, items: IntArray, counters: IntArray | int) -> FloatArray:
    """Numbers in [0, 1), one for each item and its counter.

    Args:
        seed: Of the whole fleet; any integer.
        purpose: What the numbers are for.
        items: Numbers of the cars (or roads), shape (n,).
        counters: How many numbers each item drew for this purpose before, shape (n,) or a scalar.
    """
    with np.errstate(over="ignore"):  # arithmetic modulo 2^64 is the point
        start = _mixed(np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64) + _GAMMA)
        start = _mixed(start + np.uint64(purpose) * _GAMMA)
        key = _mixed(start + np.asarray(items).astype(np.uint64) * _GAMMA)
        bits = _mixed(key + (np.asarray(counters).astype(np.uint64) + np.uint64(1)) * _GAMMA)
    return np.asarray((bits >> np.uint64(11)).astype(np.float64) * _UNIT)


def _mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))
