from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.forecast.connecting import Connecting
from simulator.forecast.figures import Need
from simulator.scenario.roster import Roster
from tests.simulator.forecast.scenarios import demand_of, scenario


def cars(count: int = 100, **group: Any) -> dict[str, Any]:
    """A scenario with one silent group."""
    return {"vehicles": [{"name": "cars", "count": count} | group]}


def backoff(first: float, *, jitter: bool = True) -> dict[str, Any]:
    """A reconnect policy."""
    return {"policy": "backoff", "first": first, "jitter": jitter}


def connects(**changes: Any) -> tuple[float, float]:
    """CONNECTs of the run, and the most in one second."""
    found = demand_of(**changes)
    return found.total("connects"), found.needs[Need.CONNECTS].value


def test_rate_of_arrival_is_the_peak() -> None:
    """100 cars at 25 a second need 25 CONNECTs in each second."""
    assert connects(**cars(), arrival={"kind": "rate", "per_s": 25}) == (100, 25)


def test_second_need_not_begin_on_a_whole_second() -> None:
    """Arrivals and a storm half a second later count together wherever the clock stands."""
    found = connects(
        vehicles=[
            {"name": "early", "count": 30, "arrival": {"kind": "at-once", "after": 1}},
            {"name": "late", "count": 50, "arrival": {"kind": "at-once", "after": 10.7}},
        ],
        faults=[{"kind": "storm", "at": 11.2, "group": "early"}],
    )

    assert found == (110, 80)


def test_storm_comes_all_at_once() -> None:
    """A storm of a third of 99 cars is 33 CONNECTs at one moment, whatever the policy."""
    changes: dict[str, Any] = {
        **cars(99, reconnect=backoff(60)),
        "arrival": {"kind": "rate", "per_s": 10},
        "faults": [{"kind": "storm", "at": 30, "share": 1 / 3}],
    }

    assert connects(**changes) == (132, 33)
    assert demand_of(**changes).reconnecting_at_once.value == 33


def test_cars_not_yet_there_are_not_hit() -> None:
    """At 5 s only the cars that arrived by then can reconnect."""
    total, _ = connects(
        **cars(100),
        arrival={"kind": "rate", "per_s": 10},
        faults=[{"kind": "storm", "at": 4.95}],
    )

    assert total == 150


@pytest.mark.parametrize(
    ("reconnect", "peak", "total"),
    [
        ({"policy": "none"}, 100, 100),
        ({"policy": "immediate"}, 100, 200),
        (backoff(1.0, jitter=False), 100, 200),
        (backoff(10.0), 100, 200),
    ],
)
def test_dropped_cars_come_back_by_their_policy(
    reconnect: dict[str, Any], peak: float, total: float
) -> None:
    """Dropped cars cause one CONNECT each, unless they stay away."""
    found = connects(**cars(reconnect=reconnect), faults=[{"kind": "drop", "at": 30}])

    assert found == (total, peak)


def test_jitter_spreads_the_return() -> None:
    """100 cars that wait up to 10 s come back at 10 a second."""
    _, peak = connects(
        **cars(reconnect=backoff(10)),
        arrival={"kind": "over", "duration": 20},
        faults=[{"kind": "drop", "at": 30}],
    )

    assert peak == 10


@pytest.mark.parametrize(("duration", "total"), [(80, 10), (100, 20)])
def test_silence_ends_a_connection_after_one_and_a_half_keep_alives(
    duration: float, total: float
) -> None:
    """With a keep-alive of 60 s, 80 s of silence change nothing and 100 s end the connection."""
    found, _ = connects(
        **cars(10, keep_alive=60, reconnect={"policy": "immediate"}),
        phases=[{"name": "all", "duration": 300}],
        faults=[{"kind": "silence", "at": 30, "duration": duration}],
    )

    assert found == total


def test_repeated_faults_add_their_rate() -> None:
    """Two cars a second for 20 s reconnect: 40 CONNECTs on top of the arrivals."""
    found = demand_of(
        **cars(100, reconnect={"policy": "immediate"}),
        faults=[{"kind": "disconnect", "per_s": 2, "begin": 30, "end": 50}],
        phases=[{"name": "calm", "duration": 30}, {"name": "churn", "duration": 30}],
    )

    assert found.phase("churn").connects == pytest.approx(40)
    assert found.phase("churn").connects_per_s == pytest.approx(2)
    assert found.run.connects == pytest.approx(140)


