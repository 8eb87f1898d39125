"""What a message says about a car: numbers taken out of the arrays of all cars, many cars at once.

Owns which quantities a stream's content has, their names, units and digits, and the short history
from which messages with several samples are made. Pure; it must not know encodings or how the cars
move.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

import numpy as np

from agent.vehicle.vss import SIGNALS

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "DEG_PER_RAD",
    "HISTORY_STEPS",
    "LOCATION",
    "QUANTITIES",
    "TURN_DEG",
    "CarArrays",
    "Content",
    "History",
    "Quantity",
    "Table",
]

Content: TypeAlias = Literal["state", "gnss", "imu"]

DEG_PER_RAD: Final = 180 / math.pi
TURN_DEG: Final = 360.0
HISTORY_STEPS: Final = 32
"""Motion steps that a publish period is divided into at most; finer ones are thinned out."""

_KMH_PER_MPS: Final = 3.6


class CarArrays(Protocol):
    """The state of the cars as arrays, one element (or row) a car. Arrays may be replaced."""

    @property
    def latitude_deg(self) -> NDArray[np.float64]:
        """True latitude on WGS 84."""

    @property
    def longitude_deg(self) -> NDArray[np.float64]:
        """True longitude on WGS 84."""

    @property
    def altitude_m(self) -> NDArray[np.float64]:
        """True height."""

    @property
    def heading_rad(self) -> NDArray[np.float64]:
        """Heading clockwise from true north, 0 to below 2 pi."""

    @property
    def speed_mps(self) -> NDArray[np.float64]:
        """Speed along the car."""

    @property
    def acceleration_mps2(self) -> NDArray[np.float64]:
        """Acceleration along the car."""

    @property
    def yaw_rate_radps(self) -> NDArray[np.float64]:
        """Rotation about the vertical axis, positive to the left."""

    @property
    def gnss_latitude_deg(self) -> NDArray[np.float64]:
        """Latitude as the receiver has it, with noise."""

    @property
    def gnss_longitude_deg(self) -> NDArray[np.float64]:
        """Longitude as the receiver has it, with noise."""

    @property
    def gnss_altitude_m(self) -> NDArray[np.float64]:
        """Height as the receiver has it, with noise."""

    @property
    def imu_acceleration_mps2(self) -> NDArray[np.float64]:
        """Specific force forward, left, up; shape (count, 3)."""

    @property
    def imu_rate_radps(self) -> NDArray[np.float64]:
        """Rotation about the same axes; shape (count, 3)."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number of a sample.

    Attributes:
        name: Key in a flat object, with the unit.
        source: Name of the array.
        path: Its signal in a batch document.
        decimals: Digits after the point in a flat object; a batch has those of the signal.
        factor: From the array's unit to that of `name`.
        path_factor: From the array's unit to that of the signal.
        is_turn: Whether it is an angle that starts again from 0 after a full turn.
    """

    name: str
    source: str
    path: str
    decimals: int
    factor: float = 1.0
    path_factor: float = 1.0
    is_turn: bool = False


LOCATION: Final = "Vehicle.CurrentLocation."
_ROTATION: Final = "Vehicle.AngularVelocity."

_SPEED: Final = Quantity("speed_mps", "speed_mps", "Vehicle.Speed", 2, 1.0, _KMH_PER_MPS)
# Quantities of one array with a row of three values a car stand together, in the order of the row.
QUANTITIES: Final[dict[Content, tuple[Quantity, ...]]] = {
    "state": (
        Quantity("latitude_deg", "latitude_deg", LOCATION + "Latitude", 7),
        Quantity("longitude_deg", "longitude_deg", LOCATION + "Longitude", 7),
        Quantity("altitude_m", "altitude_m", LOCATION + "Altitude", 2),
        Quantity(
            "heading_deg",
            "heading_rad",
            LOCATION + "Heading",
            2,
            DEG_PER_RAD,
            DEG_PER_RAD,
            is_turn=True,
        ),
        _SPEED,
        Quantity("acceleration_mps2", "acceleration_mps2", "Vehicle.Acceleration.Longitudinal", 3),
        Quantity("yaw_rate_radps", "yaw_rate_radps", _ROTATION + "Yaw", 4, 1.0, DEG_PER_RAD),
    ),
    "gnss": (
        Quantity("latitude_deg", "gnss_latitude_deg", LOCATION + "Latitude", 7),
        Quantity("longitude_deg", "gnss_longitude_deg", LOCATION + "Longitude", 7),
        Quantity("altitude_m", "gnss_altitude_m", LOCATION + "Altitude", 2),
        Quantity("speed_mps", "speed_mps", "Morai.Gnss.Speed", 2, 1.0, _KMH_PER_MPS),
        Quantity(
            "course_deg",
            "heading_rad",
            "Morai.Gnss.Course",
            2,
            DEG_PER_RAD,
            DEG_PER_RAD,
            is_turn=True,
        ),
    ),
    "imu": (
        Quantity("force_x_mps2", "imu_acceleration_mps2", "Morai.Imu.SpecificForce.X", 3),
        Quantity("force_y_mps2", "imu_acceleration_mps2", "Morai.Imu.SpecificForce.Y", 3),
        Quantity("force_z_mps2", "imu_acceleration_mps2", "Morai.Imu.SpecificForce.Z", 3),
        Quantity("roll_rate_radps", "imu_rate_radps", _ROTATION + "Roll", 5, 1.0, DEG_PER_RAD),
        Quantity("pitch_rate_radps", "imu_rate_radps", _ROTATION + "Pitch", 5, 1.0, DEG_PER_RAD),
        Quantity("yaw_rate_radps", "imu_rate_radps", _ROTATION + "Yaw", 5, 1.0, DEG_PER_RAD),
    ),
}


class Table:
    """Takes the numbers of some cars out of the arrays, in the units and digits of an encoding.

    Args:
        content: Which quantities.
        in_signal_units: Units and digits of the signals, for batch documents; otherwise those of
            flat objects.

    Attributes:
        paths: The signal of each quantity.
        count: How many quantities there are.
        turns: Which of them are angles that start again from 0.
    """

    def __init__(self, content: Content, *, in_signal_units: bool) -> None:
        quantities = QUANTITIES[content]
        self.paths = [quantity.path for quantity in quantities]
        self.count = len(quantities)
        sources = list(dict.fromkeys(quantity.source for quantity in quantities))
        self._sources = attrgetter(*sources)
        decimals = [
            SIGNALS[quantity.path].decimals if in_signal_units else quantity.decimals
            for quantity in quantities
        ]
        factors = [
            quantity.path_factor if in_signal_units else quantity.factor for quantity in quantities
        ]
        self._steps = np.array([[10.0**digits] for digits in decimals])
        self._scale = self._steps * np.array(factors)[:, None]
        self.turns = [row for row, quantity in enumerate(quantities) if quantity.is_turn]
        self._held: NDArray[np.float64] | None = None
        self._is_holding = False

    def hold(self) -> None:
        """The arrays have just changed, and every change will be told like this.

        The numbers of all cars are then converted once a change instead of once a slice: a motion
        step is followed by many small slices, and most of their cost is that of calling numpy.
        """
        self._is_holding = True
        self._held = None

    def raw(self, cars: CarArrays, at: NDArray[np.intp] | slice, count: int) -> NDArray[np.float64]:
        """The numbers as they are in the arrays; shape (quantities, count)."""
        table = np.empty((self.count, count))
        row = 0
        for array in self._sources(cars):
            if array.ndim == 1:
                table[row] = array[at]
                row += 1
            else:
                table[row : row + array.shape[1]] = array[at].T
                row += array.shape[1]
        return table

    def rounded(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert and round in place; axis -2 of `table` is the quantities.

        What results are the floats nearest to decimal numbers, so their shortest text has no more
        digits than asked for.
        """
        table *= self._scale
        np.rint(table, out=table)
        table /= self._steps
        # Rounding can make a full turn of an angle just below one.
        for row in self.turns:
            angles = table[..., row, :]
            np.subtract(angles, TURN_DEG, out=angles, where=angles >= TURN_DEG)
        table += 0.0  # no negative zeros
        return table

    def values(self, cars: CarArrays, indices: list[int], offset: int) -> list[list[float]]:
        """The finished numbers of some cars: one list a quantity.

        Args:
            cars: The arrays.
            indices: The cars.
            offset: Element of the arrays that is car 0.
        """
        at = np.array(indices, dtype=np.intp)
        if offset:
            at += offset
        if self._is_holding:
            if self._held is None:
                everyone = slice(None)
                self._held = self.rounded(self.raw(cars, everyone, len(cars.latitude_deg)))
            table = self._held.take(at, axis=1)
        else:
            table = self.rounded(self.raw(cars, at, len(indices)))
        finished: list[list[float]] = table.tolist()
        return finished


