from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.report.page import figures

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_json_in_html_is_the_same_json_without_markup(value: object) -> None:
    """It reads back as what it was, and holds nothing that could end a script element."""
    text = figures.json_for_html(value)

    assert json.loads(text) == value
    assert not set(text) & {"<", ">", "&", "\u2028", "\u2029"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\u2013"),
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.98, "98.0 %"),
        (0.9996, "99.96 %"),
        (0.000004, "0.0004 %"),
        (1.25, "125.0 %"),
    ],
)
def test_a_share_is_never_rounded_to_all_or_nothing(value: float | None, text: str) -> None:
    """999.6 of 1,000 are not 100 per cent."""
    assert figures.share(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (9.94, "0:09.9"), (59.96, "1:00"), (605, "10:05"), (3661.5, "1:01:01.5")],
)
def test_times_of_the_run_read_like_a_clock(seconds: float, text: str) -> None:
    """Minutes and seconds; hours when there are any; tenths only when they say something."""
    assert figures.clock(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.01234, "0.0123"),
        (1.0, "1"),
        (12.345, "12.3"),
        (99.96, "100"),
        (123456.7, "123,457"),
        (1e-12, "0"),
    ],
)
def test_amounts_have_three_digits(value: float, text: str) -> None:
    """And all of those before the point."""
    assert figures.amount(value) == text


@pytest.mark.parametrize(
    ("value_ms", "text"),
    [
        (None, "\u2013"),
        (0.0421, "0.042"),
        (2.6, "2.60"),
        (9.997, "10.0"),
        (27.84, "27.8"),
        (1234.56, "1,234.6"),
    ],
)
def test_latencies_keep_the_digits_that_matter(value_ms: float | None, text: str) -> None:
    """Microseconds below a tenth of a millisecond, a tenth above ten."""
    assert figures.milliseconds(value_ms) == text


@pytest.mark.parametrize(
    ("number", "text"), [(999, "999 B"), (1000, "1 kB"), (95_910_000, "95.9 MB"), (2.5e9, "2.5 GB")]
)
def test_bytes_have_decimal_prefixes(number: float, text: str) -> None:
    """1 kB is 1,000 bytes."""
    assert figures.octets(number) == text


@pytest.mark.parametrize(
    ("value_usd", "text"),
    [(0.0, "$0.00"), (0.0130, "$0.013"), (4.2119, "$4.21"), (13611.84, "$13,611.84")],
)
def test_small_sums_of_money_keep_their_digits(value_usd: float, text: str) -> None:
    """A run of a hundredth of a cent is not free."""
    assert figures.dollars(value_usd) == text


@pytest.mark.parametrize(
    ("value", "plain"),
    [(None, None), (float("nan"), None), (2.0, 2), (0.123456, 0.1235), (98765.4, 98765)],
)
def test_numbers_in_the_data_are_short(value: float | None, plain: float | None) -> None:
    """Four significant digits, or all before the point."""
    assert figures.plain(value) == plain
