"""The payload of a dynamic command: a JSON template, its parameters, and conditions on them.

Pure functions of the template and the values. Sources: AWS IoT Core developer guide, "Commands
concepts and status" (parameter value conditions, priority of values) and "Create and manage
commands" (placeholders); AWS IoT API reference, CommandParameter. Knows nothing about executions.

AWS does not say what type a value has after substitution. Here a string that is nothing but one
placeholder becomes the value itself (`{"t": "${...parameter:t}"}` with an INTEGER gives a number);
a placeholder inside other text becomes text.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.formats import Format, PayloadError, read, write
from simulator.iotcore.services.members import Members

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

INVALID: Final = "ValidationException"
TEMPLATE_BYTES_MAX: Final = 32 * 1024
PAYLOAD_BYTES_MAX: Final = 128 * 1024
"""Of the finished payload: AWS names no limit of its own, so the one of an MQTT payload."""

TEXT_BYTES_MAX: Final = 32 * 1024
"""Of one parameter value: AWS names no limit, so the one of a whole template."""

PARAMETERS_MAX: Final = 200
"""Of one command: AWS names no limit."""

_NAME: Final = r"[.$a-zA-Z0-9_-]{1,192}"
_PLACEHOLDER: Final = re.compile(
    r"\$\{aws:iot:commandexecution::(?:parameter:(" + _NAME + r")|(executionTimeoutSec))\}"
)
_OPERANDS_MAX: Final = 10
_DIGITS_MAX: Final = 40

Scalar: TypeAlias = str | int | float | bool | bytes


class ParameterType(StrEnum):
    """Type of a parameter."""

    STRING = "STRING"
    INTEGER = "INTEGER"
    DOUBLE = "DOUBLE"
    LONG = "LONG"
    UNSIGNEDLONG = "UNSIGNEDLONG"
    BOOLEAN = "BOOLEAN"
    BINARY = "BINARY"


_NUMERIC: Final = {
    ParameterType.INTEGER,
    ParameterType.DOUBLE,
    ParameterType.LONG,
    ParameterType.UNSIGNEDLONG,
}


@dataclass(frozen=True, slots=True)
class Value:
    """A typed parameter value (CommandParameterValue)."""

    type: ParameterType
    value: Scalar

    @property
    def text(self) -> str:
        """The value inside other text."""
        if isinstance(self.value, bytes):
            return base64.b64encode(self.value).decode("ascii")
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        return str(self.value)


def read_value(where: str, raw: Any) -> Value:
    """Read `{"S": ...}` and its siblings.

    Raises:
        ServiceFailure: It has none or several members, or one with a value of another type.
    """
    given = {k: v for k, v in raw.items() if v is not None} if isinstance(raw, dict) else {}
    if len(given) != 1:
        raise _invalid(f"{where} must have exactly one of {', '.join(_READERS)}")
    key, value = next(iter(given.items()))
    reader = _READERS.get(key)
    if reader is None:
        raise _invalid(f"{where} has the unknown member {key!r}")
    found = reader[1](value)
    if found is None:
        raise _invalid(f"{where} has no valid value for {key}")
    return Value(reader[0], found)


def _text(raw: Any) -> str | None:
    return raw if isinstance(raw, str) and 0 < len(raw) <= TEXT_BYTES_MAX else None


def _flag(raw: Any) -> bool | None:
    return raw if isinstance(raw, bool) else None


def _signed(bits: int) -> Callable[[Any], int | None]:
    limit = 1 << (bits - 1)

    def integer(raw: Any) -> int | None:
        is_integer = isinstance(raw, int) and not isinstance(raw, bool)
        return raw if is_integer and -limit <= raw < limit else None

    return integer


def _double(raw: Any) -> float | None:
    if not isinstance(raw, int | float) or isinstance(raw, bool):
        return None
    try:
        number = float(raw)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _unsigned(raw: Any) -> int | None:
    if not isinstance(raw, str) or re.fullmatch(r"[0-9]{1,20}", raw) is None:
        return None
    return int(raw) if int(raw) < 1 << 64 else None


def _binary(raw: Any) -> bytes | None:
    if not isinstance(raw, str) or not 0 < len(raw) <= TEXT_BYTES_MAX:
        return None
    try:
        return base64.b64decode(raw, validate=True)
    except (binascii.Error, ValueError):
        return None


_READERS: Final[dict[str, tuple[ParameterType, Callable[[Any], Scalar | None]]]] = {
    "S": (ParameterType.STRING, _text),
    "B": (ParameterType.BOOLEAN, _flag),
    "I": (ParameterType.INTEGER, _signed(32)),
    "L": (ParameterType.LONG, _signed(64)),
    "D": (ParameterType.DOUBLE, _double),
    "BIN": (ParameterType.BINARY, _binary),
    "UL": (ParameterType.UNSIGNEDLONG, _unsigned),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on a value (CommandParameterValueCondition).

    Attributes:
        operator: Its name.
        operands: What is compared with: one value, a set, or lowest and highest.
        is_numeric: Whether the operands are numbers.
    """

    operator: str
    operands: tuple[Decimal | str, ...]
    is_numeric: bool

    def holds(self, value: Value) -> bool:
        """Whether a value satisfies it. A value of the wrong kind does not."""
        if self.is_numeric:
            if value.type not in _NUMERIC:
                return False
            return _NUMBER_TESTS[self.operator](Decimal(value.text), self.operands)
        if value.type is not ParameterType.STRING:
            return False
        return (value.value in self.operands) is not self.operator.startswith("NOT_")


