"""The client against a server whose bytes come from the tables of MQTT 5.0."""

from __future__ import annotations

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.load.connection.client import CONNECT_TIMEOUT_S, Client, Pending, Settings
from simulator.load.connection.link import BACKLOG_BYTES_MAX, CLOSED_BY_PEER, Link
from simulator.load.target.reachability import Address
from tests.simulator.load.connection.scripted import (
    CONNACK,
    CONNACK_SESSION,
    DISCONNECT,
    PINGREQ,
    PINGRESP,
    Driver,
    Hands,
    begun,
    puback,
    publication,
    staged,
)
from tests.simulator.load.connection.servers import HOST, listening

pytestmark = pytest.mark.usefixtures("no_complaints")

WINDOW_3 = Settings(window=3)


def test_a_text() -> None:
    """The bytes of these tests are what the specification's tables say."""
    assert bytes.fromhex(publication(10, 7)) == b"\x32\x09\x00\x03t/a\x00\x0a\x00\x07"
    assert bytes.fromhex(puback(258, 0x97)) == b"\x40\x03\x01\x02\x97"


# Connecting


async def test_it_introduces_itself() -> None:
    """CONNECT has name, Clean Start, Keep Alive and the bounds on what the server may send."""
    async with staged(Settings(keep_alive_s=300)) as stage:
        await stage.open()
        packet = stage.connect_packet

    # Section 3.1: protocol name and version 5, Clean Start, 300 s, then properties and client id.
    assert packet[0] == 0x10
    assert packet[2:12] == bytes.fromhex("0004 4d515454 05 02 012c")
    assert packet[-5:] == b"\x00\x03car"
    assert bytes.fromhex("21 0064") in packet  # Receive Maximum 100
    assert bytes.fromhex("27 00100000") in packet  # Maximum Packet Size 1 MiB


async def test_a_persistent_session_is_asked_for() -> None:
    """Clean Start 0 and a Session Expiry Interval of an hour."""
    async with staged(Settings(is_persistent=True)) as stage:
        await stage.open()

    assert stage.connect_packet[9] == 0x00
    assert bytes.fromhex("11 00000e10") in stage.connect_packet


async def test_nothing_is_sent_before_connack() -> None:
    """Publishes wait, also those of a moment ago, and go out when the server lets the client in."""
    async with staged() as stage:
        await stage.open()
        assert stage.publish(1) == 0
        stage.client.look_after(stage.clock.now_s + 1)
        stage.say(CONNACK)

        assert await stage.packets(1) == [publication(1, 1)]
        assert stage.client.is_connected


async def test_a_server_that_talks_before_connack_is_left() -> None:
    """A PUBLISH as the first packet gets no answer (MQTT-3.2.0-1)."""
    async with staged() as stage:
        await stage.open()
        stage.say(publication(9, 1))

        assert await stage.ends() == b""
        assert await stage.driver.hears("ended") == (
            "ended",
            "MQTT: the server's first packet is no CONNACK",
            False,
        )
    assert stage.driver.messages == []


