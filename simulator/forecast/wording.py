"""Numbers as people read them in findings and tables. Pure."""

from __future__ import annotations


def figure(value: float) -> str:
    """A number with thousands separators, to about three digits: `12,000`, `9.35`, `0.02`."""
    if value >= 100 or value == round(value):  # noqa: PLR2004 - digits after the point say nothing
        return f"{value:,.0f}"
    return f"{value:.3g}"


def dollars(value: float) -> str:
    """An amount: cents from a dollar on, more digits below, so that nothing seems to be free."""
    if value >= 1 or value == 0:
        return f"${value:,.2f}"
    return f"${value:.4f}" if value >= 0.0001 else "< $0.0001"  # noqa: PLR2004 - as it prints