# Operands of a condition are checked when it is read, so these may rely on their number and type.
_NUMBER_TESTS: Final[dict[str, Callable[[Decimal, Any], bool]]] = {
    "EQUALS": lambda value, operands: value == operands[0],
    "NOT_EQUALS": lambda value, operands: value != operands[0],
    "LESS_THAN": lambda value, operands: value < operands[0],
    "LESS_THAN_EQUALS": lambda value, operands: value <= operands[0],
    "GREATER_THAN": lambda value, operands: value > operands[0],
    "GREATER_THAN_EQUALS": lambda value, operands: value >= operands[0],
    "IN_SET": lambda value, operands: value in operands,
    "NOT_IN_SET": lambda value, operands: value not in operands,
    "IN_RANGE": lambda value, operands: operands[0] <= value <= operands[1],
    "NOT_IN_RANGE": lambda value, operands: not operands[0] <= value <= operands[1],
}
_SETS: Final = ("IN_SET", "NOT_IN_SET")
_RANGES: Final = ("IN_RANGE", "NOT_IN_RANGE")
_STRING_OPERATORS: Final = ("EQUALS", "NOT_EQUALS", *_SETS)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A declared parameter (CommandParameter)."""

    name: str
    type: ParameterType | None
    value: Value | None
    conditions: tuple[Condition, ...]

    def check(self, value: Value) -> Value:
        """The value itself.

        Raises:
            ServiceFailure: It has another type or fails a condition.
        """
        if self.type not in {None, value.type}:
            raise _invalid(f"parameter {self.name} must be of type {self.type}")
        if not all(condition.holds(value) for condition in self.conditions):
            raise _invalid(f"parameter {self.name} does not satisfy its value conditions")
        return value


def read_parameters(raw: Sequence[Mapping[str, Any]]) -> dict[str, Parameter]:
    """Read `mandatoryParameters`.

    Raises:
        ServiceFailure: One of them is wrong, a name comes twice, or there are more than 200.
    """
    if len(raw) > PARAMETERS_MAX:
        raise _invalid(f"mandatoryParameters must have at most {PARAMETERS_MAX} entries")
    parameters: dict[str, Parameter] = {}
    for entry in raw:
        members = Members(entry, INVALID)
        name = members.required_text("name", pattern=_NAME)
        if name in parameters:
            raise _invalid(f"parameter {name} is declared twice")
        kind = members.choice("type", list(ParameterType))
        fixed = [
            read_value(f"{member} of parameter {name}", entry[member])
            for member in ("value", "defaultValue")
            if entry.get(member) is not None
        ]
        parameter = Parameter(
            name,
            ParameterType(kind) if kind else None,
            fixed[0] if fixed else None,
            tuple(_read_condition(name, each) for each in members.mappings("valueConditions")),
        )
        if parameter.conditions and parameter.type in {
            ParameterType.BOOLEAN,
            ParameterType.BINARY,
        }:
            raise _invalid(f"parameter {name}: type {parameter.type} cannot have value conditions")
        for value in fixed:
            parameter.check(value)
        parameters[name] = parameter
    return parameters


def _read_condition(name: str, raw: Mapping[str, Any]) -> Condition:
    where = f"valueConditions of parameter {name}"
    members = Members(raw, INVALID)
    operator = members.choice("comparisonOperator", list(_NUMBER_TESTS))
    operand = {
        key: value for key, value in (members.mapping("operand") or {}).items() if value is not None
    }
    if operator is None or len(operand) != 1:
        raise _invalid(f"{where}: a comparisonOperator and one operand are required")
    key, value = next(iter(operand.items()))
    if operator in _RANGES and key == "numberRange" and isinstance(value, dict):
        return Condition(operator, (_number(value.get("min")), _number(value.get("max"))), True)
    if operator in _SETS and key in {"numbers", "strings"} and isinstance(value, list):
        if not 1 <= len(value) <= _OPERANDS_MAX:
            raise _invalid(f"{where}: a set has 1 to {_OPERANDS_MAX} values")
        is_numeric = key == "numbers"
        return Condition(
            operator,
            tuple((_number if is_numeric else _string)(each) for each in value),
            is_numeric,
        )
    if operator not in _SETS + _RANGES and key == "number":
        return Condition(operator, (_number(value),), True)
    if operator in _STRING_OPERATORS and operator not in _SETS and key == "string":
        return Condition(operator, (_string(value),), False)
    raise _invalid(f"{where}: {operator} cannot be used with the operand {key}")


def _number(raw: Any) -> Decimal:
    try:
        number = Decimal(raw) if isinstance(raw, str) and len(raw) <= _DIGITS_MAX else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite():
        raise _invalid(f"{str(raw)[:_DIGITS_MAX]!r} is not a number")
    return number


def _string(raw: Any) -> str:
    if not isinstance(raw, str) or not raw:
        raise _invalid("an operand string must not be empty")
    return raw


class PayloadTemplate:
    """A parsed payload template.

    Args:
        text: The template, JSON.
        parameters: The declared parameters by name.
        output: Format of the finished payload.

    Raises:
        ServiceFailure: It is no JSON, longer than 32 KB, has no placeholder, or names a parameter
            that is not declared.
    """

    def __init__(self, text: str, parameters: Mapping[str, Parameter], output: Format) -> None:
        payload = text.encode()
        if len(payload) > TEMPLATE_BYTES_MAX:
            raise _invalid(f"payloadTemplate must have at most {TEMPLATE_BYTES_MAX} bytes")
        try:
            self._document = read(payload, Format.JSON)
        except PayloadError as error:
            raise _invalid(f"payloadTemplate is not valid JSON: {error}") from error
        found = _placeholders(self._document)
        if not found:
            raise _invalid("payloadTemplate must have at least one placeholder")
        undeclared = sorted({name for name in found if name and name not in parameters})
        if undeclared:
            raise _invalid(f"payloadTemplate names the undeclared parameter {undeclared[0]}")
        self._parameters = parameters
        self._output = output

    def fill(self, given: Mapping[str, Any], timeout_s: int) -> bytes:
        """The payload of an execution.

        Args:
            given: `parameters` of StartCommandExecution.
            timeout_s: Timeout of the execution.

        Raises:
            ServiceFailure: A value is missing, unknown, of another type, fails a condition, or the
                payload becomes longer than 128 KB.
        """
        unknown = sorted(set(given) - set(self._parameters))
        if unknown:
            raise _invalid(f"the command has no parameter {unknown[0]}")
        values = {
            name: parameter.check(
                read_value(f"parameter {name}", given[name])
                if name in given
                else self._default(parameter)
            )
            for name, parameter in self._parameters.items()
        }
        document = _substitute(self._document, values, timeout_s)
        payload = write(document, self._output)
        if len(payload) > PAYLOAD_BYTES_MAX:
            raise _invalid(f"the payload would have more than {PAYLOAD_BYTES_MAX} bytes")
        return payload

    @staticmethod
    def _default(parameter: Parameter) -> Value:
        if parameter.value is None:
            raise _invalid(f"parameter {parameter.name} has no value")
        return parameter.value


def _placeholders(value: Any) -> list[str]:
    """Names of the parameters in a document, "" for the timeout."""
    if isinstance(value, str):
        return [found[1] or "" for found in _PLACEHOLDER.finditer(value)]
    if not isinstance(value, dict | list):
        return []
    children = value.values() if isinstance(value, dict) else value
    return [name for child in children for name in _placeholders(child)]


def _substitute(value: Any, values: Mapping[str, Value], timeout_s: int) -> Any:
    if isinstance(value, dict):
        return {key: _substitute(child, values, timeout_s) for key, child in value.items()}
    if isinstance(value, list):
        return [_substitute(child, values, timeout_s) for child in value]
    if not isinstance(value, str):
        return value
    whole = _PLACEHOLDER.fullmatch(value)
    if whole:
        return values[whole[1]].value if whole[1] else timeout_s
    return _PLACEHOLDER.sub(
        lambda found: values[found[1]].text if found[1] else str(timeout_s), value
    )


def _invalid(message: str) -> ServiceFailure:
    return ServiceFailure(INVALID, message)
