"""Overlap of oriented rectangles: the geometry of a collision.

Owns the separating-axis test for one box against many. It must not know what the boxes are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]


def overlapping(
    centre_m: tuple[float, float],
    yaw_rad: float,
    size_m: tuple[float, float],
    centres_m: FloatArray,
    yaws_rad: FloatArray,
    sizes_m: FloatArray,
) -> NDArray[np.bool_]:
    """Say which of many boxes overlap one box.

    Two convex shapes are apart exactly when some edge normal of either separates their
    projections (S. Gottschalk, M. Lin, D. Manocha, OBBTree, 1996). Touching counts as overlap.

    Args:
        centre_m: Centre of the one box.
        yaw_rad: Its direction.
        size_m: Its length and width.
        centres_m: Centres of the others, shape (n, 2).
        yaws_rad: Their directions, shape (n,).
        sizes_m: Their lengths and widths, shape (n, 2).

    Returns:
        Booleans of shape (n,).
    """
    cos_a, sin_a = np.cos(yaw_rad), np.sin(yaw_rad)
    cos_b, sin_b = np.cos(yaws_rad), np.sin(yaws_rad)
    east = centres_m[:, 0] - centre_m[0]
    north = centres_m[:, 1] - centre_m[1]
    # Cosine and sine of the angle between the boxes project either onto the other's axes.
    cos_ab = np.abs(cos_a * cos_b + sin_a * sin_b)
    sin_ab = np.abs(cos_a * sin_b - sin_a * cos_b)
    length_a, width_a = size_m[0] / 2.0, size_m[1] / 2.0
    length_b, width_b = sizes_m[:, 0] / 2.0, sizes_m[:, 1] / 2.0
    # Each line: distance of the centres along an edge normal, against both half extents there.
    apart = (
        (np.abs(east * cos_a + north * sin_a) > length_a + length_b * cos_ab + width_b * sin_ab)
        | (np.abs(north * cos_a - east * sin_a) > width_a + length_b * sin_ab + width_b * cos_ab)
        | (np.abs(east * cos_b + north * sin_b) > length_b + length_a * cos_ab + width_a * sin_ab)
        | (np.abs(north * cos_b - east * sin_b) > width_b + length_a * sin_ab + width_a * cos_ab)
    )
    result: NDArray[np.bool_] = ~apart
    return result
