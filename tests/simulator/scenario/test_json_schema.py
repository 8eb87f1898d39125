from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from simulator.scenario import json_schema
from simulator.scenario.anatomy import every_model
from simulator.scenario.document import read
from tests.simulator.scenario.documents import SMALLEST

SHIPPED = Path(__file__).parents[3] / "scenarios"
VALIDATOR = jsonschema.Draft202012Validator(json_schema.build())


def value_of(text: str) -> Any:
    """The document as an editor reads it, in YAML 1.2."""
    return read(text).value


def test_it_is_a_valid_schema() -> None:
    """The result obeys the meta-schema it names."""
    jsonschema.Draft202012Validator.check_schema(json_schema.build())


def test_the_kept_file_is_up_to_date() -> None:
    """The file beside the scenarios is what `morai-sim schema` writes."""
    kept = (SHIPPED / json_schema.FILE_NAME).read_text(encoding="utf-8")

    assert json.loads(kept) == json_schema.build()
    assert kept == json_schema.text()


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_scenarios_are_valid_for_editors(path: Path) -> None:
    """Each names the schema in its first line and has no mistake by it, in YAML 1.1 as well."""
    text = path.read_text(encoding="utf-8")

    assert text.startswith(f"{json_schema.FIRST_LINE}\n")
    assert list(VALIDATOR.iter_errors(value_of(text))) == []
    assert list(VALIDATOR.iter_errors(yaml.safe_load(text))) == []


@pytest.mark.parametrize(
    "part",
    [
        "sed: 1",
        "seed: -1",
        "drain: 1:30",
        "arrival: {per_s: 5}",
        "arrival: {kind: ramp}",
        "target: {kind: moon}",
        "target: {kind: aws, endpoint: example.com}",
        "faults: [{kind: strom, at: 5}]",
        "checks: [lots == 0]",
        "checks: [lost = 0]",
        "checks: [connect_ms.p < 5]",
    ],
)
def test_mistakes_are_marked_by_editors(part: str) -> None:
    """What the loader refuses in one part, the schema refuses as well."""
    assert list(VALIDATOR.iter_errors(value_of(SMALLEST))) == []
    assert list(VALIDATOR.iter_errors(value_of(f"{SMALLEST}{part}\n"))) != []


def test_every_model_is_described() -> None:
    """Each part has a sentence for the hint of an editor, and no field a title beside its name."""
    schema = json_schema.build()

    for model in every_model()[1:]:
        part = schema["$defs"][model.__name__]
        assert part["description"]
        assert all("title" not in field for field in part["properties"].values())
