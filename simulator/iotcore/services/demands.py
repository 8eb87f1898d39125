"""Which quotas a request on a reserved topic counts against.

Source: AWS IoT Core quotas, "Device Shadow", "Jobs", "Fleet provisioning", "Commands", "MQTT-based
file delivery". Knows the topics and the quotas, nothing else.
"""

from __future__ import annotations

from typing import Final

from simulator.iotcore.broker.counters import Cause
from simulator.iotcore.broker.joints import Claim

_NONE: Final[tuple[Claim, ...]] = ()
_JOB_READ: Final = (Claim(Cause.QUOTA_JOB_READS),)
_JOB_WRITE: Final = (Claim(Cause.QUOTA_JOB_WRITES),)
_KEYS: Final = (Claim(Cause.QUOTA_KEY_CERTIFICATES),)
_CSR: Final = (Claim(Cause.QUOTA_CSR_CERTIFICATES),)
_REGISTRATION: Final = (Claim(Cause.QUOTA_REGISTRATIONS),)
_COMMAND_UPDATE: Final = (Claim(Cause.QUOTA_COMMAND_UPDATES),)
_STREAM_GET: Final = (Claim(Cause.QUOTA_STREAM_GETS),)
_STREAM_DESCRIPTION: Final = (Claim(Cause.QUOTA_STREAM_DESCRIPTIONS),)


def shadow_demands(thing: str, shadow: str | None) -> tuple[Claim, ...]:
    """What any request to a shadow counts against, over MQTT and over HTTP alike."""
    key = thing if shadow is None else f"{thing}/{shadow}"
    return (
        Claim(Cause.QUOTA_SHADOW_REQUESTS),
        Claim(Cause.QUOTA_SHADOW_REQUESTS_OF_SHADOW, key),
    )


def demands(topic: str) -> tuple[Claim, ...]:
    """What a request counts against; nothing for one that no quota names."""
    match topic.split("/"):
        case ["$aws", "things", thing, "shadow", "name", shadow, _]:
            return shadow_demands(thing, shadow)
        case ["$aws", "things", thing, "shadow", _]:
            return shadow_demands(thing, None)
        case ["$aws", "things", _, "jobs", *rest]:
            return _JOB_READ if rest[-1] == "get" else _JOB_WRITE
        case ["$aws", "certificates", "create", _]:
            return _KEYS
        case ["$aws", "certificates", "create-from-csr", _]:
            return _CSR
        case ["$aws", "provisioning-templates", _, "provision", _]:
            return _REGISTRATION
        case ["$aws", "commands", _, _, "executions", _, "response", _]:
            return _COMMAND_UPDATE
        case ["$aws", "things", _, "streams", _, "get", _]:
            return _STREAM_GET
        case ["$aws", "things", _, "streams", _, "describe", _]:
            return _STREAM_DESCRIPTION
    return _NONE
