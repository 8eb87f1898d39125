"""Everything about the protocol that public material leaves open or that differs by release.

Owns the choices and their defaults, each with the evidence for it. The codec reads them from here
and never decides such a question itself. A dialect is chosen per simulator by configuration: the
protocol has no version negotiation.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal

from agent.morai.enums import EgoControlVariant

_RIGHT_ANGLE_DEG = 90


class EmptySlotRule(enum.Enum):
    """When a slot of the object list counts as unused. Public code disagrees about it."""

    CONSERVATIVE = "conservative"
    """Id 0 and either type -1 or nothing but zero bytes behind the type."""
    ID_ZERO = "id_zero"
    """Id 0, whatever else the slot holds."""
    ID_ZERO_TYPE_EGO = "id_zero_type_ego"
    """Id 0 and type -1 only."""


class ImuLayout(enum.Enum):
    """Which of the two IMU layouts the simulator sends."""

    AUTO = "auto"
    """Both are accepted, told apart by the size of the datagram."""
    UNTIMED = "untimed"
    """107 bytes, as the 24.R2 and 26.R1 manuals say."""
    TIMED = "timed"
    """115 bytes with a time stamp, as MORAI's network module and sensor example read it."""


class CameraLayout(enum.Enum):
    """Which header a camera datagram has. The two cannot be told apart by size."""

    TIMED = "timed"
    """23.R1 and later: time stamp, chunk index, size."""
    UNTIMED = "untimed"
    """Before 23.R1: chunk index and size only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One reading of the MORAI SIM: Drive wire protocol.

    Attributes:
        command_steer_sign: Sign of `EgoControl.steer_norm` that turns the wheels left. MORAI's
            drive example sends the negated left-positive angle, hence -1; a measurement on a
            25.S4 competition build found +1.
        status_steer_sign: Sign of `EgoStatus.steer_deg` for wheels turned left. Not documented.
        max_wheel_angle_deg: Wheel angle that a normalised steer of 1 stands for. It belongs to
            the vehicle model: 36.25 in MORAI's drive example, 40 and 20 elsewhere.
        ego_control_variant: The control command the simulator understands.
        set_traffic_light_size: Size of the command that sets a traffic light. The published
            structure has 46 bytes; a configuration saved by the simulator reserves 48, which
            would leave room for the type field of the status message.
        imu_layout: IMU layouts accepted on read. On write a stamp in the message means 115 bytes.
        imu_declared_bytes: `data_length` written into the 115-byte IMU packet. Real ones are
            reported with 80, the payload has 88 bytes; readers must not depend on it.
        camera_layout: Header of the camera datagrams.
        camera_padded: Whether written camera datagrams are filled up to 65,000 bytes, as the
            simulator does. Both forms are always accepted on read.
        empty_slot: Which slots of the object list count as unused.
        tail_required: Refuse a datagram that lacks its closing CR LF. Some old senders omit it
            (the 22.R1 manual's 121 bytes for the ego status).
        refuse_non_finite: Refuse a datagram in which any float is NaN or infinite. Nothing
            downstream of the codec has to think about such values then. A diagnostic display
            switches it off to show them.
    """

    command_steer_sign: Literal[-1, 1] = -1
    status_steer_sign: Literal[-1, 1] = 1
    max_wheel_angle_deg: float = 36.25
    ego_control_variant: EgoControlVariant = EgoControlVariant.C1
    set_traffic_light_size: Literal[46, 48] = 46
    imu_layout: ImuLayout = ImuLayout.AUTO
    imu_declared_bytes: Literal[80, 88] = 88
    camera_layout: CameraLayout = CameraLayout.TIMED
    camera_padded: bool = True
    empty_slot: EmptySlotRule = EmptySlotRule.CONSERVATIVE
    tail_required: bool = True
    refuse_non_finite: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.max_wheel_angle_deg <= _RIGHT_ANGLE_DEG:
            raise ValueError(
                "max_wheel_angle_deg must be above 0 and at most "
                f"{_RIGHT_ANGLE_DEG}, not {self.max_wheel_angle_deg}"
            )
        for name in ("command_steer_sign", "status_steer_sign"):
            if getattr(self, name) not in (-1, 1):
                raise ValueError(f"{name} must be 1 or -1, not {getattr(self, name)}")


DEFAULT_DIALECT = Dialect()
"""The reading that fits 23.R1 to 24.R2 best."""