@pytest.mark.parametrize(
    ("connack", "cause"),
    [
        ("20 03 00 87 00", "CONNACK 0x87 not authorized"),
        ("20 03 00 89 00", "CONNACK 0x89 server busy"),
        ("20 03 00 9f 00", "CONNACK 0x9F connection rate exceeded"),
        ("20 0a 00 85 07 1f 00 04 6e 6f 70 65", "CONNACK 0x85 client identifier not valid"),
        ("e0 01 8b", "DISCONNECT 0x8B server shutting down"),
        ("20 03 00 01 00", "MQTT: malformed packet from the server"),
        ("20 06 00 00 03 21 00 00", "MQTT: malformed packet from the server"),  # Receive Maximum 0
        ("20 02 00 00", "MQTT: malformed packet from the server"),
        ("20 09 00 00 06 1f 00 03 ff fe fd", "MQTT: malformed packet from the server"),  # no UTF-8
    ],
)
async def test_a_refusal_has_its_code(
    connack: str, cause: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The reason code in words, counted as an attempt that failed; nothing on standard error."""
    async with staged() as stage:
        await stage.open()
        stage.say(connack)

        assert await stage.driver.hears("ended") == ("ended", cause, False)
        assert stage.client.attempts == 1
        assert stage.client.is_idle
    assert capfd.readouterr().err == ""


async def test_attempts_are_counted_until_one_succeeds() -> None:
    """Each failure adds one; CONNACK sets it back."""
    async with staged() as stage:
        for number in range(1, 4):
            await stage.open()
            stage.peer.writer.close()
            assert await stage.driver.hears("ended", number) == ("ended", CLOSED_BY_PEER, False)
            assert stage.client.attempts == number
        await stage.begin()
        assert stage.client.attempts == 0


async def test_a_second_connack_is_an_error() -> None:
    """A client that is in does not take another CONNACK (section 3.2)."""
    async with begun() as stage:
        stage.say(CONNACK)

        assert await stage.driver.hears("ended") == (
            "ended",
            "MQTT: a second CONNACK from the server",
            True,
        )


@pytest.mark.parametrize("accepts", [False, True])
async def test_a_slow_connection_is_given_up(accepts: bool) -> None:
    """No TCP or no CONNACK within the time allowed, on a clock that the test moves."""
    async with staged() as stage:
        if accepts:
            await stage.open()
        else:
            with listening() as sock:
                gone = sock.getsockname()[1]
            # Not a turn of the loop passes, so the refusal has not been heard of.
            stage._endpoint = stage._endpoint._replace(
                addresses=(Address(socket.AF_INET, (HOST, gone)),)
            )
            stage.client.connect(stage._endpoint)
        stage.client.look_after(stage.clock.now_s + CONNECT_TIMEOUT_S)
        assert not stage.client.is_idle

        stage.client.look_after(stage.clock.now_s + CONNECT_TIMEOUT_S + 0.1)

        what = "CONNACK" if accepts else "TCP or TLS"
        assert stage.driver.heard[-1] == ("ended", f"timed out: no {what} within 30 s", False)
        await asyncio.sleep(0)
        assert [each[0] for each in stage.driver.heard].count("ended") == 1


# Publishing


async def test_an_acknowledgement_ends_a_publish() -> None:
    """Its latency counts from when it was due; success, no subscribers and refusals differ."""
    sink: list[float] = []
    async with begun() as stage:
        assert [stage.publish(number, sink) for number in (1, 2, 3)] == [11, 11, 11]
        assert await stage.packets(3) == [publication(n, n) for n in (1, 2, 3)]
        stage.clock.now_s += 0.25
        stage.say(puback(2, 0x10) + puback(3, 0x97) + puback(1) + puback(77))

        assert await stage.driver.hears("acknowledged", 3) == ("acknowledged", 1, 0)
        assert stage.driver.heard[-3:-1] == [("acknowledged", 2, 0x10), ("acknowledged", 3, 0x97)]
        assert sink == [0.25, 0.25]
        assert not stage.client.in_flight


async def test_the_window_is_kept() -> None:
    """Three may be in flight; the others wait in order, and each PUBACK lets one go."""
    async with begun(WINDOW_3) as stage:
        sizes = [stage.publish(number) for number in range(1, 7)]
        assert [size > 0 for size in sizes] == [True] * 3 + [False] * 3
        was_full = stage.client.is_window_full
        assert was_full
        assert await stage.packets(3) == [publication(n, n) for n in (1, 2, 3)]

        stage.say(puback(2))
        assert await stage.packets(1) == [publication(4, 4)]
        assert sorted(stage.client.in_flight) == [1, 3, 4]
        assert not stage.client.is_window_full
        stage.say(puback(1) + puback(3) + puback(4))
        assert await stage.packets(2) == [publication(5, 5), publication(6, 6)]


async def test_the_servers_receive_maximum_counts() -> None:
    """The smaller of both windows holds (section 3.2.2.3.3)."""
    async with begun(WINDOW_3, "20 06 00 00 03 21 00 02") as stage:
        assert [stage.publish(number) > 0 for number in range(3)] == [True, True, False]


async def test_packet_ids_in_use_are_not_given_again() -> None:
    """After 65,535 comes 1, unless that is still in flight; 0 never (MQTT-2.2.1-3)."""
    async with begun() as stage:
        stage.publish(1)
        stage.client._last_id = 65_533
        for number in (2, 3, 4):
            stage.publish(number)

        assert await stage.packets(4) == [
            publication(1, 1),
            publication(65_534, 2),
            publication(65_535, 3),
            publication(2, 4),
        ]


async def test_a_new_session_gets_everything_anew() -> None:
    """Unacknowledged publishes are new to it, in order and before what waited."""
    async with begun(WINDOW_3) as stage:
        for number in range(1, 6):
            stage.publish(number)
        await stage.packets(3)
        stage.say(puback(2))
        await stage.packets(1)
        stage.peer.writer.close()
        await stage.driver.hears("ended")

        await stage.begin()

        assert await stage.packets(3) == [publication(5, 1), publication(6, 3), publication(7, 4)]
        assert await stage.driver.hears("resent") == ("resent", 3)
        stage.say(puback(5))
        assert await stage.packets(1) == [publication(8, 5)]


async def test_a_session_that_lives_on_gets_the_same_packets() -> None:
    """Old packet ids, DUP set, and new ids avoid them (MQTT-4.4.0-1, MQTT-3.3.1-1)."""
    async with begun(Settings(is_persistent=True)) as stage:
        for number in (1, 2):
            stage.publish(number)
        await stage.packets(2)
        stage.say(puback(1))
        await stage.driver.hears("acknowledged")
        stage.peer.writer.close()
        await stage.driver.hears("ended")
        stage.client._last_id = 1

        await stage.begin(CONNACK_SESSION)
        stage.publish(3)

        assert await stage.packets(2) == [publication(2, 2, first="3a"), publication(3, 3)]
        assert await stage.driver.hears("resent") == ("resent", 1)


async def test_a_smaller_window_after_a_reconnect_is_kept() -> None:
    """What does not fit waits, and nothing is lost or repeated."""
    async with begun() as stage:
        for number in range(1, 6):
            stage.publish(number)
        await stage.packets(5)
        stage.peer.writer.close()
        await stage.driver.hears("ended")

        await stage.begin("20 06 00 00 03 21 00 02")

        first = await stage.packets(2)
        assert [each[-2:] for each in first] == ["01", "02"]
        assert await stage.driver.hears("resent") == ("resent", 2)
        for number in (3, 4, 5):
            stage.say("40 02" + first[0][21:26].replace(" ", ""))
            first = [*first[1:], *await stage.packets(1)]
            assert int(first[-1][-2:], 16) == number


async def test_what_the_link_does_not_take_waits() -> None:
    """A publish that finds the backlog full is not lost: it goes out when there is room."""
    async with begun() as stage:
        link = stage.client.link
        assert link is not None
        link.mute()
        assert link.write(bytes.fromhex(PINGREQ) * (BACKLOG_BYTES_MAX // 2))
        assert stage.publish(1) == 0
        assert not stage.client.in_flight
        link.unmute()
        for _ in range(BACKLOG_BYTES_MAX // 2):
            await stage.peer.reader.readexactly(2)

        stage.client.look_after(stage.clock.now_s)

        assert (await stage.packets(1))[0][-2:] == "01"
        assert len(stage.client.in_flight) == 1


@given(st.lists(st.sampled_from(["publish", "ack", "lose", "look"]), max_size=60))
def test_no_publish_is_lost_or_doubled(acts: list[str]) -> None:
    """Whatever happens: each is in flight or waiting, once, in order, within the window."""
    with unconnected(Settings(window=4)) as (client, driver):
        published = 0
        for act in acts:
            if act == "publish":
                client.publish(Pending(0.0, [], "t/a", b"x", None, published), 0.0)
                published += 1
            elif act == "ack" and client.in_flight:
                client.received(bytes.fromhex(puback(next(iter(client.in_flight)))))
            elif act == "lose":
                client.unlinked("lost")
                reconnect(client)
            else:
                client.look_after(0.0)
            held = [each.number for each in (*client.in_flight.values(), *(client.waiting or ()))]
            done = [each[1] for each in driver.heard if each[0] == "acknowledged"]
            assert sorted(done + held) == list(range(published))
            assert held == sorted(held)
            assert len(client.in_flight) <= 4


# Reading


async def test_messages_are_acknowledged_and_handed_on() -> None:
    """QoS 0 and 1, split and joined as TCP likes; the PUBACK carries the message's id."""
    async with begun() as stage:
        wire = bytes.fromhex("30 06 00 03 74 2f 61 00" + publication(0x0102, 9))
        stage.say(wire[:3])
        await asyncio.sleep(0)
        stage.say(wire[3:11])
        await asyncio.sleep(0)
        stage.say(wire[11:] + wire)

        assert await stage.packets(2) == ["40 02 01 02", "40 02 01 02"]
        await stage.driver.hears("message", 4)
        assert stage.driver.messages == [("t/a", b""), ("t/a", b"\x09")] * 2


async def test_subscriptions_are_asked_for_and_answered() -> None:
    """One SUBSCRIBE with its filters and QoS (section 3.8); the SUBACK's codes are handed on."""
    async with begun() as stage:
        stage.client.subscribe([("a/+", 1), ("b", 0)], stage.clock.now_s)
        packet = await stage.packet()
        stage.say("90 05 00 01 00 01 87")

        assert await stage.driver.hears("subscribed") == ("subscribed", [1, 0x87])
    assert packet[:5] == bytes.fromhex("82 0d 00 01 00")
    assert packet[5:10] == b"\x00\x03a/+"
    assert packet[11:14] == b"\x00\x01b"
    assert (packet[10] & 3, packet[14] & 3) == (1, 0)


@pytest.mark.parametrize(
    ("wire", "cause"),
    [
        ("e0 00", "DISCONNECT 0x00 success"),
        ("e0 01 8e", "DISCONNECT 0x8E session taken over"),
        ("e0 02 97 00", "DISCONNECT 0x97 quota exceeded"),
        ("e0 08 95 06 1f 00 03 62 69 67", "DISCONNECT 0x95 packet too large"),
        ("e0 08 95 06 1f 00 03 ff fe fd", "MQTT: malformed packet from the server"),
        ("40 01 00", "MQTT: malformed packet from the server"),
        ("40 00", "MQTT: malformed packet from the server"),
        ("90 02 00 01", "MQTT: malformed packet from the server"),
        ("36 06 00 01 61 00 01 00", "MQTT: malformed packet from the server"),  # QoS 3
        ("30 04 00 01 ff 00", "MQTT: malformed packet from the server"),  # a topic that is no UTF-8
        (
            "34 07 00 01 61 00 01 00 78",
            "MQTT: a QoS from the server that nobody asked for",
        ),
        ("50 02 00 01", "MQTT: malformed packet from the server"),  # PUBREC
        ("82 07 00 01 00 00 01 61 00", "MQTT: malformed packet from the server"),  # SUBSCRIBE
        ("30 ff ff ff ff 01", "MQTT: the server's bytes are no MQTT"),
        ("30 81 80 40", "MQTT: the server's bytes are no MQTT"),  # 1 MiB and a byte
    ],
)
async def test_what_the_server_must_not_send(
    wire: str, cause: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Malformed, oversized and unasked-for packets end the connection with their cause, once."""
    async with begun() as stage:
        stage.say(wire)
        stage.say(publication(1, 1))

        assert await stage.driver.hears("ended") == ("ended", cause, True)
        assert await stage.ends() == b""
        assert stage.driver.messages == []
        assert [each[0] for each in stage.driver.heard] == ["linked", "connected", "ended"]
    assert capfd.readouterr().err == ""


PACKETS = [
    CONNACK,
    CONNACK_SESSION,
    PINGRESP,
    puback(1),
    puback(1, 0x87),
    publication(5, 1),
    publication(0, 0, first="30"),
    "90 04 00 01 00 01",
    "e0 01 8e",
    "20 06 00 00 03 21 00 02",
]


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """What a broken or hostile server may send: packets with damage, noise, cut anywhere."""
    wire = bytearray(bytes.fromhex(CONNACK) if draw(st.booleans()) else b"")
    for _ in range(draw(st.integers(0, 6))):
        piece = bytearray(bytes.fromhex(draw(st.sampled_from(PACKETS))))
        if draw(st.booleans()):
            for _ in range(draw(st.integers(1, 3))):
                piece[draw(st.integers(0, len(piece) - 1))] = draw(st.integers(0, 255))
        wire += piece
        wire += draw(st.binary(max_size=8)) if draw(st.integers(0, 3)) == 0 else b""
    cuts = sorted(draw(st.lists(st.integers(0, len(wire)), max_size=4)))
    return [bytes(wire[a:b]) for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]


@given(st.one_of(streams(), st.lists(st.binary(max_size=200), max_size=5)))
def test_no_bytes_can_hurt(pieces: list[bytes]) -> None:
    """Whatever a server sends: no exception, one end at most, and silence after it."""
    with unconnected(Settings(), is_in=False) as (client, driver):
        client.publish(Pending(0.0, [], "t/a", b"x"), 0.0)
        for piece in pieces:
            client.received(piece)
            client.look_after(0.5)
        kinds = [each[0] for each in driver.heard]
        assert kinds.count("ended") <= 1
        assert kinds.count("connected") <= 1
        assert "ended" not in kinds[:-1]


# Staying alive


async def test_an_idle_client_pings() -> None:
    """After three quarters of the Keep Alive without a packet, not before, and not twice."""
    async with begun(Settings(keep_alive_s=100)) as stage:
        stage.client.look_after(174.9)
        stage.client.look_after(175.1)
        stage.client.look_after(180.0)
        stage.clock.now_s = 180.0
        assert await stage.packets(1) == [PINGREQ]
        stage.say(PINGRESP + "30 06 00 03 74 2f 61 00")
        await stage.driver.hears("message")
        stage.client.look_after(250.0)
        stage.client.look_after(250.2)
        stage.client.disconnect()

        assert await stage.ends() == bytes.fromhex(PINGREQ + DISCONNECT)


@pytest.mark.parametrize("direction", ["writes", "reads"])
async def test_traffic_in_one_direction_is_not_enough(direction: str) -> None:
    """Who only writes must hear something, and who only reads must be heard (section 3.1.2.10)."""
    async with begun(Settings(keep_alive_s=100)) as stage:
        stage.clock.now_s = 150.0
        if direction == "writes":
            stage.client.write_publish(bytes.fromhex("30 06 00 03 74 2f 61 00"), 150.0)
            await stage.packet()
        else:
            stage.say("30 06 00 03 74 2f 61 00")
            await stage.driver.hears("message")
        stage.client.look_after(176.0)

        assert await stage.packets(1) == [PINGREQ]


async def test_a_dead_peer_is_found() -> None:
    """A ping without an answer for another three quarters of the Keep Alive ends the connection."""
    async with begun(Settings(keep_alive_s=100)) as stage:
        stage.client.look_after(176.0)
        stage.client.look_after(250.9)
        assert stage.client.is_connected

        stage.client.look_after(251.1)

        assert stage.driver.heard[-1] == ("ended", "timed out: no PINGRESP", True)
        assert stage.client.is_idle
        assert await stage.ends() == bytes.fromhex(PINGREQ)


async def test_the_servers_keep_alive_holds_for_the_connection() -> None:
    """It replaces the client's until the next CONNECT, which asks for the client's again."""
    async with begun(Settings(keep_alive_s=100), "20 06 00 00 03 13 00 14") as stage:  # 20 s
        stage.client.look_after(115.1)
        assert await stage.packets(1) == [PINGREQ]
        stage.peer.writer.close()
        await stage.driver.hears("ended")

        await stage.begin()

        assert stage.connect_packet[10:12] == bytes.fromhex("0064")
        stage.clock.now_s = 174.0
        stage.client.look_after(174.0)
        stage.client.disconnect()
        assert await stage.ends() == bytes.fromhex(DISCONNECT)


async def test_no_keep_alive_means_no_pings() -> None:
    """With Keep Alive 0 a silent connection is left alone for ever."""
    async with begun(Settings(keep_alive_s=0)) as stage:
        stage.client.look_after(1e9)
        stage.client.disconnect()

        assert await stage.ends() == bytes.fromhex(DISCONNECT)


# Ending


async def test_disconnect_ends_in_order_and_says_nothing() -> None:
    """DISCONNECT is the last packet, behind what a silence held back; the role hears no end."""
    async with begun() as stage:
        link = stage.client.link
        assert link is not None
        link.mute()
        stage.publish(1)

        stage.client.disconnect()

        assert await stage.ends() == bytes.fromhex(publication(1, 1) + DISCONNECT)
        assert stage.client.is_idle
        stage.client.disconnect()
        stage.client.abort()
        assert [each[0] for each in stage.driver.heard] == ["linked", "connected"]


async def test_abort_says_nothing_to_anybody() -> None:
    """The connection just ends, for the server as for the role."""
    async with begun() as stage:
        stage.client.abort()

        assert await stage.ends() == b""
        assert [each[0] for each in stage.driver.heard] == ["linked", "connected"]


async def test_bytes_are_counted() -> None:
    """In: all that was read. Out: all but the publishes its role writes, which the role counts."""
    async with begun() as stage:
        size = len(stage.connect_packet)
        stage.publish(1)
        stage.say(publication(1, 1))
        assert await stage.packets(2) == [publication(1, 1), "40 02 00 01"]

        assert stage.driver.bytes_in == 5 + 11
        assert stage.driver.bytes_out == size + 4


# A client without a network, for many tries


class Sponge(Link):
    """A link that takes everything and goes nowhere."""

    __slots__ = ()

    def write(self, _data: bytes) -> bool:
        """Take it."""
        return True


def reconnect(client: Client) -> None:
    """Bring a client to the point where it waits for CONNACK, then let it in."""
    begin(client)
    client.received(bytes.fromhex(CONNACK))


def begin(client: Client) -> None:
    """Bring a client to the point where it waits for CONNACK."""
    client.link = Sponge(client._loop, client)
    client._is_connecting = True
    client.linked()


class unconnected:  # noqa: N801 - a context manager
    """A client on a link that goes nowhere, and its role."""

    def __init__(self, settings: Settings, *, is_in: bool = True) -> None:
        self._loop = asyncio.new_event_loop()
        self._driver = Driver()
        self._client = Client(self._driver, 0, "car", settings, self._loop, Hands())
        (reconnect if is_in else begin)(self._client)

    def __enter__(self) -> tuple[Client, Driver]:
        return self._client, self._driver

    def __exit__(self, *_: object) -> None:
        self._loop.close()
