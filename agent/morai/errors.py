"""The two errors of the wire: bytes that cannot be read, and messages that cannot be written.

Owns the closed lists of reasons, which double as names of drop counters. Both errors are
`ValueError`s and deliberately outside the product's tree of errors for people: a bad datagram is
counted and dropped, it is never shown to anybody as a failure of the program.
"""

from __future__ import annotations

import enum


class DecodeReason(enum.StrEnum):
    """Why bytes are not a message. The value is the name of the drop counter."""

    EMPTY = "empty"
    """No bytes at all."""
    UNKNOWN_NAME = "unknown_name"
    """The first bytes are no name and no framing of the catalogue."""
    WRONG_SIZE = "wrong_size"
    """The name is known, but no layout of that name has this number of bytes."""
    WRONG_DIRECTION = "wrong_direction"
    """The message exists, but travels the other way."""
    BAD_TAIL = "bad_tail"
    """The closing bytes (CR LF, or the camera's `AI` or `EI`) are something else."""
    BAD_TEXT = "bad_text"
    """A text field holds something other than printable ASCII."""
    NON_FINITE = "non_finite"
    """A float is NaN or infinite and the dialect refuses that."""
    BAD_COUNT = "bad_count"
    """A count or size field points outside the datagram or outside the message's own limit."""
    BAD_VALUE = "bad_value"
    """A field that must hold a fixed marker holds something else."""
    BAD_CHECKSUM = "bad_checksum"
    """No NMEA sentence of the datagram has a matching checksum."""


class EncodeReason(enum.StrEnum):
    """Why a message cannot become bytes."""

    MISSING_VALUE = "missing_value"
    """The layout has a field for which the message holds `None`."""
    NOT_CARRIED = "not_carried"
    """The message holds a value for which the layout has no field: it would be lost silently."""
    OUT_OF_RANGE = "out_of_range"
    """A number does not fit the integer or float type of its field."""
    NON_FINITE = "non_finite"
    """A float is NaN or infinite and the dialect refuses that."""
    BAD_TEXT = "bad_text"
    """A text is too long, not printable ASCII, or would not survive the padding."""
    BAD_COUNT = "bad_count"
    """More records than slots, or a number of values that differs from the layout's."""
    EMPTY_SLOT = "empty_slot"
    """The receiver would take this record for an unused slot."""
    BAD_VALUE = "bad_value"
    """The value is of the wrong type or not among the allowed ones."""


class DecodeError(ValueError):
    """Bytes that are not a message of the catalogue.

    Args:
        reason: Which rule was broken.
        detail: What was found, for a person. Never holds more than a few bytes of the input.
    """

    def __init__(self, reason: DecodeReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class EncodeError(ValueError):
    """A message that the wire cannot carry without loss.

    Args:
        reason: Which rule was broken.
        detail: Which field, and what it held.
    """

    def __init__(self, reason: EncodeReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"
