from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.forecast import demand
from simulator.forecast.figures import Need
from simulator.scenario.roster import Roster
from simulator.scenario.timetable import Timetable
from tests.simulator.forecast.scenarios import PAYLOAD_BYTES, demand_of, known_bytes, scenario

if TYPE_CHECKING:
    from simulator.scenario.schema import Scenario


def group(name: str = "cars", count: int = 10, **streams: float) -> dict[str, Any]:
    """A group with streams of some rates."""
    return {
        "name": name,
        "count": count,
        "streams": {stream: {"rate_hz": rate_hz} for stream, rate_hz in streams.items()},
    }


# Hand arithmetic


def test_publishes_follow_cars_rates_and_phases() -> None:
    """100 cars with 10 + 1 messages a second, at half rate for 60 s, then up to twice the rate."""
    found = demand_of(
        vehicles=[group(count=100, state=10, gnss=1)],
        phases=[
            {"name": "half", "duration": 60, "rate": 0.5},
            {"name": "up", "duration": 40, "rate": 0.5, "rate_to": 2},
        ],
    )

    assert found.phase("half").publishes_in == pytest.approx(100 * 11 * 0.5 * 60)
    assert found.phase("half").publishes_in_per_s == pytest.approx(550)
    assert found.phase("up").publishes_in == pytest.approx(100 * 11 * 1.25 * 40)
    assert found.phase("up").publishes_in_per_s == pytest.approx(2200)
    assert found.needs[Need.PUBLISHES_IN].where == "phase up"


def test_cars_count_from_their_arrival() -> None:
    """With one car a second over ten seconds at 1 Hz, 10 + 9 + ... + 1 messages are due."""
    found = demand_of(
        vehicles=[group(state=1)],
        arrival={"kind": "rate", "per_s": 1},
        phases=[{"name": "rise", "duration": 10}, {"name": "rest", "duration": 10}],
    )

    assert found.phase("rise").publishes_in == pytest.approx(55)
    assert found.phase("rest").publishes_in == pytest.approx(100)
    assert found.phase("rise").connects == 10
    assert found.phase("rise").connects_per_s == 1
    assert found.phase("rest").connects == 0


def test_cars_that_would_come_too_late_are_left_out() -> None:
    """Of ten cars, one each ten seconds, six arrive in a minute."""
    found = demand_of(arrival={"kind": "rate", "per_s": 0.1})

    assert (found.cars, found.cars_connecting) == (10, 6)
    assert found.needs[Need.CONNECTIONS].value == 6
    assert any("4 cars" in note for note in found.notes)


def test_command_is_answered_twice() -> None:
    """5 commands a second are 5 + 10 publishes in, and 5 + 10 deliveries."""
    found = demand_of(
        vehicles=[group() | {"commands": {}}],
        applications={"commanders": [{"rate_hz": 5}]},
    )
    phase = found.phase("all")

    assert phase.publishes_in_per_s == pytest.approx(15)
    assert phase.publishes_out_per_s == pytest.approx(15)
    car, commander = found.connections
    assert [car.receives_per_s, car.sends_per_s] == pytest.approx([0.5, 1])
    assert [commander.sends_per_s, commander.receives_per_s] == pytest.approx([5, 10])


def test_commands_of_aws_are_confirmed_to_the_car() -> None:
    """AWS IoT Commands answers every status; the car gets request and two confirmations."""
    found = demand_of(
        vehicles=[group(count=1) | {"commands": {"protocol": "aws"}}],
        applications={"commanders": [{"rate_hz": 1}]},
    )

    assert found.connections[0].receives_per_s == pytest.approx(3)
    assert found.phase("all").publishes_in_per_s == pytest.approx(3)
    assert found.needs[Need.COMMAND_STARTS].value == pytest.approx(1)
    assert found.needs[Need.COMMAND_UPDATES].value == pytest.approx(2)


def test_silent_cars_answer_less() -> None:
    """When half of the commands get no answer, there are half as many answers."""
    found = demand_of(
        vehicles=[group() | {"commands": {"silent": 0.5}}],
        applications={"commanders": [{"rate_hz": 4}]},
    )

    assert found.phase("all").publishes_in_per_s == pytest.approx(4 + 4)


