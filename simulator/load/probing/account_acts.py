"""What clients do at the edges of quotas that are counted for all clients of an account together.

While one of these acts goes on nothing else of the run should, because it uses up what all share.
"""

from __future__ import annotations

import asyncio
from itertools import count, cycle, islice
from typing import TYPE_CHECKING, Final

from simulator.load.probing.client_acts import (
    PER_SUBSCRIBE,
    code_text,
    granted,
    of_codes,
    of_deliveries,
    publish_from_several,
)
from simulator.load.probing.ground import Seen
from simulator.load.probing.talker import FAILURE
from simulator.scenario.edges import NO_PUBACK

if TYPE_CHECKING:
    from simulator.load.probing.ground import Ground
    from simulator.load.probing.talker import Talker

_SHARE_OF_CONNECTION: Final = 0.7
"""Of the publishes that a connection may make in a second."""

_FILTERS_OF_CLIENT: Final = 48
_AWAY_S: Final = 60
_QUIET_S: Final = 1.0


async def connect_at_once(ground: Ground, amount: int) -> Seen:
    """Let so many clients send their CONNECT in one moment, all handshakes done before."""
    talkers = [await ground.linked() for _ in range(amount)]
    await _all_refilled()
    for number, talker in enumerate(talkers):
        talker.send_connect(ground.client_id(number))
    return of_codes("CONNACK", [await talker.connack_code() for talker in talkers])


async def stay_connected(ground: Ground, amount: int) -> Seen:
    """Connect so many clients one after the other, of which none leaves."""
    codes = []
    for number in range(amount):
        talker = await ground.linked()
        await ground.turn("connects-per-account")
        talker.send_connect(ground.client_id(number))
        codes.append(await talker.connack_code())
    return of_codes("CONNACK", codes)


async def publish_together(ground: Ground, amount: int) -> Seen:
    """Publish from as many connections as it takes, each well below its own rate."""
    return await _publish(ground, amount, retain=False)


async def retain_at_once(ground: Ground, amount: int) -> Seen:
    """The same with RETAIN and on topics of their own; without a payload nothing is stored."""
    return await _publish(ground, amount, retain=True)


