"""The AWS IoT policy language: documents in, statements bound to one connection out.

Follows the AWS IoT Core developer guide ("AWS IoT Core policies", "policy actions", "policy
variables"): default deny, an explicit Deny wins, `*` and `?` are wildcards, `+` and `#` are plain
characters, and a resource whose variable has no value for this connection matches nothing. Knows
nothing about certificates, sockets or caches. Not supported: NotAction and NotResource.
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from certs.errors import ConfigurationError
from simulator.iotcore.permissions.wildcard import Wildcard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

CHARACTERS_MAX = 2_048
"""Longest policy document, blanks not counted ("AWS IoT Core quotas", policies)."""

_VERSIONS = ("2012-10-17", "2008-10-17")
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_ESCAPES = {"*", "?", "$"}
_ARN_FIELDS = 6


_ACTION_PREFIXES = ("iot:", "iotjobsdata:")
"""`iotjobsdata` is for devices that use Jobs over HTTPS (developer guide, "Jobs policies")."""


class Action(StrEnum):
    """What a client does over MQTT, by its policy action name in lower case."""

    CONNECT = "iot:connect"
    PUBLISH = "iot:publish"
    RETAIN_PUBLISH = "iot:retainpublish"
    SUBSCRIBE = "iot:subscribe"
    RECEIVE = "iot:receive"


class _Template:
    """A string of a policy with its variables still open."""

    __slots__ = ("_constant", "_parts")

    def __init__(self, text: str) -> None:
        parts: list[tuple[str, str]] = []
        position = 0
        for found in _VARIABLE.finditer(text):
            parts.append(("pattern", text[position : found.start()]))
            name = found[1]
            parts.append(("literal", name) if name in _ESCAPES else ("variable", name.lower()))
            position = found.end()
        parts.append(("pattern", text[position:]))
        self._parts = tuple(part for part in parts if part[1] or part[0] == "variable")
        has_variables = any(kind == "variable" for kind, _ in self._parts)
        self._constant = None if has_variables else self._compile({})

    def bind(self, values: Mapping[str, tuple[str, ...]]) -> Wildcard | None:
        """The pattern with its variables filled in, or None when one has no value."""
        return self._constant or self._compile(values)

    def _compile(self, values: Mapping[str, tuple[str, ...]]) -> Wildcard | None:
        bound: list[tuple[str, bool]] = []
        for kind, text in self._parts:
            if kind != "variable":
                bound.append((text, kind == "literal"))
                continue
            value = _single_value(values, text)
            if value is None:
                return None
            bound.append((value, True))
        return Wildcard(bound)


def _single_value(values: Mapping[str, tuple[str, ...]], name: str) -> str | None:
    """The value of a variable; `name.1` is the second value of `name`."""
    found = values.get(name)
    if found is not None:
        return found[0] if found else None
    base, dot, index = name.rpartition(".")
    if dot and index.isascii() and index.isdecimal() and len(index) <= 2:  # noqa: PLR2004 - 100 values
        several = values.get(base, ())
        return several[int(index)] if int(index) < len(several) else None
    return None


@dataclass(frozen=True, slots=True)
class _Condition:
    """One operator on one key. `quantifier` is "", "forallvalues" or "foranyvalue"."""

    quantifier: str
    operator: str
    if_exists: bool
    key: str
    expected: tuple[_Template, ...]
    expected_text: tuple[str, ...]

    def holds(self, values: Mapping[str, tuple[str, ...]]) -> bool:
        actual = values.get(self.key)
        if actual is None:
            return self.if_exists or self.quantifier == "forallvalues"
        test, negated = _OPERATORS[self.operator]
        patterns = [p for p in (t.bind(values) for t in self.expected) if p is not None]

        def accepts(value: str) -> bool:
            return test(value, patterns, self.expected_text) is not negated

        if self.quantifier == "forallvalues":
            return all(accepts(value) for value in actual)
        return any(accepts(value) for value in actual)


def _string_equals(value: str, patterns: list[Wildcard], _text: tuple[str, ...]) -> bool:
    return any(pattern.matches(value) for pattern in patterns)


def _equals_ignoring_case(value: str, _patterns: list[Wildcard], text: tuple[str, ...]) -> bool:
    return any(value.casefold() == expected.casefold() for expected in text)


def _in_network(value: str, _patterns: list[Wildcard], text: tuple[str, ...]) -> bool:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    return any(address in ipaddress.ip_network(network, strict=False) for network in text)


# Operator -> (test of one value, whether the operator negates it).
_OPERATORS: Final[
    Mapping[str, tuple[Callable[[str, list[Wildcard], tuple[str, ...]], bool], bool]]
] = {
    "bool": (_equals_ignoring_case, False),
    "stringequals": (_string_equals, False),
    "stringnotequals": (_string_equals, True),
    "stringequalsignorecase": (_equals_ignoring_case, False),
    "stringnotequalsignorecase": (_equals_ignoring_case, True),
    "stringlike": (_string_equals, False),
    "stringnotlike": (_string_equals, True),
    "arnequals": (_string_equals, False),
    "arnlike": (_string_equals, False),
    "arnnotequals": (_string_equals, True),
    "arnnotlike": (_string_equals, True),
    "ipaddress": (_in_network, False),
    "notipaddress": (_in_network, True),
}
_WILDCARD_OPERATORS = {
    "stringlike",
    "stringnotlike",
    "arnequals",
    "arnlike",
    "arnnotequals",
    "arnnotlike",
}
"""ArnEquals and ArnLike do the same (IAM user guide, "IAM JSON policy elements: condition
operators")."""
_NETWORK_OPERATORS = {"ipaddress", "notipaddress"}


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a policy."""

    allows: bool
    actions: tuple[Wildcard, ...]
    resources: tuple[_Template, ...]
    conditions: tuple[_Condition, ...]

    def applies_to(self, action: Action, values: Mapping[str, tuple[str, ...]]) -> bool:
        """Whether the action and every condition match, resources aside."""
        return any(pattern.matches(action) for pattern in self.actions) and all(
            condition.holds(values) for condition in self.conditions
        )


class Policy:
    """A parsed policy document.

    Args:
        name: The policy's name.
        statements: Its statements.
        arn_owners: (region, account) of every resource ARN that names both literally.
        document: The document as JSON text, as it was given where it was given as text.
    """

    __slots__ = ("arn_owners", "document", "name", "statements")

    def __init__(
        self,
        name: str,
        statements: tuple[Statement, ...],
        arn_owners: frozenset[tuple[str, str]],
        document: str,
    ) -> None:
        self.document = document
        self.name = name
        self.statements = statements
        self.arn_owners = arn_owners

    @classmethod
    def parse(cls, name: str, document: str | bytes | Mapping[str, Any]) -> Policy:
        """Parse a policy document.

        Args:
            name: Used in errors, and to attach the policy to certificates.
            document: JSON text, or the decoded object.

        Raises:
            ConfigurationError: The document breaks the policy grammar; the message names the
                policy, the statement and the element.
        """
        where = f"policy {name!r}"
        if isinstance(document, bytes):
            try:
                document = document.decode()
            except UnicodeDecodeError as error:
                raise _bad(where, f"is not UTF-8: {error}") from error
        text: str | None = None
        if isinstance(document, str):
            text = document
            if sum(1 for character in document if not character.isspace()) > CHARACTERS_MAX:
                raise _bad(where, f"has more than {CHARACTERS_MAX} characters besides blanks")
            try:
                document = json.loads(document)
            except (ValueError, RecursionError) as error:
                raise _bad(where, f"is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise _bad(where, "must be a JSON object")
        _refuse_unknown(where, document, {"Version", "Id", "Statement"})
        if document.get("Version") not in _VERSIONS:
            raise _bad(where, f'needs "Version": "{_VERSIONS[0]}"')
        statements = _one_or_many(document.get("Statement"))
        if not statements:
            raise _bad(where, "has no Statement")
        owners: set[tuple[str, str]] = set()
        parsed = tuple(
            _statement(_statement_name(where, number, statement), statement, owners)
            for number, statement in enumerate(statements, start=1)
        )
        written = json.dumps(document) if text is None else text
        return cls(name, parsed, frozenset(owners), written)


def allows_everything(name: str) -> Policy:
    """A policy that allows every action on every resource."""
    statement = {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}
    return Policy.parse(name, {"Version": "2012-10-17", "Statement": statement})


class Permissions:
    """Policies bound to one connection: which resources it may use with which action.

    Args:
        policies: The policies attached to the connection's certificate.
        values: Policy variables and condition keys of the connection, lower-case names.
        connect_values: Further condition keys that exist only in the Connect request
            (`iot:ConnectAttributes`, `iot:LastWillTopic`).
    """

    __slots__ = ("_allows", "_denies")

    def __init__(
        self,
        policies: Iterable[Policy],
        values: Mapping[str, tuple[str, ...]],
        connect_values: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._allows: dict[Action, tuple[Wildcard, ...]] = {}
        self._denies: dict[Action, tuple[Wildcard, ...]] = {}
        statements = [statement for policy in policies for statement in policy.statements]
        at_connect = {**values, **(connect_values or {})}
        # A template without variables binds to the same object every time; the others are bound
        # once per statement and shared by its actions.
        bound = [
            tuple(p for p in (t.bind(values) for t in statement.resources) if p is not None)
            for statement in statements
        ]
        for action in Action:
            seen = at_connect if action is Action.CONNECT else values
            allows: list[Wildcard] = []
            denies: list[Wildcard] = []
            for statement, resources in zip(statements, bound, strict=True):
                if statement.applies_to(action, seen):
                    (allows if statement.allows else denies).extend(resources)
            self._allows[action] = tuple(allows)
            self._denies[action] = tuple(denies)

    def allows(self, action: Action, resource_arn: str) -> bool:
        """Whether the action on the resource is allowed and not denied."""
        return any(p.matches(resource_arn) for p in self._allows[action]) and not any(
            p.matches(resource_arn) for p in self._denies[action]
        )

    def allowed_prefixes(self, action: Action, arn_prefix: str) -> tuple[str, ...]:
        """Prefixes of resource names for which the action is certainly allowed.

        Not everything that is allowed: patterns that are more than a prefix are left out, and with
        any Deny for the action nothing is certain.

        Args:
            action: The action.
            arn_prefix: The ARN up to the resource name, such as `arn:...:topic/`.
        """
        if self._denies[action]:
            return ()
        found: set[str] = set()
        for pattern in self._allows[action]:
            prefix = pattern.prefix
            if prefix is None:
                continue
            if prefix.startswith(arn_prefix):
                found.add(prefix[len(arn_prefix) :])
            elif arn_prefix.startswith(prefix):
                found.add("")
        return tuple(found)


def _statement(where: str, raw: Any, owners: set[tuple[str, str]]) -> Statement:
    if not isinstance(raw, dict):
        raise _bad(where, "must be an object")
    _refuse_unknown(where, raw, {"Sid", "Effect", "Action", "Resource", "Condition"})
    effect = raw.get("Effect")
    if effect not in {"Allow", "Deny"}:
        raise _bad(where, f"Effect must be Allow or Deny, found {effect!r}")
    actions = _strings(where, "Action", raw.get("Action"))
    for action in actions:
        if action != "*" and not action.lower().startswith(_ACTION_PREFIXES):
            raise _bad(
                where, f"Action {action!r} is not of the form iot:<Name> or iotjobsdata:<Name>"
            )
    resources = _strings(where, "Resource", raw.get("Resource"))
    for resource in resources:
        _check_resource(where, resource, owners)
    return Statement(
        allows=effect == "Allow",
        actions=tuple(Wildcard.parse(action.lower()) for action in actions),
        resources=tuple(_Template(resource) for resource in resources),
        conditions=_conditions(where, raw.get("Condition", {})),
    )


def _check_resource(where: str, resource: str, owners: set[tuple[str, str]]) -> None:
    _check_variables(where, resource)
    if resource.startswith("*"):
        return
    fields = resource.split(":", _ARN_FIELDS - 1)
    if fields[0] != "arn":
        raise _bad(
            where,
            f"Resource {resource!r} is neither * nor an ARN such as "
            "arn:aws:iot:<region>:<account>:topic/<topic>",
        )
    if len(fields) == _ARN_FIELDS and not any(mark in "".join(fields[:5]) for mark in "*?$"):
        owners.add((fields[3], fields[4]))


def _check_variables(where: str, text: str) -> None:
    if "${" in _VARIABLE.sub("", text):
        raise _bad(where, f"{text!r} has a policy variable that is not closed with }}")


def _conditions(where: str, raw: Any) -> tuple[_Condition, ...]:
    if not isinstance(raw, dict):
        raise _bad(where, "Condition must be an object")
    return tuple(
        condition
        for name, keys in raw.items()
        for condition in _conditions_of(where, str(name), keys)
    )


def _conditions_of(where: str, name: str, keys: Any) -> Iterable[_Condition]:
    quantifier, colon, operator = name.lower().rpartition(":")
    if_exists = operator.endswith("ifexists")
    operator = operator.removesuffix("ifexists")
    if operator not in _OPERATORS or (colon and quantifier not in {"forallvalues", "foranyvalue"}):
        raise _bad(where, f"Condition operator {name!r} is not known")
    if not isinstance(keys, dict):
        raise _bad(where, f"Condition {name} must be an object of keys")
    for key, value in keys.items():
        # An empty list is no mistake: the guide's "Connect policy examples" allow connections that
        # use no attribute with it.
        expected: tuple[str, ...] = ()
        if value != []:
            expected = _strings(where, f"Condition {name} {key}", _booleans_as_text(value))
        for text in expected:
            _check_variables(where, text)
            if operator in _NETWORK_OPERATORS:
                _check_network(where, text)
        yield _Condition(
            quantifier=quantifier,
            operator=operator,
            if_exists=if_exists,
            key=str(key).lower(),
            expected=tuple(
                _Template(text if operator in _WILDCARD_OPERATORS else _without_wildcards(text))
                for text in expected
            ),
            expected_text=expected,
        )


def _without_wildcards(text: str) -> str:
    """The text with `*` and `?` escaped, for operators that compare exactly."""
    return re.sub(r"(?<!\$\{)([*?])", r"${\1}", text)


def _check_network(where: str, text: str) -> None:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise _bad(where, f"Condition value {text!r} is not an address or network") from error


def _booleans_as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return [_booleans_as_text(entry) for entry in value]
    return value


def _one_or_many(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _strings(where: str, element: str, value: Any) -> tuple[str, ...]:
    values = _one_or_many(value)
    if not values or not all(isinstance(entry, str) and entry for entry in values):
        raise _bad(where, f"{element} must be a string or a list of strings")
    return tuple(values)


def _refuse_unknown(where: str, raw: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(str(key) for key in raw if key not in known)
    if unknown:
        raise _bad(where, f"element {unknown[0]!r} is not supported; known: {sorted(known)}")


def _statement_name(where: str, number: int, raw: Any) -> str:
    sid = raw.get("Sid") if isinstance(raw, dict) else None
    return f"{where}, statement {number}" + (f" ({sid})" if isinstance(sid, str) else "")


def _bad(where: str, what: str) -> ConfigurationError:
    return ConfigurationError(f"{where}: {what}", "correct the policy document")
