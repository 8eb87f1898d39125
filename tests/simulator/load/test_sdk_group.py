from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mqtt5
import pytest

from certs.errors import ConfigurationError
from simulator.load.assignment import Start, divide
from simulator.load.records import End, Snapshot, StreamBooks
from simulator.load.run import Listener, Plan, run
from simulator.load.sdk_client import publish_bytes
from simulator.load.sdk_equipment import SdkEquipment
from simulator.load.sdk_group import NO_RESULT
from simulator.load.target.identities import AuthorityPem, Identities
from simulator.load.target.opening import ClientTls, Route
from simulator.load.target.reachability import Address
from simulator.load.target.stand_in import StandIn
from simulator.load.target.stand_in_process import Setup
from simulator.load.worker import Worker
from simulator.load.worker_process import WorkerProcess
from simulator.scenario.roster import Roster
from simulator.scenario.schema import BrokerTarget, Scenario

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simulator.load.records import Record

STREAMS = {"state": {"rate_hz": 5, "qos": 1}, "gnss": {"rate_hz": 2}}


def scenario(*groups: dict[str, Any], seconds: float, **more: Any) -> Scenario:
    """A scenario of these groups and one phase."""
    return Scenario.model_validate(
        {
            "name": "sdk",
            "description": "cars on the device SDK",
            "seed": 3,
            "vehicles": list(groups),
            "arrival": {"kind": "at-once"},
            "phases": [{"name": "steady", "duration": seconds}],
            "drain": 3,
            **more,
        }
    )


def sdk_cars(count: int = 1, **more: Any) -> dict[str, Any]:
    """A group on the SDK."""
    return {"name": "real", "count": count, "client": "sdk", **more}


class Counts:
    """The sums of what snapshots counted."""

    def __init__(self, records: list[Record] | list[Snapshot]) -> None:
        self.by_group: dict[tuple[str, str], int] = {}
        self.reasons: dict[str, int] = {}
        self.measured: set[tuple[str, str]] = set()
        for record in records:
            if isinstance(record, Snapshot):
                for count in record.counts:
                    key = (count.group, count.name)
                    self.by_group[key] = self.by_group.get(key, 0) + count.value
                for text, number in record.reasons.items():
                    self.reasons[text] = self.reasons.get(text, 0) + number
                self.measured |= {(each.group, each.metric) for each in record.latencies}

    def of(self, name: str, group: str = "real") -> int:
        """One sum."""
        return self.by_group.get((group, name), 0)


async def test_real_clients_and_the_engines_run_side_by_side() -> None:
    """Three cars of each kind lose nothing and answer commands, whatever befalls the real ones."""
    plan = scenario(
        {"name": "engine", "count": 3, "streams": STREAMS, "commands": {"takes": 0.1}},
        sdk_cars(
            3,
            streams=STREAMS,
            commands={"takes": 0.1},
            shadow={"every": 1},
            reconnect={"first": 0.2, "jitter": False},
        ),
        seconds=3,
        faults=[
            {"kind": "disconnect", "at": 1, "group": "real", "share": 0.6},
            {"kind": "duplicate-client-id", "at": 2, "group": "real", "share": 0.3},
        ],
        applications={
            "observers": [{"qos": 1}],
            "commanders": [{"rate_hz": 5, "begin": 0.5, "group": "real", "answer_within": 3}],
        },
    )
    records: list[Record] = []

    await run(
        Plan(plan, Path(), 1, "0"),
        Listener(records.append, lambda _text, _steps: None, lambda _number: None),
        asyncio.Event(),
    )

    counts = Counts(records)
    [end] = [record for record in records if isinstance(record, End)]
    books = [record for record in records if isinstance(record, StreamBooks)]
    assert end.outcome == "completed"
    assert end.connected == {"engine": 3, "real": 3}
    assert {(each.group, each.stream): each.lost for each in books} == {
        ("engine", "state"): 0,
        ("engine", "gnss"): 0,
        ("real", "state"): 0,
        ("real", "gnss"): 0,
    }
    assert all(each.seen > 0 for each in books)
    # Two were disconnected and one lost its session to an intruder; all came back.
    assert counts.of("disconnects") == 3
    assert counts.of("connects") == 6
    assert counts.reasons == {"DISCONNECT 0x8E session taken over": 1}
    assert counts.of("connect_failures") == 0
    # 3 cars, 3 s, 5 Hz would be 45 with nobody ever away.
    assert counts.of("acknowledged") >= 30
    assert end.unacknowledged == {"engine": 0, "real": 0}
    assert counts.of("commands_sent", "real") + counts.of("commands_sent", "engine") >= 5
    assert counts.of("commands_answered", "real") + counts.of("commands_answered", "engine") >= 5
    assert {("real", "connect_ms"), ("real", "publish_ack_ms"), ("real", "lateness_ms")} <= (
        counts.measured
    )
    # The SDK does not tell when TLS stood.
    assert ("real", "tls_ms") not in counts.measured


