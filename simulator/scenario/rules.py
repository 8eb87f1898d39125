"""What one part of a scenario demands of another: names that must exist, parts that exclude others.

Owns the rules that no single part can check alone and without which a scenario cannot be run. Pure;
knows nothing about YAML, lines or files. What is allowed but hardly meant is in `cautions`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, TypeAlias

from simulator.quotas.files import DEFAULT, quota_files
from simulator.scenario import edges
from simulator.scenario.measuring import (
    NEEDS_COMMANDERS,
    NEEDS_OBSERVERS,
    NEEDS_PROBES,
    NEEDS_QOS_1,
    commanded_groups,
    has_qos_1,
    measured_for,
)
from simulator.scenario.problem import Location
from simulator.scenario.roster import Roster
from simulator.scenario.schema import (
    LASTING_FAULTS,
    MAX_VEHICLES,
    OFF,
    AwsTarget,
    BrokerTarget,
    FaultKind,
    StandInTarget,
)
from simulator.scenario.timetable import AFTER
from simulator.scenario.units import duration_text
from simulator.scenario.watching import connections_needed, most_filters, uses_wildcard
from simulator.scenario.wording import choices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from simulator.scenario.schema import (
        Commanders,
        Observers,
        Probes,
        Scenario,
        VehicleGroup,
    )

Finding: TypeAlias = tuple[Location, str]
"""Where, and what is wrong there."""

SOCKET_FAULTS: Final[frozenset[FaultKind]] = frozenset(
    {
        "drop",
        "storm",
        "silence",
        "slow-reader",
        "wrong-certificate",
        "oversized-publish",
        "malformed-publish",
    }
)
"""Faults made on the socket itself, which the AWS SDK keeps to itself."""

SUBSCRIPTIONS_PER_CONNECTION: Final = 50
"""AWS IoT Core endpoints and quotas: message broker, subscriptions per connection."""

MAX_STRIKES: Final = 1_000_000
"""How often one fault may strike in a run; each strike is an act of the generator."""


def problems(
    scenario: Scenario,
    *,
    broken: frozenset[str] = frozenset(),
    nameless: frozenset[str] = frozenset(),
) -> list[Finding]:
    """Everything that keeps a scenario of valid parts from being run.

    Args:
        scenario: The scenario.
        broken: Sections of which only the names are right; rules that need more are left out.
        nameless: Those of them of which not even the names are right.
    """
    found: list[Finding] = []
    for needs, rule in _RULES:
        names = {section.removesuffix(" names") for section in needs if section.endswith(" names")}
        if not needs & broken and not names & nameless:
            found += rule(scenario)
    return found


def watched(scenario: Scenario, group: str | None) -> list[VehicleGroup]:
    """The groups that a fault or an application of this `group` reaches."""
    return [each for each in scenario.vehicles if group in {None, each.name}]


# Names


def _unique_names(scenario: Scenario) -> Iterator[Finding]:
    yield from _repeated("vehicles", [group.name for group in scenario.vehicles])


def _unique_phases(scenario: Scenario) -> Iterator[Finding]:
    yield from _repeated("phases", [phase.name for phase in scenario.phases])
    for index, phase in enumerate(scenario.phases):
        if phase.name == AFTER:
            yield (
                ("phases", index, "name"),
                f"{AFTER} is what the time after the last phase is called; take another name",
            )


def _unique_applications(scenario: Scenario) -> Iterator[Finding]:
    taken = {group.name: "a group of cars" for group in scenario.vehicles}
    for section, parts in _applications(scenario):
        for index, part in enumerate(parts):
            if part.name in taken:
                yield (
                    ("applications", section, index, "name"),
                    f"{part.name} is the name of {taken[part.name]} already",
                )
            taken.setdefault(part.name, f"{section} already listed")


def _unique_probes(scenario: Scenario) -> Iterator[Finding]:
    taken = {group.name: "a group of cars" for group in scenario.vehicles}
    taken.update(
        (part.name, section) for section, parts in _applications(scenario) for part in parts
    )
    for index, probes in enumerate(scenario.probes):
        if probes.name in taken:
            yield (
                ("probes", index, "name"),
                f"{probes.name} is the name of {taken[probes.name]} already",
            )
        taken.setdefault(probes.name, "probes already listed")


def _groups_exist(scenario: Scenario) -> Iterator[Finding]:
    for section, parts in _applications(scenario):
        for index, part in enumerate(parts):
            yield from _group_exists(scenario, ("applications", section, index), part.group)


def _fault_groups_exist(scenario: Scenario) -> Iterator[Finding]:
    for index, fault in enumerate(scenario.faults):
        yield from _group_exists(scenario, ("faults", index), fault.group)


def _group_exists(scenario: Scenario, where: Location, group: str | None) -> Iterator[Finding]:
    names = [each.name for each in scenario.vehicles]
    if group is not None and group not in names:
        yield (*where, "group"), f"there is no group {group}; {choices(group, names)}"


def _check_phases_exist(scenario: Scenario) -> Iterator[Finding]:
    names = [*(phase.name for phase in scenario.phases), AFTER]
    for index, check in enumerate(scenario.parsed_checks):
        if check.phase is not None and check.phase not in names:
            hint = choices(check.phase, names)
            yield ("checks", index), f"{check.text}: there is no phase {check.phase}; {hint}"


def _check_groups_exist(scenario: Scenario) -> Iterator[Finding]:
    names = [group.name for group in scenario.vehicles]
    names += [part.name for _, parts in _applications(scenario) for part in parts]
    for index, check in enumerate(scenario.parsed_checks):
        if check.group is not None and check.group not in names:
            hint = choices(check.group, names)
            yield ("checks", index), f"{check.text}: there is no group {check.group}; {hint}"


def _check_quotas_exist(scenario: Scenario) -> Iterator[Finding]:
    names = [entry.id for entry in quota_files()[DEFAULT].quota]
    for index, check in enumerate(scenario.parsed_checks):
        if check.quota is not None and check.quota not in names:
            hint = choices(check.quota, names)
            yield ("checks", index), f"{check.text}: there is no quota {check.quota}; {hint}"


def _repeated(section: str, names: list[str]) -> Iterator[Finding]:
    seen: Counter[str] = Counter()
    for index, name in enumerate(names):
        if seen[name]:
            yield (section, index, "name"), f"{name} is the name of {section}[{names.index(name)}]"
        seen[name] += 1


def _applications(scenario: Scenario) -> list[tuple[str, Sequence[Observers | Commanders]]]:
    applications = scenario.applications
    return [("observers", applications.observers), ("commanders", applications.commanders)]


# Cars and where they connect


def _identities_fit(scenario: Scenario) -> Iterator[Finding]:
    target, kind = scenario.target, scenario.identities.kind
    # Who left identities out gets the problem at the target, which is there to be looked at.
    given = "identities" in scenario.model_fields_set
    where: Location = ("identities", "kind") if given else ("target",)
    if isinstance(target, StandInTarget):
        if kind == "none":
            yield where, "the stand-in asks for certificates; write kind: mint"
    elif kind == "mint":
        other = "store" if isinstance(target, AwsTarget) else "store, or none"
        yield (
            where,
            (
                "only the stand-in knows certificates made for the run; write identities: with "
                f"kind: {other}"
            ),
        )
    elif isinstance(target, AwsTarget):
        if kind == "none":
            yield where, "AWS IoT Core asks for certificates; write kind: store"
    elif not target.tls and kind == "store":
        yield where, "certificates need TLS; write kind: none, or tls: true in target"


def _few_enough(scenario: Scenario) -> Iterator[Finding]:
    if scenario.vehicle_count > MAX_VEHICLES:
        yield (
            ("vehicles",),
            f"{scenario.vehicle_count:,} cars in all groups; at most {MAX_VEHICLES:,}",
        )


def _waits_grow(scenario: Scenario) -> Iterator[Finding]:
    for index, group in enumerate(scenario.vehicles):
        if group.reconnect.longest < group.reconnect.first:
            yield (
                ("vehicles", index, "reconnect", "longest"),
                (
                    f"{duration_text(group.reconnect.longest)} is below first, "
                    f"{duration_text(group.reconnect.first)}"
                ),
            )


def _arrivals_begin(scenario: Scenario) -> Iterator[Finding]:
    for where, arrival in [
        (("arrival", "after"), scenario.arrival),
        *(
            (("vehicles", index, "arrival", "after"), group.arrival)
            for index, group in enumerate(scenario.vehicles)
        ),
    ]:
        if arrival is not None and arrival.after >= scenario.duration_s:
            yield where, f"no car connects within the run of {duration_text(scenario.duration_s)}"


# Faults


def _faults_in_time(scenario: Scenario) -> Iterator[Finding]:
    length_s = scenario.duration_s
    for index, fault in enumerate(scenario.faults):
        for key, value in (("at", fault.at), ("begin", fault.begin)):
            if value is not None and value >= length_s:
                yield (
                    ("faults", index, key),
                    (
                        f"{duration_text(value)} is not before the end of the run of "
                        f"{duration_text(length_s)}"
                    ),
                )


def _fault_keys_mean_something(scenario: Scenario) -> Iterator[Finding]:
    for index, fault in enumerate(scenario.faults):
        given, where = fault.model_fields_set, ("faults", index)
        if "duration" in given and fault.kind not in LASTING_FAULTS:
            yield (*where, "duration"), f"{fault.kind} happens in an instant; leave duration out"
        if "skew_s" in given and fault.kind != "clock-skew":
            yield (*where, "skew_s"), f"{fault.kind} has no skew; only clock-skew has"
        if fault.at is not None:
            for key in sorted(given & {"begin", "end"}):
                yield (*where, key), f"{key} goes with per_s; at says already when"


def _faults_strike_rarely_enough(scenario: Scenario) -> Iterator[Finding]:
    roster = Roster(scenario)
    for index, fault in enumerate(scenario.faults):
        count = roster.strikes(fault).count
        if count > MAX_STRIKES:
            yield (
                ("faults", index, "per_s"),
                (
                    f"it would strike {count:,} times, at most {MAX_STRIKES:,} are possible; "
                    "write a smaller per_s, or begin and end"
                ),
            )


def _faults_fit_target(scenario: Scenario) -> Iterator[Finding]:
    target = scenario.target
    plain = isinstance(target, BrokerTarget) and not target.tls
    for index, fault in enumerate(scenario.faults):
        if fault.kind != "wrong-certificate":
            continue
        if plain:
            yield (
                ("faults", index, "kind"),
                "wrong-certificate needs TLS; the target has tls: false",
            )
        elif scenario.identities.kind == "none":
            yield ("faults", index, "kind"), "wrong-certificate needs cars that have certificates"


def _faults_fit_cars(scenario: Scenario) -> Iterator[Finding]:
    for index, fault in enumerate(scenario.faults):
        groups = watched(scenario, fault.group)
        where = ("faults", index, "kind" if fault.group is None else "group")
        on_sdk = [group.name for group in groups if group.client == "sdk"]
        if fault.kind in SOCKET_FAULTS and on_sdk:
            yield (
                where,
                (
                    f"{fault.kind} works on the socket itself, which client: sdk keeps to itself; "
                    f"name a group other than {', '.join(on_sdk)}"
                ),
            )
        if not groups:
            continue
        if fault.kind == "slow-reader" and not any(_reads(group) for group in groups):
            yield where, "slow-reader needs cars that read: with commands, or a stream of qos 1"
        if fault.kind == "clock-skew" and not any(group.streams for group in groups):
            yield where, "clock-skew needs cars with streams"


def _reads(group: VehicleGroup) -> bool:
    return group.commands is not None or has_qos_1(group)


# Applications


def _observers_have_streams(scenario: Scenario) -> Iterator[Finding]:
    for index, observers in enumerate(scenario.applications.observers):
        where: Location = ("applications", "observers", index)
        groups = watched(scenario, observers.group)
        known = sorted({name for group in groups for name in group.streams})
        if groups and not known:
            yield where, "there is nothing to read: the cars have no streams"
        for number, name in enumerate(observers.streams or ()):
            if known and name not in known:
                hint = choices(name, known)
                yield (*where, "streams", number), f"no car has a stream {name}; {hint}"


def _observers_hold_filters(scenario: Scenario) -> Iterator[Finding]:
    if isinstance(scenario.target, BrokerTarget):
        return
    for index, observers in enumerate(scenario.applications.observers):
        if uses_wildcard(observers):
            continue
        most = most_filters(scenario, observers)
        if most > SUBSCRIPTIONS_PER_CONNECTION:
            count = connections_needed(scenario, observers, SUBSCRIPTIONS_PER_CONNECTION)
            yield (
                ("applications", "observers", index),
                (
                    f"each would hold {most:,} subscriptions and a connection may hold "
                    f"{SUBSCRIPTIONS_PER_CONNECTION}; write count: {count}, or filters: wildcard"
                ),
            )


def _commanders_are_heard(scenario: Scenario) -> Iterator[Finding]:
    for index, commanders in enumerate(scenario.applications.commanders):
        groups = watched(scenario, commanders.group)
        deaf = [group.name for group in groups if group.commands is None]
        if groups and len(deaf) == len(groups):
            yield (
                ("applications", "commanders", index),
                f"no car takes commands; give {', '.join(deaf)} a commands part",
            )


def _commanders_have_cars(scenario: Scenario) -> Iterator[Finding]:
    for index, commanders in enumerate(scenario.applications.commanders):
        cars = sum(group.count for group in commanded_groups(scenario, commanders))
        if 0 < cars < commanders.count:
            yield (
                ("applications", "commanders", index, "count"),
                (
                    f"{commanders.count:,} connections share {cars:,} cars that take commands, and "
                    f"each needs one; the most is {cars:,}"
                ),
            )


# Probes


def _probes_have_quotas(scenario: Scenario) -> Iterator[Finding]:
    if scenario.probes and not _has_quotas(scenario):
        yield ("probes",), "they probe quotas of the stand-in; the target has none"


def _probes_in_time(scenario: Scenario) -> Iterator[Finding]:
    length_s = scenario.duration_s
    for index, probes in enumerate(scenario.probes):
        if probes.begin >= length_s:
            yield (
                ("probes", index, "begin"),
                (
                    f"{duration_text(probes.begin)} is not before the end of the run of "
                    f"{duration_text(length_s)}"
                ),
            )


def _probes_find_something(scenario: Scenario) -> Iterator[Finding]:
    for index, probes in enumerate(scenario.probes):
        if not edges_of(probes):
            yield (
                ("probes", index, "quotas"),
                f"none of them is a quota of {probes.of}; leave of: {probes.of} out",
            )


def edges_of(probes: Probes) -> tuple[edges.Edge, ...]:
    """The edges that probes go to, in order."""
    return edges.chosen(probes.of, probes.quotas)


def _has_quotas(scenario: Scenario) -> bool:
    target = scenario.target
    return isinstance(target, StandInTarget) and target.quotas != OFF


# Checks


def _checks_have_values(scenario: Scenario) -> Iterator[Finding]:
    applications = scenario.applications
    for index, check in enumerate(scenario.parsed_checks):
        name, lacking = check.metric.name, ""
        if name in NEEDS_OBSERVERS and not applications.observers:
            lacking = "observers under applications"
        elif name in NEEDS_COMMANDERS and not applications.commanders:
            lacking = "commanders under applications"
        elif name in NEEDS_QOS_1 and not any(has_qos_1(group) for group in scenario.vehicles):
            lacking = "a stream of qos 1"
        elif name == "target_refusals" and not isinstance(scenario.target, StandInTarget):
            lacking = "the stand-in as target; others do not tell what they refuse"
        elif name == "quota_refusals" and not _has_quotas(scenario):
            lacking = "the stand-in as target, with quotas"
        elif name in NEEDS_PROBES and not scenario.probes:
            lacking = "probes"
        if lacking:
            yield ("checks", index), f"{check.text}: nothing to measure; it needs {lacking}"


def _checks_have_values_of_their_group(scenario: Scenario) -> Iterator[Finding]:
    names = {group.name for group in scenario.vehicles}
    names.update(part.name for _, parts in _applications(scenario) for part in parts)
    for index, check in enumerate(scenario.parsed_checks):
        if check.group not in names:
            continue
        measured = measured_for(scenario, check.metric.name)
        # Without any group there is no value at all, which another rule says.
        if measured and check.group not in measured:
            yield (
                ("checks", index),
                (
                    f"{check.text}: {check.metric.name} is never measured for {check.group}; "
                    f"it is of {', '.join(measured)}"
                ),
            )


Rule: TypeAlias = "Callable[[Scenario], Iterable[Finding]]"

_RULES: Final[tuple[tuple[frozenset[str], Rule], ...]] = (
    (frozenset({"vehicles names"}), _unique_names),
    (frozenset({"phases names"}), _unique_phases),
    (frozenset({"vehicles names", "applications"}), _unique_applications),
    (frozenset({"vehicles names", "applications"}), _groups_exist),
    (frozenset({"vehicles names", "faults"}), _fault_groups_exist),
    (frozenset({"phases names", "checks"}), _check_phases_exist),
    (frozenset({"vehicles names", "applications", "checks"}), _check_groups_exist),
    (frozenset({"target", "identities"}), _identities_fit),
    (frozenset({"vehicles"}), _few_enough),
    (frozenset({"vehicles"}), _waits_grow),
    (frozenset({"vehicles", "arrival", "phases"}), _arrivals_begin),
    (frozenset({"faults", "phases"}), _faults_in_time),
    (frozenset({"faults"}), _fault_keys_mean_something),
    (frozenset({"faults", "vehicles", "phases"}), _faults_strike_rarely_enough),
    (frozenset({"faults", "target", "identities"}), _faults_fit_target),
    (frozenset({"faults", "vehicles"}), _faults_fit_cars),
    (frozenset({"applications", "vehicles"}), _observers_have_streams),
    (frozenset({"applications", "vehicles", "target"}), _observers_hold_filters),
    (frozenset({"applications", "vehicles"}), _commanders_are_heard),
    (frozenset({"applications", "vehicles"}), _commanders_have_cars),
    (frozenset({"vehicles names", "applications", "probes"}), _unique_probes),
    (frozenset({"checks"}), _check_quotas_exist),
    (frozenset({"probes", "target"}), _probes_have_quotas),
    (frozenset({"probes", "phases"}), _probes_in_time),
    (frozenset({"probes"}), _probes_find_something),
    (frozenset({"checks", "applications", "vehicles", "target", "probes"}), _checks_have_values),
    (frozenset({"checks", "applications", "vehicles"}), _checks_have_values_of_their_group),
)
"""Rules with the sections they read, or the names of which they read."""
