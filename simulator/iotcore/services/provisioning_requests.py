"""Requests of fleet provisioning: their topics, where their answers go, which of them wait.

Source: AWS IoT Core developer guide, "Device provisioning MQTT API". Knows nothing about what a
request does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from simulator.iotcore.broker.joints import Answer
from simulator.iotcore.broker.message import Message
from simulator.iotcore.services.formats import CONTENT_TYPES, Format, format_of, write

if TYPE_CHECKING:
    from simulator.iotcore.services.provisioning_template import ProvisioningRefusal


class Target(NamedTuple):
    """A request topic taken apart."""

    operation: str
    template: str
    format: Format

    @classmethod
    def of(cls, topic: str) -> Target | None:
        """The topic taken apart; None when it is no request in JSON or CBOR."""
        match topic.split("/"):
            case ["$aws", "certificates", ("create" | "create-from-csr") as operation, level]:
                template = ""
            case ["$aws", "provisioning-templates", template, "provision" as operation, level]:
                pass
            case _:
                return None
        payload_format = format_of(level)
        return cls(operation, template, payload_format) if payload_format else None


class Asker(NamedTuple):
    """Where the answer to a request goes."""

    topic: str
    format: Format
    qos: int
    client_id: str | None

    def answer(self, verdict: str, document: Any, now_s: float) -> Answer:
        """The direct answer: a verdict, which is a topic level, and a document."""
        return Answer(
            Message(
                f"{self.topic}/{verdict}",
                write(document, self.format),
                self.qos,
                now_s,
                content_type=CONTENT_TYPES[self.format],
            ),
            self.client_id,
        )

    def rejected(self, refusal: ProvisioningRefusal, now_s: float) -> Answer:
        """The direct answer of a refusal."""
        document = {
            "statusCode": refusal.status,
            "errorCode": refusal.code,
            "errorMessage": refusal.message,
        }
        return self.answer("rejected", document, now_s)


class Pending(NamedTuple):
    """A RegisterThing that waits for its hook."""

    asker: Asker
    template_name: str
    certificate_id: str
    parameters: dict[str, str]
