"""What each publishing channel sends: from the drive's present to datagrams.

Owns the contents of the channels, among them what competition builds blank. Units and bytes are the
business of `agent.vehicle.morai_view` and `agent.morai`. It must not know rates or ports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from agent.morai import EncodeError, GpsSentences, ImuLayout, IntersectionStatus, encode
from agent.vehicle import morai_view
from agent.vehicle.state import Collision

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.morai import Dialect, EgoStatusVariant
    from agent.vehicle.state import EgoState
    from simulator.morai_host.drive import Drive
    from simulator.morai_host.faults import FaultInjector

_ZERO: Final = (0.0, 0.0, 0.0)


class Publisher:
    """Writes the datagrams of every channel.

    Args:
        variant: Generation of the ego status.
        dialect: How the wire's open questions are answered.
    """

    def __init__(self, variant: EgoStatusVariant, dialect: Dialect) -> None:
        self._variant = variant
        self._dialect = dialect
        self._writers: dict[str, Callable[[Drive, FaultInjector], list[bytes]]] = {
            "ego_status": self._ego_status,
            "competition_status": self._competition_status,
            "objects": self._objects,
            "collision": self._collision,
            "traffic_light": self._traffic_light,
            "intersection": self._intersection,
            "imu": self._imu,
            "gps": self._gps,
        }

    def datagrams(self, channel: str, drive: Drive, faults: FaultInjector) -> list[bytes] | None:
        """Write what a channel sends now.

        Args:
            channel: A publishing channel.
            drive: Where the car is.
            faults: Repeats stamps, and says what is blanked.

        Returns:
            Datagrams in order, possibly none; `None` when a value does not fit the wire.

        Raises:
            KeyError: There is no such channel.
        """
        try:
            return self._writers[channel](drive, faults)
        except EncodeError:
            return None

    def _ego_status(self, drive: Drive, faults: FaultInjector) -> list[bytes]:
        blank = faults.plan.blank
        return [
            self._ego(blanked(state) if blank else state, "ego_status", faults)
            for state in drive.ego_states()
        ]

    def _competition_status(self, drive: Drive, faults: FaultInjector) -> list[bytes]:
        return [self._ego(blanked(drive.present()), "competition_status", faults)]

    def _ego(self, state: EgoState, channel: str, faults: FaultInjector) -> bytes:
        if state.stamp_s is not None:
            stamp_s = faults.stamp(channel, state.stamp_s)
            if stamp_s != state.stamp_s:
                state = msgspec.structs.replace(state, stamp_s=stamp_s)
        message = morai_view.ego_status(state, self._variant, self._dialect)
        return encode(message, dialect=self._dialect)

    def _objects(self, drive: Drive, faults: FaultInjector) -> list[bytes]:
        stamp_s = faults.stamp("objects", _stamp_s(drive))
        message = morai_view.object_info(drive.objects(), stamp_s)
        return [encode(message, dialect=self._dialect)]

    def _collision(self, drive: Drive, faults: FaultInjector) -> list[bytes]:
        touched = drive.collisions()[: morai_view.COLLISION_SLOTS]
        message = morai_view.collision_data(
            [
                Collision(object_id=item.id, kind=item.kind, position_m=item.position_m)
                for item in touched
            ],
            faults.stamp("collision", _stamp_s(drive)),
        )
        return [encode(message, dialect=self._dialect)]

    def _traffic_light(self, drive: Drive, faults: FaultInjector) -> list[bytes]:
        del faults
        light = drive.traffic_light()
        if light is None:
            return []
        return [encode(morai_view.traffic_light_status(light), dialect=self._dialect)]

    def _intersection(self, drive: Drive, faults: FaultInjector) -> list[bytes]:
        del faults
        intersection = drive.intersection()
        if intersection is None:
            return []
        return [encode(IntersectionStatus(*intersection), dialect=self._dialect)]

    def _imu(self, drive: Drive, faults: FaultInjector) -> list[bytes]:
        datagrams = []
        for sample in drive.imu_samples():
            stamp_s = sample.stamp_s
            if stamp_s is not None:
                stamp_s = faults.stamp("imu", stamp_s)
            message = morai_view.imu(
                msgspec.structs.replace(sample, stamp_s=stamp_s),
                with_stamp=self._dialect.imu_layout is not ImuLayout.UNTIMED,
            )
            datagrams.append(encode(message, dialect=self._dialect))
        return datagrams

    def _gps(self, drive: Drive, faults: FaultInjector) -> list[bytes]:
        # RMC and GGA travel as two datagrams.
        lost = faults.plan.gps_blackout
        return [
            encode(GpsSentences((sentence,)), dialect=self._dialect)
            for fix in drive.fixes()
            for sentence in morai_view.gps_sentences(None if lost else fix, fix.utc_s or 0.0)
        ]


def blanked(state: EgoState) -> EgoState:
    """The state as competition builds send it: no position, lateral motion or acceleration."""
    return msgspec.structs.replace(
        state,
        position_m=_ZERO,
        velocity_mps=(state.speed_mps, 0.0, 0.0),
        acceleration_mps2=_ZERO,
    )


def _stamp_s(drive: Drive) -> float:
    return drive.present().stamp_s or 0.0
