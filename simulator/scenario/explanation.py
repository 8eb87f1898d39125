"""A scenario in plain words: who connects where, what is published and when, what must hold.

Owns the sentences and the arithmetic of the plan: how many cars are due to be there and how many
messages they are due to publish in each phase. Pure. Sizes of messages come from the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from simulator.scenario.motion import (
    CityMotion,
    LineMotion,
    MgeoMotion,
    ParkedMotion,
    RecordingMotion,
)
from simulator.scenario.rules import edges_of, watched
from simulator.scenario.schema import LASTING_FAULTS, OFF, AwsTarget, BrokerTarget
from simulator.scenario.timetable import Timetable
from simulator.scenario.units import duration_text
from simulator.scenario.watching import cars_watched, groups_read, uses_wildcard

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from simulator.scenario.checks import Check
    from simulator.scenario.motion import Motion
    from simulator.scenario.roster import Roster
    from simulator.scenario.schema import (
        Commanders,
        CommandHandling,
        Fault,
        Observers,
        Phase,
        Probes,
        Reconnect,
        Scenario,
        StandInTarget,
        Stream,
        VehicleGroup,
    )

    MessageBytes: TypeAlias = Callable[[str, Stream, str], int]
    """Payload bytes of a message: stream name, stream, thing name."""

_FLAT_BYTES: Final = 250
_BATCH_BYTES: Final = 330
_SAMPLE_BYTES: Final = 110
_FAULT_WORDS: Final = {
    "disconnect": "send DISCONNECT and leave",
    "drop": "lose their connection without a DISCONNECT",
    "storm": "lose their connection and all come back at once, whatever their reconnect policy",
    "silence": "neither read nor write{lasting}",
    "slow-reader": "stop reading{lasting}",
    "duplicate-client-id": "get a rival: a second connection under the same client id",
    "wrong-certificate": "reconnect with a certificate of an unknown CA{lasting}",
    "clock-skew": "stamp their messages {skew}{lasting}",
    "oversized-publish": "send one publish that is larger than allowed",
    "malformed-publish": "send one packet that is not MQTT",
}
_OPERATOR_WORDS: Final = {
    "<": "below",
    "<=": "at most",
    ">": "above",
    ">=": "at least",
    "==": "exactly",
    "!=": "anything but",
}


def estimated_bytes(name: str, stream: Stream, thing: str) -> int:  # noqa: ARG001 - the signature of MessageBytes
    """About how many bytes the payload of a message has; for use where nothing better is known."""
    if stream.encoding == "bytes":
        return stream.payload_bytes or 0
    size = (
        _FLAT_BYTES if stream.encoding == "flat" else _BATCH_BYTES + _SAMPLE_BYTES * stream.samples
    )
    return max(size, stream.payload_bytes or 0)


@dataclass(frozen=True, slots=True)
class PhasePlan:
    """What is due in a phase, if every car connects when it is due and stays.

    Attributes:
        name: Name of the phase.
        start_s: When it begins.
        end_s: When it ends.
        cars: Cars that are due to be connected when it ends.
        connects: Cars due to connect in it for the first time.
        messages: Publishes due in it.
        rate_hz: Publishes per second when it ends.
        bytes_per_s: Payload bytes per second when it ends.
    """

    name: str
    start_s: float
    end_s: float
    cars: int
    connects: int
    messages: int
    rate_hz: float
    bytes_per_s: float


def plan(
    scenario: Scenario, roster: Roster, message_bytes: MessageBytes = estimated_bytes
) -> list[PhasePlan]:
    """What is due in each phase."""
    timetable = Timetable(scenario.phases)
    arrivals_s = roster.arrivals_s()
    integral_at_arrival = np.array([timetable.integral_at(time_s) for time_s in arrivals_s])
    plans = []
    for stretch in timetable.stretches:
        there = arrivals_s <= stretch.end_s
        new = there & (arrivals_s > stretch.start_s) if stretch.start_s else there
        messages = rate_hz = bytes_per_s = 0.0
        ending = stretch.integral_at(stretch.end_s)
        units = np.maximum(ending - np.maximum(integral_at_arrival, stretch.integral), 0.0)
        for within in roster.groups:
            cars = slice(within.start, within.stop)
            online = int(np.count_nonzero(there[cars]))
            for name, stream in within.group.streams.items():
                messages += stream.rate_hz * float(units[cars].sum())
                rate = online * stream.rate_hz * stretch.rate_to
                rate_hz += rate
                bytes_per_s += rate * message_bytes(name, stream, roster.thing(within.start))
        plans.append(
            PhasePlan(
                stretch.name,
                stretch.start_s,
                stretch.end_s,
                int(np.count_nonzero(there)),
                int(np.count_nonzero(new)),
                round(messages),
                rate_hz,
                bytes_per_s,
            )
        )
    return plans


def explain(
    scenario: Scenario, roster: Roster, message_bytes: MessageBytes = estimated_bytes
) -> list[str]:
    """A scenario in paragraphs, for somebody who has not read the file.

    A paragraph that is a list has an item on each of its lines.

    Args:
        scenario: The scenario.
        roster: Its cars.
        message_bytes: Payload bytes of a message.
    """
    plans = plan(scenario, roster, message_bytes)
    paragraphs = [
        _where(scenario),
        *(
            _group(
                within.group,
                roster.thing(within.start),
                message_bytes,
                tells_reconnect=bool(scenario.faults),
            )
            for within in roster.groups
        ),
        _arrivals(scenario, roster.arrivals_s()),
        _course(scenario, plans),
    ]
    if scenario.faults:
        faults = [_fault(scenario, roster, index) for index in range(len(scenario.faults))]
        paragraphs.append("\n".join(["What goes wrong:", *(f"- {fault}" for fault in faults)]))
    paragraphs += [_observers(scenario, each) for each in scenario.applications.observers]
    paragraphs += [_commanders(scenario, each) for each in scenario.applications.commanders]
    paragraphs += [_probes(each) for each in scenario.probes]
    if scenario.checks:
        checks = [f"- {check_text(check)}" for check in scenario.parsed_checks]
        paragraphs.append("\n".join(["The run passes if all of this holds:", *checks]))
    else:
        paragraphs.append("Nothing is checked, so the run always passes.")
    return paragraphs


def check_text(check: Check) -> str:
    """A check in words."""
    metric = check.metric
    statistic = ""
    if check.percentile is not None:
        statistic = f"the {_ordinal(check.percentile)} percentile of "
    elif check.statistic is not None:
        statistic = {"count": "the number of ", "mean": "the mean "}.get(
            check.statistic, f"the {check.statistic}imum of "
        )
    if metric.kind == "latency" and check.statistic != "count":
        bound = duration_text(check.bound / 1000)
    elif metric.kind == "share":
        bound = f"{check.bound * 100:.6g} %"
    else:
        bound = f"{check.bound:,.10g}"
    cuts = f" during {check.phase}" if check.phase else ""
    cuts += f" of {check.group or check.quota}" if check.group or check.quota else ""
    return f"{statistic}{metric.name}{cuts} is {_OPERATOR_WORDS[check.operator]} {bound}"


def _where(scenario: Scenario) -> str:
    cars = f"{scenario.vehicle_count:,} {_plural('car', scenario.vehicle_count)}"
    verb = "connects" if scenario.vehicle_count == 1 else "connect"
    target, identities = scenario.target, scenario.identities
    if isinstance(target, BrokerTarget):
        how = "TLS" if target.tls else "plain TCP"
        where = f"the broker at {target.host} port {target.port} over {how}"
        if target.tls and not target.verify:
            where += ", whatever certificate it shows"
    elif isinstance(target, AwsTarget):
        where = f"AWS IoT Core at {target.endpoint} port {target.port}"
    else:
        allowed = (
            "each car may use its own topics only"
            if target.policies == "vehicle"
            else "every car may do everything"
        )
        where = (
            "the IoT Core stand-in, which runs on this machine for the time of the run; " + allowed
        ) + _quotas(target)
    who = {
        "mint": "Each car has its own key and certificate, made for this run",
        "none": "They show no certificates",
    }.get(identities.kind)
    if who is None:
        prefix = getattr(identities, "prefix", "")
        who = f"Their certificates are those of the store {getattr(identities, 'path', '')}"
        who += f" whose names begin with {prefix}" if prefix else ""
    return f"{cars} {verb} to {where}. {who}. The seed is {scenario.seed}."


def _quotas(target: StandInTarget) -> str:
    if target.quotas == OFF:
        return ", without quotas"
    named = target.quota_file or f"the {target.quotas} ones"
    if target.quota_mode == "enforce":
        return f". It enforces quotas of AWS IoT Core ({named})"
    return f". It counts what quotas of AWS IoT Core would refuse ({named})"


def _group(
    group: VehicleGroup, thing: str, message_bytes: MessageBytes, *, tells_reconnect: bool
) -> str:
    number = f"{group.count:,} {_plural('car', group.count)}"
    sentences = [f"{group.name}: {number}, {_motion(group.motion)}"]
    streams = [_stream(name, each, thing, message_bytes) for name, each in group.streams.items()]
    if streams:
        sentences.append(f"Each publishes {_joined(streams)}")
    else:
        sentences.append("They publish nothing")
    if group.shadow is not None:
        every = duration_text(group.shadow.every)
        sentences.append(f"Every {every} each reports its shadow {group.shadow.name}")
    sentences.append(
        _handling(group.commands) if group.commands is not None else "They take no commands"
    )
    if tells_reconnect or group.reconnect.policy != "backoff":
        sentences.append(_reconnect(group.reconnect))
    if group.session == "persistent":
        sentences.append("Their sessions outlive their connections")
    if group.client == "sdk":
        sentences.append("Each is a real client of the AWS IoT Device SDK")
    return ". ".join(sentences) + "."


def _reconnect(reconnect: Reconnect) -> str:
    if reconnect.policy == "none":
        return "A car that loses its connection stays away"
    if reconnect.policy == "immediate":
        return "A car that loses its connection reconnects at once"
    first, longest = duration_text(reconnect.first), duration_text(reconnect.longest)
    if reconnect.jitter:
        return (
            f"A car that loses its connection waits a random part of {first} before it tries "
            f"again, then of twice as long each time, up to {longest}"
        )
    return (
        f"A car that loses its connection tries again after {first}, then waits twice as long "
        f"each time, up to {longest}"
    )


def _motion(motion: Motion) -> str:
    if isinstance(motion, CityMotion):
        where = f"on random routes through a city of {motion.blocks} by {motion.blocks} blocks"
    elif isinstance(motion, MgeoMotion):
        where = f"on random routes over the MGeo map {motion.path}"
    elif isinstance(motion, LineMotion):
        way = "round and round" if motion.closed else "to and fro"
        where = f"{way} along the line in {motion.path}"
    elif isinstance(motion, RecordingMotion):
        drive = motion.path or "the drive that is shipped"
        return f"each repeating {drive}, shifted by up to {motion.spread_m / 1000:g} km and in time"
    elif isinstance(motion, ParkedMotion):
        return f"parked, within {motion.spread_m / 1000:g} km"
    return f"{where}, at up to {motion.speed_limit * 3.6:.3g} km/h"


def _stream(name: str, stream: Stream, thing: str, message_bytes: MessageBytes) -> str:
    pace = (
        f"{stream.rate_hz:g} {_plural('time', stream.rate_hz)} a second"
        if stream.rate_hz >= 1
        else f"every {duration_text(1 / stream.rate_hz)}"
    )
    size = message_bytes(name, stream, thing)
    holds = f", {stream.samples} samples each" if stream.samples > 1 else ""
    return f"{name} {pace} (QoS {stream.qos}, about {size:,} bytes{holds})"


def _handling(handling: CommandHandling) -> str:
    slowest_s = handling.takes_p95 or 2 * handling.takes
    text = (
        f"They answer commands ({handling.protocol} topics) after {duration_text(handling.takes)}, "
        f"95 % of them within {duration_text(slowest_s)}"
    )
    if handling.takes_max is not None:
        text += f" and all within {duration_text(handling.takes_max)}"
    shares = [(handling.fails, "fail"), (handling.silent, "are left unanswered")]
    return text + "".join(f"; {share * 100:g} % {words}" for share, words in shares if share)


def _arrivals(scenario: Scenario, arrivals_s: NDArray[np.float64]) -> str:
    first_s, last_s = float(arrivals_s.min()), float(arrivals_s.max())
    if first_s == last_s:
        return f"All cars connect at the same moment, {_after(first_s)}."
    per_second = np.bincount(np.floor(arrivals_s[arrivals_s < last_s + 1]).astype(np.int64))
    text = (
        f"The first car connects {_after(first_s)}, the last one {_after(last_s)}; "
        f"up to {int(per_second.max()):,} connect in one second"
    )
    never = int((arrivals_s >= scenario.duration_s).sum())
    return text + (f". {never:,} come too late for this run." if never else ".")


def _course(scenario: Scenario, plans: list[PhasePlan]) -> str:
    total = sum(each.messages for each in plans)
    phases = "one phase" if len(plans) == 1 else f"{len(plans)} phases"
    text = f"The run lasts {duration_text(scenario.duration_s)} in {phases}"
    if scenario.drain:
        text += f", and up to {duration_text(scenario.drain)} more for late answers"
    text += f". About {total:,} messages are published" if total else ". No telemetry is published"
    lines = [
        f"- {each.name}, {_time(each.start_s)} to {duration_text(each.end_s)}{_pace(phase)}: "
        f"{each.messages:,} messages; at its end {each.cars:,} {_plural('car', each.cars)} and "
        f"{each.rate_hz:,.4g} messages/s, {bytes_text(each.bytes_per_s)}/s"
        for phase, each in zip(scenario.phases, plans, strict=True)
    ]
    return "\n".join([f"{text}:", *lines])


def _pace(phase: Phase) -> str:
    if phase.rate_to is not None and phase.rate_to != phase.rate:
        return f", going from {phase.rate:g} to {phase.rate_to:g} times the usual rates"
    return "" if phase.rate == 1 else f", at {phase.rate:g} times the usual rates"


def bytes_text(number: float) -> str:
    """A number of bytes as people read it: `850 B`, `12.5 kB`, `3.1 MB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} B"


def _fault(scenario: Scenario, roster: Roster, index: int) -> str:
    fault = scenario.faults[index]
    if fault.per_s is not None:
        count = roster.strikes(fault).count
        until = "the end" if fault.end is None else duration_text(fault.end)
        whom = f"a car of {fault.group}" if fault.group else "a car"
        pace = f"{fault.per_s:g} a second" if fault.per_s >= 1 else f"every {1 / fault.per_s:.3g} s"
        when = f"from {_time(fault.begin)} to {until}, {pace}: {whom} is hit {count:,}"
        return f"{when} times in all; those hit {_fault_words(fault)}"
    victims = len(roster.victims(index))
    start, stop = roster.range_of(fault.group)
    whom = f"{victims:,} of {stop - start:,} cars"
    if victims == stop - start:
        whom = f"all {victims:,} cars"
    whom += f" of {fault.group}" if fault.group else ""
    return f"at {_time(fault.at or 0.0)} {whom} {_fault_words(fault)}"


def _fault_words(fault: Fault) -> str:
    ahead = f"{duration_text(abs(fault.skew_s))} {'ahead' if fault.skew_s >= 0 else 'behind'}"
    lasting = f" for {duration_text(fault.duration)}" if fault.kind in LASTING_FAULTS else ""
    return _FAULT_WORDS[fault.kind].format(lasting=lasting, skew=ahead)


def _observers(scenario: Scenario, observers: Observers) -> str:
    groups = groups_read(scenario, observers)
    cars = sum(group.count for group in groups)
    seen = sum(cars_watched(group, observers) for group in groups)
    whom = f"all {cars:,} cars" if seen == cars else f"{seen:,} of {cars:,} cars"
    whom += f" of {observers.group}" if observers.group else ""
    what = _joined(observers.streams) if observers.streams else "every stream"
    number = f"{observers.count:,} {_plural('application', observers.count)}"
    if not uses_wildcard(observers):
        how = "the cars are dealt out among them, one filter a car"
    elif observers.count > 1:
        how = "each of them reads all of it"
    else:
        how = "with one filter for all"
    verb = "reads" if observers.count == 1 else "read"
    return (
        f"{observers.name}: {number} {verb} {what} of {whom} (QoS {observers.qos}; {how}) and "
        "counts what is lost, repeated or out of order."
    )


def _commanders(scenario: Scenario, commanders: Commanders) -> str:
    cars = sum(g.count for g in watched(scenario, commanders.group) if g.commands is not None)
    number = f"{commanders.count:,} {_plural('application', commanders.count)}"
    pace = (
        f"{commanders.rate_hz:g} {_plural('command', commanders.rate_hz)} a second"
        if commanders.rate_hz >= 1
        else f"a command every {duration_text(1 / commanders.rate_hz)}"
    )
    what = "of all kinds" if commanders.command == "mix" else commanders.command
    verb = "sends" if commanders.count == 1 else "send"
    return (
        f"{commanders.name}: {number} {verb} {pace} ({what}, QoS {commanders.qos}) to "
        f"{cars:,} cars and {_plural('expect', 3 - min(commanders.count, 2))} each answer within "
        f"{duration_text(commanders.answer_within)}."
    )


def _probes(probes: Probes) -> str:
    edges = edges_of(probes)
    named = ", ".join(edge.name for edge in edges)
    begin = f" from {duration_text(probes.begin)} on" if probes.begin else ""
    return (
        f"{probes.name}: clients of their own go just below and just above {len(edges)} "
        f"{_plural('quota', len(edges))}{begin}, and compare what they see with what AWS IoT Core "
        f"documents: {named}."
    )


def _after(seconds: float) -> str:
    return f"{duration_text(seconds)} after the start" if seconds else "at the start"


def _ordinal(number: float) -> str:
    text = f"{number:g}"
    if "." not in text and number not in {11, 12, 13}:
        return text + {"1": "st", "2": "nd", "3": "rd"}.get(text[-1], "th")
    return f"{text}th"


def _time(seconds: float) -> str:
    return duration_text(seconds) if seconds else "0 s"


def _plural(word: str, number: float) -> str:
    return word if number == 1 else f"{word}s"


def _joined(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
