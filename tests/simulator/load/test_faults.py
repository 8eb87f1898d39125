from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from simulator.load.faults import Faults
from simulator.load.traffic.agenda import Agenda
from simulator.scenario.roster import Roster
from tests.simulator.load.courses import Course, small
from tests.simulator.load.documents import scenario

if TYPE_CHECKING:
    from simulator.report.result import Result
    from simulator.scenario.schema import Scenario


class Clocks:
    """Cars that only have a clock, which is enough for clock-skew."""

    def __init__(self, first: int, count: int, agenda: Agenda) -> None:
        self.first = first
        self.things = [""] * count
        self.skew_s: dict[int, float] = {}
        self.work = SimpleNamespace(agenda=agenda)


def skewed(made: Scenario, workers: int, at_s: float) -> dict[int, float]:
    """Car to the error of its clock at a time, when the cars are divided like this."""
    roster = Roster(made)
    found: dict[int, float] = {}
    for worker in range(workers):
        agenda, groups = Agenda(), []
        for within in roster.groups:
            size = within.stop - within.start
            start = within.start + worker * size // workers
            stop = within.start + (worker + 1) * size // workers
            groups.append(Clocks(start, stop - start, agenda))
        Faults(made, roster, cast("Any", groups), lambda _: pytest.fail("no certificate")).enter()
        now_s = 0.0
        while now_s <= at_s:
            agenda.do_due(now_s)
            now_s += 0.125
        found |= {group.first + car: s for group in groups for car, s in group.skew_s.items()}
    return found


def faulty(**fault: Any) -> Scenario:
    """A hundred cars in two groups and one fault."""
    streams = {"state": {"rate_hz": 1}}
    return scenario(
        vehicles=[
            {"name": "cars", "count": 70, "streams": streams},
            {"name": "vans", "count": 30, "streams": streams},
        ],
        faults=[{"kind": "clock-skew", "skew_s": 5, **fault}],
    )


@pytest.mark.parametrize(
    ("fault", "count"),
    [
        ({"at": 3, "share": 0.25}, 25),
        ({"at": 3, "share": 0.5, "group": "vans"}, 15),
        ({"at": 3}, 100),
        ({"at": 3, "share": 0.001, "group": "vans"}, 1),
        ({"per_s": 2, "begin": 1, "duration": 100}, 15),
        ({"per_s": 20, "begin": 1, "end": 2, "duration": 100}, 20),
        ({"per_s": 1000, "begin": 1, "end": 2, "duration": 100}, 100),
    ],
)
def test_the_same_cars_suffer_on_any_number_of_workers(fault: dict[str, Any], count: int) -> None:
    """As many as the fault says, of its group, and the same for one worker, three and seven."""
    made = faulty(**fault)
    alone = skewed(made, 1, 8.0)

    assert len(alone) == count
    assert alone == skewed(made, 3, 8.0) == skewed(made, 7, 8.0)
    assert set(alone.values()) == {5.0}
    if "group" in fault:
        assert min(alone) >= 70


def test_a_lasting_fault_begins_and_ends() -> None:
    """Nobody before, all of them during, nobody after."""
    made = faulty(at=3, share=0.1, duration=2)

    assert [len(skewed(made, 2, at_s)) for at_s in (2.875, 3.0, 4.875, 5.0)] == [0, 10, 10, 0]


def test_overlapping_faults_last_until_the_latest_end() -> None:
    """From 2 s to 5 s and from 3 s to 4 s is from 2 s to 5 s; and 2 s to 6 s from 4 s on."""
    made = faulty(at=2, duration=3)
    kind = {"kind": "clock-skew", "skew_s": 9}
    for fault, skews in (
        ({"at": 3, "duration": 1}, [5, 9, 9, 9, None, None]),
        ({"at": 4, "duration": 2}, [5, 5, 9, 9, 9, None]),
    ):
        both = scenario(
            vehicles=[{"name": "cars", "count": 100, "streams": {"state": {"rate_hz": 1}}}],
            faults=[made.faults[0].model_dump(exclude_unset=True), {**kind, **fault}],
        )
        found = [skewed(both, 2, at_s).get(77) for at_s in (2.5, 3.5, 4.0, 4.5, 5.5, 6.5)]
        assert found == skews


def test_a_car_hit_again_and_again_has_one_entry_for_its_recovery() -> None:
    """A thousand strikes a second that last for minutes leave one entry a car, and the next one."""
    made = faulty(per_s=1000, duration=60)
    agenda = Agenda()
    Faults(made, Roster(made), cast("Any", [Clocks(0, 100, agenda)]), lambda _: None).enter()  # type: ignore[arg-type, return-value]  # no certificate is asked for
    for quarter in range(8):
        agenda.do_due(quarter / 4)

    assert len(agenda) == 101


def test_repeated_faults_strike_one_car_after_the_other() -> None:
    """Two a second from the first second on: 1, 1.5, 2 and so on."""
    made = faulty(per_s=2, begin=1, duration=100)

    assert [len(skewed(made, 3, at_s)) for at_s in (0.875, 1.0, 1.375, 1.5, 3.0)] == [0, 1, 1, 2, 5]


def test_frequent_faults_do_not_fill_the_agenda() -> None:
    """A thousand strikes a second for an hour stand in it as one entry."""
    made = faulty(per_s=1000).model_copy(
        update={"phases": [scenario().phases[0].model_copy(update={"duration": 3600.0})]}
    )
    agenda = Agenda()
    group = Clocks(0, 100, agenda)

    Faults(made, Roster(made), cast("Any", [group]), lambda _: pytest.fail("none")).enter()

    assert len(agenda) == 1


