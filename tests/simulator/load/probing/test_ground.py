"""Names and topics of one side of an edge, and the pace of preparations."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from simulator.load.probing.ground import Ground, Paces
from simulator.load.probing.prober import why_passed_over
from simulator.load.probing.talker import ProbeError
from simulator.load.target.opening import Route
from simulator.quotas.files import quota_table
from simulator.scenario.edges import BY_NAME
from tests.simulator.load.probing.grounds import TABLE


def ground() -> Ground:
    """One side of one edge."""
    return Ground(
        TABLE,
        Paces(TABLE),
        Route((), None),
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        fleet="load",
        prefix="load:edges:topic-bytes:a",
        topics="topic-bytes/a",
    )


def test_client_ids_of_a_side_begin_alike() -> None:
    """So the stand-in's counts by client tell the sides apart, also for one of a length."""
    assert ground().client_id(3) == "load:edges:topic-bytes:a3"
    assert len(ground().client_id_of(128)) == 128
    assert ground().client_id_of(128).startswith("load:edges:topic-bytes:a")


@pytest.mark.parametrize("length", [64, 256, 257])
def test_topics_have_a_length(length: int) -> None:
    """To the byte, below what only probes may use."""
    assert len(ground().topic_of(length)) == length
    assert ground().topic_of(length).startswith("probe/load/")


@pytest.mark.parametrize("slashes", [2, 7, 8])
def test_topics_have_a_depth(slashes: int) -> None:
    """To the slash."""
    assert ground().topic_with(slashes).count("/") == slashes


def test_what_cannot_be_named_is_said() -> None:
    """A limit so low that no name fits it is no edge of a probe."""
    with pytest.raises(ProbeError, match="no client id has 5 bytes"):
        ground().client_id_of(5)
    with pytest.raises(ProbeError, match="no topic of a probe has 5 bytes"):
        ground().topic_of(5)
    with pytest.raises(ProbeError, match="no topic of a probe has 1 slashes"):
        ground().topic_with(1)


async def test_preparations_stay_below_the_rate() -> None:
    """Of 50 CONNECTs a second they use 35, after a burst of no more than nine."""
    paces, loop = Paces(TABLE), asyncio.get_running_loop()
    began_s = loop.time()
    for _ in range(30):
        await paces.turn("connects-per-account")

    # 30 turns, of which the first 8 are there at once and the last is not waited for.
    assert loop.time() - began_s >= (30 - 9) / 35 - 0.01


def test_what_is_out_of_reach_is_passed_over() -> None:
    """3,000 CONNECTs in a second, no limit, and a limit that lets nothing pass."""
    edge = BY_NAME["connects-per-account"]

    assert why_passed_over(edge, quota_table("us-east-1").limit(edge.quota)) == (
        "more than the 100 that are probed"
    )
    assert why_passed_over(edge, float("inf")) == "more than the 100 that are probed"
    assert why_passed_over(edge, 0.0) == "nothing is below this limit"
    assert why_passed_over(edge, 50.0) == ""
