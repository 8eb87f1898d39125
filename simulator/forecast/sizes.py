"""How many bytes the messages of a run have, and how AWS meters them.

Owns the typical size of every kind of message that a forecast counts. Pure; what is in the messages
is the business of `simulator.load.traffic.payloads` and of the agent.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from simulator.load.traffic import payloads

if TYPE_CHECKING:
    from simulator.scenario.schema import Stream

METERING_UNIT_BYTES: Final = 5120
"""AWS meters a message in units of 5 KB of topic and payload together (AWS IoT Core pricing)."""

SHADOW_UNIT_BYTES: Final = 1024
"""A shadow operation is metered in units of 1 KB of the document (AWS IoT Core pricing)."""

REQUEST_BYTES: Final = 200
"""A command document; those of the load tester are a little shorter."""

ANSWER_BYTES: Final = 250
"""A status document of a command."""

ACCEPTED_BYTES: Final = 100
"""What AWS IoT Commands says to each status update (developer guide, "Commands", topics)."""

SHADOW_BYTES: Final = 400
"""A shadow report; below one metering unit in any case."""


def stream_payload_bytes(name: str, stream: Stream, thing: str) -> int:
    """Typical payload of one message of a stream.

    Args:
        name: Name of the stream.
        stream: The stream.
        thing: Thing name of a car, which stands in the payload.
    """
    return payloads.typical_bytes(name, stream, thing)


def metering_units(
    topic_bytes: int, payload_bytes: int, unit_bytes: int = METERING_UNIT_BYTES
) -> int:
    """Units that one message is metered as; never none."""
    return max(1, math.ceil((topic_bytes + payload_bytes) / unit_bytes))


def packet_bytes(topic_bytes: int, payload_bytes: int, qos: int) -> int:
    """Length of an MQTT 5 PUBLISH packet without properties (MQTT 5.0 section 3.3).

    Topic aliases would make it shorter; they are left out, so that the figure is an upper bound.
    """
    remaining = 2 + topic_bytes + 2 * qos + 1 + payload_bytes
    length_bytes = next(size for size in range(1, 5) if remaining < 128**size)
    return 1 + length_bytes + remaining
