"""Reading the members of a registry request: names, attributes, tags, and the page that is wanted.

Adds to `services.members` what the registry's operations share. Limits and patterns are those of
the `iot` service model and the AWS IoT quotas.

A listing has an order of its own and the token of a page says where in that order it ended, so
what is created or deleted between two pages neither shifts nor breaks the rest.
"""

from __future__ import annotations

import base64
import binascii
import re
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar

from simulator.iotcore.control.failures import INVALID, invalid
from simulator.iotcore.control.names import CERTIFICATE_ID, THING_NAME
from simulator.iotcore.registry import CERTIFICATE_ID_CHARACTERS
from simulator.iotcore.services.members import Members, without_nulls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from simulator.iotcore.services.members import Request, Result

PAGE_MAX: Final = 250
TAGS_MAX: Final = 50
"""AWS quota "tags per resource"."""

_ATTRIBUTE_NAME: Final = re.compile(r"[a-zA-Z0-9_.,@/:#-]{1,128}")
_ATTRIBUTE_VALUE: Final = re.compile(r"[a-zA-Z0-9_.,@/:#=\[\]-]{0,800}")
_DESCRIPTION_CHARACTERS_MAX: Final = 2_028
_TAG_KEY_CHARACTERS_MAX: Final = 128
_TAG_VALUE_CHARACTERS_MAX: Final = 256

Row = TypeVar("Row")


