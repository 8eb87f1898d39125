from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certs.errors import ConfigurationError
from simulator.scenario.loader import MAX_BYTES, ScenarioError, load, parse
from tests.simulator.scenario.documents import SMALLEST, problems

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_is_loaded(tmp_path: Path) -> None:
    """A good file gives its scenario, its text, and the folder relative paths start from."""
    file = tmp_path / "small.yaml"
    file.write_text(SMALLEST)

    loaded = load(file)

    assert loaded.scenario.name == "small"
    assert loaded.scenario.vehicles[0].streams["state"].rate_hz == 2
    assert (loaded.text, loaded.base) == (SMALLEST, tmp_path)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """Every mistake of the parts and between the parts, in order of lines, and nothing else."""
    file = tmp_path / "bad.yaml"
    file.write_text("""\
name: Bad Name
description: x
fleed: load
target: {kind: brocker}
vehicles:
  - name: cars
    count: 0
    motion:
      kind: city
      blokcs: 20
    streams:
      state: {rate_hz: 0, qos: 2}
phases:
  - {name: steady, duration: 1:30}
faults:
  - {kind: strom, at: 5s}
  - {kind: drop, at: 5s, group: vans}
checks:
  - publish_ack.p99 < 3
  - connected == 5 of vans
""")

    with pytest.raises(ScenarioError) as caught:
        load(file)

    found = [(problem.line, problem.where) for problem in caught.value.problems]
    assert found == [
        (1, "name"),
        (3, "fleed"),
        (4, "target.kind"),
        (7, "vehicles[0].count"),
        (10, "vehicles[0].motion.blokcs"),
        (12, "vehicles[0].streams.state.rate_hz"),
        (12, "vehicles[0].streams.state.qos"),
        (14, "phases[0].duration"),
        (16, "faults[0].kind"),
        (17, "faults[1].group"),
        (19, "checks[0]"),
        (20, "checks[1]"),
    ]
    assert caught.value.exit_code == 2
    assert f"{file}:7: vehicles[0].count: 0 is too small; the least is 1" in caught.value.what


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("seeed: 1", "seed"),
        ("target: {kind: standin}", "stand-in"),
        ("arrival: {kind: ramp, from_per_second: 1, to_per_s: 2}", "from_per_s"),
        ("faults: [{kind: slow_reader, at: 1}]", "slow-reader"),
        ("checks: ['end_to_end.p99 < 5']", "end_to_end_ms"),
        ("checks: ['lost == 0 of card']", "cars"),
        ("checks: ['published > 0 during stedy']", "steady"),
    ],
)
def test_misspelt_names_are_recognised(wrong: str, right: str) -> None:
    """Keys, kinds, metrics, groups and phases get a suggestion."""
    found = problems(f"{SMALLEST}applications: {{observers: [{{}}]}}\n{wrong}\n")

    assert any(f"did you mean {right}?" in problem for problem in found)


def test_a_misspelt_required_key_is_one_problem() -> None:
    """It is not called missing as well."""
    found = problems(SMALLEST.replace("description", "descripton"))

    assert found == ["x:2: descripton: is no key here; did you mean description?"]


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        ("seed: abc", "seed: 'abc' is not a whole number"),
        ("seed: 1.5", "seed: 1.5 is not a whole number"),
        ("seed: true", "seed: 'true' is not a whole number"),
        ("seed: -1", "seed: -1 is too small; the least is 0"),
        ("fleet: 2026", 'fleet: 2026 is a number where a text is wanted; write "2026"'),
        ("drain: 1:30", "drain: '1:30' is no duration; write 30s, 500ms, 2m or 1h"),
        ("drain: 40000h", "drain: '40000h' is too large; the most is 720 h"),
        ("faults:", "faults: is empty; give it a value or leave the key out"),
        ("faults: storm", "faults: 'storm' is not a list"),
        ("arrival: ramp", "arrival: is 'ramp' where keys are wanted; write kind: ramp under it"),
        ("arrival: {per_s: 5}", "arrival: has no kind; add one of kind: at-once, kind: rate"),
        ("arrival: {kind: over}", "arrival.duration: is missing"),
        ("checks: [[lost]]", "checks[0]: is a list where a text should stand"),
        ("faults: [{kind: drop}]", "faults[0]: give exactly one of at (once) and per_s"),
        (
            "target: {kind: aws, endpoint: example.com}",
            "target.endpoint: 'example.com' is no data endpoint",
        ),
    ],
)
def test_mistakes_are_explained(part: str, problem: str) -> None:
    """Each kind of mistake names its place and what to write instead."""
    assert any(f"x:10: {problem}" in found for found in problems(f"{SMALLEST}{part}\n"))