async def test_a_server_that_is_not_trusted_fails_every_attempt() -> None:
    """Behind the wrong CA nobody connects, every car counts as failed, and the process ends."""
    plan = scenario(sdk_cars(3, streams=STREAMS), seconds=3)
    now = datetime.now(UTC)
    identities = Identities.prepare(plan, Path(), now)
    certificate, key = identities.authority.server_pair((), now)
    stranger = AuthorityPem.make("somebody else", now)
    async with StandIn(Setup(certificate, key, list(identities.trusted), "load", "open")) as core:
        address = Address(socket.AF_INET, (core.host, core.port))
        route = Route((address,), ClientTls(stranger.certificate_pem, core.host))
        [assignment] = divide(
            plan, Roster(plan), identities, route, workers=1, base=Path(), now=now
        )
        snapshots: list[Snapshot] = []
        worker = WorkerProcess(assignment, lambda _number: None, snapshots.append)
        await core.register(await worker.minted, "vehicle")
        worker.proceed()
        await worker.ready
        worker.start(Start(time.monotonic(), time.time(), "r1"))
        closing = await worker.closing
        await worker.finish()
        status = await core.status()

    counts = Counts(snapshots)
    # It ended by itself, with attempts still under way at the SDK.
    assert worker._process.exitcode == 0
    assert closing.connected == {"real": 0}
    assert counts.of("connect_failures") == 3
    assert counts.reasons == {NO_RESULT: 3}
    assert counts.of("published") == 0
    assert status.counters["connections"] == 0


class Broker:
    """A broker of one kind of answer, over plain TCP."""

    def __init__(
        self, *, puback: int = 0, hangs_up: bool = False, silent_connections: int = 0
    ) -> None:
        self.connects: list[Any] = []
        self.publishes: list[Any] = []
        self.disconnects = 0
        self._puback = puback
        self._silent_connections = silent_connections
        self._hangs_up = hangs_up

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        rest = b""
        try:
            while data := await reader.read(65_536):
                rest += data
                while rest:
                    try:
                        packet, size = mqtt5.read(memoryview(rest))
                    except IndexError:
                        break
                    rest = rest[size:]
                    self._take(packet, writer)
                if self._hangs_up:
                    break
        finally:
            writer.close()

    def _take(self, packet: Any, writer: asyncio.StreamWriter) -> None:
        match packet:
            case mqtt5.ConnectPacket():
                self.connects.append(packet)
                if not self._hangs_up:
                    writer.write(mqtt5.ConnAckPacket(receive_max=100).write())
            case mqtt5.PublishPacket():
                self.publishes.append(packet)
                is_silent = len(self.connects) <= self._silent_connections
                if packet.packet_id is not None and not is_silent:
                    code = mqtt5.PubAckReasonCode(self._puback)
                    writer.write(mqtt5.PubAckPacket(packet.packet_id, reason_code=code).write())
            case mqtt5.PingReqPacket():
                writer.write(mqtt5.PingRespPacket().write())
            case mqtt5.DisconnectPacket():
                self.disconnects += 1


@asynccontextmanager
async def listening(broker: Broker) -> AsyncIterator[int]:
    """A broker on a free port."""
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def drive(port: int, *groups: dict[str, Any], seconds: float, **more: Any) -> Counts:
    """Run groups in this process against a plain broker; what was counted."""
    target = {"kind": "broker", "host": "127.0.0.1", "port": port, "tls": False}
    plan = scenario(*groups, seconds=seconds, target=target, identities={"kind": "none"}, **more)
    now = datetime.now(UTC)
    identities = Identities.prepare(plan, Path(), now)
    route = Route((Address(socket.AF_INET, ("127.0.0.1", port)),), None)
    [assignment] = divide(plan, Roster(plan), identities, route, workers=1, base=Path(), now=now)
    worker = Worker(assignment)
    await worker.mint(lambda _number: None)
    await worker.open_applications()
    snapshots = [
        each
        async for each in worker.run(Start(time.monotonic(), time.time(), "r1"), lambda _: None)
    ]
    return Counts(snapshots)