def test_shadow_update_counts_with_its_answers() -> None:
    """A report each 10 s of 100 cars: 10 requests, which AWS counts as 30 publishes."""
    found = demand_of(
        vehicles=[group(count=100) | {"shadow": {"every": 10}}],
        phases=[{"name": "all", "duration": 60, "rate": 5}],
    )

    assert found.needs[Need.SHADOW_REQUESTS].value == pytest.approx(10)
    assert found.needs[Need.SHADOW_REQUESTS_OF_SHADOW].value == pytest.approx(0.1)
    assert found.needs[Need.PUBLISHES_IN].value == pytest.approx(30)
    assert found.run.shadow_operations == pytest.approx(600)
    assert found.run.publishes_in == pytest.approx(600)


def test_wildcard_observers_each_get_everything() -> None:
    """Two wildcard observers double the deliveries, and each carries all of them once."""
    found = demand_of(
        vehicles=[group(state=1), group("vans", 20, state=2)],
        applications={"observers": [{"count": 2, "filters": "wildcard"}]},
    )

    assert found.phase("all").publishes_out_per_s == pytest.approx(2 * 50)
    observer = found.connections[-1]
    assert [observer.receives_per_s, observer.filters] == pytest.approx([50, 1])


def test_wildcards_do_not_stop_at_a_group() -> None:
    """A wildcard observer of the vans gets the same stream of the cars too, as topics have it."""
    found = demand_of(
        vehicles=[group(state=1, gnss=1), group("vans", 20, state=2)],
        applications={"observers": [{"filters": "wildcard", "group": "vans"}]},
    )

    assert found.connections[-1].receives_per_s == pytest.approx(10 * 1 + 20 * 2)


def test_dealt_observers_share_the_cars() -> None:
    """100 cars dealt to 8 observers: the busiest has 13 of them, all together get each once."""
    found = demand_of(
        vehicles=[group(count=100, state=1, gnss=1)],
        applications={"observers": [{"count": 8, "filters": "each", "streams": ["gnss"]}]},
    )
    observer = found.connections[-1]

    assert found.phase("all").publishes_out_per_s == pytest.approx(100)
    assert [observer.receives_per_s, observer.filters] == pytest.approx([13, 13])
    assert found.needs[Need.SUBSCRIPTIONS].value == 100


def test_one_filter_stands_for_all_streams_of_a_car() -> None:
    """Without a choice of streams a dealt observer subscribes once for each car."""
    found = demand_of(
        vehicles=[group(count=10, state=1, gnss=1)],
        applications={"observers": [{"count": 2, "filters": "each"}]},
    )

    assert found.connections[-1].filters == 5
    assert found.phase("all").publishes_out_per_s == pytest.approx(20)


def test_bytes_of_a_packet_by_hand() -> None:
    """MQTT 5.0 section 3.3: 1 + 2 + 2 + topic + 2 + 1 + payload bytes at QoS 1."""
    found = demand_of(
        fleet="f",
        vehicles=[
            {"name": "cars", "count": 1, "streams": {"state": {"rate_hz": 1, "qos": 1}}},
        ],
    )
    topic_bytes = len("dt/morai/f/f-cars-0001/state")

    packet_bytes = 1 + 2 + 2 + topic_bytes + 2 + 1 + PAYLOAD_BYTES
    assert found.phase("all").bytes_in == pytest.approx(60 * packet_bytes)
    assert found.connections[0].kilobytes_per_s == pytest.approx(packet_bytes / 1024)


@pytest.mark.parametrize(("over", "units"), [(0, 1), (1, 2)])
def test_message_is_metered_in_units_of_5_kb(over: int, units: int) -> None:
    """Topic and payload together fill units of 5,120 bytes; one byte more begins another."""
    payload = 5120 - len("dt/morai/load/load-cars-0001/state") + over
    stream = {"rate_hz": 1, "encoding": "bytes", "payload_bytes": payload}
    found = demand_of(vehicles=[{"name": "cars", "count": 1, "streams": {"state": stream}}])

    assert found.run.publishes_in == pytest.approx(60 * units)


def test_acknowledgements_of_clients_are_metered() -> None:
    """An observer of QoS 1 acknowledges each QoS 1 delivery, and none of QoS 0."""
    vehicles = [
        {
            "name": "cars",
            "count": 10,
            "streams": {"state": {"rate_hz": 1, "qos": 1}, "gnss": {"rate_hz": 1}},
        }
    ]
    found = demand_of(vehicles=vehicles, applications={"observers": [{"qos": 1}]})
    careless = demand_of(vehicles=vehicles, applications={"observers": [{"qos": 0}]})

    assert found.run.acknowledgements == pytest.approx(600)
    assert careless.run.acknowledgements == 0
    assert careless.run.publishes_out == found.run.publishes_out == pytest.approx(1200)


