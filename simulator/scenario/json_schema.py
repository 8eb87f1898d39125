"""The JSON Schema of scenario files, for editors and for other tools.

Derived from the models; owns only what they cannot say: which draft it is, that `kind` must be
given where it decides, and the form of a check with the names of all metrics. Pure.
"""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from simulator.scenario.anatomy import KIND, every_model, kind_of
from simulator.scenario.checks import METRICS
from simulator.scenario.schema import Scenario

FILE_NAME: Final = "scenario.schema.json"
FIRST_LINE: Final = f"# yaml-language-server: $schema={FILE_NAME}"
"""First line of a scenario file, by which editors find the schema beside it."""

_NUMBER: Final = r"-?[0-9]{1,15}(\.[0-9]{1,9})?"
_CHECK_PATTERN: Final = (
    rf"^\s*({'|'.join(METRICS)})(\.(p[0-9]{{1,3}}(\.[0-9]{{1,4}})?|max|min|mean|count))?"
    rf"\s*(<=|>=|==|!=|<|>)\s*{_NUMBER}\s*(%|ms|us|s|usd)?"
    r"(\s+during\s+[a-z0-9-]{1,32})?(\s+of\s+[a-z0-9-]{1,48})?\s*$"
)
_CHECK_EXAMPLES: Final = (
    "connected_share == 100 %",
    "lost == 0",
    "publish_ack_ms.p99 < 250",
    "end_to_end_ms.p99.9 <= 1s during storm of vans",
    "quota_refusals == 0 of publishes-per-connection",
)


class _WithoutFieldTitles(GenerateJsonSchema):
    """Titles of fields only repeat their names."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - the base's signature
        return False


def build() -> JsonSchemaValue:
    """The schema, JSON Schema draft 2020-12."""
    schema = Scenario.model_json_schema(schema_generator=_WithoutFieldTitles)
    definitions = schema["$defs"]
    for model in every_model():
        if kind_of(model) is not None:
            part = definitions[model.__name__]
            part["required"] = [KIND, *(name for name in part.get("required", []) if name != KIND)]
            part["properties"][KIND].pop("default", None)
    schema["properties"]["checks"]["items"] = {
        "type": "string",
        "pattern": _CHECK_PATTERN,
        "description": "METRIC[.pNN] < NUMBER [during PHASE] [of GROUP]",
        "examples": list(_CHECK_EXAMPLES),
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_plain(schema)}


def text() -> str:
    """The schema as it is kept in a file."""
    return json.dumps(build(), indent=2, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    """Without OpenAPI's `discriminator`, which validators do not know, and line breaks in texts."""
    if isinstance(value, dict):
        return {
            key: " ".join(inner.split())
            if key == "description" and isinstance(inner, str)
            else _plain(inner)
            for key, inner in value.items()
            if not (key == "discriminator" and isinstance(inner, dict) and "mapping" in inner)
        }
    return [_plain(inner) for inner in value] if isinstance(value, list) else value
