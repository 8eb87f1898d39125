"""The commented configuration file."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from simulator.iotcore.broker.choices import Choices
from simulator.iotcore.configuration import CoreConfiguration, example_text, read
from simulator.iotcore.configuration.model import Protocol, Shadows
from simulator.iotcore.configuration.reading import parse
from simulator.iotcore.services.shadow_store import ShadowLimits
from simulator.scenario.anatomy import every_model

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from pydantic import BaseModel


def uncommented(text: str) -> str:
    """The text with every line uncommented that is meant to be."""
    return re.sub(r"^(\s*)#(?=\S)", r"\1", text, flags=re.MULTILINE)


def names(value: Any) -> set[str]:
    """Names of all keys in a configuration's values."""
    if isinstance(value, dict):
        return set(value) | {name for inner in value.values() for name in names(inner)}
    if isinstance(value, list):
        return {name for inner in value for name in names(inner)}
    return set()


def test_it_says_what_holds_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written loads, and equals the defaults."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "core.yaml"
    path.write_text(example_text(), encoding="utf-8")
    assert read(path.relative_to(tmp_path)) == CoreConfiguration()


def test_everything_in_it_is_allowed_together() -> None:
    """Also with every line uncommented it loads: the samples are valid and fit together."""
    found, problems = parse(uncommented(example_text()))
    assert [problem.text("example") for problem in problems] == []
    assert found is not None
    assert found.authorizers
    assert found.provisioning_templates


def test_it_names_every_key() -> None:
    """No key of the model is missing."""
    found, _ = parse(uncommented(example_text()))
    assert found is not None
    models: list[type[BaseModel]] = every_model(CoreConfiguration)
    expected = {name for model in models for name in model.model_fields}
    assert expected <= names(found.model_dump())


def test_every_key_is_explained() -> None:
    """Above each key stands a line of words; no line is longer than a hundred characters."""
    lines = example_text().splitlines()
    assert max(map(len, lines)) <= 100
    keys = [at for at, line in enumerate(lines) if re.match(r"\s*#?(- )?[a-z_]+:( |$)", line)]
    assert keys
    for at in keys:
        assert lines[at - 1].lstrip().startswith("# "), lines[at]


def test_sections_offer_what_their_rooms_have() -> None:
    """Answers and bounds have the names and defaults of the values they become."""
    assert set(Protocol.model_fields) == {field.name for field in fields(Choices)}
    assert Protocol().choices() == Choices()
    assert Shadows().limits() == ShadowLimits()