async def _publish(ground: Ground, amount: int, *, retain: bool) -> Seen:
    per_client = _per_connection(ground)
    talkers = await ground.clients(-(-amount // per_client))
    await _all_refilled()
    numbers = count()
    for talker in islice(cycle(talkers), amount):
        talker.publish(ground.topic(f"t{next(numbers)}" if retain else "t"), retain=retain)
    await asyncio.gather(*(talker.heard_out() for talker in talkers))
    codes = [code for talker in talkers for code in talker.acknowledged.values()]
    accepted = sum(code < FAILURE for code in codes)
    refusal = next((code for code in codes if code >= FAILURE), None)
    effect = NO_PUBACK if refusal is None else code_text("PUBACK", refusal)
    return Seen(amount, accepted, amount - accepted, effect if accepted < amount else "")


async def receive_together(ground: Ground, amount: int) -> Seen:
    """Publish for so many subscribers that the deliveries come to the amount."""
    per_client = _per_connection(ground)
    readers = await ground.clients(-(-amount // per_client))
    for reader in readers:
        await ground.subscribed(reader, [ground.topic()])
    messages = -(-amount // len(readers))
    [writer] = await ground.clients(1, first=1_000)
    await _all_refilled()
    for _ in range(messages):
        writer.publish(ground.topic())
    await writer.heard_out()
    for reader in readers:
        await reader.heard_out()
    arrived = sum(len(reader.received) for reader in readers)
    return of_deliveries(messages * len(readers), arrived)


async def subscribe_at_once(ground: Ground, amount: int) -> Seen:
    """Subscribe from as many connections as it takes, all in one moment."""
    talkers = await ground.clients(-(-amount // _FILTERS_OF_CLIENT))
    await _all_refilled()
    asked: list[tuple[Talker, int]] = []
    for talker, names in _dealt(ground, talkers, amount):
        asked.append((talker, talker.subscribe(names)))
    return of_codes(
        "SUBACK", [code for each in asked for code in await granted(each[0], [each[1]])]
    )


async def stay_subscribed(ground: Ground, amount: int) -> Seen:
    """Subscribe to so many filters one after the other, of which none is given up."""
    talkers = await ground.clients(-(-amount // _FILTERS_OF_CLIENT))
    return await _subscribe_calmly(ground, talkers, amount, "")


async def make_groups(ground: Ground, amount: int) -> Seen:
    """Subscribe to so many shared groups."""
    talkers = await ground.clients(-(-amount // _FILTERS_OF_CLIENT))
    return await _subscribe_calmly(ground, talkers, amount, "$share/g/")


async def _subscribe_calmly(
    ground: Ground, talkers: list[Talker], amount: int, prefix: str
) -> Seen:
    codes: list[int] = []
    for talker, names in _dealt(ground, talkers, amount):
        for _ in names:
            await ground.turn("subscribes-per-account")
        codes += await granted(talker, [talker.subscribe([f"{prefix}{name}" for name in names])])
    return of_codes("SUBACK", codes)


def _dealt(ground: Ground, talkers: list[Talker], amount: int) -> list[tuple[Talker, list[str]]]:
    """Filters in packets of as many as are allowed, each client's below its own limit."""
    names = [ground.topic(f"t{number}") for number in range(amount)]
    return [
        (talkers[start // _FILTERS_OF_CLIENT], names[start : start + PER_SUBSCRIBE])
        for start in range(0, amount, PER_SUBSCRIBE)
    ]


async def join_group(ground: Ground, amount: int) -> Seen:
    """Let so many clients join one shared group."""
    codes: list[int] = []
    for talker in await ground.clients(amount):
        await ground.turn("subscribes-per-account")
        codes += await granted(talker, [talker.subscribe([f"$share/g/{ground.topic()}"])])
    return of_codes("SUBACK", codes)


async def change_group(ground: Ground, amount: int) -> Seen:
    """Join and leave one shared group again and again; leaving is never refused."""
    talker = await ground.client()
    await _all_refilled()
    name = f"$share/g/{ground.topic()}"
    asked = []
    for _ in range(max(1, amount // 2)):
        asked.append(talker.subscribe([name]))
        talker.unsubscribe(name)
    return of_codes("SUBACK", await granted(talker, asked))


async def store(ground: Ground, amount: int) -> Seen:
    """Publish for sessions that are away, and see how many of the messages they find."""
    # No more for each than it gets at once when it comes back.
    messages = max(1, min(10, int(ground.limit("replayed-per-session"))))
    sessions = -(-amount // messages)
    await _leave_sessions(ground, sessions, ground.topic())
    await _all_refilled()
    await publish_from_several(ground, ground.topic(), messages)
    return await _come_back(ground, sessions, messages * sessions)


async def store_for_group(ground: Ground, amount: int) -> Seen:
    """The same for a shared group of which the only member is away."""
    await _leave_sessions(ground, 1, f"$share/g/{ground.topic()}")
    await _all_refilled()
    for _ in range(amount):
        await ground.turn("queued-per-account")
    await publish_from_several(ground, ground.topic(), amount)
    return await _come_back(ground, 1, amount)


async def _leave_sessions(ground: Ground, sessions: int, name: str) -> None:
    for talker in await ground.clients(sessions, session_expiry_s=_AWAY_S):
        await ground.subscribed(talker, [name], 1)
        await talker.leave()


async def _come_back(ground: Ground, sessions: int, wanted: int) -> Seen:
    await ground.refilled("connects-per-client-id")
    arrived = 0
    for talker in await ground.clients(sessions, session_expiry_s=_AWAY_S, is_new=False):
        # Nobody knows how many there are: there are no more when none has come for a while.
        await talker.heard_out()
        await talker.until_quiet(wanted, _QUIET_S / sessions)
        arrived += len(talker.received)
    return of_deliveries(wanted, arrived)


async def fill_store(ground: Ground, amount: int) -> Seen:
    """Give so many topics a retained message, one after the other."""
    per_client = _per_connection(ground)
    talkers = await ground.clients(-(-amount // per_client))
    codes: list[int | None] = []
    for number in range(amount):
        await ground.turn("retained-publishes-per-account")
        talker = talkers[number % len(talkers)]
        packet_id = talker.publish(ground.topic(f"t{number}"), b"x", retain=True)
        await talker.heard_out()
        codes.append(talker.acknowledged.get(packet_id))
    accepted = sum(code is not None and code < FAILURE for code in codes)
    # No topic may be published to twice in a second with RETAIN.
    await ground.refilled("retained-publishes-per-topic")
    for number in range(amount):
        # A retained message without a payload takes the stored one away.
        await ground.turn("retained-publishes-per-account")
        talkers[number % len(talkers)].publish(ground.topic(f"t{number}"), retain=True)
    await asyncio.gather(*(talker.heard_out() for talker in talkers))
    effect = NO_PUBACK if accepted < amount else ""
    return Seen(amount, accepted, amount - accepted, effect)


def _per_connection(ground: Ground) -> int:
    allowed = ground.limit("publishes-per-connection")
    return max(1, int(_SHARE_OF_CONNECTION * min(allowed, 1_000)))


async def _all_refilled() -> None:
    """Let every rate of the account recover from what was prepared: a bucket holds a second's."""
    await asyncio.sleep(1.1)
