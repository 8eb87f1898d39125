"""How sessions, messages and documents look on disk.

Owns the format and its version: MessagePack arrays (msgspec), every time as Unix time because the
broker's clock starts anew with each process. Reading is total: bytes become a record whose every
member is within its bounds, or a ValueError. Knows nothing about files or the broker.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import Meta

from simulator.iotcore.broker.message import Message
from simulator.iotcore.broker.topics import filter_fault, split_shared, topic_fault
from simulator.iotcore.broker.wire import MQTT_3_1_1, MQTT_5

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.iotcore.broker.subscriptions import Subscription

FORMAT_VERSION: Final = 1
"""Rises when an older release could not read what this one writes."""

_MQTT_STRING_MAX: Final = 65_535
_STRETCHES_MAX: Final = 1_000_000
_EXPIRY_MAX: Final = 0xFFFF_FFFF
_ANY: Final = 1 << 16
"""More slashes than a string has room for: what the broker took is not judged again."""

_String = Annotated[str, Meta(max_length=_MQTT_STRING_MAX)]
_Bytes = Annotated[bytes, Meta(max_length=1 << 28)]
_Qos = Annotated[int, Meta(ge=0, le=1)]
_Level = Annotated[int, Meta(ge=MQTT_3_1_1, le=MQTT_5)]
_Number = Annotated[int, Meta(ge=1, lt=1 << 61)]
_Place = Annotated[int, Meta(ge=0, lt=1 << 32)]
_Seconds = Annotated[int, Meta(ge=0, le=_EXPIRY_MAX)]
_UnixTime = Annotated[float, Meta(ge=-1e12, le=1e12)]


class Checked(Protocol):
    """A record that can look for what MessagePack cannot know."""

    def check(self) -> None:
        """Raise a ValueError when something is wrong."""
        ...


Record = TypeVar("Record", bound=Checked)


class Kind(StrEnum):
    """What a record is about. Each kind has keys of its own."""

    SESSION = "session"
    """Key: the client id."""
    GROUP = "group"
    """Key: `<share name>/<filter>`."""
    MESSAGE = "message"
    """Key: a number that sessions and groups refer to. A message that waits for many clients is
    there once."""
    RETAINED = "retained"
    """Key: the topic."""
    DOCUMENT = "document"
    """Key: the name of a part of the account, such as `shadows`."""
    STRETCH = "stretch"
    """A stretch of a long list of a document. Key: see `stretch_key`."""


class Change(NamedTuple):
    """A record to be put in place of the one of the same kind and key, if there is one.

    Attributes:
        kind: What it is about.
        key: Which one.
        value: The record; None takes it away.
    """

    kind: Kind
    key: str
    value: bytes | None


class MessageRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message. `received_unix_s` is what its expiry counts from."""

    topic: _String
    payload: _Bytes
    qos: _Qos
    received_unix_s: _UnixTime
    retain: bool
    expiry_s: _Seconds | None
    payload_format: _Qos
    content_type: _String | None
    response_topic: _String | None
    correlation_data: _Bytes | None
    user_properties: tuple[tuple[_String, _String], ...]

    @classmethod
    def of(cls, message: Message, unix_s_at_zero: float) -> MessageRecord:
        """The record of a message.

        Args:
            message: Which one.
            unix_s_at_zero: Unix time when the clock of its broker showed 0.
        """
        return cls(
            message.topic,
            message.payload,
            message.qos,
            message.received_at_s + unix_s_at_zero,
            message.retain,
            message.expiry_s,
            message.payload_format,
            message.content_type,
            message.response_topic,
            message.correlation_data,
            tuple(message.user_properties),
        )

    def message(self, unix_s_at_zero: float, now_s: float) -> Message:
        """The message, for another broker.

        Args:
            unix_s_at_zero: Unix time when its clock showed 0.
            now_s: What its clock shows. A message from the future, as the clock was set back
                meanwhile, is taken for one of now.
        """
        return Message(
            self.topic,
            self.payload,
            self.qos,
            min(self.received_unix_s - unix_s_at_zero, now_s),
            retain=self.retain,
            expiry_s=self.expiry_s,
            payload_format=self.payload_format,
            content_type=self.content_type,
            response_topic=self.response_topic,
            correlation_data=self.correlation_data,
            user_properties=self.user_properties,
        )

    def check(self) -> None:
        """Raise what MessagePack cannot know.

        Raises:
            ValueError: The topic is none.
        """
        fault = topic_fault(self.topic, _MQTT_STRING_MAX, _ANY)
        if fault is not None:
            raise ValueError(f"a message on {self.topic[:80]!r}: {fault}")


class SubscriptionRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A subscription, by the filter as the client wrote it."""

    pattern: _String
    qos: _Qos
    no_local: bool
    retain_as_published: bool


class WillRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A will that is yet to be published.

    Attributes:
        message: What.
        delay_s: Its Will Delay Interval.
        due_unix_s: When it is to be published; None while its connection was open.
    """

    message: MessageRecord
    delay_s: _Seconds
    due_unix_s: _UnixTime | None


class SessionRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A session.

    Attributes:
        level: Protocol level it was opened with.
        expiry_s: How long it outlives its connection.
        ends_unix_s: When it runs out; None while its connection was open.
        next_packet_id: The packet id of the next QoS 1 delivery.
        subscriptions: In order of their making.
        will: The will of its last connection, unless that was published or discarded.
        deliveries: What waits or was not acknowledged, in the order it is to be sent: the number of
            the message, times two, plus one when it goes out with RETAIN.
        borrowed: Which of them return to a shared group, which the client has left: their places
            in `deliveries`, and the group's key. When that group is gone they are the client's.
    """

    level: _Level
    expiry_s: _Seconds
    ends_unix_s: _UnixTime | None
    next_packet_id: Annotated[int, Meta(ge=1, le=65_535)]
    subscriptions: tuple[SubscriptionRecord, ...]
    will: WillRecord | None
    deliveries: list[Annotated[int, Meta(ge=2, lt=1 << 62)]]
    borrowed: dict[_Place, _String]

    def check(self) -> None:
        """Raise what MessagePack cannot know.

        Raises:
            ValueError: A filter is none, or is there twice.
        """
        patterns = {subscription.pattern for subscription in self.subscriptions}
        if len(patterns) < len(self.subscriptions):
            raise ValueError("a filter is there twice")
        for pattern in patterns:
            shared = split_shared(pattern)
            if (
                shared is None
                or filter_fault(shared.topic_filter, _MQTT_STRING_MAX, _ANY) is not None
            ):
                raise ValueError(f"{pattern[:80]!r} is no filter")
        if self.will is not None:
            self.will.message.check()

    def references(self) -> Iterator[int]:
        """Numbers of the messages it refers to."""
        yield from (reference // 2 for reference in self.deliveries)


class GroupRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What waits in a shared group, or with a member that did not acknowledge it.

    Attributes:
        messages: Numbers of the messages, oldest first.
    """

    messages: list[_Number]

    def check(self) -> None:
        """Nothing that MessagePack does not know."""

    def references(self) -> Iterator[int]:
        """Numbers of the messages it refers to."""
        yield from self.messages


class DocumentRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a part of the account remembers.

    Attributes:
        content: Its document, without its long lists.
        stretches: Each long list, and in how many stretches it is kept.
    """

    content: dict[str, Any]
    stretches: dict[_String, Annotated[int, Meta(ge=0, le=_STRETCHES_MAX)]]

    def check(self) -> None:
        """Nothing that MessagePack does not know."""


def stretch_key(part: str, member: str, number: int) -> str:
    """The key of a stretch of a list.

    Args:
        part: Whose document it is in.
        member: The member of the document that is the list.
        number: Which stretch, from 0.
    """
    return f"{part}/{member}/{number}"


def group_key(subscription: Subscription[Any]) -> str:
    """The key of the group that a shared subscription is in."""
    return f"{subscription.share_name}/{subscription.topic_filter}"


_ENCODER: Final = msgspec.msgpack.Encoder()


def encode(record: Any) -> bytes:
    """A record as bytes."""
    return _ENCODER.encode(record)


def decode(data: bytes, kind: type[Record]) -> Record:
    """The record that `encode` made bytes of.

    Raises:
        ValueError: These bytes are none.
    """
    try:
        record = msgspec.msgpack.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    record.check()
    return record


def decode_list(data: bytes) -> list[Any]:
    """The list that `encode` made bytes of.

    Raises:
        ValueError: These bytes are none.
    """
    try:
        return msgspec.msgpack.decode(data, type=list[Any])
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
