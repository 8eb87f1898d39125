from __future__ import annotations

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.morai import encode
from agent.morai.dumps import HexTextError, is_hex_text, split_hex_text
from agent.morai.lidar import VelodyneBlock, VelodynePacket
from tests.agent.morai.datagrams import ego_status_e3

VELODYNE = encode(VelodynePacket((VelodyneBlock(0, (0,) * 32, (0,) * 32),) * 12, 0, 0x37, 0x22))


def test_hexadecimal_text_is_told_from_datagrams() -> None:
    """No datagram begins with hexadecimal digits only."""
    assert is_hex_text(b"23 4d 6f\n")
    assert is_hex_text(b"0x23, 0x4D:6f")
    assert not is_hex_text(ego_status_e3())
    assert not is_hex_text(b"  \n")
    assert not is_hex_text(b"hello")


@pytest.mark.parametrize("data", [ego_status_e3(), VELODYNE], ids=["ego", "velodyne"])
@pytest.mark.parametrize("width", [20, 32, 60, 200])
def test_wrapped_datagrams_are_put_together(data: bytes, width: int) -> None:
    """Two datagrams one after the other, wrapped like xxd -p does."""
    text = "\n".join("\n".join(textwrap.wrap(one.hex(), width)) for one in (data, data))
    assert split_hex_text(text) == [data, data]


def test_an_empty_line_and_a_complete_datagram_separate() -> None:
    """Even what is unknown begins anew behind them."""
    text = f"{ego_status_e3().hex(' ')}\n00ff\n\n0xAA, 0xBB"
    assert split_hex_text(text) == [ego_status_e3(), b"\x00\xff", b"\xaa\xbb"]


def test_half_a_byte_is_refused_with_its_line() -> None:
    """The person is told where."""
    with pytest.raises(HexTextError, match="line 2"):
        split_hex_text("2323\n234\n")


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5))
def test_datagrams_between_empty_lines_come_back(datagrams: list[bytes]) -> None:
    """Whatever their bytes are."""
    text = "\n\n".join(data.hex() for data in datagrams)
    assert split_hex_text(text) == datagrams