class History:
    """Where the cars were over the last publish period, at the times of motion steps.

    Bounded: a period is divided into `HISTORY_STEPS` at most. Of steps that come faster only some
    are kept, beside the newest.

    Args:
        table: What is taken from the arrays.
        cars: Which elements of the arrays; car 0 is the first of them.
        period_s: Publish period.
    """

    def __init__(self, table: Table, cars: slice, period_s: float) -> None:
        self._table = table
        self._cars = cars
        # A little less than the even division, so that jitter does not drop every other step.
        self._spacing_s = 0.99 * period_s / HISTORY_STEPS
        self._times_s: list[float] = []
        self._slots: list[int] = []
        self._steps = np.empty((HISTORY_STEPS + 3, cars.stop - cars.start, table.count))

    @property
    def is_empty(self) -> bool:
        """Whether no step was added yet."""
        return not self._times_s

    def add(self, now_s: float, cars: CarArrays) -> None:
        """Note where the cars are; a step that is not later than the last one replaces it."""
        times_s, slots = self._times_s, self._slots
        is_close = len(times_s) > 1 and times_s[-1] - times_s[-2] < self._spacing_s
        if is_close or (times_s and now_s <= times_s[-1]):
            times_s[-1] = now_s
        else:
            times_s.append(now_s)
            if len(slots) < len(self._steps):
                slots.append(len(slots))
            else:
                del times_s[0]
                slots.append(slots.pop(0))
        self._steps[slots[-1]] = self._table.raw(cars, self._cars, self._steps.shape[1]).T

    def at(self, times_s: NDArray[np.float64], cars: NDArray[np.intp]) -> NDArray[np.float64]:
        """Finished numbers at some times, linear between steps and constant beyond them.

        Args:
            times_s: Times of the run; shape (messages, samples).
            cars: Car of each message; shape (messages,).

        Returns:
            Shape (messages, quantities, samples).
        """
        known_s, slots = np.array(self._times_s), np.array(self._slots)
        later = np.clip(np.searchsorted(known_s, times_s), 1, max(1, len(known_s) - 1))
        later = np.minimum(later, len(known_s) - 1)
        earlier = np.maximum(later - 1, 0)
        span_s = known_s[later] - known_s[earlier]
        share = np.clip((times_s - known_s[earlier]) / np.where(span_s > 0, span_s, 1.0), 0.0, 1.0)
        rows = cars[:, None]
        before = self._steps[slots[earlier], rows]
        with np.errstate(invalid="ignore"):  # a motion that is not finite becomes null, not noise
            change = self._steps[slots[later], rows] - before
            turns = change[..., self._table.turns]
            change[..., self._table.turns] = turns - math.tau * np.rint(turns / math.tau)
            values = before + share[..., None] * change
            values[..., self._table.turns] %= math.tau
            return self._table.rounded(np.ascontiguousarray(values.transpose(0, 2, 1)))