FAULTS: dict[str, dict[str, Any]] = {
    "disconnected": {"kind": "disconnect"},
    "dropped": {"kind": "drop"},
    "stormed": {"kind": "storm"},
    "silenced": {"kind": "silence", "duration": 0.6},
    "slow": {"kind": "slow-reader", "duration": 0.6},
    "doubled": {"kind": "duplicate-client-id"},
    "strange": {"kind": "wrong-certificate", "duration": 0.7},
    "late": {"kind": "wrong-certificate", "duration": 0.3},
    "skewed": {"kind": "clock-skew", "skew_s": -30, "duration": 0.5},
    "oversized": {"kind": "oversized-publish"},
    "malformed": {"kind": "malformed-publish"},
}


async def test_each_fault_does_what_it_says() -> None:
    """Two cars for each kind in one run against the stand-in; what happened to them and why."""
    group = {
        "count": 2,
        "motion": {"kind": "parked"},
        "streams": {"state": {"rate_hz": 10, "qos": 1}},
        "reconnect": {"policy": "backoff", "first": 0.3, "longest": 0.3, "jitter": False},
    }
    vehicles = [{**group, "name": name} for name in ("calm", *FAULTS)]
    by_name = {each["name"]: each for each in vehicles}
    by_name["stormed"]["reconnect"] = {"policy": "none"}
    by_name["late"]["arrival"] = {"kind": "at-once", "after": 1.6}
    made = small(
        vehicles=vehicles,
        phases=[{"name": "hold", "duration": 2.5}],
        drain=1,
        faults=[{**fault, "at": 0.7, "group": name} for name, fault in FAULTS.items()],
    )

    result = await Course(made).run()

    assert_connections(result)
    assert result.reasons["DISCONNECT 0x8E session taken over"] >= 2
    assert result.reasons["DISCONNECT 0x81 malformed packet"] == 2
    assert result.target is not None
    assert result.target.refusals["quota:payload-bytes"] == 2
    # What is due in the moments before a car is there for the first time is not asked of it.
    assert 40 <= result.count("published", "calm") == result.count("acknowledged", "calm") <= 50
    # What was due early in the silence was acknowledged only after it.
    for name in ("silenced", "slow"):
        assert result.latency("publish_ack_ms", name).get_max_value() >= 400_000  # microseconds
    # A wrong clock shifts what the payload says, not what the run measures.
    heard = result.latency("end_to_end_ms", "skewed").get_total_count()
    assert heard == result.count("published", "skewed")
    assert result.latency("end_to_end_ms", "skewed").get_max_value() < 20_000_000


def assert_connections(result: Result) -> None:
    """How often the cars of each group were connected and lost their connection."""
    for name in ("calm", "silenced", "slow", "skewed", "late"):
        assert result.count("connects", name) == 2, name
        assert result.count("disconnects", name) == 0, name
        assert result.count("connect_failures", name) == 0, name
    for name in ("disconnected", "dropped", "stormed", "strange", "oversized", "malformed"):
        assert result.count("disconnects", name) == 2, name
        assert result.count("connects", name) == 4, name
    assert result.count("disconnects", "doubled") >= 2
    assert result.count("connects", "doubled") == result.count("disconnects", "doubled") + 2
    assert result.count("connect_failures", "strange") >= 2
    for name in ("disconnected", "dropped", "stormed", "oversized", "malformed", "doubled"):
        assert result.count("connect_failures", name) == 0, name
    assert result.online == dict.fromkeys(["calm", *FAULTS], 0)


async def test_what_holds_a_car_up_outlives_its_connection() -> None:
    """A silenced car that is dropped stays away until the end; a slow one still reads nothing."""
    group = {
        "count": 2,
        "motion": {"kind": "parked"},
        "streams": {"state": {"rate_hz": 10, "qos": 1}},
        "reconnect": {"policy": "backoff", "first": 0.1, "longest": 0.1, "jitter": False},
    }
    hold = {"at": 0.5, "duration": 1.5}
    made = small(
        vehicles=[{**group, "name": name} for name in ("dark", "slow", "twice")],
        phases=[{"name": "hold", "duration": 2.5}],
        drain=1,
        faults=[
            {"kind": "silence", "group": "dark", **hold},
            {"kind": "drop", "group": "dark", "at": 0.8},
            {"kind": "slow-reader", "group": "slow", **hold},
            {"kind": "drop", "group": "slow", "at": 0.8},
            {"kind": "silence", "group": "twice", **hold},
            {"kind": "silence", "group": "twice", "at": 0.6, "duration": 0.2},
        ],
    )

    result = await Course(made).run()

    assert {name: result.count("connects", name) for name in ("dark", "slow", "twice")} == {
        "dark": 4,
        "slow": 4,
        "twice": 2,
    }
    # Ten a second of two cars from 0.8 s to 2 s; 0.1 s would be 2.
    assert 22 <= result.count("not_sent_offline", "dark") <= 28
    assert result.count("not_sent_offline", "slow") <= 6
    # What was due soon after 0.5 s (and after 0.9 s) was acknowledged only after 2 s.
    assert result.latency("publish_ack_ms", "slow").get_max_value() >= 1_000_000  # microseconds
    assert result.latency("publish_ack_ms", "twice").get_max_value() >= 1_300_000
    assert result.count("acknowledged", "dark") == result.count("published", "dark")
