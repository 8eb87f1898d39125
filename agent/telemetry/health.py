"""The health document: whether the agent is there, and what it counted.

Owns the document of the `health` stream, which is one plain JSON object a message and no batch. The
published schema is `agent/telemetry/schema/health-1.schema.json`. The same document with the state
`offline` is the MQTT last will. It must not know how often it is sent or where its numbers come
from.

Documents that change the state, and the will, are published retained, so that an application that
connects later sees at once whether the car is there. Periodic documents are not: AWS IoT Core
meters the retained store as one more unit, and limits it to one a second and topic (AWS IoT Core
pricing, "Messaging"; endpoints and quotas, "Retained messages").
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from agent.telemetry.payload import MAX_PAYLOAD_BYTES, Clock, PayloadError

__all__ = [
    "HEALTH_SCHEMA_NAME",
    "ChannelHealth",
    "Health",
    "HealthState",
    "decode_health",
    "encode_health",
    "last_will",
]

HEALTH_SCHEMA_NAME: Final = "morai-edge/health/1"

HealthState: TypeAlias = Literal["online", "stopping", "offline"]


class ChannelHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What one simulator channel delivers.

    Attributes:
        received: Messages since the agent started.
        rate_hz: Messages a second over the last interval; `None` before the first interval ended.
        silent_s: Seconds since the last message; `None` when none ever came.
    """

    received: int
    rate_hz: float | None = None
    silent_s: float | None = None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """State of one agent.

    Attributes:
        thing: Thing name of the vehicle.
        boot: Identity of the agent's run, the same as in its batches.
        state: `online`; `stopping` before an orderly end; `offline`, written by the broker when
            the connection broke.
        at: Unix time in seconds; `None` in a will, because nobody knew when it would be needed.
        uptime_s: Seconds since the agent started; `None` in a will.
        agent: Version of the agent.
        clock: Quality of the clock behind `at`.
        channels: What each simulator channel delivers, by channel name.
        counters: Counts since the agent started, by cause, such as `dropped.unknown_name`.
        schema: Name and version of the document's format.
        stream: Always `health`.
    """

    thing: str
    boot: str
    state: HealthState
    at: float | None = None
    uptime_s: float | None = None
    agent: str = ""
    clock: Clock = Clock()
    channels: dict[str, ChannelHealth] = {}
    counters: dict[str, int] = {}
    schema: Literal["morai-edge/health/1"] = HEALTH_SCHEMA_NAME
    stream: Literal["health"] = "health"


def last_will(thing: str, boot: str, agent: str = "") -> Health:
    """The document the broker shall publish when the connection breaks."""
    return Health(thing=thing, boot=boot, state="offline", agent=agent)


def encode_health(health: Health) -> bytes:
    """The document as JSON, times in milliseconds' resolution, keys in a fixed order."""
    rounded = msgspec.structs.replace(
        health,
        at=None if health.at is None else round(health.at, 3),
        uptime_s=None if health.uptime_s is None else round(health.uptime_s, 3),
    )
    return msgspec.json.encode(rounded)


class _Marked(msgspec.Struct):
    """The keys that `Health` fills in when it is built, but that a document must really have."""

    schema: Literal["morai-edge/health/1"]
    stream: Literal["health"]


_MARK_DECODER: Final = msgspec.json.Decoder(_Marked)
_DECODER: Final = msgspec.json.Decoder(Health)


def decode_health(payload: bytes) -> Health:
    """Read one health document.

    Args:
        payload: Any bytes.

    Raises:
        PayloadError: It is larger than an MQTT payload may be, is not JSON, lacks a key or has a
            value of another type. Unknown keys are ignored.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise PayloadError(f"{len(payload)} bytes are more than {MAX_PAYLOAD_BYTES}")
    try:
        _MARK_DECODER.decode(payload)
        return _DECODER.decode(payload)
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"not a health document: {error}") from error
