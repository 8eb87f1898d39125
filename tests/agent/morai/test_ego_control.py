from __future__ import annotations

import struct

import pytest

from agent.morai import (
    CommandMode,
    EgoControl,
    EgoControlVariant,
    EncodeError,
    EncodeReason,
    Gear,
    LongitudinalType,
    decode,
    encode,
)
from tests.agent.morai.datagrams import framed

PAYLOAD_C1 = struct.pack("<bbb5f", 2, 4, 2, 40.0, 1.5, 0.25, 0.5, -0.75)


def _control(variant: EgoControlVariant, rear: float | None = None) -> EgoControl:
    return EgoControl(
        variant,
        CommandMode.EXTERNAL,
        Gear.D,
        LongitudinalType.VELOCITY,
        velocity_kmh=40.0,
        acceleration_mps2=1.5,
        accel_pedal=0.25,
        brake_pedal=0.5,
        steer_norm=-0.75,
        rear_steer_norm=rear,
    )


def test_c1_is_the_published_55_bytes() -> None:
    """C1: mode, gear and type at 30 to 32, five floats from 33, declared length 23."""
    data = framed(b"#MoraiCtrlCmd$", PAYLOAD_C1)
    assert len(data) == 55
    assert struct.unpack_from("<i", data, 14) == (23,)
    assert encode(_control(EgoControlVariant.C1)) == data
    assert decode(data) == _control(EgoControlVariant.C1)


def test_c2_adds_the_rear_steer_behind_the_front_steer() -> None:
    """C2 has 59 bytes and the rear steer at 53."""
    data = framed(b"#MoraiCtrlCmd$", PAYLOAD_C1 + struct.pack("<f", 0.125))
    assert len(data) == 59
    assert encode(_control(EgoControlVariant.C2, 0.125)) == data
    assert decode(data) == _control(EgoControlVariant.C2, 0.125)


def test_c0_keeps_mode_and_gear_in_the_spare_bytes() -> None:
    """C0 has 44 bytes, mode and gear at 18 and 19, pedals and steer from 30."""
    aux = bytes([1, 2]) + bytes(10)
    data = framed(b"#MoraiCtrlCmd$", struct.pack("<3f", 0.25, 0.5, 1.0), aux=aux)
    assert len(data) == 44
    control = EgoControl(
        EgoControlVariant.C0, 1, 2, accel_pedal=0.25, brake_pedal=0.5, steer_norm=1.0
    )
    assert decode(data) == control
    assert encode(control) == data


def test_c0_refuses_a_target_speed() -> None:
    """C0 carries pedals only, so a target speed would be lost."""
    with pytest.raises(EncodeError) as caught:
        encode(_control(EgoControlVariant.C0))
    assert caught.value.reason is EncodeReason.NOT_CARRIED


def test_c1_refuses_a_rear_steer() -> None:
    """C1 has no rear steer field."""
    with pytest.raises(EncodeError) as caught:
        encode(_control(EgoControlVariant.C1, 0.0))
    assert caught.value.reason is EncodeReason.NOT_CARRIED


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"gear": 128}, EncodeReason.OUT_OF_RANGE),
        ({"control_mode": -129}, EncodeReason.OUT_OF_RANGE),
        ({"steer_norm": 1e39}, EncodeReason.OUT_OF_RANGE),
        ({"steer_norm": float("nan")}, EncodeReason.NON_FINITE),
        ({"accel_pedal": float("inf")}, EncodeReason.NON_FINITE),
        ({"velocity_kmh": None}, EncodeReason.MISSING_VALUE),
        ({"velocity_kmh": "fast"}, EncodeReason.BAD_VALUE),
        ({"gear": 1.5}, EncodeReason.BAD_VALUE),
        ({"gear": 10**400}, EncodeReason.OUT_OF_RANGE),
        ({"velocity_kmh": 10**400}, EncodeReason.OUT_OF_RANGE),
    ],
)
def test_values_that_do_not_fit_are_refused_with_their_reason(
    change: dict[str, object], reason: EncodeReason
) -> None:
    """Every value that the bytes cannot hold gives one typed error that names the field."""
    fields: dict[str, object] = {"control_mode": 2, "gear": 4} | change
    with pytest.raises(EncodeError, match=next(iter(change))) as caught:
        encode(EgoControl(EgoControlVariant.C1, **fields))  # type: ignore[arg-type] # wrong on purpose
    assert caught.value.reason is reason
