from __future__ import annotations

import contextlib

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.iotcore.services.formats import Format, PayloadError, read, read_object, write

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text()
DOCUMENTS = st.recursive(
    SCALARS | st.floats(allow_nan=False, allow_infinity=False),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


@given(DOCUMENTS, st.sampled_from(Format))
def test_a_document_survives_both_formats(document: object, payload_format: Format) -> None:
    """What is written is read back."""
    assert read(write(document, payload_format), payload_format) == document


@given(st.binary(max_size=400), st.sampled_from(Format))
def test_any_bytes_give_a_document_or_one_error(payload: bytes, payload_format: Format) -> None:
    """Reading is total."""
    with contextlib.suppress(PayloadError):
        read_object(payload, payload_format)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1\x00",  # tag 1, a date (RFC 8949 section 3.4)
        b"\xd8\x1c\x81\xd8\x1d\x00",  # tags 28 and 29: a list that contains itself
        b"\xc5\x82\x1a\x7f\xff\xff\xff\x01",  # tag 5: 2 to the power 2147483647
        b"\xd8\x23\x63a*a",  # tag 35: a regular expression
        b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",  # a list of 2**63 entries
        b"\x5b\x00\x00\x00\xff\xff\xff\xff\xff",  # 1 TB of bytes
        b"\x81" * 100_000,
        b"\xa1\x41a\x01",  # a key of bytes
        b"\xa1\x01\x02",  # a key that is a number
        b"\xa0\x00",  # a document and one byte
        b"\xa1\x61a",
        b"\x61\xff",
    ],
)
def test_cbor_that_no_service_needs_is_refused(payload: bytes) -> None:
    """Tags, impossible lengths, deep nesting, odd keys and trailing bytes."""
    with pytest.raises(PayloadError):
        read(payload, Format.CBOR)


@pytest.mark.parametrize("payload", [b"", b"{", b"[" * 100_000, b'"\\ud800"', b"\xff", b"{} {}"])
def test_damaged_json_is_refused(payload: bytes) -> None:
    """Truncated, deeply nested, half a surrogate pair, no UTF-8, two documents."""
    with pytest.raises(PayloadError):
        read(payload, Format.JSON)


def test_the_limit_on_size_is_128_kb() -> None:
    """A payload of 131,072 bytes is read, one byte more is not."""
    text = "x" * (131_072 - 2)
    assert read(f'"{text}"'.encode(), Format.JSON) == text
    with pytest.raises(PayloadError):
        read(f'"{text}y"'.encode(), Format.JSON)


def test_bytes_are_base64_in_json_and_bytes_in_cbor() -> None:
    """The two ways the formats carry a block of a file."""
    assert write({"p": b"\x00\xff"}, Format.JSON) == b'{"p":"AP8="}'
    assert cbor2.loads(write({"p": b"\x00\xff"}, Format.CBOR)) == {"p": b"\x00\xff"}
