"""Basic Ingest: messages straight to a rule, accepted and counted by rule.

Serves `$aws/rules/<rule>` and `$aws/rules/<rule>/<topic>`. Source: AWS IoT Core developer guide,
"Reducing messaging costs with Basic Ingest": the publisher learns nothing of what the rule does,
not even that it does not exist. There is no rules engine here; what would have reached one is
counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from simulator.iotcore.broker.topics import BASIC_INGEST
from simulator.iotcore.services.saved import restored
from simulator.iotcore.services.service import PromptService

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from simulator.iotcore.broker.joints import Answer
    from simulator.iotcore.broker.message import Message

RULES_MAX: Final = 1_000
"""Rules counted one by one; AWS IoT Core quota "rules per account". Others count together."""

OTHER: Final = ""
"""Stands for every rule beyond `RULES_MAX`; no rule has an empty name."""


class Ingested(NamedTuple):
    """What reached one rule."""

    messages: int
    payload_bytes: int


class BasicIngest(PromptService):
    """The service.

    Args:
        rules: The rules that exist; None takes any name for a rule.

    Attributes:
        not_found: Messages to rules that do not exist.
    """

    def __init__(self, rules: Collection[str] | None = None) -> None:
        self.not_found = 0
        self._rules = None if rules is None else frozenset(rules)
        self._counts: dict[str, Ingested] = {}

    @property
    def counts(self) -> dict[str, Ingested]:
        """What reached each rule; `OTHER` for those beyond the first thousand."""
        return dict(self._counts)

    def claims(self, topic: str, /) -> bool:
        """Whether the topic names a rule, and a topic for it unless it ends there."""
        rule, slash, rest = topic.removeprefix(BASIC_INGEST).partition("/")
        return topic.startswith(BASIC_INGEST) and bool(rule) and bool(slash) is bool(rest)

    def handle(
        self, message: Message, _client_id: str | None, _now_s: float, /
    ) -> Sequence[Answer]:
        """Count a message. There is no answer."""
        if not self.claims(message.topic):
            return ()
        rule = message.topic.removeprefix(BASIC_INGEST).partition("/")[0]
        if self._rules is not None and rule not in self._rules:
            self.not_found += 1
            return ()
        if rule not in self._counts and len(self._counts) >= RULES_MAX:
            rule = OTHER
        messages, payload_bytes = self._counts.get(rule, (0, 0))
        self._counts[rule] = Ingested(messages + 1, payload_bytes + len(message.payload))
        return ()

    def status(self) -> dict[str, Any]:
        """Messages, and how many rules they were for."""
        return {
            "messages": sum(count.messages for count in self._counts.values()),
            "payload_bytes": sum(count.payload_bytes for count in self._counts.values()),
            "rules": len(self._counts),
            "not_found": self.not_found,
        }

    def dump(self) -> dict[str, Any]:
        """The counts."""
        counts = {rule: list(count) for rule, count in self._counts.items()}
        return {"not_found": self.not_found, "counts": counts}

    def load(self, document: dict[str, Any], /) -> None:
        """Take over what `dump` gave.

        Raises:
            ValueError: The document is damaged.
        """
        saved = restored(document, _Saved, "basic ingest")
        self.not_found, self._counts = saved.not_found, saved.counts


class _Saved(msgspec.Struct):
    not_found: int
    counts: dict[str, Ingested]
