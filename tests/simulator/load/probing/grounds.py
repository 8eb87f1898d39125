"""A stand-in with the quotas of `quota-edge`, and probes that go to its edges."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from simulator.load.assignment import ProbePlan
from simulator.load.probing.prober import Prober
from simulator.load.records import (
    End,
    Header,
    PlannedProbe,
    ProcessUse,
    Snapshot,
    TargetReport,
)
from simulator.load.target.identities import AuthorityPem, mint_range
from simulator.load.target.opening import ClientTls, Route
from simulator.load.target.reachability import resolve
from simulator.load.target.stand_in import StandIn
from simulator.load.target.stand_in_process import Setup
from simulator.quotas.files import own_table
from simulator.report.result import Result
from simulator.scenario.rules import edges_of
from tests.simulator.load.courses import small

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simulator.report.edges import EdgeRow

QUOTAS = Path(__file__).parents[4] / "scenarios" / "quota-edge.toml"
TABLE = own_table(QUOTAS, "us-east-1")
NOW = datetime.now(UTC)
AUTHORITY = AuthorityPem.make("test", NOW)
[PAIR] = mint_range(AUTHORITY, ["load:probe"], NOW)

Mode = Literal["enforce", "observe"]


@asynccontextmanager
async def stand_in(quotas: str, mode: Mode) -> AsyncIterator[tuple[StandIn, Route]]:
    """A stand-in that knows the identity of probes, and the way to it."""
    certificate, key = AUTHORITY.server_pair((), NOW)
    trusted = [AUTHORITY.certificate_pem]
    setup = Setup(certificate, key, trusted, "load", "vehicle", quotas, mode)
    async with StandIn(setup) as found:
        await found.register([(PAIR.certificate_id, PAIR.thing)], "probe")
        tls = ClientTls(AUTHORITY.certificate_pem, found.host)
        yield found, Route(tuple(await resolve(found.host, found.port)), tls)


async def probed(quotas: list[str], mode: Mode, in_force: str = str(QUOTAS)) -> dict[str, EdgeRow]:
    """How the edges of quotas are judged, by name.

    Args:
        quotas: Which.
        mode: Of the stand-in.
        in_force: Its quotas; the probes always believe in those of `quota-edge`.
    """
    scenario = small(probes=[{"name": "edges", "quotas": quotas}])
    began_s = time.monotonic()
    async with stand_in(in_force, mode) as (target, route):
        prober = Prober(
            scenario, ProbePlan(PAIR, TABLE, mode), route, lambda: time.monotonic() - began_s
        )
        await prober.run()
        status = await target.status(128)
    planned = [PlannedProbe("edges", edge.name) for edge in edges_of(scenario.probes[0])]
    use = ProcessUse(0.0, 1)
    result = Result()
    for record in (
        Header("x", {}, "", 0.0, "", "", "stand-in", {}, 1, [], [], [], probes=planned),
        Snapshot(0, 0, 0.0, 1.0, [], [], {}, {}, use, [], prober.take()),
        TargetReport(1.0, status.counters, status.refusals, use, status.quotas),
        End(1.0, "completed", "", {}, {}),
    ):
        result.add(record)
    return {row.name: row for row in result.edges}
