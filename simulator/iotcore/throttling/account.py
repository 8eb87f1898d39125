"""The rates of one account, enforced or only observed.

Owns the token buckets and the choice of what follows when one is empty. Where AWS publishes a rate
and not its effect, the choice is stated here:

* An inbound publish above a rate, of the connection or of the account, is discarded without PUBACK:
  the developer guide says so for the connection ("publish requests that exceed that quota are
  discarded"). PUBACK 0x97, which the guide lists too, is the other choice.
* A burst of one second's worth of the rate is let through at once.
* What one quota refuses counts against no other.
* Observing, an event that would be refused is counted, goes on, and takes no tokens, so that the
  counts are those of enforcing; stored messages are then not held back.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from simulator.iotcore.broker.counters import Breach, Cause, Effect
from simulator.iotcore.broker.joints import Delay
from simulator.iotcore.throttling.bucket import KeyedBuckets, TokenBucket, burst_of
from simulator.iotcore.throttling.meter import Meter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.iotcore.broker.joints import Claim
    from simulator.quotas.table import QuotaTable

BURST_S: Final = 1.0
_KB: Final = 1_024
"""KB of the table, as in its sizes: 128 KB are 131,072 bytes."""

_ACCOUNT_REQUESTS: Final = (
    Cause.QUOTA_PUBLISHES_IN,
    Cause.QUOTA_RETAINED_PUBLISHES,
    Cause.QUOTA_DIRECT_MESSAGES,
    Cause.QUOTA_SHADOW_REQUESTS,
    Cause.QUOTA_COMMAND_STARTS,
    Cause.QUOTA_COMMAND_UPDATES,
    Cause.QUOTA_COMMAND_READS,
    Cause.QUOTA_JOB_READS,
    Cause.QUOTA_JOB_WRITES,
    Cause.QUOTA_CSR_CERTIFICATES,
    Cause.QUOTA_KEY_CERTIFICATES,
    Cause.QUOTA_REGISTRATIONS,
    Cause.QUOTA_STREAM_GETS,
    Cause.QUOTA_STREAM_DESCRIPTIONS,
    Cause.QUOTA_CERTIFICATES_REGISTERED,
    *(cause for cause in Cause if cause.is_of_one_operation),
)
"""Claims on the account; their key does not matter."""

_KEYED_REQUESTS: Final = (
    Cause.QUOTA_RETAINED_PUBLISHES_OF_TOPIC,
    Cause.QUOTA_CONNECTION_REQUESTS,
    Cause.QUOTA_CONNECTION_REQUESTS_OF_CLIENT,
    Cause.QUOTA_SHADOW_REQUESTS_OF_SHADOW,
)
"""Claims on something smaller, or on one operation, which the key names."""


class Mode(StrEnum):
    """What is done about a broken quota."""

    ENFORCE = "enforce"
    OBSERVE = "observe"


class AccountQuotas:
    """The quotas of one account in one Region; see `joints.Quotas`.

    Args:
        table: Limits.
        mode: Whether what breaks a quota is refused or only counted.
        publish_effect: What becomes of an inbound publish above a rate.
        burst_s: A bucket holds what its rate gives in this time, and one token at least.

    Attributes:
        table: Limits.
        mode: Whether what breaks a quota is refused or only counted.
        mixes_replay: Whether stored messages have a pace of their own.
    """

    def __init__(
        self,
        table: QuotaTable,
        mode: Mode = Mode.ENFORCE,
        *,
        publish_effect: Effect = Effect.DISCARD,
        burst_s: float = BURST_S,
    ) -> None:
        self.table = table
        self.mode = mode
        self.mixes_replay = mode is Mode.ENFORCE
        self._is_observing = mode is Mode.OBSERVE
        self._burst_s = burst_s
        self._connections_max = self._limit(Cause.QUOTA_CONNECTIONS)
        self._subscriptions_max = self._limit(Cause.QUOTA_SUBSCRIPTIONS)
        self._groups_max = self._limit(Cause.QUOTA_SHARED_GROUPS)
        self._members_max = self._limit(Cause.QUOTA_SHARED_GROUP_MEMBERS)
        self._group_waiting_max = self._limit(Cause.QUOTA_QUEUED_OF_GROUP)

        self._connects = self._bucket(Cause.QUOTA_CONNECTS)
        self._subscribes = self._bucket(Cause.QUOTA_SUBSCRIBES)
        self._outbound = self._bucket(Cause.QUOTA_PUBLISHES_OUT)
        self._queued = self._bucket(Cause.QUOTA_QUEUED)
        self._connects_of_client = self._keyed(Cause.QUOTA_CONNECTS_OF_CLIENT)
        self._group_changes = self._keyed(Cause.QUOTA_SHARED_CHANGES)
        self._meter = (
            self._limit(Cause.QUOTA_PUBLISHES_OF_CONNECTION),
            _KB * self._limit(Cause.QUOTA_THROUGHPUT),
            table.limit("replayed-per-session"),
            table.limit("replayed-per-group-member"),
            burst_s,
        )

        self._requests = {cause: self._bucket(cause) for cause in _ACCOUNT_REQUESTS}
        self._keyed_requests = {cause: self._keyed(cause) for cause in _KEYED_REQUESTS}
        self._inbound = self._requests[Cause.QUOTA_PUBLISHES_IN]
        self._retained = self._requests[Cause.QUOTA_RETAINED_PUBLISHES]
        self._retained_of_topic = self._keyed_requests[Cause.QUOTA_RETAINED_PUBLISHES_OF_TOPIC]

        refuse, discard, publish = (
            self._effect(effect) for effect in (Effect.REFUSE, Effect.DISCARD, publish_effect)
        )
        self._breaches = {cause: Breach(cause, refuse) for cause in Cause}
        self._over_connection = Breach(Cause.QUOTA_PUBLISHES_OF_CONNECTION, publish)
        self._over_inbound = Breach(Cause.QUOTA_PUBLISHES_IN, publish)
        self._over_retained = Breach(Cause.QUOTA_RETAINED_PUBLISHES, publish)
        self._over_retained_of_topic = Breach(Cause.QUOTA_RETAINED_PUBLISHES_OF_TOPIC, publish)
        self._retained_full = Breach(Cause.QUOTA_RETAINED_MESSAGES, publish)
        self._connection_full = Breach(Cause.QUOTA_PUBLISHES_OF_CONNECTION, discard)
        self._over_outbound = Breach(Cause.QUOTA_PUBLISHES_OUT, discard)

    def _limit(self, cause: Cause) -> float:
        return self.table.limit(cause.quota or cause)

    def _effect(self, effect: Effect) -> Effect:
        return effect if self.mode is Mode.ENFORCE else Effect.OBSERVE

    def _bucket(self, cause: Cause) -> TokenBucket:
        return TokenBucket.of_rate(self._limit(cause), self._burst_s)

    def _keyed(self, cause: Cause) -> KeyedBuckets:
        rate_per_s = self._limit(cause)
        return KeyedBuckets(rate_per_s, burst_of(rate_per_s, self._burst_s))

    def meter(self) -> Meter:
        """Buckets for a new session."""
        return Meter(*self._meter)

    # Connecting and subscribing

    def connect(self, client_id: str, others: int, now_s: float, /) -> Breach | None:
        """A CONNECT: connections of the account, rate of the client id, rate of the account."""
        if others >= self._connections_max:
            return self._breaches[Cause.QUOTA_CONNECTIONS]
        own = self._connects_of_client.of(client_id, now_s)
        if not own.take(now_s):
            return self._breaches[Cause.QUOTA_CONNECTS_OF_CLIENT]
        if not self._connects.take(now_s):
            own.give_back()
            return self._breaches[Cause.QUOTA_CONNECTS]
        return None

    def subscribe(self, held: int | None, now_s: float, /) -> Breach | None:
        """A filter: subscriptions of the account, rate of the account."""
        if held is not None and held >= self._subscriptions_max:
            return self._breaches[Cause.QUOTA_SUBSCRIPTIONS]
        if not self._subscribes.take(now_s):
            return self._breaches[Cause.QUOTA_SUBSCRIBES]
        return None

    def join_group(
        self, group: str, groups: int | None, members: int | None, now_s: float, /
    ) -> Breach | None:
        """A shared filter: groups of the account, members of the group, changes of the group."""
        if groups is not None and groups >= self._groups_max:
            return self._breaches[Cause.QUOTA_SHARED_GROUPS]
        if members is not None and members >= self._members_max:
            return self._breaches[Cause.QUOTA_SHARED_GROUP_MEMBERS]
        if not self._group_changes.of(group, now_s).take(now_s):
            return self._breaches[Cause.QUOTA_SHARED_CHANGES]
        return None

    def leave_group(self, group: str, now_s: float, /) -> None:
        """Counts among the changes of the group."""
        self._group_changes.of(group, now_s).take(now_s)

    # Publishing

    def publish(self, meter: Meter, now_s: float, /) -> Breach | None:
        """An inbound PUBLISH: rate of the connection, inbound rate of the account."""
        own = meter.publishes
        if not own.take(now_s):
            return self._over_connection
        if not self._inbound.take(now_s):
            own.give_back()
            return self._over_inbound
        return None

    def retain(self, meter: Meter, topic: str, has_place: bool, now_s: float, /) -> Breach | None:
        """An inbound PUBLISH with RETAIN: the number stored, rates of the topic and the account."""
        if not has_place:
            return self._retained_full
        of_topic = self._retained_of_topic.of(topic, now_s)
        if not of_topic.take(now_s):
            return self._over_retained_of_topic
        if not self._retained.take(now_s):
            of_topic.give_back()
            return self._over_retained
        breach = self.publish(meter, now_s)
        if breach is not None:
            of_topic.give_back()
            self._retained.give_back()
        return breach

    def answer(self, answers: int, now_s: float, /) -> None:
        """Messages of services are inbound publishes of the account.

        A shadow update with its accepted, documents and delta messages counts as four (quotas,
        "Inbound publish requests per second per account").
        """
        for _ in range(answers):
            self._inbound.take(now_s)

    # Delivering

    def deliver(self, meter: Meter, now_s: float, /) -> Breach | None:
        """A delivery: rate of the connection, outbound rate of the account."""
        own = meter.publishes
        if not own.take(now_s):
            return self._connection_full
        if not self._outbound.take(now_s):
            own.give_back()
            return self._over_outbound
        return None

    def is_saturated(self, meter: Meter, now_s: float, /) -> bool:
        """Whether the rate of the connection is used up; never when only observing."""
        if self._is_observing:
            return False
        return meter.publishes.wait_s(now_s) > 0.0

    def queue(self, meter: Meter, now_s: float, /) -> Breach | None:
        """A message to store: rate of the connection that is not there, rate of the account."""
        own = meter.publishes
        if not own.take(now_s):
            return self._connection_full
        if not self._queued.take(now_s):
            own.give_back()
            return self._breaches[Cause.QUOTA_QUEUED]
        return None

    def queue_shared(self, waiting: int, now_s: float, /) -> Breach | None:
        """A message to store for a group: what the group has, rate of the account."""
        if waiting >= self._group_waiting_max:
            return self._breaches[Cause.QUOTA_QUEUED_OF_GROUP]
        if not self._queued.take(now_s):
            return self._breaches[Cause.QUOTA_QUEUED]
        return None

    def replay(self, meter: Meter, is_shared: bool, now_s: float, /) -> float:
        """A stored message: its own pace, and the two rates of a delivery. It waits for all."""
        buckets = (
            meter.shared_replays if is_shared else meter.replays,
            meter.publishes,
            self._outbound,
        )
        wait_s = max(bucket.wait_s(now_s) for bucket in buckets) if self.mixes_replay else 0.0
        if wait_s <= 0.0:
            for bucket in buckets:
                bucket.take(now_s)
        return wait_s

    def throughput(self, meter: Meter, size_bytes: int, now_s: float, /) -> Delay | None:
        """Bytes in both directions: a connection that is ahead of its rate waits."""
        if self._is_observing:
            fits = meter.throughput.take_all(size_bytes, now_s)
            return None if fits else Delay(Cause.QUOTA_THROUGHPUT, 0.0)
        seconds = meter.throughput.owe(size_bytes, now_s)
        return Delay(Cause.QUOTA_THROUGHPUT, seconds) if seconds else None

    # Services and the HTTP API

    def request(self, claims: Sequence[Claim], now_s: float, /) -> Breach | None:
        """A request against several quotas: all of them let it pass, or none counts it.

        Raises:
            KeyError: A claim names a quota that is not a rate of requests.
        """
        taken: list[TokenBucket] = []
        for cause, key in claims:
            keyed = self._keyed_requests.get(cause)
            bucket = self._requests[cause] if keyed is None else keyed.of(key, now_s)
            if not bucket.take(now_s):
                for other in taken:
                    other.give_back()
                return self._breaches[cause]
            taken.append(bucket)
        return None
