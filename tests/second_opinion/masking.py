"""Makes observations of different runs and servers comparable: times, ids and keys become marks.

A value is masked only when it has the form its member promises, so that milliseconds where AWS has
seconds still show.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any, Final

from tests.second_opinion.script import (
    CERTIFICATE,
    CERTIFICATE_ID,
    MILLISECONDS,
    PRIVATE_KEY,
    SECONDS,
    TIME,
    TOKEN,
)

_TIMES: Final = frozenset(
    {
        "timestamp",
        "queuedAt",
        "startedAt",
        "lastUpdatedAt",
        "createdAt",
        "completedAt",
        "lastModifiedTime",
    }
)
_ARN: Final = re.compile(r"arn:aws:(\w+):[a-z0-9-]*:\d{12}:")
_SECONDS_MAX: Final = 10_000_000_000


def masked(value: Any, name: str = "") -> Any:
    """The value with marks.

    Args:
        value: A document; `datetime`, as SDKs make it, is a time too.
        name: The member it is the value of.
    """
    if isinstance(value, dict):
        return {key: masked(member, key) for key, member in value.items()}
    if isinstance(value, list):
        return [masked(element, name) for element in value]
    if isinstance(value, datetime):
        return TIME
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value, name)
    if isinstance(value, str):
        return _text(value, name)
    return value


def _number(value: float, name: str) -> Any:
    if name in _TIMES:
        return TIME if 0 < value < _SECONDS_MAX else MILLISECONDS
    if name == "approximateSecondsBeforeTimedOut":
        return SECONDS
    return value


def _text(value: str, name: str) -> str:
    if name == "certificateId" and re.fullmatch(r"[0-9a-f]{64}", value):
        return CERTIFICATE_ID
    if name == "certificatePem" and value.startswith("-----BEGIN CERTIFICATE-----"):
        return CERTIFICATE
    if name == "privateKey" and value.startswith("-----BEGIN "):
        return PRIVATE_KEY
    if name == "certificateOwnershipToken" and value:
        return TOKEN
    return _ARN.sub(r"arn:aws:\1:<region>:<account>:", value)


def decoded(payload: bytes) -> Any:
    """A payload as JSON, as text when it is none; nothing when it is empty."""
    if not payload:
        return None
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode(errors="replace")


def refusal(code: str, status: int, message: str) -> dict[str, Any]:
    """A failed API call."""
    return {"code": code, "status": status, "message": masked(message)}


def picked(result: Any, paths: tuple[str, ...]) -> Any:
    """The members at these paths, by path; all of it without any. Missing ones are left out."""
    if not paths:
        return result
    found = {}
    for path in paths:
        value = result
        for name in path.split("."):
            if not isinstance(value, dict) or name not in value:
                break
            value = value[name]
        else:
            found[path] = value
    return found
