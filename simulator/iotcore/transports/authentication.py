"""Asking custom authorizers, while the client waits and again while it is connected.

Owns the calls and the calendar of the repeated ones. What is asked and what an answer is worth is
`custom_authorizer`'s; a client that is refused becomes a principal without any policy, which the
broker turns away as it does with every other.
"""

from __future__ import annotations

import asyncio
import heapq
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from simulator.iotcore.broker.connection import State
from simulator.iotcore.broker.counters import Cause
from simulator.iotcore.broker.lifecycle import DisconnectReason
from simulator.iotcore.broker.peer import Lapse
from simulator.iotcore.lambdas import LambdaFailure
from simulator.iotcore.permissions.identity import AuthorizedToken
from simulator.iotcore.transports.custom_authorizer import (
    Grant,
    NotAuthorized,
    Presented,
    chosen,
    event_for,
    is_wanted,
    read_grant,
)

if TYPE_CHECKING:
    from simulator.iotcore.broker.connection import Connection
    from simulator.iotcore.lambdas import Lambdas
    from simulator.iotcore.registry import Registry
    from simulator.iotcore.transports.links import Links

log = structlog.get_logger(__name__)

FUNCTION_TIMEOUT_S: Final = 5.0
"""AWS does not publish how long it waits for an authorizer."""

_RENEWALS_UNSORTED: Final = 64


class Admission(NamedTuple):
    """What became of a client.

    Attributes:
        principal: Who it is from now on; without policies when it was refused.
        grant: What the authorizer said; None when it was refused.
    """

    principal: AuthorizedToken
    grant: Grant | None

    @property
    def lapse(self) -> Lapse | None:
        """When the connection ends."""
        if self.grant is None:
            return None
        after_s = self.grant.disconnect_after_s
        return Lapse(after_s, DisconnectReason.CUSTOMAUTH_TTL_EXPIRATION)


class _Renewal(NamedTuple):
    """A connection whose authorizer is to be asked again."""

    due_s: float
    number: int
    connection: Connection
    principal: AuthorizedToken
    presented: Presented


class CustomAuthentication:
    """Asks custom authorizers.

    Args:
        registry: Which there are.
        lambdas: Where their functions are.
        links: The connections.
    """

    def __init__(self, registry: Registry, lambdas: Lambdas, links: Links) -> None:
        self._registry = registry
        self._lambdas = lambdas
        self._links = links
        self._renewals: list[_Renewal] = []
        self._numbers = count()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def exists(self) -> bool:
        """Whether there is any authorizer."""
        return len(self._registry.authorizers) > 0

    def is_wanted(self, presented: Presented) -> bool:
        """Whether a client asks for an authorizer, or gets the default one."""
        return is_wanted(self._registry, presented)

    async def admit(self, presented: Presented) -> Admission:
        """Ask the authorizer of a client. Never raises because of what it presents."""
        grant = await self._ask(presented)
        if grant is None:
            return Admission(AuthorizedToken(""), None)
        return Admission(AuthorizedToken(grant.principal_id, grant.policies), grant)

    def watch(self, connection: Connection, presented: Presented, admission: Admission) -> None:
        """Ask again for an open connection when its grant says so."""
        if admission.grant is not None:
            self._plan(connection, admission.principal, presented, admission.grant)

    def advance(self, now_s: float) -> None:
        """Begin the calls that are due."""
        while self._renewals and self._renewals[0].due_s <= now_s:
            renewal = heapq.heappop(self._renewals)
            if renewal.connection.state is not State.CLOSED:
                task = asyncio.get_running_loop().create_task(self._renew(renewal))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    @property
    def next_deadline_s(self) -> float | None:
        """When `advance` has something to do."""
        return self._renewals[0].due_s if self._renewals else None

    async def close(self) -> None:
        """Give up the calls that are under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _plan(
        self, connection: Connection, principal: AuthorizedToken, presented: Presented, grant: Grant
    ) -> None:
        if grant.refresh_after_s is not None:
            due_s = self._links.now_s() + grant.refresh_after_s
            entry = _Renewal(due_s, next(self._numbers), connection, principal, presented)
            heapq.heappush(self._renewals, entry)
            if len(self._renewals) > _RENEWALS_UNSORTED + 2 * self._links.broker.connections:
                self._forget_closed()

    def _forget_closed(self) -> None:
        """Most entries are of connections that ended long before they were due."""
        self._renewals = [
            each for each in self._renewals if each.connection.state is not State.CLOSED
        ]
        heapq.heapify(self._renewals)

    async def _renew(self, renewal: _Renewal) -> None:
        grant = await self._ask(renewal.presented)
        connection = renewal.connection
        if connection.state is State.CLOSED:
            return
        if grant is None:
            now_s = self._links.now_s()
            self._links.broker.end(connection, DisconnectReason.AUTH_ERROR, now_s)
            self._links.wake()
            return
        renewal.principal.granted = grant.policies
        if connection.authorizer is not None:
            connection.authorizer.rebind()
        # They remember topics that the old policies allowed.
        connection.routes.clear()
        self._plan(connection, renewal.principal, renewal.presented, grant)

    async def _ask(self, presented: Presented) -> Grant | None:
        try:
            authorizer = chosen(self._registry, presented)
            event = event_for(authorizer, presented)
            answer = await self._lambdas.invoke(authorizer.function_arn, event, FUNCTION_TIMEOUT_S)
            return read_grant(answer, authorizer)
        except (NotAuthorized, LambdaFailure) as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 - to read the answer may run the user's code
            why = f"the function's answer cannot be read: {type(error).__name__}"
        self._links.broker.counters.count(Cause.AUTHORIZER_REFUSED)
        log.info("core.authorizer_refused", connection=presented.connection_id, why=why)
        return None
