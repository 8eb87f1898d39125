"""Credentials in a CONNECT that is held back."""

from __future__ import annotations

import mqtt5
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.iotcore.transports.first_packet import Credentials, HeldPacket, read_credentials

# MQTT 3.1.1 section 3.1: fixed header, "MQTT", level 4, flags, keep-alive 10, then the payload:
# client id "car", will topic "w", will message "bye", user name "me", password 00 FF.
OLD = bytes.fromhex(
    "10 1f  00 04 4d515454  04  c6  000a"
    "  00 03 636172  00 01 77  00 03 627965  00 02 6d65  00 02 00ff"
)
# MQTT 5.0 section 3.1: the same with a Receive Maximum among the properties, and a Will Delay.
NEW = bytes.fromhex(
    "10 29  00 04 4d515454  05  c6  000a  03 21 0014"
    "  00 03 636172  05 18 00000001  00 01 77  00 03 627965  00 02 6d65  00 02 00ff"
)

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@pytest.mark.parametrize("packet", [OLD, NEW])
def test_every_field_before_the_credentials_is_skipped(packet: bytes) -> None:
    """In both versions of MQTT, with a will and properties in the way."""
    assert len(packet) == packet[1] + 2
    assert read_credentials(packet) == Credentials("car", "me", b"\x00\xff")


def test_what_is_not_there_is_none() -> None:
    """Neither client id nor user name nor password."""
    packet = bytes.fromhex("100c 0004 4d515454 04 02 000a 0000")
    assert read_credentials(packet) == Credentials("", None, None)


@pytest.mark.parametrize("packet", [OLD, NEW])
def test_a_packet_cut_short_has_no_credentials(packet: bytes) -> None:
    """Wherever it ends."""
    assert all(read_credentials(packet[:end]) is None for end in range(len(packet)))


@pytest.mark.parametrize(
    "packet",
    [
        bytes.fromhex("300c 0004 4d515454 04 02 000a 0000"),
        bytes.fromhex("100c 0004 4d515458 04 02 000a 0000"),
        bytes.fromhex("100c 0004 4d515454 03 02 000a 0000"),
        bytes.fromhex("100d 0004 4d515454 04 02 000a 0001 ff"),
        bytes.fromhex("10 80808080 0004 4d515454 04 02 000a 0000"),
    ],
)
def test_what_is_no_connect_has_no_credentials(packet: bytes) -> None:
    """Another packet, protocol, version, text that is not UTF-8, a length of five bytes."""
    assert read_credentials(packet) is None


@given(st.binary(max_size=200), st.integers(0, len(NEW) - 1), st.integers(0, 255))
def test_any_bytes_give_credentials_or_none(noise: bytes, place: int, value: int) -> None:
    """Also a good packet with one byte changed or with noise behind it."""
    for data in (noise, b"\x10" + noise, NEW[:place] + bytes([value]) + NEW[place + 1 :]):
        found = read_credentials(data)
        assert found is None or isinstance(found.client_id, str)


@given(TEXTS, TEXTS, st.binary(max_size=20))
def test_it_agrees_with_the_codec(client_id: str, user_name: str, password: bytes) -> None:
    """What another implementation writes is read."""
    packet = mqtt5.ConnectPacket(client_id, username=user_name, password=password).write()
    assert read_credentials(packet) == Credentials(client_id, user_name, password)


@given(st.integers(1, len(OLD) - 1), st.binary(max_size=10))
def test_a_packet_may_come_in_pieces(cut: int, more: bytes) -> None:
    """Complete when its last byte is there; everything is kept for the broker."""
    held = HeldPacket(1_000)
    assert not held.feed(OLD[:cut])
    assert held.feed(OLD[cut:] + more)
    assert held.data == OLD + more
    assert held.credentials() == Credentials("car", "me", b"\x00\xff")


def test_a_packet_that_is_too_long_is_not_waited_for() -> None:
    """There is nothing more to wait for, and nothing to read."""
    held = HeldPacket(1_000)
    assert held.feed(b"\x10\xff\x7f")
    assert held.credentials() is None


def test_a_password_is_not_shown() -> None:
    """Logs have the client id at most."""
    assert repr(Credentials("car", "me", b"secret")) == "Credentials(client_id='car')"
