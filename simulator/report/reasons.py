"""What the reason codes of MQTT 5 mean, for people who read `PUBACK 0x97`."""

from __future__ import annotations

import re
from typing import Final

from simulator.load.connection.reason_codes import FAILURE, reason_name

_CODE: Final = re.compile(r"\b0x([0-9A-Fa-f]{2})\b")


def meaning_of(reason: str) -> str:
    """The meaning of the reason code in a text such as `PUBACK 0x97`.

    Empty when the text has no code of a failure, or says already what it means.
    """
    match = _CODE.search(reason)
    code = int(match[1], 16) if match else 0
    name = reason_name(code) if code >= FAILURE else ""
    return "" if name in reason or name == reason_name(-1) else name
