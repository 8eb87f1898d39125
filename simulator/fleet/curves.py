"""Shapes of roads: evenly spaced points with heading and curvature.

Owns resampling, smoothing and turning curves. It must not know networks, speeds or where on Earth
a shape lies. Every shape has finite curvature everywhere: that is what lets a car drive along it
with a finite yaw rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from simulator.fleet.arrays import FloatArray

STEP_M: Final = 1.0
"""Distance of two points of a shape, about; each shape divides its length evenly."""

_KERNEL_REACH: Final = 3.0  # standard deviations; beyond lies 0.3 % of a Gaussian


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A line in the plane with heights, n >= 2 points at even distances along it.

    Attributes:
        x_m: East, shape (n,).
        y_m: North, shape (n,).
        z_m: Up, shape (n,).
        yaw_rad: Direction of the line, counter-clockwise from east, continuous, shape (n,).
        curvature: Change of yaw per metre, positive to the left, shape (n,).
        length_m: Distance from the first to the last point along the line.
    """

    x_m: FloatArray
    y_m: FloatArray
    z_m: FloatArray
    yaw_rad: FloatArray
    curvature: FloatArray
    length_m: float


def straight(length_m: float, step_m: float = STEP_M) -> Shape:
    """A straight line from the origin to the east."""
    count = _points(length_m, step_m)
    zero = np.zeros(count)
    return Shape(np.linspace(0.0, length_m, count), zero, zero, zero, zero, length_m)


def turn(angle_rad: float, across_m: float, ramp: float = 0.35) -> Shape:
    """A turn that starts at the origin towards the east and ends `across_m` ahead and aside.

    Its curvature rises linearly over the first part of the curve, stays, and falls linearly over
    the last part: clothoid, arc, clothoid, as roads are laid out, so that the yaw rate of a car
    never jumps. The shape is symmetric, which for a quarter turn makes ahead and aside equal.

    Args:
        angle_rad: A quarter turn to the left or, negative, to the right.
        across_m: How far ahead, and how far to the side, the end lies.
        ramp: Length of each clothoid as a part of the whole, above 0 to 0.5.
    """
    fine = np.linspace(0.0, 1.0, 2001)
    profile = np.minimum(1.0, np.minimum(fine, 1.0 - fine) / ramp) / (1.0 - ramp)
    yaw = np.concatenate([[0.0], np.cumsum((profile[1:] + profile[:-1]) / 2.0)]) * 0.0005
    yaw *= angle_rad
    ahead = _integral(np.cos(yaw))
    aside = _integral(np.sin(yaw))
    length = across_m / float(ahead[-1])
    at = np.linspace(0.0, 1.0, _points(length, STEP_M / 2.0))
    return Shape(
        x_m=length * np.interp(at, fine, ahead),
        y_m=length * np.interp(at, fine, aside),
        z_m=np.zeros(len(at)),
        yaw_rad=np.interp(at, fine, yaw),
        curvature=np.interp(at, fine, profile) * angle_rad / length,
        length_m=length,
    )


def from_points(
    points: FloatArray,
    *,
    smooth_m: float = 0.0,
    closed: bool = False,
    bend_m: float = 2.0,
) -> Shape:
    """The shape of a surveyed line.

    Args:
        points: East, north, up in metres, shape (n, 3) with n >= 2 distinct neighbours.
        smooth_m: Standard deviation of a Gaussian along the line that rounds its corners; a corner
            of angle phi becomes a bend of radius 2.5 * smooth_m / phi. Zero keeps the points.
        closed: The end joins the start, as one round.
        bend_m: Heading and curvature are taken over this distance to each side, because points of
            a survey are exact to centimetres but their differences are not.
    """
    line = resampled(points, STEP_M)
    if smooth_m > 0.0:
        line = resampled(_smoothed(line, smooth_m, closed=closed), STEP_M)
    steps = np.hypot(*np.diff(line[:, :2], axis=0).T)
    length = float(steps.sum())
    step = length / (len(line) - 1)
    reach = max(1, round(bend_m / step))
    yaw = _chord_yaw(line, reach, closed=closed)
    if closed:
        rounds = yaw[-1] - yaw[0]
        # The last point is the first one: one heading for both, a whole number of turns apart.
        rest = rounds - math.tau * round(rounds / math.tau)
        yaw = yaw - rest * np.linspace(0.0, 1.0, len(yaw))
    curvature = np.gradient(yaw, step)
    if closed:
        seam = (curvature[0] + curvature[-1]) / 2.0
        curvature[0] = curvature[-1] = seam
    return Shape(line[:, 0], line[:, 1], line[:, 2], yaw, curvature, length)


def resampled(points: FloatArray, step_m: float) -> FloatArray:
    """The same line with points at even distances of about `step_m`; first and last stay."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points[:, :2], axis=0).T))])
    keep = np.concatenate([[True], np.diff(along) > 0.0])
    at = np.linspace(0.0, float(along[-1]), _points(float(along[-1]), step_m))
    return np.stack([np.interp(at, along[keep], column[keep]) for column in points.T], axis=1)


def _smoothed(line: FloatArray, sigma_m: float, *, closed: bool) -> FloatArray:
    reach = max(1, math.ceil(_KERNEL_REACH * sigma_m / STEP_M))
    at = np.arange(-reach, reach + 1) * STEP_M
    kernel = np.exp(-0.5 * (at / sigma_m) ** 2)
    kernel /= kernel.sum()
    padded = _padded(line, reach, closed=closed)
    columns = [np.convolve(column, kernel, mode="valid") for column in padded.T]
    return np.stack(columns, axis=1)


def _padded(line: FloatArray, reach: int, *, closed: bool) -> FloatArray:
    """The line continued on both sides: by itself if closed, else mirrored through its ends."""
    n = len(line) - 1
    if closed:
        before, after = np.arange(-reach, 0) % n, np.arange(1, reach + 1) % n
        return np.concatenate([line[before], line, line[after]])
    inner = np.minimum(np.arange(1, reach + 1), n)
    head = 2.0 * line[0] - line[inner[::-1]]
    tail = 2.0 * line[-1] - line[n - inner]
    return np.concatenate([head, line, tail])


def _chord_yaw(line: FloatArray, reach: int, *, closed: bool) -> FloatArray:
    padded = _padded(line, reach, closed=closed)
    chord = padded[2 * reach :, :2] - padded[: -2 * reach, :2]
    return np.asarray(np.unwrap(np.arctan2(chord[:, 1], chord[:, 0])))


def _integral(values: FloatArray) -> FloatArray:
    step = 1.0 / (len(values) - 1)
    return np.concatenate([[0.0], np.cumsum((values[1:] + values[:-1]) / 2.0)]) * step


def _points(length_m: float, step_m: float = STEP_M) -> int:
    return max(2, math.ceil(length_m / step_m - 1e-9) + 1)