def test_connected_minutes_are_rounded_up() -> None:
    """61 s cost two minutes for each of ten cars; an observer is a connection too."""
    found = demand_of(
        vehicles=[group(state=1)],
        phases=[{"name": "all", "duration": 61}],
        applications={"observers": [{}]},
    )

    assert found.run.connection_minutes == 22
    assert found.month.connection_minutes == 11 * 43_200


def test_eight_filters_fit_one_subscribe() -> None:
    """17 filters of an observer are three SUBSCRIBE packets."""
    found = demand_of(
        vehicles=[group(count=17, state=1)], applications={"observers": [{"filters": "each"}]}
    )

    assert found.run.subscribes == 3
    assert found.needs[Need.FILTERS_OF_SUBSCRIBE].value == 8


def test_topic_is_measured_on_the_longest_name() -> None:
    """The longest topic of the contract is the answer to a command with an id of 64 letters."""
    found = demand_of(
        vehicles=[group() | {"commands": {}}], applications={"commanders": [{"rate_hz": 1}]}
    )

    assert found.needs[Need.TOPIC_BYTES].value == len("cmd/morai/load/load-cars-0001/req/") + 64
    assert found.needs[Need.TOPIC_SLASHES].value == 5


def test_oversized_faults_are_named_not_counted() -> None:
    """The payload quota is about the streams; the fault that breaks it on purpose is a note."""
    found = demand_of(
        vehicles=[group(state=1)], faults=[{"kind": "oversized-publish", "at": 10, "share": 0.1}]
    )

    assert found.needs[Need.PAYLOAD_BYTES].value == PAYLOAD_BYTES
    assert any("oversized" in note for note in found.notes)


def test_demand_is_json() -> None:
    """The demand survives a way through JSON, with needs by the ids of quotas."""
    found = demand_of(vehicles=[group(state=1)])
    document = json.loads(json.dumps(found.as_json()))

    assert document["needs"]["publishes-in-per-account"]["value"] == 10
    assert document["phases"][0]["name"] == "all"


def test_typical_payloads_are_used_unless_told_otherwise() -> None:
    """Padded streams have the size they are padded to."""
    made = scenario(
        vehicles=[
            {
                "name": "cars",
                "count": 2,
                "streams": {"state": {"rate_hz": 1, "payload_bytes": 3000}},
            }
        ]
    )

    assert demand.of(made, Roster(made)).needs[Need.PAYLOAD_BYTES].value == 3000


# Against enumeration

PHASES = st.lists(
    st.tuples(
        st.integers(1, 8),
        st.sampled_from([0.0, 0.5, 1.0, 3.0]),
        st.sampled_from([None, 0.0, 2.0]),
    ),
    min_size=1,
    max_size=3,
)
ARRIVALS = st.one_of(
    st.builds(lambda t: {"kind": "at-once", "after": t}, st.integers(0, 4)),
    st.builds(lambda r: {"kind": "rate", "per_s": r}, st.sampled_from([0.5, 1.0, 4.0])),
    st.builds(lambda d: {"kind": "over", "duration": d}, st.integers(1, 12)),
    st.just({"kind": "ramp", "from_per_s": 0, "to_per_s": 3}),
)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Small scenarios of two groups with an observer team."""
    rates = st.sampled_from([0.5, 1.0, 2.0, 7.0])
    phases = [
        {"name": f"p{index}", "duration": length, "rate": rate, "rate_to": rate_to}
        for index, (length, rate, rate_to) in enumerate(draw(PHASES))
    ]
    return scenario(
        vehicles=[
            group("cars", draw(st.integers(1, 6)), state=draw(rates), gnss=draw(rates)),
            group("vans", draw(st.integers(1, 6)), state=draw(rates)),
        ],
        arrival=draw(ARRIVALS),
        phases=phases,
        applications={
            "observers": [
                {
                    "count": draw(st.integers(1, 3)),
                    "filters": draw(st.sampled_from(["wildcard", "each"])),
                    "streams": draw(st.sampled_from([None, ["state"], ["gnss"]])),
                }
            ]
        },
    )


def due_times(made: Scenario, roster: Roster) -> list[tuple[int, str, float]]:
    """Car, stream and time of every message, one by one."""
    timetable = Timetable(made.phases)
    arrivals, offsets = roster.arrivals_s(), roster.offsets()
    found = []
    for car in range(roster.count):
        if arrivals[car] >= timetable.end_s:
            continue
        begin = timetable.integral_at(float(arrivals[car]))
        for name, stream in roster.group_of(car).group.streams.items():
            for number in range(int(stream.rate_hz * timetable.integral_end) + 2):
                integral = (number + offsets[car]) / stream.rate_hz
                if begin <= integral < timetable.integral_end:
                    found.append((car, name, timetable.time_of(integral)))
    return found


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a filter of `+` and names matches a topic."""
    levels = zip(topic_filter.split("/"), topic.split("/"), strict=True)
    return all(wanted in {"+", level} for wanted, level in levels)