def test_no_word_of_the_validator_reaches_the_user() -> None:
    """Places have no names of unions or models in them, and texts none of their jargon."""
    text = "\n".join(
        problems("""\
        vehicles:
          - {count: [], motion: {kind: line, x: 1}, arrival: {kind: over}, commands: 5,
             streams: {state: {rate_hz: {}, encoding: xml}, "A b": 1}, shadow: [], reconnect: x}
        target: 5
        identities: {}
        applications: {observers: {}}
        """)
    )

    for jargon in (
        "tagged",
        "union",
        "dictionary",
        "Input",
        "pydantic",
        "Motion",
        "[key]",
        "line.",
    ):
        assert jargon not in text
    assert "vehicles[0].motion.x" in text


def test_truth_values_may_be_written_as_people_do() -> None:
    """`yes`, `off` and `true` are read by fields that want a truth value."""
    for text, value in (("yes", True), ("off", False), ("true", True), ("'no'", False)):
        found, wrong, _ = parse(
            f"{SMALLEST}target: {{kind: broker, host: localhost, tls: {text}}}\n"
            "identities: {kind: none}\n"
        )
        assert wrong == []
        assert found is not None
        assert getattr(found.target, "tls", None) is value


def test_files_that_a_scenario_names_must_exist(tmp_path: Path) -> None:
    """They are looked for beside the scenario, and a missing one is a problem with its line."""
    file = tmp_path / "line.yaml"
    file.write_text(
        SMALLEST.replace("    count", "    motion: {kind: line, path: a.gpx}\n    count")
    )

    with pytest.raises(ScenarioError) as caught:
        load(file)
    (problem,) = caught.value.problems
    (tmp_path / "a.gpx").touch()

    assert (problem.line, problem.where) == (5, "vehicles[0].motion.path")
    assert load(file).scenario.name == "small"


def test_a_quota_file_is_checked_with_the_scenario(tmp_path: Path) -> None:
    """It must exist, and what is wrong in it is a problem of the scenario with its line."""
    file, quotas = tmp_path / "own.yaml", tmp_path / "own.toml"
    file.write_text(f"{SMALLEST}target: {{kind: stand-in, quotas: own.toml}}\n")

    with pytest.raises(ScenarioError) as missing:
        load(file)
    quotas.write_text('format = "morai-edge/quotas/1"\n[[quota]]\nid = "lots"\nlimit = 1\n')
    with pytest.raises(ScenarioError) as wrong:
        load(file)
    quotas.write_text('format = "morai-edge/quotas/1"\n')

    assert [(each.line, each.where) for each in missing.value.problems] == [(10, "target.quotas")]
    (problem,) = wrong.value.problems
    assert (problem.line, problem.where) == (10, "target.quotas")
    assert "there is no quota 'lots'" in problem.what
    assert load(file).scenario.name == "small"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "- a\n- b\n", "just words"])
def test_what_is_no_scenario_at_all(text: str) -> None:
    """An empty file, a list and prose are told what a scenario begins with."""
    (problem,) = problems(text)

    assert "begin with name:" in problem


def test_files_that_cannot_be_scenarios(tmp_path: Path) -> None:
    """A missing file, a folder, a huge file and other encodings are refused with a remedy."""
    huge, latin = tmp_path / "huge.yaml", tmp_path / "latin.yaml"
    huge.write_bytes(b"#" * (MAX_BYTES + 1))
    latin.write_bytes("name: a\ndescription: Stra\u00dfe\n".encode("latin-1"))

    for path, words in (
        (tmp_path / "none.yaml", "there is no"),
        (tmp_path, "no file"),
        (huge, "1,048,576"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            load(path)
    with pytest.raises(ScenarioError, match=r"latin\.yaml:2: this is not UTF-8"):
        load(latin)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes to open")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A named pipe that nobody writes to is refused instead of read."""
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(ConfigurationError, match="no file"):
        load(tmp_path / "pipe")


VALUES = st.recursive(
    st.none()
    | st.integers(-5, 5)
    | st.floats(-2, 2)
    | st.sampled_from(["city", "ramp", "5s", "a", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", "name", "count", "motion", "streams", "at", "x", "duration"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
SECTIONS = ["name", "description", "seed", "target", "identities", "vehicles", "arrival", "phases"]


@given(
    st.dictionaries(
        st.sampled_from([*SECTIONS, "faults", "applications", "checks", "drain", "x"]), VALUES
    )
)
def test_any_document_is_a_scenario_or_refused(value: dict[str, object]) -> None:
    """Whatever stands where, the end is a scenario or problems in words."""
    import json  # noqa: PLC0415 - JSON is YAML; only this test needs it

    found, wrong, _ = parse(json.dumps(value))

    assert (found is None) == bool(wrong) or found is not None
    assert all("Input should" not in problem.what for problem in wrong)
