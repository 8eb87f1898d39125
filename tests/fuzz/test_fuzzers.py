"""Short runs of every fuzzer, and that a finding is told so that it can be repeated."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from agent.commands import requests
from agent.telemetry.payload import PayloadError
from tests.fuzz import __main__ as command
from tests.fuzz import agent_commands, telemetry_documents
from tests.fuzz.__main__ import FUZZERS, PORTION, Fuzzer, app, shares

runner = CliRunner()


@pytest.mark.parametrize("name", FUZZERS)
def test_a_few_thousand_hostile_inputs_find_nothing(name: str) -> None:
    """Whatever bytes come, each parser keeps its promise; longer runs are `make fuzz`."""
    FUZZERS[name].fuzz(10_000, 20_261_121)


@pytest.mark.parametrize("name", FUZZERS)
def test_any_number_of_inputs_can_be_asked_for(name: str) -> None:
    """A single input is enough to run."""
    FUZZERS[name].fuzz(1, 3)


def test_an_exception_that_is_not_promised_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that lets a `KeyError` out is found, and the text holds the input in hex."""

    def careless(payload: bytes) -> None:
        if b"seq" in payload:
            raise KeyError("seq")
        raise PayloadError("not a batch")

    monkeypatch.setattr(telemetry_documents, "decode_batch", careless)

    with pytest.raises(AssertionError, match="KeyError: 'seq' on ") as caught:
        telemetry_documents.fuzz(1_000, 1)
    assert b"seq" in bytes.fromhex(str(caught.value).rpartition(" on ")[2])


def test_a_value_outside_its_range_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request reader that forgets the time limit is found by what it returns."""

    def forgetful(*_: object, **__: object) -> requests.Request:
        return requests.Request(requests.Stop(), -1.0)

    monkeypatch.setattr(agent_commands, "parse_request", forgetful)

    with pytest.raises(AssertionError, match=" on "):
        agent_commands.fuzz(100, 1)


def _find_in_second_portion(seed_of_finding: list[int]) -> Fuzzer:
    portions: list[int] = []

    def fuzz(inputs: int, seed: int) -> None:
        assert inputs <= PORTION
        portions.append(seed)
        if len(portions) == 2 or seed in seed_of_finding:
            seed_of_finding.append(seed)
            raise AssertionError("ValueError: oops on c0ffee")

    return Fuzzer(fuzz, 1.0)


def test_a_finding_fails_the_run_and_says_how_to_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1, the input, and a command that runs the one portion with the finding."""
    seeds: list[int] = []
    monkeypatch.setattr(command, "FUZZERS", {"fake": _find_in_second_portion(seeds)})

    first = runner.invoke(app, ["fake", "--inputs", str(3 * PORTION), "--seed", "5"])
    again = runner.invoke(app, ["fake", "--inputs", str(PORTION), "--seed", str(seeds[0])])

    assert (first.exit_code, again.exit_code) == (1, 1)
    assert "c0ffee" in first.stdout
    assert f"python -m tests.fuzz fake --inputs {PORTION} --seed {seeds[0]}" in first.stdout
    assert seeds == [seeds[0]] * 2


def test_a_clean_run_counts_what_it_tried() -> None:
    """Exit code 0, and the number of inputs and the seed in the last line."""
    result = runner.invoke(app, ["command-topics", "morai-codec", "--inputs", "600", "--seed", "9"])

    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "600 inputs, seed 9: found nothing."


def test_an_unknown_fuzzer_is_named() -> None:
    """A misspelt name is an error that lists the right ones."""
    result = runner.invoke(app, ["mqtt-brocker"])

    assert "mqtt-brocker" in str(result.exception)
    assert "mqtt-broker" in str(result.exception)


def test_the_inputs_are_split_by_share() -> None:
    """All fuzzers together get what was asked for, give or take rounding, and none gets nothing."""
    split = shares(list(FUZZERS), 1_000_000)

    assert sum(split.values()) == pytest.approx(1_000_000, abs=len(FUZZERS))
    assert min(shares(list(FUZZERS), 1).values()) == 1