def filters_of(made: Scenario, roster: Roster) -> list[list[str]]:
    """The filters of each observer, as the dealing rule has them."""
    observers = made.applications.observers[0]
    prefix = f"dt/morai/{made.fleet}"
    streams = observers.streams or ["state", "gnss"]
    if observers.filters == "wildcard":
        return [[f"{prefix}/+/{name}" for name in streams]] * observers.count
    dealt: list[list[str]] = [[] for _ in range(observers.count)]
    for within in roster.groups:
        for index, car in enumerate(range(within.start, within.stop)):
            names = [name for name in streams if name in within.group.streams]
            ends = ["+"] if len(names) == len(within.group.streams) else names
            dealt[index % observers.count] += [f"{prefix}/{roster.thing(car)}/{e}" for e in ends]
    return dealt


@given(scenarios())
def test_totals_agree_with_enumeration(made: Scenario) -> None:
    """Messages and deliveries of each phase, counted one by one, within one for each stream."""
    roster = Roster(made)
    found = demand.of(made, roster, known_bytes)
    filters = filters_of(made, roster)
    kinds = sum(g.group.count * len(g.group.streams) for g in roster.groups)
    published = dict.fromkeys([phase.name for phase in made.phases], 0)
    delivered = dict(published)
    timetable = Timetable(made.phases)
    for car, name, at_s in due_times(made, roster):
        phase = timetable.phase_at(min(at_s, timetable.end_s - 1e-9))
        topic = f"dt/morai/{made.fleet}/{roster.thing(car)}/{name}"
        published[phase] += 1
        delivered[phase] += sum(matches(f, topic) for each in filters for f in each)

    copies = made.applications.observers[0].count
    for name in published:
        assert abs(found.phase(name).publishes_in - published[name]) <= kinds + 1e-6
        assert abs(found.phase(name).publishes_out - delivered[name]) <= kinds * copies + 1e-6


@given(scenarios())
def test_filters_agree_with_enumeration(made: Scenario) -> None:
    """The busiest observer and all of them have as many filters as the dealing rule gives them."""
    roster = Roster(made)
    found = demand.of(made, roster, known_bytes)
    filters = filters_of(made, roster)

    assert found.connections[-1].filters == max(map(len, filters))
    assert found.needs[Need.SUBSCRIPTIONS].value == sum(map(len, filters))


@given(scenarios(), st.integers(0, 1000))
def test_no_moment_exceeds_the_peak(made: Scenario, step: int) -> None:
    """The cars that are there never publish more than the peak, and at some moment just it."""
    roster = Roster(made)
    found = demand.of(made, roster, known_bytes)
    timetable = Timetable(made.phases)
    arrivals = roster.arrivals_s()
    for stretch in timetable.stretches:

        def rate(at_s: float, before: bool = False) -> float:
            slope = (stretch.rate_to - stretch.rate) / (stretch.end_s - stretch.start_s)  # noqa: B023 - used at once
            factor = stretch.rate + slope * (at_s - stretch.start_s)  # noqa: B023 - used at once
            return factor * sum(
                stream.rate_hz
                for car in range(roster.count)
                if (arrivals[car] < at_s if before else arrivals[car] <= at_s)
                for stream in roster.group_of(car).group.streams.values()
            )

        moments = [float(t) for t in arrivals if stretch.start_s <= t < stretch.end_s]
        some = stretch.start_s + step / 1001 * (stretch.end_s - stretch.start_s)
        rates = [rate(at_s) for at_s in [stretch.start_s, some, *moments]]
        highest = max([*rates, rate(stretch.end_s, before=True)])
        assert found.phase(stretch.name).publishes_in_per_s == pytest.approx(highest)


@given(scenarios())
def test_totals_do_not_depend_on_phases_for_the_whole(made: Scenario) -> None:
    """The units of the run are those of its phases added up, one unit a message here."""
    found = demand.of(made, Roster(made), known_bytes)

    assert found.run.publishes_in == pytest.approx(found.total("publishes_in"))
    assert found.run.publishes_out == pytest.approx(found.total("publishes_out"))
    assert found.run.publishes_in <= found.month.publishes_in + 1e-9
