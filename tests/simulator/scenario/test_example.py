from __future__ import annotations

import re

import pytest

from simulator.scenario import example
from simulator.scenario.anatomy import Model, every_model
from simulator.scenario.checks import METRICS
from simulator.scenario.document import read
from simulator.scenario.loader import parse
from simulator.scenario.schema import Fault, Scenario, Stream, VehicleGroup


def uncommented(lines: list[str]) -> str:
    """Lines with every further field in use: `#key: value` without its mark."""
    return "\n".join(re.sub(r"^(\s*)#(?=\S)", r"\1", line) for line in lines)


def test_it_can_be_run_as_it_is() -> None:
    """The example is a scenario without problems and without warnings."""
    scenario, problems, warnings = parse(example.text())

    assert (problems, warnings) == ([], [])
    assert scenario is not None
    assert scenario.vehicles[0].count == 10


def test_every_field_occurs() -> None:
    """Each field of each part a scenario can have stands there, in use or to be uncommented."""
    text = example.text()

    for model in every_model():
        for name in model.model_fields:
            assert re.search(rf"^\s*(- )?#?{name}:", text, re.MULTILINE), (model, name)


def test_every_metric_is_listed() -> None:
    """With what it means."""
    text = example.text()

    for name, metric in METRICS.items():
        assert re.search(rf"#   {name} +{re.escape(metric.meaning)}", text), name


# These hold alternatives, or fields that exclude each other.
EXCLUSIVE = (Scenario, VehicleGroup, Stream, Fault)


@pytest.mark.parametrize(
    "model",
    [model for model in every_model() if model not in EXCLUSIVE],
    ids=lambda model: model.__name__,
)
def test_every_part_is_valid_with_all_its_fields(model: Model) -> None:
    """What is commented out may be uncommented: the sample values are of the right kind."""
    value = read(uncommented(example.lines_of(model))).value

    assert set(value) == set(model.model_fields)
    model.model_validate(value)


def test_lines_fit_into_an_editor() -> None:
    """No line is wider than 100 characters."""
    assert max(map(len, example.text().splitlines())) <= 100


def test_words_and_fields_can_be_told_apart() -> None:
    """A mark with a blank begins words, one without a field."""
    for line in example.text().splitlines():
        if line.lstrip().startswith("#"):
            assert re.match(r"\s*#( +\S|[a-z0-9_]+:)", line), line
