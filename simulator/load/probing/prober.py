"""Goes to the edges of quotas one after the other, and notes what was seen there.

Owns the order: what concerns one client goes on for several quotas at a time, what concerns the
account alone, with time for its rates to recover in between. A side that fails is a note, not
an end. Judges nothing.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from simulator.load.probing import account_acts, client_acts
from simulator.load.probing.ground import Ground, Paces
from simulator.load.probing.talker import ProbeError
from simulator.load.records import Probed, ProbedSide
from simulator.load.target.quota_books import is_enforced
from simulator.load.target.reachability import present
from simulator.scenario.edges import Act, Edge
from simulator.scenario.rules import edges_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from simulator.load.assignment import ProbePlan
    from simulator.load.probing.ground import Seen
    from simulator.load.target.opening import Route
    from simulator.scenario.schema import Probes, Scenario

AT_A_TIME: Final = 4
"""Quotas of one client that are probed at the same time."""

_REFILL_S: Final = 1.1
_SIDE_S: Final = 60.0

_ACTS: Final[dict[Act, Callable[[Ground, int], Awaitable[Seen]]]] = {
    Act.CONNECT_AGAIN: client_acts.connect_again,
    Act.CONNECT_AT_ONCE: account_acts.connect_at_once,
    Act.STAY_CONNECTED: account_acts.stay_connected,
    Act.CLIENT_ID: client_acts.client_id,
    Act.PACKET_MAXIMUM: client_acts.packet_maximum,
    Act.KEEP_ALIVE: client_acts.keep_alive,
    Act.SESSION_EXPIRY: client_acts.session_expiry,
    Act.RECEIVE_MAXIMUM: client_acts.receive_maximum,
    Act.PUBLISH: client_acts.publish,
    Act.PUBLISH_TOGETHER: account_acts.publish_together,
    Act.RECEIVE: client_acts.receive,
    Act.RECEIVE_TOGETHER: account_acts.receive_together,
    Act.RECEIVE_UNACKNOWLEDGED: client_acts.receive_unacknowledged,
    Act.SEND_KILOBYTES: client_acts.send_kilobytes,
    Act.PAYLOAD: client_acts.payload,
    Act.PACKET: client_acts.packet,
    Act.TOPIC_BYTES: client_acts.topic_bytes,
    Act.TOPIC_SLASHES: client_acts.topic_slashes,
    Act.TOPIC_ALIAS: client_acts.topic_alias,
    Act.USER_PROPERTIES: client_acts.user_properties,
    Act.CORRELATION_DATA: client_acts.correlation_data,
    Act.CONTENT_TYPE: client_acts.content_type,
    Act.MESSAGE_EXPIRY: client_acts.message_expiry,
    Act.SUBSCRIBE: client_acts.subscribe,
    Act.SUBSCRIBE_IN_ONE: client_acts.subscribe_in_one,
    Act.SUBSCRIBE_AT_ONCE: account_acts.subscribe_at_once,
    Act.STAY_SUBSCRIBED: account_acts.stay_subscribed,
    Act.MAKE_GROUPS: account_acts.make_groups,
    Act.JOIN_GROUP: account_acts.join_group,
    Act.CHANGE_GROUP: account_acts.change_group,
    Act.STORE: account_acts.store,
    Act.STORE_FOR_GROUP: account_acts.store_for_group,
    Act.REPLAY: client_acts.replay,
    Act.REPLAY_FOR_GROUP: client_acts.replay_for_group,
    Act.RETAIN_AGAIN: client_acts.retain_again,
    Act.RETAIN_AT_ONCE: account_acts.retain_at_once,
    Act.FILL_STORE: account_acts.fill_store,
}


class Prober:
    """The probes of a run.

    Args:
        scenario: The scenario.
        plan: As whom they connect, and which quotas are in force.
        route: Where they connect.
        clock: Seconds of the run.

    Raises:
        ConfigurationError: The certificate cannot be used.
    """

    def __init__(
        self, scenario: Scenario, plan: ProbePlan, route: Route, clock: Callable[[], float]
    ) -> None:
        if route.tls is None:
            raise TypeError("the stand-in has TLS")
        self._scenario = scenario
        self._plan = plan
        self._route = route
        self._clock = clock
        self._context = route.tls.context()
        present(self._context, plan.pair)
        self._paces = Paces(plan.table)
        self._done: list[Probed] = []

    async def run(self) -> None:
        """Go to every edge. Cancelling it leaves the rest out."""
        for probes in self._scenario.probes:
            await asyncio.sleep(max(0.0, probes.begin - self._clock()))
            edges = edges_of(probes)
            await self._of_clients(probes, [edge for edge in edges if not edge.is_of_account])
            for edge in edges:
                if edge.is_of_account:
                    # What the edge before has used up is there again.
                    await asyncio.sleep(_REFILL_S)
                    await self._probe(probes, edge)

    def take(self) -> list[Probed]:
        """What was done since the last call."""
        done, self._done = self._done, []
        return done

    async def _of_clients(self, probes: Probes, edges: Sequence[Edge]) -> None:
        waiting = iter(edges)

        async def work() -> None:
            for edge in waiting:
                await self._probe(probes, edge)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_A_TIME):
                group.create_task(work())

    async def _probe(self, probes: Probes, edge: Edge) -> None:
        quota = self._plan.table.quotas[edge.quota]
        prefix = f"{self._scenario.fleet}:{probes.name}:{edge.name}"
        clients = (f"{prefix}:b", f"{prefix}:a")
        passed_over = why_passed_over(edge, quota.limit)
        sides: list[ProbedSide] = []
        fault = ""
        if not passed_over:
            for amount, client_ids in zip((edge.below, edge.above), clients, strict=True):
                try:
                    sides.append(await self._side(edge, amount.of(quota.limit), client_ids))
                except ProbeError as error:
                    fault = str(error)
                    break
        self._done.append(
            Probed(
                at_s=self._clock(),
                probes=probes.name,
                edge=edge.name,
                quota=edge.quota,
                limit=quota.limit if math.isfinite(quota.limit) else 0.0,
                unit=quota.unit,
                is_enforced=is_enforced(quota, self._plan.mode),
                clients=clients,
                below=sides[0] if sides else None,
                above=sides[1] if len(sides) > 1 else None,
                fault=fault,
                passed_over=passed_over,
            )
        )

    async def _side(self, edge: Edge, amount: int, client_ids: str) -> ProbedSide:
        """Go to one side of an edge.

        Raises:
            ProbeError: It could not be done.
        """
        ground = Ground(
            self._plan.table,
            self._paces,
            self._route,
            self._context,
            fleet=self._scenario.fleet,
            prefix=client_ids,
            topics=f"{edge.name}/{client_ids[-1]}",
        )
        try:
            async with asyncio.timeout(_SIDE_S):
                seen = await _ACTS[edge.act](ground, amount)
        except TimeoutError:
            raise ProbeError(f"not done within {_SIDE_S:g} s") from None
        finally:
            await ground.close()
        return ProbedSide(amount, *seen)


def why_passed_over(edge: Edge, limit: float) -> str:
    """Why an edge is not probed at a limit; empty when it is."""
    if limit < 1:
        return "nothing is below this limit"
    if limit > edge.reach:
        return f"more than the {edge.reach:,g} that are probed"
    return ""
