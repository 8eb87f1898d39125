"""What every service behind reserved topics has in common, so that one desk can serve them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.iotcore.broker.joints import Answer
    from simulator.iotcore.broker.message import Message


class Service(Protocol):
    """A service. All of its methods take the broker's clock as `now_s` and answer at once."""

    def claims(self, topic: str, /) -> bool:
        """Whether a publish to this topic is a request for this service."""
        ...

    def handle(self, message: Message, client_id: str | None, now_s: float, /) -> Sequence[Answer]:
        """Serve a request that the policies allowed. Total: any payload gets an answer or none.

        Args:
            message: The request.
            client_id: Its publisher; None for one of the process itself.
            now_s: The time now.
        """
        ...

    def throttled(
        self, message: Message, client_id: str | None, now_s: float, /
    ) -> Sequence[Answer]:
        """Refuse a request because of a quota on its rate, without serving it."""
        ...

    def advance(self, now_s: float, /) -> Sequence[Answer]:
        """Do what became due, such as time-outs."""
        ...

    @property
    def next_deadline_s(self) -> float | None:
        """When `advance` has something to do next."""
        ...

    def dump(self) -> dict[str, Any]:
        """Everything it remembers, as a JSON document."""
        ...

    def load(self, document: dict[str, Any], /) -> None:
        """Take over what `dump` gave.

        Raises:
            ValueError: The document is damaged.
        """
        ...

    def status(self) -> dict[str, Any]:
        """How much it has and what it did, as a JSON document of bounded size."""
        ...


class PromptService:
    """The part of `Service` that is empty when everything is done as it is asked, at any rate."""

    def throttled(
        self, _message: Message, _client_id: str | None, _now_s: float, /
    ) -> Sequence[Answer]:
        """Nothing: no answer says that a rate was exceeded."""
        return ()

    def advance(self, _now_s: float, /) -> Sequence[Answer]:
        """Nothing becomes due."""
        return ()

    @property
    def next_deadline_s(self) -> float | None:
        """Never."""
        return None
