"""Topics of AWS IoT Commands, and the messages on them.

Source: AWS IoT Core developer guide, "Reserved topics", AWS IoT Commands. Knows nothing about what
is in a report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from simulator.iotcore.broker.joints import Answer
from simulator.iotcore.broker.message import Message
from simulator.iotcore.services.formats import CONTENT_TYPES, Format, write

if TYPE_CHECKING:
    from simulator.iotcore.services.command_execution import Execution
    from simulator.iotcore.services.members import Result


class Address(NamedTuple):
    """A response topic taken apart.

    Attributes:
        kind: `things` or `clients`.
        device: Thing name or client id.
        execution_id: The execution.
        level: The last level, which should be a payload format.
    """

    kind: str
    device: str
    execution_id: str
    level: str

    @classmethod
    def of(cls, topic: str) -> Address | None:
        """The topic taken apart; None when it is no response topic."""
        match topic.split("/"):
            case ["$aws", "commands", ("things" | "clients") as kind, device, "executions", *rest]:
                match rest:
                    case [execution_id, "response", level]:
                        return cls(kind, device, execution_id, level)
        return None


def request_topic(execution: Execution, content_type: str) -> str:
    """Where the request of an execution is published."""
    plain = content_type.partition(";")[0].strip().lower()
    suffix = next((f"/{name}" for name, known in CONTENT_TYPES.items() if known == plain), "")
    return (
        f"$aws/commands/{execution.target_kind}/{execution.target_id}"
        f"/executions/{execution.execution_id}/request{suffix}"
    )


def direct_answer(
    topic: str,
    document: Result,
    payload_format: Format | None,
    request: Message,
    client_id: str | None,
    now_s: float,
) -> Answer:
    """The answer to a device's report, at the QoS of the report; JSON without a format."""
    payload = write(document, payload_format or Format.JSON)
    content_type = CONTENT_TYPES[payload_format or Format.JSON]
    return Answer(Message(topic, payload, request.qos, now_s, content_type=content_type), client_id)
