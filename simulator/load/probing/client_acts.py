"""What clients do at the edges of quotas that are counted for one client, message or topic.

Each act does an amount of one thing as fast as it can and says what came of it. Nothing here judges
that: an act above a limit that is not enforced comes to the same as one below it.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Final

import mqtt5

from simulator.load.probing.ground import Seen
from simulator.load.probing.talker import FAILURE, ProbeError
from simulator.scenario.edges import (
    ADJUSTED,
    ANNOUNCED,
    DELAYED,
    NO_PUBACK,
    NOT_DELIVERED,
    WAITS,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.load.probing.ground import Ground
    from simulator.load.probing.talker import Talker

IN_FLIGHT: Final = 50
"""Publishes of one client that are written before it hears what became of them: half of what AWS
allows, so that no act breaks another quota than its own."""

PER_SUBSCRIBE: Final = 8
_PER_CLIENT: Final = 60
"""Publishes that a helper sends at most: fewer than a connection may in a second."""

_KB: Final = 1_024
_CHUNKS: Final = 60
_LEAST_OF_A_DELAY: Final = 0.75
"""Share of the time a rate needs for an amount from which on that amount was delayed."""

_PUBLISH_QOS_1: Final = 0x32
_QUIET_S: Final = 1.0
_EXPIRY_TOLERANCE_S: Final = 60


def code_text(packet: str, code: int) -> str:
    """A refusal as reports show it: `PUBACK 0x97`."""
    return f"{packet} 0x{code:02X}"


def one(effect: str) -> Seen:
    """One event, which was accepted unless there is an effect."""
    return Seen(1, int(not effect), int(bool(effect)), effect)


# Connecting


async def connect_again(ground: Ground, amount: int) -> Seen:
    """Connect as the same client, one right after the other."""
    talkers = [await ground.linked() for _ in range(amount)]
    codes = []
    for talker in talkers:
        talker.send_connect(ground.client_id())
        codes.append(await talker.connack_code())
    return of_codes("CONNACK", codes)


async def client_id(ground: Ground, amount: int) -> Seen:
    """Connect with a client id of a length."""
    talker = await ground.linked()
    await ground.turn("connects-per-account")
    talker.send_connect(ground.client_id_of(amount))
    return of_codes("CONNACK", [await talker.connack_code()])


async def packet_maximum(ground: Ground, amount: int) -> Seen:
    """Connect and announce a Maximum Packet Size."""
    talker = await ground.linked()
    await ground.turn("connects-per-account")
    talker.send_connect(ground.client_id(), packet_bytes_max=amount)
    return of_codes("CONNACK", [await talker.connack_code()])


async def keep_alive(ground: Ground, amount: int) -> Seen:
    """Connect with a Keep Alive, and see which one the broker announces."""
    connack = await _terms(ground, keep_alive_s=amount)
    announced = connack.server_keep_alive
    return one("" if announced in {None, amount} else ADJUSTED)


async def session_expiry(ground: Ground, amount: int) -> Seen:
    """Connect with a Session Expiry Interval, and see which one the broker announces."""
    connack = await _terms(ground, session_expiry_s=amount)
    announced = connack.session_expiry_interval
    return one("" if announced in {None, amount} else ADJUSTED)


async def _terms(
    ground: Ground, *, keep_alive_s: int = 60, session_expiry_s: int = 0
) -> mqtt5.ConnAckPacket:
    talker = await ground.linked()
    await ground.turn("connects-per-account")
    talker.send_connect(
        ground.client_id(), keep_alive_s=keep_alive_s, session_expiry_s=session_expiry_s
    )
    code = await talker.connack_code()
    if code >= FAILURE or talker.connack is None:
        raise ProbeError(code_text("CONNACK", code))
    return talker.connack


async def receive_maximum(ground: Ground, amount: int) -> Seen:
    """Publish without waiting; at the limit itself, see whether the broker announces it.

    What lies above can only be reached by a client that leaves its PUBACKs unread, because the
    broker sends them at once.
    """
    talker = await ground.client()
    announced = talker.connack.receive_max if talker.connack is not None else None
    if amount >= ground.limit("unacknowledged-in-per-client"):
        return one(ANNOUNCED if announced == amount else "")
    return await _publish_all(talker, ground.topic(), amount, in_flight=amount)


# Publishing


async def publish(ground: Ground, amount: int) -> Seen:
    """Publish at QoS 1 as fast as one connection can."""
    return await _publish_all(await ground.client(), ground.topic(), amount)


async def receive(ground: Ground, amount: int) -> Seen:
    """Let one subscriber get publishes of others, who stay below the rate themselves."""
    reader = await ground.client()
    await ground.subscribed(reader, [ground.topic()])
    await publish_from_several(ground, ground.topic(), amount)
    await reader.heard_out()
    return of_deliveries(amount, len(reader.received))


async def receive_unacknowledged(ground: Ground, amount: int) -> Seen:
    """Let one subscriber get publishes at QoS 1 and acknowledge none until no more come."""
    reader = await ground.client()
    await ground.subscribed(reader, [ground.topic()], 1)
    reader.acknowledges = False
    await publish_from_several(ground, ground.topic(), amount)
    await reader.heard_out()
    before = len(reader.received)
    # What waits is to meet a rate that has room for it.
    await asyncio.sleep(1.0)
    reader.acknowledge_all()
    await reader.until_quiet(amount, _QUIET_S)
    arrived = len(reader.received)
    if arrived < amount:
        return of_deliveries(amount, arrived)
    return Seen(amount, amount, 0, WAITS if before < amount else "")


async def send_kilobytes(ground: Ground, amount: int) -> Seen:
    """Publish so many kilobytes at once, and see how long the broker takes to read them."""
    talker = await ground.client()
    size_kb = max(16, math.ceil(amount / _CHUNKS))
    count = max(1, round(amount / size_kb))
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    payload = bytes(size_kb * _KB - 64)
    ids = [talker.publish(ground.topic(), payload) for _ in range(count)]
    await talker.heard_out()
    took_s = loop.time() - began_s
    seen = _of_pubacks(talker, ids)
    limit_kb = ground.limit("throughput-per-connection")
    if seen.effect or not is_delayed(took_s, amount, limit_kb):
        return seen
    return seen._replace(effect=DELAYED)


def is_delayed(took_s: float, amount: float, per_s: float) -> bool:
    """Whether an amount took as long as a rate with a burst of one second makes it take."""
    least_s = (amount - per_s) / per_s
    return least_s > 0 and took_s >= _LEAST_OF_A_DELAY * least_s


async def payload(ground: Ground, amount: int) -> Seen:
    """Publish a payload of a size."""
    return await _publish_one(ground, ground.topic(), bytes(amount))


async def packet(ground: Ground, amount: int) -> Seen:
    """Publish a packet of a size, of which no part is larger than allowed.

    Above the limit no such packet exists, and the broker sees that from its first bytes.
    """
    talker = await ground.client()
    if amount > ground.limit("packet-bytes"):
        talker.write(_announced(amount))
        await talker.heard_out()
        return one(_ending(talker))
    packet_id = talker.publish(ground.topic(), **_filling(ground, amount))
    await talker.heard_out()
    return _of_pubacks(talker, [packet_id])


def _announced(size: int) -> bytes:
    """A PUBLISH of so many bytes, zeros behind its fixed header (MQTT 5.0 section 2.1.4)."""
    # The Remaining Length does not count its own bytes, seven bits in each.
    width = next(width for width in range(1, 5) if size - 1 - width < 128**width)
    rest = size - 1 - width
    length = [rest >> 7 * place & 0x7F | 0x80 * (place < width - 1) for place in range(width)]
    return bytes([_PUBLISH_QOS_1, *length]) + bytes(rest)


def _filling(ground: Ground, size: int) -> dict[str, Any]:
    """Payload and properties with which a publish on the topic of a side has a size.

    Raises:
        ProbeError: They would have to be larger than allowed.
    """
    rest = size
    found: dict[str, Any] = {}
    for name, quota, make in (
        ("payload", "payload-bytes", bytes),
        ("correlation_data", "correlation-data-bytes", bytes),
        ("user_properties", "user-properties-bytes", lambda length: [("", "x" * length)]),
    ):
        without = _size(ground, {**found, name: make(1)}) - 1
        length = min(int(ground.limit(quota)), size - without - 3)
        if length < 1:
            break
        found[name] = make(length)
        rest = size - _size(ground, found)
        if not rest:
            return found
    if rest > 4:  # noqa: PLR2004 - the lengths of lengths, which come in steps
        raise ProbeError(f"a packet of {size:,} bytes would have a part that is too large")
    return found


def _size(ground: Ground, properties: dict[str, Any]) -> int:
    qos = mqtt5.QoS.AT_LEAST_ONCE
    return len(mqtt5.PublishPacket(ground.topic(), qos=qos, packet_id=1, **properties).write())


async def topic_bytes(ground: Ground, amount: int) -> Seen:
    """Publish on a topic of a length."""
    return await _publish_one(ground, ground.topic_of(amount))


async def topic_slashes(ground: Ground, amount: int) -> Seen:
    """Publish on a topic of a depth."""
    return await _publish_one(ground, ground.topic_with(amount))


async def topic_alias(ground: Ground, amount: int) -> Seen:
    """Publish with a topic alias."""
    return await _publish_one(ground, ground.topic(), topic_alias=amount)


async def user_properties(ground: Ground, amount: int) -> Seen:
    """Publish with user properties of a size, name and value together."""
    return await _publish_one(ground, ground.topic(), user_properties=[("p", "x" * (amount - 1))])


async def correlation_data(ground: Ground, amount: int) -> Seen:
    """Publish with correlation data of a size."""
    return await _publish_one(ground, ground.topic(), correlation_data=bytes(amount))


async def content_type(ground: Ground, amount: int) -> Seen:
    """Publish with a content type of a length."""
    return await _publish_one(ground, ground.topic(), content_type="x" * amount)


async def message_expiry(ground: Ground, amount: int) -> Seen:
    """Publish with a Message Expiry Interval, and see with which one it arrives."""
    talker = await ground.client()
    await ground.subscribed(talker, [ground.topic()])
    talker.publish(ground.topic(), message_expiry_interval=amount)
    await talker.heard_out()
    if not talker.received:
        return one(NOT_DELIVERED)
    arrived_with = talker.received[0].expiry_s
    is_adjusted = arrived_with is None or arrived_with < amount - _EXPIRY_TOLERANCE_S
    return one(ADJUSTED if is_adjusted else "")


async def retain_again(ground: Ground, amount: int) -> Seen:
    """Publish with RETAIN on one topic, at once."""
    for _ in range(amount):
        await ground.turn("retained-publishes-per-account")
    return await _publish_all(await ground.client(), ground.topic(), amount, retain=True)


# Subscribing


async def subscribe(ground: Ground, amount: int) -> Seen:
    """Subscribe to so many filters on one connection."""
    talker = await ground.client()
    codes: list[int] = []
    for start in range(0, amount, PER_SUBSCRIBE):
        names = [ground.topic(f"t{n}") for n in range(start, min(start + PER_SUBSCRIBE, amount))]
        for _ in names:
            await ground.turn("subscribes-per-account")
        codes += await granted(talker, [talker.subscribe(names)])
    return of_codes("SUBACK", codes)


async def subscribe_in_one(ground: Ground, amount: int) -> Seen:
    """Subscribe to so many filters with one packet."""
    talker = await ground.client()
    names = [ground.topic(f"t{number}") for number in range(amount)]
    for _ in names:
        await ground.turn("subscribes-per-account")
    return of_codes("SUBACK", await granted(talker, [talker.subscribe(names)]))


# Sessions


async def replay(ground: Ground, amount: int) -> Seen:
    """Come back to so many stored messages, and see how long they take."""
    return await _replay(ground, amount, ground.topic(), "replayed-per-session")


async def replay_for_group(ground: Ground, amount: int) -> Seen:
    """The same as the only member of a shared group."""
    shared = f"$share/{ground.prefix.replace(':', '-')}/{ground.topic()}"
    return await _replay(ground, amount, shared, "replayed-per-group-member")


async def _replay(ground: Ground, amount: int, name: str, quota: str) -> Seen:
    away = await ground.client(session_expiry_s=60)
    await ground.subscribed(away, [name], 1)
    await away.leave()
    for _ in range(amount):
        await ground.turn("queued-per-account")
    await publish_from_several(ground, ground.topic(), amount)
    await ground.refilled("connects-per-client-id")
    back = await ground.client(session_expiry_s=60, is_new=False)
    began_s = asyncio.get_running_loop().time()
    await back.until_quiet(amount, _QUIET_S)
    arrived = len(back.received)
    if arrived < amount:
        return of_deliveries(amount, arrived)
    took_s = back.received[-1].at_s - began_s
    delayed = is_delayed(took_s, amount, ground.limit(quota))
    return Seen(amount, amount, 0, DELAYED if delayed else "")


# What came of it


def of_codes(packet: str, codes: Sequence[int]) -> Seen:
    """Reason codes of one kind of packet."""
    refused = [code for code in codes if code >= FAILURE]
    effect = code_text(packet, refused[0]) if refused else ""
    return Seen(len(codes), len(codes) - len(refused), len(refused), effect)


def of_deliveries(wanted: int, arrived: int) -> Seen:
    """Messages that should have arrived."""
    missing = wanted - arrived
    return Seen(wanted, arrived, missing, NOT_DELIVERED if missing else "")


async def granted(talker: Talker, packet_ids: Sequence[int]) -> list[int]:
    """The reason codes of some SUBSCRIBEs.

    Raises:
        ProbeError: The broker gives none.
    """
    await talker.until(lambda: all(each in talker.granted for each in packet_ids))
    if talker.is_closed:
        raise ProbeError(_ending(talker))
    return [code for each in packet_ids for code in talker.granted[each]]


def _of_pubacks(talker: Talker, packet_ids: Sequence[int]) -> Seen:
    """What became of publishes of a client that was heard out."""
    codes = [talker.acknowledged.get(each) for each in packet_ids]
    accepted = sum(code is not None and code < FAILURE for code in codes)
    effect = ""
    if accepted < len(codes):
        first = next((code for code in codes if code is not None and code >= FAILURE), None)
        effect = code_text("PUBACK", first) if first is not None else NO_PUBACK
        if talker.is_closed:
            effect = _ending(talker)
    return Seen(len(codes), accepted, len(codes) - accepted, effect)


def _ending(talker: Talker) -> str:
    """How the broker ended a connection; empty when it did not."""
    if not talker.is_closed:
        return ""
    return "closed" if talker.end_code is None else code_text("DISCONNECT", talker.end_code)


async def _publish_one(
    ground: Ground, topic: str, payload_: bytes = b"", **properties: Any
) -> Seen:
    talker = await ground.client()
    packet_id = talker.publish(topic, payload_, **properties)
    await talker.heard_out()
    return _of_pubacks(talker, [packet_id])


async def _publish_all(
    talker: Talker, topic: str, amount: int, *, in_flight: int = IN_FLIGHT, retain: bool = False
) -> Seen:
    ids: list[int] = []
    while len(ids) < amount and not talker.is_closed:
        count = min(in_flight, amount - len(ids))
        ids += [talker.publish(topic, retain=retain) for _ in range(count)]
        await talker.heard_out()
    return _of_pubacks(talker, ids)


async def publish_from_several(ground: Ground, topic: str, amount: int) -> None:
    """Publish at QoS 1 through as many helpers as it takes to keep each below its own rate.

    Raises:
        ProbeError: One of the publishes was refused.
    """
    helpers = await ground.clients(-(-amount // _PER_CLIENT), first=100)
    sent = 0
    for number, helper in enumerate(helpers):
        share = amount // len(helpers) + (number < amount % len(helpers))
        seen = await _publish_all(helper, topic, share, in_flight=_PER_CLIENT)
        sent += seen.accepted
    if sent < amount:
        raise ProbeError(f"could not prepare: {amount - sent} publishes of helpers were refused")
