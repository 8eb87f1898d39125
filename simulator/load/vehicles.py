"""The cars of one group on one worker, on the engine's own clients.

Owns what these clients need from their group: their settings, their return after a loss, and the
hooks of the socket that faults use. What is common to all cars is in `simulator.load.driving`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import mqtt5

from simulator.load.connection.client import Client, Pending, Settings
from simulator.load.driving import DrivenCars

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from simulator.load.driving import CarsPlan
    from simulator.load.target.identities import KeyPair
    from simulator.load.workspace import WorkSpace


class CarGroup(DrivenCars[Client]):
    """The cars of one group that one worker drives, on the engine's own clients.

    Args:
        plan: Which cars, and with what.
        work: What all parts of a worker share.

    Attributes:
        borrowed: Car to a certificate that it uses instead of its own.
        dark_until_s: Car to the end of its silence. It does not connect before.
        slow_readers: Cars that read nothing once they are connected.
    """

    def __init__(self, plan: CarsPlan, work: WorkSpace) -> None:
        super().__init__(plan, work)
        self.borrowed: dict[int, KeyPair] = {}
        self.dark_until_s: dict[int, float] = {}
        self.slow_readers: set[int] = set()
        group = plan.group
        settings = Settings(
            keep_alive_s=group.keep_alive,
            window=group.in_flight,
            is_persistent=group.session == "persistent",
        )
        self.clients = [
            Client(self, index, thing, settings, work.loop, work.clock, self.identity(index))
            for index, thing in enumerate(plan.things)
        ]

    # Connecting

    def connect(self, index: int, _now_s: float = 0.0) -> None:
        """Let a car connect now, unless it is connected or the run is over.

        A car that is silenced connects when its silence ends.
        """
        client = self.clients[index]
        if self.is_over or client.link is not None:
            return
        dark_until_s = self.dark_until_s.get(index, 0.0)
        if dark_until_s > self.work.clock():
            self.work.agenda.at(dark_until_s, partial(self.connect, index))
            return
        client.connect(self.work.endpoint, self.borrowed.get(index))

    def disconnect(self, index: int, now_s: float) -> None:
        """Let a car end its connection in order, and come back as the scenario says."""
        self.cut(index, now_s, in_order=index not in self.dark_until_s)

    def cut(
        self, index: int, now_s: float, *, in_order: bool = False, at_once: bool = False
    ) -> None:
        """End a connection; the car comes back by its own policy, or at once.

        Args:
            index: The car.
            now_s: The time now.
            in_order: Send DISCONNECT first.
            at_once: Reconnect now, whatever the policy.
        """
        client = self.clients[index]
        if client.is_connected:
            self.lost_connection()
        if in_order:
            client.disconnect()
        else:
            client.abort()
        if at_once:
            self.connect(index)
        else:
            self._reconnect_later(index, now_s)

    def _reconnect_later(self, index: int, now_s: float) -> None:
        wait_s = self.return_after_s(index)
        if wait_s is not None:
            self.work.agenda.at(now_s + wait_s, partial(self.connect, index))

    def _left_alone(self, client: Client) -> None:
        self._reconnect_later(client.index, self.work.clock())

    def client_linked(self, client: Client, now_s: float, /) -> None:
        """TLS stands."""
        phase = self._timetable.phase_at(client.started_s)
        self.meter.sink("tls_ms", self.name, phase).append(now_s - client.started_s)

    def client_connected(self, client: Client, now_s: float, /) -> None:
        """CONNACK came."""
        super().client_connected(client, now_s)
        self._subscribe(client, now_s)
        if client.index in self.slow_readers and client.link is not None:
            client.link.pause_reading()

    # Holding up connections

    def silence(self, index: int, until_s: float) -> None:
        """Let nothing through to or from a car, whatever becomes of its connection."""
        self.dark_until_s[index] = until_s
        link = self.clients[index].link
        if link is not None:
            link.mute()

    def end_silence(self, index: int) -> None:
        """Let everything through again."""
        self.dark_until_s.pop(index, None)
        link = self.clients[index].link
        if link is not None:
            link.unmute()

    def stop_reading(self, index: int) -> None:
        """Let a car read nothing, on this connection and the next ones."""
        self.slow_readers.add(index)
        link = self.clients[index].link
        if link is not None:
            link.pause_reading()

    def read_again(self, index: int) -> None:
        """Let a car read again."""
        self.slow_readers.discard(index)
        link = self.clients[index].link
        if link is not None:
            link.resume_reading()

    # Publishing

    def _write_unacknowledged(
        self,
        topics: Sequence[str],
        cars: list[int],
        payloads: list[bytes],
        due_s: list[float],
        lateness: list[float],
    ) -> list[int]:
        # Every message of a QoS 0 fleet passes through this loop: nothing in it is done twice.
        clients, clock, encode = self.clients, self.work.clock, mqtt5.PublishPacket
        stalled: list[int] = []
        written_bytes = 0
        for index, payload, due in zip(cars, payloads, due_s, strict=True):
            packet = encode(topics[index], payload).write()
            now_s = clock()
            if clients[index].write_publish(packet, now_s):
                written_bytes += len(packet)
                lateness.append(now_s - due)
            else:
                stalled.append(index)
        self.bytes_out += written_bytes
        return stalled

    def client_message(self, client: Client, packet: mqtt5.PublishPacket, /) -> None:
        """A message for a car."""
        self._take_message(client, packet.topic, packet.payload, packet.message_expiry_interval)

    # Ending

    def look_after(self, now_s: float, part: int, parts: int) -> None:
        """Look after one part of the cars' connections: pings, time-outs."""
        for client in self.clients[part::parts]:
            if client.link is not None:
                client.look_after(now_s)

    @property
    def unacknowledged(self) -> int:
        """QoS 1 publishes that were written and have no PUBACK."""
        return sum(
            len(client.in_flight) + len(client.waiting or ()) - len(client.never_written())
            for client in self.clients
        )

    def _open_of(self, client: Client) -> Iterable[Pending]:
        return (*client.in_flight.values(), *(client.waiting or ()))
