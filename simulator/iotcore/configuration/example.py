"""The commented configuration file: every key with its meaning, its bounds and its default.

Generated from the model, so that it names neither more nor less than there is. Owns the samples of
keys without a default. As it stands the file says what holds without it; words begin with `# `,
and a line to be uncommented begins with `#` alone. Pure.
"""

from __future__ import annotations

import textwrap
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, get_args

import annotated_types

from simulator.iotcore.configuration.model import READS_CODE, CoreConfiguration
from simulator.scenario.anatomy import Model, shape_of

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

_WIDTH: Final = 98
_STEP: Final = "  "
_ALLOW: Final = "arn:aws:lambda:eu-central-1:123456789012:function:allow-car"
_SIGN_IN: Final = "arn:aws:lambda:eu-central-1:123456789012:function:sign-in"
_SAMPLES: Final[dict[str, dict[str, str]]] = {
    "CoreConfiguration": {
        "region": "eu-central-1",
        "account": '"123456789012"',
        "policy": "[policies/vehicle.json]",
        "registry": "registry.toml",
        "trust": "[other-ca.pem]",
        "data_dir": "core-data",
        "lambdas": f"\n{_ALLOW}: hooks.py:allow_car\n{_SIGN_IN}: my_cloud.sign_in:handler",
        "events": "[THING, JOB_EXECUTION]",
        "buckets": "{firmware: files/firmware}",
    },
    "Api": {
        "access_keys": "{EXAMPLEACCESSKEY: its-secret}",
        "identities": "{EXAMPLEACCESSKEY: eu-central-1:0b5e0000-0000-4000-8000-000000000000}",
    },
    "Protocol": {"connect_denied_return_code": "5", "announced_packet_bytes": "131072"},
    "CustomAuthorizer": {
        "name": "sign-in",
        "function": _SIGN_IN,
        "token_key": "token",
        "public_keys": "{first: token-key.pem}",
    },
    "ProvisioningTemplate": {"name": "cars", "body": "templates/cars.json", "hook": _ALLOW},
    "CertificateAuthority": {"certificate": "plant-ca.pem"},
    "Status": {"readers": "[operator]"},
}
_OPENING: Final = (
    "Configuration of morai-sim core. As it stands it says what holds without it, so keep only "
    "what differs. Options of the command line beat this file. Relative paths start from the "
    "folder of this file. Lines that begin with # and no blank are keys without a default."
)


def text() -> str:
    """The file."""
    lines = _words(_OPENING, "")
    for name, field in CoreConfiguration.model_fields.items():
        lines += ["", *_field(CoreConfiguration, name, field, "")]
    return "\n".join(lines) + "\n"


def _field(model: Model, name: str, field: FieldInfo, indent: str) -> list[str]:
    shape = shape_of(field.annotation)
    inner = indent + _STEP
    if shape.form == "part":
        part = shape.models[0]
        return [*_words(_title(part), indent), f"{indent}{name}:", *_part(part, inner)]
    if shape.item is not None and shape.item.models:
        part = shape.item.models[0]
        block = _as_item(_part(part, inner + _STEP), inner)
        return [*_words(_title(part), indent), *_commented([f"{indent}{name}:", *block])]
    return [*_words(_about(field), indent), *_lines(model, name, field, indent)]


def _part(model: Model, indent: str) -> list[str]:
    return [
        line
        for name, field in model.model_fields.items()
        for line in _field(model, name, field, indent)
    ]


def _lines(model: Model, name: str, field: FieldInfo, indent: str) -> list[str]:
    sample = _SAMPLES.get(model.__name__, {}).get(name)
    is_code = READS_CODE in field.metadata
    default = f"0x{field.default:02X}" if is_code else _value(field.default)
    value = default if sample is None else sample
    first, *entries = value.splitlines() or [""]
    lines = [f"{indent}{name}: {first}".rstrip()]
    lines += [f"{indent}{_STEP}{entry}" for entry in entries]
    return lines if sample is None or field.is_required() else _commented(lines)


def _about(field: FieldInfo) -> str:
    notes = [_bounds(field), *_choices(field.annotation)]
    if field.is_required():
        notes.append("required")
    joined = "; ".join(filter(None, notes))
    return f"{field.description or ''} ({joined})".strip() if joined else field.description or ""


def _bounds(field: FieldInfo) -> str:
    if READS_CODE in field.metadata:
        return ""
    least = [each.ge for each in field.metadata if isinstance(each, annotated_types.Ge)]
    most = [each.le for each in field.metadata if isinstance(each, annotated_types.Le)]
    return f"{least[0]:,} to {most[0]:,}" if least and most else ""


def _choices(annotation: Any) -> list[str]:
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [" | ".join(str(choice.value) for choice in annotation)]
    literals = [each for each in _flat(annotation) if isinstance(each, str)]
    return [" | ".join(literals)] if literals else []


def _flat(annotation: Any) -> list[Any]:
    inner = get_args(annotation)
    return [each for argument in inner for each in _flat(argument)] if inner else [annotation]


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value.value if isinstance(value, Enum) else value)


def _title(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _words(words: str, indent: str) -> list[str]:
    return textwrap.wrap(
        words,
        _WIDTH,
        initial_indent=f"{indent}# ",
        subsequent_indent=f"{indent}# ",
        break_on_hyphens=False,
        break_long_words=False,
    )


def _as_item(lines: list[str], indent: str) -> list[str]:
    """The lines of a part as the item of a list: the first field gets the dash."""
    first = next(number for number, line in enumerate(lines) if line.lstrip()[:1] != "#")
    before = [line.removeprefix(_STEP) for line in lines[:first]]
    return [*before, f"{indent}- {lines[first].lstrip()}", *lines[first + 1 :]]


def _commented(lines: list[str]) -> list[str]:
    return [line if line.lstrip()[:1] == "#" else _comment(line) for line in lines]


def _comment(line: str) -> str:
    indent = len(line) - len(line.lstrip())
    return f"{line[:indent]}#{line[indent:]}"
