"""What a scripted conversation consists of: what is said, and what must come back.

Plain values. An expectation is an ordinary document with marks in it where AWS leaves something
open or nobody can know the value. Knows nothing about who is spoken to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Document: TypeAlias = Any
"""JSON, with marks."""


class Mark(Enum):
    """Stands for a value in an expectation."""

    OPEN = "<open>"
    """Anything or nothing: the documentation does not say."""
    WORDS = "<words>"
    """Some text, in words of its own."""
    ABSENT = "<absent>"
    """Nothing."""


OPEN, WORDS, ABSENT = Mark.OPEN, Mark.WORDS, Mark.ABSENT


@dataclass(frozen=True, slots=True)
class Maybe:
    """A member that may be there."""

    value: Document


# What `masking` puts in place of values that differ from run to run.
TIME = "<time>"
MILLISECONDS = "<milliseconds>"
SECONDS = "<seconds>"
CERTIFICATE_ID = "<certificate id>"
CERTIFICATE = "<certificate>"
PRIVATE_KEY = "<private key>"
TOKEN = "<token>"


@dataclass(frozen=True, slots=True)
class Arn:
    """In a request: the ARN of a resource of the account. Masked in answers as `arn(...)` gives."""

    resource: str


def arn(resource: str) -> str:
    """How an ARN of the account looks once it is masked."""
    return f"arn:aws:iot:<region>:<account>:{resource}"


@dataclass(frozen=True, slots=True)
class Recall:
    """In a request: what an earlier step kept under this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Refused:
    """An API call fails with this exception."""

    code: Document
    status: Document = OPEN
    message: Document = WORDS

    def as_document(self) -> dict[str, Document]:
        """As `masking.refusal` gives an observed one."""
        return {"code": self.code, "status": self.status, "message": self.message}


@dataclass(frozen=True, slots=True)
class Publish:
    """A publish at QoS 1.

    Attributes:
        topic: Where.
        payload: A document, or bytes as they are.
    """

    topic: str
    payload: Document = b""


@dataclass(frozen=True, slots=True)
class Call:
    """An API call.

    Attributes:
        service: As boto3 names it.
        operation: As AWS names it.
        request: Its arguments.
        pick: Members of the result to look at, as paths with dots; all of it without any.
    """

    service: str
    operation: str
    request: Mapping[str, Document]
    pick: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """Something said and what comes of it.

    Attributes:
        say: What is said.
        hear: The messages that must arrive, one per topic, and no others.
        result: What an API call gives, or `Refused`.
        keep: Members of messages to remember by name: topic and member.
    """

    say: Publish | Call
    hear: Mapping[str, Document] = field(default_factory=dict)
    result: Document | Refused = ABSENT
    keep: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def expected(self) -> dict[str, Document]:
        """The expectation as one document, like an observation."""
        document: dict[str, Document] = {"messages": dict(self.hear)}
        if isinstance(self.result, Refused):
            document["refused"] = self.result.as_document()
        elif self.result is not ABSENT:
            document["result"] = self.result
        return document

    @property
    def title(self) -> str:
        """In a few words."""
        if isinstance(self.say, Call):
            return self.say.operation
        return "/".join(self.say.topic.split("/")[-2:])


@dataclass(frozen=True, slots=True)
class Conversation:
    """A device and an application speak with one account that has the thing `car-1`.

    Attributes:
        name: What it is about.
        source: Where AWS documents what is expected.
        listens: What the device subscribes to.
        steps: In order.
    """

    name: str
    source: str
    listens: Sequence[str]
    steps: Sequence[Step]


def publish(
    topic: str,
    payload: Document = b"",
    hear: Mapping[str, Document] | None = None,
    keep: Mapping[str, tuple[str, str]] | None = None,
) -> Step:
    """A step that publishes."""
    return Step(Publish(topic, payload), hear or {}, keep=keep or {})


def call(
    target: str,
    request: Mapping[str, Document],
    result: Document | Refused,
    hear: Mapping[str, Document] | None = None,
    pick: Sequence[str] = (),
) -> Step:
    """A step that calls `service.operation`."""
    service, _, operation = target.partition(".")
    return Step(Call(service, operation, request, pick), hear or {}, result)
