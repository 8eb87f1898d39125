"""Whatever happened before: a restart between two visits of a client makes no difference to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import mqtt5
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulator.iotcore.conftest import Bench
from tests.simulator.iotcore.persistence.restarts import Disk, resume

if TYPE_CHECKING:
    from tests.simulator.iotcore.conftest import Client

CLIENTS = ("a", "b", "c")
TOPICS = ("t/1", "t/2", "u")
FILTERS = ("t/1", "t/+", "t/#", "u", "#", "$share/g/t/1", "$share/h/#")


class Did(NamedTuple):
    """One thing that happened."""

    what: str
    who: str
    detail: Any


def did(what: str, detail: st.SearchStrategy[Any]) -> st.SearchStrategy[Did]:
    """Something that one of the clients did."""
    return st.builds(Did, st.just(what), st.sampled_from(CLIENTS), detail)


PUBLISHES = st.tuples(
    st.sampled_from(TOPICS),
    st.binary(max_size=4),
    st.booleans(),
    st.none() | st.sampled_from([1, 40, 10_000]),
)
HISTORIES = st.lists(
    st.one_of(
        did("connect", st.tuples(st.booleans(), st.sampled_from([0, 60, 3600]), st.booleans())),
        did("subscribe", st.tuples(st.sampled_from(FILTERS), st.integers(0, 1), st.booleans())),
        did("unsubscribe", st.sampled_from(FILTERS)),
        *[did("publish", PUBLISHES)] * 6,
        did("acknowledge", st.integers(1, 3)),
        did("lose", st.none()),
        did("leave", st.none()),
        did("wait", st.sampled_from([1, 30, 61])),
        did("save", st.none()),
    ),
    min_size=10,
    max_size=40,
)
BEGINNINGS = st.tuples(*[st.sampled_from(FILTERS)] * len(CLIENTS))


class World:
    """A broker with three clients and a publisher.

    Args:
        filters: What the clients subscribe to in the beginning.
    """

    def __init__(self, filters: tuple[str, ...]) -> None:
        self.bench = Bench()
        self.disk = Disk(self.bench)
        self.online: dict[str, Client] = {}
        self.unacknowledged: dict[str, list[Any]] = {name: [] for name in CLIENTS}
        self.speaker = self.bench.join("speaker")
        for name, pattern in zip(CLIENTS, filters, strict=True):
            self.happen(Did("connect", name, (True, 3600, False)))
            self.happen(Did("subscribe", name, (pattern, 1, True)))

    def happen(self, event: Did) -> None:
        """Let one thing happen; what a client cannot do now it does not do."""
        if event.what == "connect":
            clean, expiry_s, has_will = event.detail
            topic = f"will/{event.who}"
            will = mqtt5.Will(topic, payload=b"w", retain=True) if has_will else None
            self.unacknowledged[event.who] = []
            self.online[event.who] = self.bench.connect(
                event.who,
                clean_start=clean,
                session_expiry_interval=expiry_s,
                will=will,
                receive_max=4,
            )
        elif event.what == "publish":
            topic, payload, retain, expiry_s = event.detail
            self.speaker.publish(
                topic, payload, qos=1, retain=retain, message_expiry_interval=expiry_s
            )
        elif event.what == "wait":
            self.pass_time(event.detail)
        elif event.what == "save":
            self.disk.save()
        elif (client := self.online.get(event.who)) is not None:
            self.act(client, event)

    def act(self, client: Client, event: Did) -> None:
        """What needs a connection."""
        if event.what == "subscribe":
            pattern, qos, as_published = event.detail
            client.subscribe(pattern, qos=qos, retain_as_published=as_published)
        elif event.what == "unsubscribe":
            client.send(mqtt5.UnsubscribePacket(5, [event.detail]))
        elif event.what == "acknowledge":
            waiting = self.unacknowledged[event.who]
            waiting += [p for p in client.take(mqtt5.PublishPacket) if p.packet_id is not None]
            for packet in waiting[: event.detail]:
                client.acknowledge(packet)
            del waiting[: event.detail]
        else:
            del self.online[event.who]
            if event.what == "lose":
                client.lose()
            else:
                client.send(mqtt5.DisconnectPacket())

    def pass_time(self, seconds: float) -> None:
        """Everybody online stays so."""
        for client in (self.speaker, *self.online.values()):
            client.send(mqtt5.PingReqPacket())
        self.bench.wait(seconds)

    def lose_all(self) -> None:
        """Every connection ends."""
        for client in self.online.values():
            client.lose()
        self.speaker.lose()


def visits(bench: Bench) -> list[Any]:
    """What clients find: their sessions, what waited, and retained messages."""
    found: list[Any] = []
    for name in CLIENTS:
        client, heard = resume(bench, name)
        found.append((name, heard))
        client.lose()
    reader = bench.join("reader")
    reader.subscribe(*TOPICS, *(f"will/{name}" for name in CLIENTS), qos=0)
    found.append(sorted((p.topic, p.payload) for p in reader.take(mqtt5.PublishPacket)))
    return found


@settings(max_examples=150, deadline=None)
@given(
    filters=BEGINNINGS,
    history=HISTORIES,
    away_s=st.sampled_from([0, 20, 70]),
    is_killed=st.booleans(),
)
def test_a_restart_makes_no_difference_to_clients(
    filters: tuple[str, ...], history: list[Did], away_s: int, is_killed: bool
) -> None:
    """Stopped or killed right after a save, at any point of any history, saved often or once."""
    world = World(filters)
    for event in history:
        world.happen(event)
    if is_killed:
        world.disk.save()
    world.lose_all()
    if not is_killed:
        world.disk.save()
    restarted = world.disk.restart(away_s)
    world.bench.wait(away_s)
    assert visits(restarted) == visits(world.bench)


@settings(max_examples=50, deadline=None)
@given(filters=BEGINNINGS, history=HISTORIES)
def test_many_small_saves_are_worth_one_large(filters: tuple[str, ...], history: list[Did]) -> None:
    """What is on disk depends on what there is and not on what was saved before."""
    world = World(filters)
    for event in history:
        world.happen(event)
        world.disk.save()
    fresh = Disk(world.bench)
    fresh.save()
    assert visits(world.disk.restart()) == visits(fresh.restart())
    assert len(world.disk.records) == len(fresh.records)
