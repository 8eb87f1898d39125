"""Request and answer documents in the two formats AWS services speak over MQTT: JSON and CBOR.

Owns the decoding of payloads that devices wrote: any bytes give a document or one `PayloadError`,
in time and memory proportional to their length. Knows nothing about what a document means.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NoReturn

import cbor2
import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

PAYLOAD_BYTES_MAX: Final = 128 * 1024
"""AWS IoT Core quota "maximum inbound payload"; the broker enforces it too."""

DEPTH_MAX: Final = 32
"""Containers inside containers. No request of these services needs more than six."""


class Format(StrEnum):
    """The last level of a request topic."""

    JSON = "json"
    CBOR = "cbor"


CONTENT_TYPES: Final = {Format.JSON: "application/json", Format.CBOR: "application/cbor"}
"""MIME types of the formats, as MQTT 5 messages announce them."""


class PayloadError(ValueError):
    """The payload is no document of its format."""


class _NoTags(Mapping[int, Any]):
    """Answers every CBOR tag with a refusal.

    Tags make dates, regular expressions, numbers of any size, shared and cyclic structures out of
    a few bytes. The services use none of them.
    """

    def __getitem__(self, tag: int, /) -> Any:
        return self._refuse

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 1

    @staticmethod
    def _refuse(*_arguments: Any) -> NoReturn:
        raise PayloadError("CBOR tags are not supported")


_NO_TAGS: Final = _NoTags()


def format_of(level: str) -> Format | None:
    """The format a topic level names, or None."""
    return Format(level) if level in set(Format) else None


def read(payload: bytes, payload_format: Format) -> Any:
    """Decode a payload.

    Returns:
        Objects, lists, text, numbers, booleans and None; CBOR has bytes as well. Keys of objects
        are text.

    Raises:
        PayloadError: It is longer than 128 KB, damaged, nested deeper than 32 levels, or has CBOR
            tags or keys other than text.
    """
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise PayloadError(f"longer than {PAYLOAD_BYTES_MAX} bytes")
    try:
        if payload_format is Format.JSON:
            document = msgspec.json.decode(payload)
        else:
            document = _read_cbor(payload)
    except (msgspec.MsgspecError, cbor2.CBORError, ValueError, RecursionError) as error:
        raise PayloadError(str(error)) from error
    _check(document, DEPTH_MAX)
    return document


def read_object(payload: bytes, payload_format: Format) -> dict[str, Any]:
    """Decode a payload that must be an object.

    Raises:
        PayloadError: It is something else, or no document at all.
    """
    document = read(payload, payload_format)
    if not isinstance(document, dict):
        raise PayloadError("not an object")
    return document


def write(document: Any, payload_format: Format) -> bytes:
    """Encode a document. Bytes become base64 text in JSON."""
    if payload_format is Format.JSON:
        return msgspec.json.encode(document)
    return cbor2.dumps(document)


def _read_cbor(payload: bytes) -> Any:
    stream = io.BytesIO(payload)
    decoder = cbor2.CBORDecoder(
        stream, semantic_decoders=_NO_TAGS, max_depth=DEPTH_MAX, strict_hashable_types=True
    )
    document = decoder.decode()
    if stream.tell() != len(payload):
        raise PayloadError("more bytes follow the document")
    return document


def _check(value: Any, levels: int) -> None:
    if isinstance(value, dict):
        children: Any = value.values()
        if not all(isinstance(key, str) for key in value):
            raise PayloadError("a key is not text")
    elif isinstance(value, list):
        children = value
    else:
        return
    if levels == 0:
        raise PayloadError(f"nested deeper than {DEPTH_MAX} levels")
    for child in children:
        _check(child, levels - 1)