class ControlMembers(Members):
    """The members of a request of the `iot` API.

    Args:
        request: The members by name.
    """

    def __init__(self, request: Request) -> None:
        super().__init__(request, INVALID)
        self._members = request

    def inside(self, name: str) -> ControlMembers:
        """The members of an object member; of an absent one, none."""
        return ControlMembers(self.mapping(name) or {})

    def names(self) -> set[str]:
        """The names of all members."""
        return set(self._members)

    def name(self, member: str) -> str:
        """The name of a thing, thing type or thing group, which must be there."""
        return self.required_text(member, pattern=THING_NAME)

    def optional_name(self, member: str) -> str | None:
        """The name of a thing, thing type or thing group, or None."""
        return self.text(member, pattern=THING_NAME)

    def certificate_id(self, member: str = "certificateId") -> str:
        """A certificate id, in lower case."""
        text = self.required_text(member, pattern=CERTIFICATE_ID, longest=CERTIFICATE_ID_CHARACTERS)
        return text.lower()

    def texts(self, member: str) -> list[str]:
        """A list of texts; empty when it is absent."""
        value = self._members.get(member)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise invalid(f"{member} must be a list of strings")
        return value

    def text_map(self, member: str) -> dict[str, str] | None:
        """An object of texts, or None."""
        value = self.mapping(member)
        if value is not None and not all(isinstance(entry, str) for entry in value.values()):
            raise invalid(f"{member} must be an object of strings")
        return value

    def description(self, member: str) -> str | None:
        """A description for people, or None."""
        return self.text(member, longest=_DESCRIPTION_CHARACTERS_MAX, printable=True)

    def expected_version(self) -> int | None:
        """`expectedVersion`, or None."""
        return self.integer("expectedVersion", -(2**63), 2**63 - 1)

    def attributes(self, before: dict[str, str] | None = None) -> dict[str, str] | None:
        """The attributes after `attributePayload`, or None when there is none.

        An empty value removes an attribute; with `merge` those not named stay (API reference,
        AttributePayload).

        Args:
            before: The attributes so far, for an update.

        Raises:
            ServiceFailure: A name or value is wrong.
        """
        payload = self.inside("attributePayload")
        given = payload.text_map("attributes")
        merges = before is not None and payload.flag("merge") is True
        if given is None:
            return None if "attributePayload" not in self or merges else {}
        for name, value in given.items():
            if _ATTRIBUTE_NAME.fullmatch(name) is None:
                raise invalid(f"Attribute name {name[:128]!r} must match {_ATTRIBUTE_NAME.pattern}")
            if _ATTRIBUTE_VALUE.fullmatch(value) is None:
                raise invalid(f"Attribute {name} must match {_ATTRIBUTE_VALUE.pattern}")
        merged = (before or {}) | given if merges else given
        return {name: value for name, value in merged.items() if value}

    def tags(self) -> dict[str, str]:
        """The tags of a request.

        Raises:
            ServiceFailure: A key or value is wrong.
        """
        found: dict[str, str] = {}
        for entry in self.mappings("tags"):
            tag = Members(entry, INVALID)
            key = tag.required_text("Key", longest=_TAG_KEY_CHARACTERS_MAX)
            if key.startswith("aws:"):
                raise invalid("Tag keys must not begin with aws:")
            found[key] = tag.text("Value", longest=_TAG_VALUE_CHARACTERS_MAX) or ""
        if len(found) > TAGS_MAX:
            raise invalid(f"A resource has at most {TAGS_MAX} tags")
        return found

    # Pages

    def listing(
        self,
        member: str,
        rows: Iterable[tuple[str, Row]],
        show: Callable[[Row], Any] = lambda row: row,
    ) -> Result:
        """The page that `maxResults` and `nextToken` ask for.

        Args:
            member: The list's name in the result.
            rows: Everything as (key, row); keys are unique and give the order.
            show: Makes an entry of a row of the page.

        Raises:
            ServiceFailure: A member is wrong.
        """
        chosen, token = self._page(rows, "maxResults", "nextToken", descending=False)
        return without_nulls({member: [show(row) for row in chosen], "nextToken": token})

    def ordered_listing(
        self,
        member: str,
        rows_after: Callable[[str], Iterable[tuple[str, Row]]],
        show: Callable[[Row], Any],
    ) -> Result:
        """The same for rows that are kept in order, of which only the page is looked at.

        Args:
            member: The list's name in the result.
            rows_after: Gives the (key, row) after a key, in order.
            show: Makes an entry of a row of the page.

        Raises:
            ServiceFailure: A member is wrong.
        """
        size = self.integer("maxResults", 1, PAGE_MAX) or PAGE_MAX
        token = self.text("nextToken")
        rows = rows_after(_decoded(token, "nextToken") if token else "")
        chosen = list(islice(rows, size + 1))
        following = _encoded(chosen[size - 1][0]) if len(chosen) > size else None
        entries = [show(row) for _, row in chosen[:size]]
        return without_nulls({member: entries, "nextToken": following})

    def marked_listing(
        self,
        member: str,
        rows: Iterable[tuple[str, Row]],
        show: Callable[[Row], Any] = lambda row: row,
        *,
        by_date: bool = False,
    ) -> Result:
        """The page that `pageSize` and `marker` ask for.

        Args:
            member: The list's name in the result.
            rows: Everything as (key, row); keys are unique and give the order.
            show: Makes an entry of a row of the page.
            by_date: Whether keys begin with a date, which come newest first unless the request has
                `ascendingOrder`.

        Raises:
            ServiceFailure: A member is wrong.
        """
        descending = by_date and self.flag("ascendingOrder") is not True
        chosen, token = self._page(rows, "pageSize", "marker", descending=descending)
        return without_nulls({member: [show(row) for row in chosen], "nextMarker": token})

    def _page(
        self, rows: Iterable[tuple[str, Row]], size_member: str, token_member: str, descending: bool
    ) -> tuple[list[Row], str | None]:
        size = self.integer(size_member, 1, PAGE_MAX) or PAGE_MAX
        token = self.text(token_member)
        if token:
            last = _decoded(token, token_member)
            rows = (row for row in rows if (row[0] < last if descending else row[0] > last))
        ordered = sorted(rows, key=itemgetter(0), reverse=descending)
        chosen = ordered[:size]
        more = len(ordered) > size
        return [row for _, row in chosen], _encoded(chosen[-1][0]) if more else None


def dated(unix_s: float, name: str) -> str:
    """A key that orders by date."""
    return f"{unix_s:018.6f}/{name}"


def _encoded(key: str) -> str:
    return base64.b64encode(key.encode()).decode()


def _decoded(token: str, member: str) -> str:
    try:
        return base64.b64decode(token, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise invalid(f"{member} is not valid") from error
