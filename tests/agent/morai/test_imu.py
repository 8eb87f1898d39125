from __future__ import annotations

import struct

import pytest

from agent.morai import DecodeError, DecodeReason, Dialect, Imu, ImuLayout, decode, encode
from tests.agent.morai.datagrams import framed

VALUES = (1.0, 0.0, 0.0, 0.5, 0.1, 0.2, 0.3, -1.0, 2.0, 9.81)
TEN = struct.pack("<10d", *VALUES)


def test_115_bytes_have_a_stamp() -> None:
    """The longer form: stamp at 25, ten doubles from 33, quaternion scalar first."""
    data = framed(b"#IMUData$", struct.pack("<ii", 7, 8) + TEN)
    assert len(data) == 115
    sample = decode(data)
    assert sample == Imu(7, 8, *VALUES)
    assert sample.orientation_w == 1.0
    assert sample.acceleration_z_mps2 == 9.81
    assert encode(sample) == data


def test_107_bytes_have_no_stamp() -> None:
    """The shorter form: ten doubles from 25."""
    data = framed(b"#IMUData$", TEN)
    assert len(data) == 107
    assert decode(data) == Imu(None, None, *VALUES)
    assert encode(Imu(None, None, *VALUES)) == data


def test_the_declared_length_does_not_select_the_layout() -> None:
    """Real 115-byte packets declare 80 bytes."""
    data = framed(b"#IMUData$", struct.pack("<ii", 7, 8) + TEN, length=80)
    assert decode(data) == Imu(7, 8, *VALUES)
    assert encode(Imu(7, 8, *VALUES), dialect=Dialect(imu_declared_bytes=80)) == data


@pytest.mark.parametrize(("layout", "accepted"), [(ImuLayout.TIMED, 115), (ImuLayout.UNTIMED, 107)])
def test_a_dialect_may_insist_on_one_layout(layout: ImuLayout, accepted: int) -> None:
    """The other size is refused then."""
    dialect = Dialect(imu_layout=layout)
    for data in (framed(b"#IMUData$", bytes(8) + TEN), framed(b"#IMUData$", TEN)):
        if len(data) == accepted:
            assert isinstance(decode(data, dialect=dialect), Imu)
        else:
            with pytest.raises(DecodeError) as caught:
                decode(data, dialect=dialect)
            assert caught.value.reason is DecodeReason.WRONG_SIZE


def test_huge_finite_doubles_are_finite() -> None:
    """Ten doubles whose sum overflows are each still a finite number."""
    huge = (1.7e308,) * 10
    data = framed(b"#IMUData$", struct.pack("<10d", *huge))
    assert decode(data) == Imu(None, None, *huge)
    assert encode(Imu(None, None, *huge)) == data
