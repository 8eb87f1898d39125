"""Who subscribed to what, and who gets a message on a topic.

A trie over topic levels, so that finding the subscribers costs what the topic's depth costs and
not what the number of clients costs, with a bounded cache of results in front. `#` follows the AWS
rule: `sensor/#` matches `sensor/` and everything below but not `sensor` (developer guide, "MQTT
topics", topic filters). Knows nothing about connections or policies, and of messages only that a
shared group may keep some.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from simulator.iotcore.broker.group_queue import GroupQueue

Subscriber = TypeVar("Subscriber")

CACHED_TOPICS_MAX = 65_536
"""Topics whose result is remembered. Full: everything is forgotten and remembered anew."""


class Subscription(Generic[Subscriber]):
    """One filter of one subscriber with the options it was granted.

    Attributes:
        group: The shared group it is in, once it was added; None when it is not shared.
    """

    __slots__ = (
        "group",
        "no_local",
        "qos",
        "retain_as_published",
        "share_name",
        "subscriber",
        "topic_filter",
    )

    def __init__(
        self,
        subscriber: Subscriber,
        topic_filter: str,
        *,
        share_name: str | None = None,
        qos: int = 0,
        no_local: bool = False,
        retain_as_published: bool = False,
    ) -> None:
        self.subscriber = subscriber
        self.topic_filter = topic_filter
        self.share_name = share_name
        self.qos = qos
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.group: SharedGroup[Subscriber] | None = None


class SharedGroup(Generic[Subscriber]):
    """The members of one shared subscription, in order of joining.

    Attributes:
        members: By identity of the subscriber.
        queue: What waits for any member; None until whoever stores messages makes it. It is
            cleared when the last member leaves.
    """

    __slots__ = ("members", "queue")

    def __init__(self) -> None:
        self.members: dict[int, Subscription[Subscriber]] = {}
        self.queue: GroupQueue | None = None

    @property
    def waiting(self) -> int:
        """Messages stored for the group."""
        return len(self.queue) if self.queue is not None else 0


class Match(Generic[Subscriber]):
    """Who gets a message on one topic.

    Attributes:
        direct: One entry per subscriber, whatever the number of its filters that match: the
            broker sends one copy with the highest granted QoS (MQTT 5.0 section 3.3.4).
        groups: Shared subscriptions; one member of each gets the message.
    """

    __slots__ = ("direct", "groups")

    def __init__(
        self,
        direct: tuple[Subscription[Subscriber], ...],
        groups: tuple[SharedGroup[Subscriber], ...],
    ) -> None:
        self.direct: Final = direct
        self.groups: Final = groups

    def __bool__(self) -> bool:
        return bool(self.direct or self.groups)


class _Node(Generic[Subscriber]):
    """One level of the trie. `+` is an ordinary child, since no topic contains that level."""

    __slots__ = ("children", "here", "rest")

    def __init__(self) -> None:
        self.children: dict[str, _Node[Subscriber]] = {}
        self.here: _Ends[Subscriber] | None = None
        self.rest: _Ends[Subscriber] | None = None

    @property
    def is_empty(self) -> bool:
        return not self.children and self.here is None and self.rest is None


class _Ends(Generic[Subscriber]):
    """The subscriptions whose filter ends at one place of the trie."""

    __slots__ = ("groups", "subscriptions")

    def __init__(self) -> None:
        self.subscriptions: dict[int, Subscription[Subscriber]] = {}
        self.groups: dict[str, SharedGroup[Subscriber]] = {}


class Subscriptions(Generic[Subscriber]):
    """All subscriptions of a broker. Subscribers are told apart by identity.

    Attributes:
        version: Rises with every change, so that results can be kept elsewhere too.
        groups: How many shared groups there are.
    """

    def __init__(self, cached_topics_max: int = CACHED_TOPICS_MAX) -> None:
        self._root: _Node[Subscriber] = _Node()
        self._count = 0
        self.version = 0
        self.groups = 0
        self._cache: dict[str, Match[Subscriber]] = {}
        # First level of a topic -> its cached topics, so that a wildcard subscription below
        # `cmd/` leaves the cached results of `dt/` alone.
        self._cached_below: dict[str, set[str]] = {}
        self._cached_topics_max = cached_topics_max

    def __len__(self) -> int:
        return self._count

    def add(self, subscription: Subscription[Subscriber]) -> bool:
        """Add a subscription, replacing the same filter of the same subscriber.

        Returns:
            Whether this filter is new for this subscriber.
        """
        ends = self._ends(subscription.topic_filter)
        key = id(subscription.subscriber)
        if subscription.share_name is None:
            is_new = key not in ends.subscriptions
            ends.subscriptions[key] = subscription
        else:
            group = ends.groups.get(subscription.share_name)
            if group is None:
                group = ends.groups[subscription.share_name] = SharedGroup()
                self.groups += 1
            is_new = key not in group.members
            group.members[key] = subscription
            subscription.group = group
        self._count += is_new
        self._forget(subscription.topic_filter)
        return is_new

    def remove(self, subscription: Subscription[Subscriber]) -> None:
        """Remove a subscription that was added; unknown ones are ignored."""
        *parents, last = subscription.topic_filter.split("/")
        path: list[tuple[_Node[Subscriber], str]] = []
        node = self._root
        for level in parents if last == "#" else (*parents, last):
            child = node.children.get(level)
            if child is None:
                return
            path.append((node, level))
            node = child
        ends = node.rest if last == "#" else node.here
        if ends is None or not self._remove_from(ends, subscription):
            return
        self._count -= 1
        if not ends.subscriptions and not ends.groups:
            if last == "#":
                node.rest = None
            else:
                node.here = None
        for parent, level in reversed(path):
            if not parent.children[level].is_empty:
                break
            del parent.children[level]
        self._forget(subscription.topic_filter)

    def group(self, share_name: str, topic_filter: str) -> SharedGroup[Subscriber] | None:
        """The shared group of a name and a filter, if it has members."""
        *parents, last = topic_filter.split("/")
        node: _Node[Subscriber] | None = self._root
        for level in parents if last == "#" else (*parents, last):
            node = node.children.get(level) if node is not None else None
        if node is None:
            return None
        ends = node.rest if last == "#" else node.here
        return ends.groups.get(share_name) if ends is not None else None

    def match(self, topic: str) -> Match[Subscriber]:
        """Who gets a message on this topic. Remembered, so repeated topics cost one look-up."""
        match = self._cache.get(topic)
        if match is None:
            match = self.find(topic)
            if len(self._cache) >= self._cached_topics_max:
                self._cache.clear()
                self._cached_below.clear()
            self._cache[topic] = match
            self._cached_below.setdefault(topic.partition("/")[0], set()).add(topic)
        return match

    def find(self, topic: str) -> Match[Subscriber]:
        """The same without remembering: for topics that will not be seen again."""
        nodes = [self._root]
        found: list[_Ends[Subscriber]] = []
        # MQTT 5.0 section 4.7.2: a leading wildcard does not match a topic that starts with $.
        wildcards_apply = not topic.startswith("$")
        for level in topic.split("/"):
            below: list[_Node[Subscriber]] = []
            for node in nodes:
                if wildcards_apply:
                    if node.rest is not None:
                        found.append(node.rest)
                    if (child := node.children.get("+")) is not None:
                        below.append(child)
                if (child := node.children.get(level)) is not None:
                    below.append(child)
            wildcards_apply = True
            nodes = below
        found.extend(node.here for node in nodes if node.here is not None)
        return self._merge(found)

    @staticmethod
    def _merge(found: list[_Ends[Subscriber]]) -> Match[Subscriber]:
        direct: dict[int, Subscription[Subscriber]] = {}
        groups: list[SharedGroup[Subscriber]] = []
        for ends in found:
            groups.extend(ends.groups.values())
            for key, subscription in ends.subscriptions.items():
                other = direct.get(key)
                direct[key] = subscription if other is None else _combined(other, subscription)
        return Match(tuple(direct.values()), tuple(groups))

    def _ends(self, topic_filter: str) -> _Ends[Subscriber]:
        *parents, last = topic_filter.split("/")
        node = self._root
        for level in parents if last == "#" else (*parents, last):
            node = node.children.setdefault(level, _Node())
        if last == "#":
            if node.rest is None:
                node.rest = _Ends()
            return node.rest
        if node.here is None:
            node.here = _Ends()
        return node.here

    def _remove_from(self, ends: _Ends[Subscriber], subscription: Subscription[Subscriber]) -> bool:
        key = id(subscription.subscriber)
        if subscription.share_name is None:
            return ends.subscriptions.pop(key, None) is not None
        group = ends.groups.get(subscription.share_name)
        if group is None or group.members.pop(key, None) is None:
            return False
        if not group.members:
            del ends.groups[subscription.share_name]
            self.groups -= 1
            if group.queue is not None:
                group.queue.clear()
        return True

    def _forget(self, topic_filter: str) -> None:
        """Drop every cached result that the filter can change."""
        self.version += 1
        first, _, rest = topic_filter.partition("/")
        if first in {"+", "#"}:
            self._cache.clear()
            self._cached_below.clear()
        elif "+" in rest or "#" in rest:
            for topic in self._cached_below.pop(first, ()):
                del self._cache[topic]
        elif self._cache.pop(topic_filter, None) is not None:
            self._cached_below[first].discard(topic_filter)


def _combined(
    first: Subscription[Subscriber], second: Subscription[Subscriber]
) -> Subscription[Subscriber]:
    """Two matching filters of one subscriber as one: it gets whatever either would bring."""
    return Subscription(
        first.subscriber,
        first.topic_filter,
        qos=max(first.qos, second.qos),
        no_local=first.no_local and second.no_local,
        retain_as_published=first.retain_as_published or second.retain_as_published,
    )
