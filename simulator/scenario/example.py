"""A scenario in which every field occurs, with its meaning, bounds and default as comments.

Generated from the models and their JSON Schema, so that it names neither more nor less than there
is. Owns the sample values of fields without a default. What cannot stand beside something else
(another target, another motion) is there as a comment. Words begin with `# `; a line to be
uncommented begins with `#` alone. Pure.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from simulator.scenario import json_schema
from simulator.scenario.anatomy import KIND, Model, Shape, kind_of, kinds_of, shape_of
from simulator.scenario.checks import METRICS
from simulator.scenario.schema import Scenario

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_WIDTH: Final = 98
_STEP: Final = "  "
_SAMPLES: Final[dict[str, dict[str, str]]] = {
    "Scenario": {"name": "example", "description": "Which question this scenario answers."},
    "BrokerTarget": {
        "host": "broker.example",
        "ca": "broker-ca.pem",
        "server_name": "broker.internal",
    },
    "AwsTarget": {
        "endpoint": "a1b2c3d4e5-ats.iot.eu-central-1.amazonaws.com",
        "region": "eu-central-1",
        "ca": "amazon-root-ca.pem",
    },
    "StoreIdentities": {"path": "identities"},
    "VehicleGroup": {"name": "cars", "count": "10"},
    "MgeoMotion": {"path": "maps/my-town"},
    "LineMotion": {"path": "routes/to-work.gpx"},
    "RecordingMotion": {"path": "drive.mcap"},
    "Stream": {"rate_hz": "1", "content": "state", "payload_bytes": "1024"},
    "CommandHandling": {"takes_p95": "1s", "takes_max": "2s"},
    "Over": {"duration": "60s"},
    "Ramp": {"from_per_s": "5", "to_per_s": "50"},
    "Phase": {"name": "steady", "duration": "30s", "rate_to": "2"},
    "Fault": {"kind": "drop", "at": "15s", "share": "0.2"},
    "Observers": {"group": "cars", "streams": "[state]"},
    "Commanders": {"group": "cars", "begin": "5s"},
    "Probes": {"quotas": "[publishes-per-connection]"},
}
_MORE_FOR_FAULTS: Final = {"per_s": "0.5", "begin": "5s", "end": "25s", "group": "cars"}
_STREAM_NAME: Final = "state"
_CHECKS: Final = (
    "connected_share == 100 %",
    "publish_rate_hz >= 8 during steady",
    "end_to_end_ms.p99 < 250",
    "commands_answered >= 1",
    "quota_refusals == 0 of publishes-in-per-account",
)


def text() -> str:
    """The commented scenario."""
    opening = (
        "Every field of a scenario, with its default where it has one. Only name, description, "
        "vehicles and phases are required. Durations are written 500ms, 30s, 2m or 1h; relative "
        "paths start from the folder of this file. Lines that begin with # and no blank are "
        "further fields and alternatives to choose from."
    )
    lines = [json_schema.FIRST_LINE, *_words(opening, ""), ""]
    lines += _Writer().part(Scenario, "")
    return "\n".join(lines) + "\n"


def lines_of(model: Model) -> list[str]:
    """The fields of one model alone, as they stand in the example."""
    return _Writer().part(model, "")


class _Writer:
    def __init__(self) -> None:
        self._schema = json_schema.build()

    def part(self, model: Model, indent: str) -> list[str]:
        lines: list[str] = []
        top = model is Scenario
        # `kind` decides about everything else, so it comes first also where it is inherited late.
        names = sorted(model.model_fields, key=lambda name: name != KIND)
        for name in names:
            lines += self._field(model, name, indent)
            lines += [""] if top else []
        return lines[:-1] if top else lines

    def _field(self, model: Model, name: str, indent: str) -> list[str]:
        field, shape = model.model_fields[name], shape_of(model.model_fields[name].annotation)
        sample = _SAMPLES.get(model.__name__, {}).get(name)
        about = _words(self._about(model, name, field, shape), indent)
        if model is Scenario and name == "checks":
            return [*about, *_checks(indent)]
        if shape.form == "value" or sample is not None:
            return about + self._scalar(model, name, field, indent, sample)
        inner = indent + _STEP
        lines = [f"{indent}{name}:"]
        if shape.form == "choice":
            lines += self._choice(shape, field, inner)
        elif shape.form == "part":
            lines += self.part(shape.models[0], inner)
        elif shape.item is not None and shape.item.models:
            item = shape.item.models[0]
            lines += _words(_title(item), inner)
            if shape.form == "map":
                lines += [f"{inner}{_STREAM_NAME}:", *self.part(item, inner + _STEP)]
            else:
                lines += _as_item(self.part(item, inner + _STEP), inner)
        return about + (_commented(lines) if shape.form == "choice" and shape.nullable else lines)

    def _choice(self, shape: Shape, field: FieldInfo, indent: str) -> list[str]:
        kinds = kinds_of(shape)
        usual = None if field.is_required() else field.get_default(call_default_factory=True)
        chosen = kind_of(type(usual)) if isinstance(usual, BaseModel) else next(iter(kinds))
        lines: list[str] = []
        for kind in sorted(kinds, key=lambda kind: kind != chosen):
            block = self.part(kinds[kind], indent)
            lines += _words(
                f"{'' if kind == chosen else 'or '}{kind}: {_title(kinds[kind])}", indent
            )
            lines += block if kind == chosen else _commented(block)
            if shape.nullable:
                others = [f"kind: {other}" for other in kinds if other != chosen]
                return [*lines, *_words(f"or {', '.join(others)}; see above or below", indent)]
        return lines

    def _scalar(
        self, model: Model, name: str, field: FieldInfo, indent: str, sample: str | None
    ) -> list[str]:
        if name == KIND and (kind := kind_of(model)) is not None:
            return [f"{indent}{KIND}: {kind}"]
        usual = None if field.is_required() else field.default
        if model.__name__ == "Fault" and sample is None:
            # Fields of another kind of fault, or of a repeated one.
            value = _MORE_FOR_FAULTS.get(name) or self._text(model, name, usual)
            return [f"{indent}#{name}: {value}"]
        value = sample if sample is not None else self._text(model, name, usual)
        optional = not field.is_required() and usual is None
        hidden = optional and not (model.__name__ == "Fault" and sample is not None)
        return [f"{indent}{'#' if hidden else ''}{name}: {value}"]

    def _about(self, model: Model, name: str, field: FieldInfo, shape: Shape) -> str:
        if name == KIND and kind_of(model) is not None:
            return ""
        words = field.description or (_title(shape.models[0]) if shape.form == "part" else "")
        notes = self._notes(model, name) if shape.form == "value" else []
        if not field.is_required() and shape.form == "value" and field.default not in {None, ""}:
            notes.append(f"default {self._text(model, name, field.default)}")
        if field.is_required():
            notes.append("required")
        joined = "; ".join(notes)
        return f"{words} ({joined})" if words and joined else words or joined

    def _notes(self, model: Model, name: str) -> list[str]:
        own = self._property(model, name)
        choices = [own, *own.get("anyOf", [])]
        notes = []
        for each in choices:
            if "enum" in each:
                notes.append(" | ".join(str(value) for value in each["enum"]))
            low, above = each.get("minimum"), each.get("exclusiveMinimum")
            high = each.get("maximum")
            if high is not None and low is not None:
                notes.append(f"{low:,.15g} to {high:,.15g}")
            elif high is not None and above is not None:
                notes.append(f"above {above:,.15g}, at most {high:,.15g}")
        return notes

    def _property(self, model: Model, name: str) -> dict[str, Any]:
        where = self._schema if model is Scenario else self._schema["$defs"][model.__name__]
        found: dict[str, Any] = where["properties"][name]
        return found

    def _text(self, model: Model, name: str, value: Any) -> str:
        own = self._property(model, name)
        patterns = [each.get("pattern", "") for each in (own, *own.get("anyOf", []))]
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, float):
            if any("km/h" in pattern for pattern in patterns):
                return f"{value * 3.6:.4g} km/h"
            if any("ms|s" in pattern for pattern in patterns):
                return f"{value:g}s" if value >= 1 or not value else f"{value * 1000:g}ms"
            return f"{value:.10g}"
        return str(value) if value != "" else '""'


def _title(model: Model) -> str:
    return " ".join((model.__doc__ or "").split())


def _words(text_: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text_,
        _WIDTH,
        initial_indent=f"{indent}# ",
        subsequent_indent=f"{indent}# ",
        break_on_hyphens=False,
        break_long_words=False,
    )


def _commented(lines: list[str]) -> list[str]:
    return [line if line.lstrip()[:1] == "#" else _comment(line) for line in lines]


def _comment(line: str) -> str:
    indent = len(line) - len(line.lstrip())
    return f"{line[:indent]}#{line[indent:]}"


def _as_item(lines: list[str], indent: str) -> list[str]:
    """The lines of a part as the item of a list: the first field gets the dash."""
    first = next(number for number, line in enumerate(lines) if line.lstrip()[:1] != "#")
    before = [line.removeprefix(_STEP) for line in lines[:first]]
    return [*before, f"{indent}- {lines[first].lstrip()}", *lines[first + 1 :]]


def _checks(indent: str) -> list[str]:
    grammar = (
        "What must hold for the run to pass: METRIC < NUMBER [during PHASE] [of GROUP], with "
        "< <= > >= == or !=; quota_refusals is of one quota by its id. Latencies need a statistic: "
        ".p50 .p99 .p99.9 .max .min .mean .count. The metrics:"
    )
    lines = [*_words(grammar, indent)]
    width = max(map(len, METRICS))
    lines += [f"{indent}#   {name:{width}} {metric.meaning}" for name, metric in METRICS.items()]
    return [*lines, f"{indent}checks:", *(f"{indent}  - {check}" for check in _CHECKS)]
