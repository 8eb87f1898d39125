from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.members import Members


def members(**request: Any) -> Members:
    """The members of a request of a service whose failure is `Invalid`."""
    return Members(request, "Invalid")


@given(st.integers(0, 60), st.integers(1, 20))
def test_pages_give_everything_once_in_order(count: int, size: int) -> None:
    """Following the tokens walks the whole listing."""
    entries = [(f"id-{number}", {"n": number}) for number in range(count)]
    seen: list[int] = []
    token: str | None = None
    for _ in range(count + 1):
        page, token = members(maxResults=size, nextToken=token).page(entries, 20)
        assert len(page) <= size
        seen += [entry["n"] for entry in page]
        if token is None:
            break
    assert seen == list(range(count))


def test_a_page_token_survives_new_entries_and_dies_with_its_own() -> None:
    """Entries that come in front do not shift the next page."""
    entries = [(name, {"n": name}) for name in "abcd"]
    page, token = members(maxResults=2).page(entries, 10)
    assert page == [{"n": "a"}, {"n": "b"}]
    page, _ = members(nextToken=token).page([("0", {"n": "0"}), *entries], 10)
    assert page == [{"n": "c"}, {"n": "d"}]
    with pytest.raises(ServiceFailure, match="nextToken"):
        members(nextToken=token).page(entries[2:], 10)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("integer", "1.0"),
        ("integer", True),
        ("integer", 101),
        ("integer", "9" * 19),
        ("flag", "yes"),
        ("flag", 1),
        ("blob", "?"),
        ("blob", "a"),
        ("text", 3),
        ("mapping", []),
        ("mapping", {1: 2}),
        ("mappings", {}),
        ("mappings", ["x"]),
    ],
)
def test_a_wrong_member_is_a_failure_of_the_service(member: str, value: Any) -> None:
    """The code is the service's own, and the message names the member."""
    reader = getattr(members(it=value), member)
    with pytest.raises(ServiceFailure, match="it must") as caught:
        reader("it", 0, 100) if member == "integer" else reader("it")
    assert (caught.value.code, caught.value.http_status) == ("Invalid", 400)


def test_members_of_a_query_may_be_text() -> None:
    """HTTP carries numbers and booleans of the query as text."""
    given_text = members(size="100", all="true", data="AP8=")
    assert given_text.integer("size", 1, 100) == 100
    assert given_text.flag("all") is True
    assert given_text.blob("data") == b"\x00\xff"
    assert given_text.integer("absent", 1, 2) is None
