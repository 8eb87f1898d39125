"""Pairing the GPS sentences of one instant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from agent.morai import Gga, GpsSentences, OtherSentence, Rmc
from agent.vehicle.gnss import GnssAssembler

if TYPE_CHECKING:
    from agent.vehicle.state import GnssFix

Sentence = Rmc | Gga | OtherSentence


def rmc(second: int) -> Rmc:
    """RMC of one instant."""
    return Rmc(f"1015{second:02d}.0", True, 37.0 + second / 1000, 126.0, 10.0, 90.0, "201126")


def gga(second: int) -> Gga:
    """GGA of the same instant."""
    return Gga(f"1015{second:02d}.0", 37.0 + second / 1000, 126.0, 1, 9, 1.0, 30.0, 0.0)


def fed(*datagrams: Sentence | tuple[Sentence, ...]) -> list[list[GnssFix | None]]:
    """What an assembler gives for each datagram in turn."""
    assembler = GnssAssembler()
    return [
        assembler.feed(GpsSentences(item if isinstance(item, tuple) else (item,)))
        for item in datagrams
    ]


@pytest.mark.parametrize("swap", [False, True])
def test_pairs_in_either_order_become_one_fix_each(swap: bool) -> None:
    """RMC then GGA, or GGA then RMC: one complete fix an instant, with the second sentence."""
    kinds = (gga, rmc) if swap else (rmc, gga)
    results = fed(*(kind(second) for second in range(5) for kind in kinds))
    assert [len(fixes) for fixes in results] == [0, 1] * 5
    for second, (fix,) in enumerate(results[1::2]):
        assert fix is not None
        assert fix.latitude_deg == pytest.approx(37.0 + second / 1000)
        assert fix.altitude_m == 30.0
        assert fix.speed_mps is not None


def test_both_sentences_in_one_datagram_need_no_waiting() -> None:
    """A datagram with both gives its fix at once."""
    assert [len(fixes) for fixes in fed((rmc(1), gga(1)), (rmc(2), gga(2)))] == [1, 1]


def test_single_kind_is_soon_not_held_back() -> None:
    """Where only RMC comes, each becomes a fix, after the first few without delay."""
    results = fed(*(rmc(second) for second in range(10)))
    assert sum(map(len, results)) == 10
    assert [len(fixes) for fixes in results[3:]] == [1] * 7


def test_lost_partner_does_not_break_the_pairing() -> None:
    """A lost GGA leaves one fix without altitude; the next instants are whole again."""
    results = fed(rmc(1), gga(1), rmc(2), rmc(3), gga(3), rmc(4), gga(4))
    fixes = [fix for part in results for fix in part]
    assert [fix and fix.altitude_m for fix in fixes] == [30.0, None, 30.0, 30.0]


def test_second_kind_that_appears_later_is_paired() -> None:
    """A receiver that starts to send GGA as well is recognised."""
    results = fed(
        *(rmc(second) for second in range(6)),
        *(kind(second) for second in range(6, 10) for kind in (rmc, gga)),
    )
    last = results[-1]
    assert len(last) == 1
    assert last[0] is not None
    assert last[0].altitude_m == 30.0
    assert last[0].speed_mps is not None


def test_lost_fix_is_reported() -> None:
    """A blackout gives `None` an instant, so that an application learns of it."""
    dark = [
        msgspec.structs.replace(sentence, latitude_deg=0.0, longitude_deg=0.0)
        for sentence in (rmc(1), gga(1))
    ]
    assert fed(*dark) == [[], [None]]


def test_other_sentences_are_passed_over() -> None:
    """A sentence of another type neither completes nor disturbs a pair."""
    results = fed(rmc(1), OtherSentence("GPZDA,101501"), gga(1))
    assert [len(fixes) for fixes in results] == [0, 0, 1]
