from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from simulator.iotcore.broker.subscriptions import Subscription, Subscriptions


class Who:
    def __init__(self, name: str) -> None:
        self.name = name


def matches(pattern: str, topic: str) -> bool:
    """Level by level, as the developer guide describes it: the reference."""
    levels, names = pattern.split("/"), topic.split("/")
    if topic.startswith("$") and levels[0] in {"+", "#"}:
        return False
    for number, level in enumerate(levels):
        if level == "#":
            return len(names) > number
        if number >= len(names) or level not in {"+", names[number]}:
            return False
    return len(levels) == len(names)


_LEVEL = st.sampled_from(["a", "b", "", "$aws"])
TOPICS = st.lists(_LEVEL, min_size=1, max_size=4).map("/".join).filter(bool)
FILTERS = (
    st.tuples(st.lists(st.one_of(_LEVEL, st.just("+")), min_size=1, max_size=4), st.booleans())
    .map(lambda parts: "/".join([*parts[0], *(["#"] if parts[1] else [])]))
    .filter(bool)
)


def found(subscriptions: Subscriptions[Who], topic: str) -> set[str]:
    """Names of the subscribers that match."""
    return {entry.subscriber.name for entry in subscriptions.match(topic).direct}


@given(filters=st.lists(FILTERS, max_size=12), topic=TOPICS)
def test_agrees_with_matching_level_by_level(filters: list[str], topic: str) -> None:
    """The trie finds exactly the subscribers whose filter matches the topic."""
    subscriptions: Subscriptions[Who] = Subscriptions()
    for number, pattern in enumerate(filters):
        subscriptions.add(Subscription(Who(str(number)), pattern))
    expected = {str(n) for n, pattern in enumerate(filters) if matches(pattern, topic)}
    assert found(subscriptions, topic) == expected


def test_hash_does_not_match_the_parent_level() -> None:
    """AWS: `sensor/#` matches `sensor/` and below but not `sensor`."""
    subscriptions: Subscriptions[Who] = Subscriptions()
    subscriptions.add(Subscription(Who("w"), "sensor/#"))
    assert found(subscriptions, "sensor") == set()
    assert found(subscriptions, "sensor/") == {"w"}
    assert found(subscriptions, "sensor/a/b") == {"w"}


def test_a_subscriber_with_overlapping_filters_is_found_once_with_the_best_qos() -> None:
    """Two matching filters of one subscriber give one delivery at the higher QoS."""
    subscriptions: Subscriptions[Who] = Subscriptions()
    who = Who("w")
    subscriptions.add(Subscription(who, "a/#", qos=0, no_local=True))
    subscriptions.add(Subscription(who, "a/+", qos=1, retain_as_published=True))
    (entry,) = subscriptions.match("a/b").direct
    assert (entry.qos, entry.no_local, entry.retain_as_published) == (1, False, True)


def test_shared_groups_are_found_beside_direct_subscribers() -> None:
    """Members of one share name and filter form one group."""
    subscriptions: Subscriptions[Who] = Subscriptions()
    first, second = Who("1"), Who("2")
    subscriptions.add(Subscription(first, "a/+", share_name="g"))
    subscriptions.add(Subscription(second, "a/+", share_name="g"))
    subscriptions.add(Subscription(second, "a/+", share_name="h"))
    subscriptions.add(Subscription(first, "a/b"))
    match = subscriptions.match("a/b")
    assert [entry.subscriber.name for entry in match.direct] == ["1"]
    members = sorted(
        sorted(entry.subscriber.name for entry in group.members.values()) for group in match.groups
    )
    assert members == [["1", "2"], ["2"]]


def test_removing_everything_leaves_nothing_behind() -> None:
    """Branches that nobody needs any more are cut off, so churn does not grow the trie."""
    subscriptions: Subscriptions[Who] = Subscriptions()
    entries = [Subscription(Who(str(n)), f"a/{n}/+/#") for n in range(50)]
    entries += [Subscription(Who(str(n)), f"a/{n}", share_name="g") for n in range(50)]
    for entry in entries:
        subscriptions.add(entry)
    for entry in entries:
        subscriptions.remove(entry)
    assert len(subscriptions) == 0
    assert subscriptions._root.is_empty


class Caching(RuleBasedStateMachine):
    """Subscribing, unsubscribing and asking in any order."""

    def __init__(self) -> None:
        super().__init__()
        # So few remembered topics that the memory overflows as well.
        self.subscriptions: Subscriptions[Who] = Subscriptions(cached_topics_max=3)
        self.people = [Who(str(number)) for number in range(3)]
        self.model: dict[tuple[int, str], Subscription[Who]] = {}
        self.asked: set[str] = set()

    @rule(who=st.integers(0, 2), pattern=FILTERS)
    def subscribe(self, who: int, pattern: str) -> None:
        """Add a filter; it is new unless this subscriber has it."""
        entry = Subscription(self.people[who], pattern)
        assert self.subscriptions.add(entry) is ((who, pattern) not in self.model)
        self.model[who, pattern] = entry

    @rule(who=st.integers(0, 2), pattern=FILTERS)
    def unsubscribe(self, who: int, pattern: str) -> None:
        """Remove a filter, known or not."""
        self.model.pop((who, pattern), None)
        self.subscriptions.remove(Subscription(self.people[who], pattern))

    @rule(topic=TOPICS)
    def ask(self, topic: str) -> None:
        """From now on look at this topic."""
        self.asked.add(topic)

    @invariant()
    def remembered_answers_are_current(self) -> None:
        """Every topic asked for gives what the model gives."""
        assert len(self.subscriptions) == len(self.model)
        for topic in self.asked:
            expected = {str(who) for who, pattern in self.model if matches(pattern, topic)}
            assert found(self.subscriptions, topic) == expected


TestCaching = Caching.TestCase
