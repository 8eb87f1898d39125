"""The cars of one group on one worker, each on a real client of the AWS IoT Device SDK.

Owns what is different about them: the SDK reconnects by itself, what it sends again is not told,
and it is stopped and released in order at the end. Bytes are those of PUBLISH and PUBACK packets,
because it does not tell the rest. What is common to all cars is in `simulator.load.driving`.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Final

from agent.cloud.nagle import disable_nagle
from simulator.load.driving import DrivenCars
from simulator.load.sdk_client import SdkClient, SdkSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from simulator.load.connection.client import Pending
    from simulator.load.driving import CarsPlan
    from simulator.load.sdk_equipment import SdkEquipment
    from simulator.load.workspace import WorkSpace

NO_RESULT: Final = "SDK: no result of an attempt to connect"
"""The SDK keeps a failed TLS handshake to itself for 10 to 30 s (s2n-tls, "blinding"); a server
certificate that the CA of the target did not sign looks like this when the run ends before."""

NO_RESULT_S: Final = 3.0
"""An attempt that has lasted this long when the run ends counts as failed."""

DROPPED: Final = "QoS 0 messages dropped, the worker was behind"


class SdkGroup(DrivenCars[SdkClient]):
    """The cars of one group that one worker drives, on the SDK.

    Args:
        plan: Which cars, and with what.
        work: What all parts of a worker share.
        equipment: What their clients are made with.
    """

    def __init__(self, plan: CarsPlan, work: WorkSpace, equipment: SdkEquipment) -> None:
        super().__init__(plan, work)
        settings = SdkSettings.of(plan.group)
        self._equipment = equipment
        self._stays_away = plan.group.reconnect.policy == "none"
        self._has_new_sockets = False
        self._returns_s: dict[int, float] = {}
        self._given_up: dict[int, list[Pending]] = {}
        self._running: set[int] = set()
        self._all_stopped = asyncio.Event()
        self.clients = [
            SdkClient(self, index, plan.first + index, thing, settings, equipment, work.clock)
            for index, thing in enumerate(plan.things)
        ]

    # Connecting

    def connect(self, index: int, _now_s: float = 0.0) -> None:
        """Let a car connect now, unless it is connected or the run is over."""
        client = self.clients[index]
        if not self.is_over:
            client.start()
            if client.is_started:
                self._running.add(index)
                self._all_stopped.clear()

    def disconnect(self, index: int, now_s: float) -> None:
        """Let a car end its connection in order, and come back as the scenario says."""
        wait_s = self.return_after_s(index)
        if wait_s is not None:
            self._returns_s[index] = now_s + wait_s
        self.clients[index].disconnect()

    def client_connected(self, client: SdkClient, now_s: float, /) -> None:
        """CONNACK came."""
        super().client_connected(client, now_s)
        self._has_new_sockets = True
        if not client.is_subscribed:
            self._subscribe(client, now_s)

    def client_left(self, _client: SdkClient, /) -> None:
        """A connection was ended on purpose."""
        if not self.is_over:
            self.lost_connection()

    def client_stopped(self, client: SdkClient, /) -> None:
        """A client has come to rest; a start before that would have been lost."""
        index = client.index
        self._running.discard(index)
        if not self._running:
            self._all_stopped.set()
        return_s = self._returns_s.pop(index, None)
        if return_s is not None:
            self.work.agenda.at(return_s, partial(self.connect, index))

    def _left_alone(self, client: SdkClient) -> None:
        # Otherwise the SDK sees to it.
        if self._stays_away:
            client.disconnect()

    # Publishing and commands

    def _write_unacknowledged(
        self,
        topics: Sequence[str],
        cars: list[int],
        payloads: list[bytes],
        due_s: list[float],
        lateness: list[float],
    ) -> list[int]:
        clients, clock = self.clients, self.work.clock
        stalled: list[int] = []
        for index, payload, due in zip(cars, payloads, due_s, strict=True):
            client = clients[index]
            if client.is_stalled:
                stalled.append(index)
                continue
            now_s = clock()
            self.bytes_out += client.send(topics[index], payload)
            lateness.append(now_s - due)
        return stalled

    def client_gave_up(self, client: SdkClient, pending: Pending, cause: str, /) -> None:
        """The SDK gave a publish up; it may have arrived, and nobody will know by a PUBACK."""
        if not self.is_over:
            self._given_up.setdefault(client.index, []).append(
                # What is remembered is its number, not its payload.
                pending._replace(payload=b"")
            )
            self.meter.reason(f"publish given up, {cause}")

    def client_message(
        self, client: SdkClient, topic: str, payload: bytes, expiry_s: float | None, /
    ) -> None:
        """A message for a car."""
        self._take_message(client, topic, payload, expiry_s)

    # Ending

    def look_after(self, _now_s: float, _part: int, _parts: int) -> None:
        """Do for new connections what the agent does for its own; the SDK does the rest."""
        if self._has_new_sockets:
            self._has_new_sockets = False
            disable_nagle(self._equipment.port)
        dropped = self._equipment.runtime.gate.take_dropped()
        if dropped:
            self.meter.reason(DROPPED, dropped)

    @property
    def unacknowledged(self) -> int:
        """QoS 1 publishes that were handed to the SDK and have no PUBACK."""
        given_up = sum(map(len, self._given_up.values()))
        return given_up + sum(
            len(client.in_flight) + len(client.left_over) for client in self.clients
        )

    def _open_of(self, client: SdkClient) -> Iterable[Pending]:
        return (
            *client.in_flight.values(),
            *client.waiting,
            *client.left_over,
            *self._given_up.get(client.index, ()),
        )

    def end(self) -> None:
        """The run is over: disconnect every car, and let none come back."""
        now_s = self.work.clock()
        for client in self.clients:
            if client.is_attempting and now_s - client.started_s > NO_RESULT_S:
                self.meter.count("connect_failures", self.name)
                self.meter.reason(NO_RESULT)
        super().end()

    async def gone(self, patience_s: float) -> bool:
        """Wait, after `end`, until the clients have left; whether they did within `patience_s`.

        A client in the middle of an attempt to connect cannot be cut short; it is left to the SDK.
        """
        if self._running:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._all_stopped.wait()
        are_gone = not self._running
        for client in self.clients:
            client.release()
        return are_gone
