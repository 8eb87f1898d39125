"""Tests of `certs.naming`."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certs.errors import ConfigurationError
from certs.naming import (
    check_distinct,
    check_thing_name,
    folder_of_thing,
    natural_order,
    numbered_names,
    thing_of_folder,
)

ALPHABET = string.ascii_letters + string.digits + ":_-"
thing_names = st.text(ALPHABET, min_size=1, max_size=128)


@given(thing_names)
def test_every_name_aws_accepts_is_valid(name: str) -> None:
    """Names of the alphabet and length of AWS IoT Core pass unchanged."""
    assert check_thing_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "a" * 129, "../x", "a/b", "a\\b", ".", "a b", "car\n", "car\x00", "차", "a%2e", "²"],
)
def test_other_names_are_refused(name: str) -> None:
    """Empty, long, path-like and non-ASCII names are refused with the rule as the remedy."""
    with pytest.raises(ConfigurationError) as caught:
        check_thing_name(name)

    assert caught.value.remedy.startswith("use 1 to 128")


@given(thing_names)
def test_folders_lead_back_to_their_thing(name: str) -> None:
    """The folder of a thing is one plain path component and names that thing only."""
    folder = folder_of_thing(name)

    assert thing_of_folder(folder) == name
    assert not set(folder) & set('/\\:*?"<>|.')


@pytest.mark.parametrize("name", ["con", "NUL", "Com1", "lpt9", "aux", "prn"])
def test_windows_device_names_get_another_folder(name: str) -> None:
    """A thing may be called like a Windows device; its folder may not."""
    assert folder_of_thing(name) == name + "="


@pytest.mark.parametrize("folder", [".new-1", ".old-1", "a.b", "a=", "=", "", "con", "x" * 129])
def test_folders_of_no_thing(folder: str) -> None:
    """Temporary, foreign and misspelt folders belong to no thing."""
    assert thing_of_folder(folder) is None


def test_numbers_have_four_digits_or_more() -> None:
    """The name of a number is the same in a short and in a long series."""
    assert numbered_names("car-", 3) == ["car-0001", "car-0002", "car-0003"]
    assert numbered_names("car-", 2, start=9999) == ["car-9999", "car-10000"]


@pytest.mark.parametrize(
    ("prefix", "count", "start"),
    [("car-", 0, 1), ("car-", 100_001, 1), ("car/", 1, 1), ("c" * 125, 1, 1), ("car-", 1, -1)],
)
def test_series_out_of_range_are_refused(prefix: str, count: int, start: int) -> None:
    """Empty, endless, negative and misnamed series are refused."""
    with pytest.raises(ConfigurationError):
        numbered_names(prefix, count, start)


def test_repeated_names_are_refused() -> None:
    """A thing named twice is a mistake, not two things."""
    assert check_distinct(["a", "b"]) == ["a", "b"]
    with pytest.raises(ConfigurationError, match="'a' is given more than once"):
        check_distinct(["a", "b", "a"])


def test_natural_order_counts() -> None:
    """Names sort by the value of their numbers."""
    names = ["car-10000", "car-9999", "b2", "b10", "car", "2x", "10x"]

    assert sorted(names, key=natural_order) == [
        "b2",
        "b10",
        "car",
        "car-9999",
        "car-10000",
        "2x",
        "10x",
    ]