async def test_the_settings_of_the_group_reach_the_broker() -> None:
    """Keep-alive, client id and session of CONNECT are the scenario's; DISCONNECT ends it."""
    broker = Broker()
    async with listening(broker) as port:
        counts = await drive(
            port,
            sdk_cars(session="persistent", keep_alive=77, streams=STREAMS),
            {**sdk_cars(), "name": "clean", "keep_alive": 0},
            seconds=1,
        )

    by_id = {packet.client_id: packet for packet in broker.connects}
    persistent, clean = by_id["load-real-0001"], by_id["load-clean-0001"]
    assert (persistent.keep_alive, persistent.clean_start) == (77, False)
    assert persistent.session_expiry_interval == 3600
    assert (clean.keep_alive, clean.clean_start) == (0, True)
    assert not clean.session_expiry_interval
    assert broker.disconnects == 2
    qos_1 = [packet for packet in broker.publishes if packet.packet_id is not None]
    assert counts.of("acknowledged") == len(qos_1) > 0
    assert counts.of("published") == len(broker.publishes) > len(qos_1)
    # As it stands on the wire: what the codec makes of the packets that arrived.
    puback_bytes = 4 * len(qos_1)
    assert counts.of("bytes_in") == puback_bytes
    assert counts.of("bytes_out") == sum(len(packet.write()) for packet in broker.publishes)


async def test_refused_publishes_are_told_by_their_reason() -> None:
    """A PUBACK of 0x97 is a refusal with that reason, and no acknowledgement."""
    broker = Broker(puback=0x97)
    async with listening(broker) as port:
        counts = await drive(port, sdk_cars(streams={"state": STREAMS["state"]}), seconds=1)

    assert counts.of("acknowledged") == 0
    assert counts.of("publish_refused") == len(broker.publishes) > 0
    assert counts.reasons == {"PUBACK 0x97 quota exceeded": len(broker.publishes)}
    assert ("real", "publish_ack_ms") not in counts.measured


async def test_what_a_disconnect_leaves_unacknowledged_is_sent_again() -> None:
    """A window of two holds back what the broker does not acknowledge; a new connection brings it.

    The broker stays silent on the first connection, which ends in order after some publishes.
    """
    broker = Broker(silent_connections=1)
    streams = {"state": {"rate_hz": 10, "qos": 1, "encoding": "bytes", "payload_bytes": 64}}
    cars = sdk_cars(streams=streams, in_flight=2, reconnect={"first": 0.1, "jitter": False})
    async with listening(broker) as port:
        counts = await drive(port, cars, seconds=1.5, faults=[{"kind": "disconnect", "at": 0.8}])

    payloads = [packet.payload for packet in broker.publishes]
    assert len(broker.connects) == 2
    assert payloads[2:4] == payloads[:2]
    assert len(set(payloads)) == len(payloads) - 2
    assert counts.of("resent") == 2
    assert counts.of("not_sent_window") >= 1
    assert counts.of("acknowledged") == counts.of("published") == len(set(payloads))


async def test_a_car_whose_policy_is_none_tries_once() -> None:
    """A broker that hangs up instead of a CONNACK sees one attempt, and no more."""
    broker = Broker(hangs_up=True)
    async with listening(broker) as port:
        counts = await drive(port, sdk_cars(reconnect={"policy": "none"}), seconds=1)

    assert len(broker.connects) == 1
    assert counts.of("connect_failures") == 1
    assert counts.reasons == {"TCP: closed by the peer": 1}


async def test_a_car_without_patience_tries_again_and_again() -> None:
    """With the policy `immediate` every attempt counts, and pauses stay below a second."""
    broker = Broker(hangs_up=True)
    async with listening(broker) as port:
        counts = await drive(port, sdk_cars(reconnect={"policy": "immediate"}), seconds=1)

    # Pauses of 0.1, 0.2, 0.4 s leave room for four attempts in 1 s.
    assert len(broker.connects) >= 3
    assert counts.of("connect_failures") >= 3


def test_one_name_to_connect_to_and_another_to_verify_is_refused() -> None:
    """The SDK verifies the name it connects to, so such a target cannot be used."""
    target = BrokerTarget(kind="broker", host="10.0.0.1", server_name="broker.example.com")
    route = Route(
        (Address(socket.AF_INET, ("10.0.0.1", 8883)),), ClientTls(b"", "broker.example.com")
    )

    with pytest.raises(ConfigurationError, match=r"broker\.example\.com"):
        SdkEquipment(None, target, route)  # type: ignore[arg-type]  # refused before it is used


@pytest.mark.parametrize(
    ("payload_size", "qos", "size"),
    [
        # MQTT 5.0 section 3.3: 1 byte of header, the remaining length, 2 of topic length, the
        # topic, 2 of packet identifier with QoS 1, 1 of property length, the payload.
        (10, 0, 1 + 1 + 2 + 3 + 1 + 10),
        (10, 1, 1 + 1 + 2 + 3 + 2 + 1 + 10),
        # Remaining length 127 fits into one byte, 128 needs two, 16,384 needs three.
        (121, 0, 1 + 1 + 127),
        (122, 0, 1 + 2 + 128),
        (16_378, 0, 1 + 3 + 16_384),
    ],
)
def test_the_size_of_a_publish_is_that_of_the_wire(payload_size: int, qos: int, size: int) -> None:
    """Bytes that the SDK does not tell are computed from the packet's layout."""
    assert publish_bytes("a/b", bytes(payload_size), qos) == size