def test_refused_attempts_are_connects_but_not_metered() -> None:
    """Wrong certificates for 7 s: attempts after 0, 1, 3 s, then the return at 7 + 1 s."""
    found = demand_of(
        **cars(1, reconnect=backoff(1.0, jitter=False)),
        faults=[{"kind": "wrong-certificate", "at": 30, "duration": 7}],
    )

    assert found.total("connects") == 1 + 3 + 1
    assert found.run.connects == 2


@pytest.mark.parametrize(
    ("fault", "reconnect", "needed"),
    [
        ({"kind": "drop", "at": 30}, {"policy": "immediate"}, 1),
        ({"kind": "duplicate-client-id", "at": 30}, {"policy": "immediate"}, 2),
        ({"kind": "duplicate-client-id", "at": 30}, backoff(0.5), 2),
        ({"kind": "duplicate-client-id", "at": 30}, backoff(1.0, jitter=False), 1),
        ({"kind": "duplicate-client-id", "at": 30}, {"policy": "none"}, 1),
        ({"kind": "duplicate-client-id", "per_s": 0.1}, {"policy": "immediate"}, 2),
        ({"kind": "wrong-certificate", "at": 30}, {"policy": "immediate"}, 2),
        ({"kind": "storm", "at": 0.5}, {"policy": "none"}, 2),
    ],
)
def test_connects_of_one_client_id(
    fault: dict[str, Any], reconnect: dict[str, Any], needed: float
) -> None:
    """AWS takes one CONNECT a second of a client id; some faults need two."""
    found = demand_of(**cars(10, reconnect=reconnect), faults=[fault])

    assert found.needs[Need.CONNECTS_OF_CLIENT].value == needed


def test_two_storms_within_a_second_hit_the_same_cars() -> None:
    """Faults less than a second apart may meet one client id twice."""
    faults = [{"kind": "storm", "at": 30}, {"kind": "storm", "at": 30.9}]

    assert demand_of(**cars(10), faults=faults).needs[Need.CONNECTS_OF_CLIENT].value == 2


def test_each_reconnect_subscribes_again_without_a_session() -> None:
    """Cars that take commands subscribe once for each connection, or keep their subscription."""
    changes: dict[str, Any] = {"faults": [{"kind": "storm", "at": 30}]}
    clean = demand_of(**cars(10, commands={}), **changes)
    kept = demand_of(**cars(10, commands={}, session="persistent"), **changes)

    assert (clean.total("subscribe_filters"), clean.run.subscribes) == (20, 20)
    assert (kept.total("subscribe_filters"), kept.run.subscribes) == (10, 10)


def test_applications_connect_before_the_cars() -> None:
    """Twenty observers connect in one moment that belongs to no phase."""
    found = demand_of(
        vehicles=[{"name": "cars", "count": 40, "streams": {"state": {"rate_hz": 1}}}],
        arrival={"kind": "rate", "per_s": 5},
        applications={"observers": [{"count": 20}]},
    )

    assert found.phases[0].name == "start"
    assert found.phases[0].connects_per_s == 20
    assert found.needs[Need.CONNECTS].value == 20
    assert found.total("connects") == 60


@given(
    st.lists(st.integers(0, 80), min_size=1, max_size=4),
    st.sampled_from([0.7, 3.0, 10.0]),
    st.integers(1, 20),
)
def test_busiest_second_agrees_with_enumeration(
    storms: list[int], per_s: float, count: int
) -> None:
    """The peak is the most events that any window of one second holds."""
    made = scenario(
        **cars(count),
        arrival={"kind": "rate", "per_s": per_s},
        phases=[{"name": "all", "duration": 100}],
        faults=[{"kind": "storm", "at": storm / 4} for storm in storms],
    )
    roster = Roster(made)
    arrivals = [float(t) for t in roster.arrivals_s()]
    events = [t for t in arrivals if t < 100]
    for storm in storms:
        events += [storm / 4] * sum(t <= storm / 4 for t in arrivals)

    most = max(sum(begin <= t < begin + 1 - 1e-9 for t in events) for begin in events)
    found = Connecting(made, roster, roster.arrivals_s())
    assert found.per_second(lambda *_: 1.0).value == most
