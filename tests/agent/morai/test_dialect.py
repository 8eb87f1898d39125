from __future__ import annotations

import pytest

from agent.morai import DEFAULT_DIALECT, Dialect, EgoControlVariant, EmptySlotRule


def test_the_default_reads_23_r1_to_24_r2_as_the_vendor_example_does() -> None:
    """Steer commands are negated, 36.25 degrees is full lock, C1 is sent."""
    assert DEFAULT_DIALECT.command_steer_sign == -1
    assert DEFAULT_DIALECT.max_wheel_angle_deg == 36.25
    assert DEFAULT_DIALECT.ego_control_variant is EgoControlVariant.C1
    assert DEFAULT_DIALECT.empty_slot is EmptySlotRule.CONSERVATIVE


@pytest.mark.parametrize("angle", [0.0, -1.0, 91.0, float("nan"), float("inf")])
def test_a_wheel_angle_that_no_car_has_is_refused(angle: float) -> None:
    """Steering is divided by this angle."""
    with pytest.raises(ValueError, match="max_wheel_angle_deg"):
        Dialect(max_wheel_angle_deg=angle)


@pytest.mark.parametrize("name", ["command_steer_sign", "status_steer_sign"])
def test_a_sign_is_plus_or_minus_one(name: str) -> None:
    """Any other factor would scale the steering."""
    with pytest.raises(ValueError, match=name):
        Dialect(**{name: 2})  # type: ignore[arg-type] # wrong on purpose
