from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.scenario.document import MAX_DEPTH, MAX_VALUES, read


def first_problem(text: str) -> str:
    """The first problem of a text as `line: what`."""
    problem = read(text).problems[0]
    return f"{problem.line}: {problem.where} {problem.what}"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("12", 12),
        ("-5", -5),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("null", None),
        ("~", None),
        ("", None),
        ("'12'", "12"),
        ('"null"', "null"),
    ],
)
def test_numbers_and_null_are_read(written: str, value: object) -> None:
    """Plain scalars follow YAML 1.2's core schema, quoted ones are text."""
    found = read(f"key: {written}").value["key"]

    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    ["on", "off", "yes", "no", "y", "true", "1:30", "2026-11-20", "0x1f", "1_000", ".inf", "012a"],
)
def test_text_stays_text(text: str) -> None:
    """What YAML 1.1 would turn into a truth value, a date or base 60 stays as written."""
    assert read(f"key: {text}").value == {"key": text}


def test_keys_are_always_text() -> None:
    """Also those that look like a number or a truth value."""
    assert read("{on: 1, 12: 2, null: 3}").value == {"on": 1, "12": 2, "null": 3}


def test_lines_are_those_of_the_keys() -> None:
    """Also for blocks of text, items of lists and flow style."""
    found = read(
        "# comment\na:\n  - b: 1\n    c: >\n      long\n      text\n  - {d: 1,\n     e: 2}\n"
    )

    assert found.lines[("a",)] == 2
    assert found.lines[("a", 0, "b")] == 3
    assert found.lines[("a", 0, "c")] == 4
    assert found.lines[("a", 1)] == 7
    assert found.lines[("a", 1, "e")] == 8
    assert found.line_of(("a", 1, "missing")) == 7


def test_repeated_keys_are_refused() -> None:
    """The second one is named with the line of the first, and reading goes on."""
    found = read("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n")

    assert [(problem.line, problem.where) for problem in found.problems] == [(4, "b.c"), (5, "a")]
    assert "line 3" in found.problems[0].what


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &x 1\nb: *x", "1: a leave &x out"),
        ("a: !!python/object:os.system 1", "leave 'tag:yaml.org,2002:python/object:os.system' out"),
        ("a: 1\n---\nb: 2", "2:  a second document"),
        ("? [a]\n: 1", "1:  a key must be a text"),
        ("a: [1, 2", "not YAML"),
        ("a: 'x", "not finished"),
        ("a:\n\t- b", "2:  not YAML: a tab"),
        ("a: b: c", "1:  not YAML: a colon"),
        ("a: 1\n  b: 2", "2:  not YAML: a colon"),
        ("a:\n  b: 1\n c: 2", "3:  not YAML: the indentation"),
        ("a: %x", "1:  not YAML: a text that begins with % needs quotes"),
        ("a: 1\nb: \x07", "2:  the control character U+0007"),
    ],
)
def test_other_yaml_is_refused_in_words(text: str, problem: str) -> None:
    """Each kind of mistake has its line and a sentence that says what to do."""
    assert problem in first_problem(text)


def test_an_alias_bomb_stays_small() -> None:
    """Nine lines that would stand for a thousand million values are refused as aliases."""
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]

    found = read("\n".join(lines))

    assert found.problems
    assert len(found.lines) < 200


def test_depth_and_number_of_values_are_bounded() -> None:
    """Endless nesting and endless lists are given up with a problem."""
    assert "nested" in first_problem("[" * (MAX_DEPTH + 5000))
    assert "values" in first_problem("[" + "1," * (MAX_VALUES + 10) + "]")
    assert len(read("a: 1\n" * (MAX_VALUES + 10)).problems) <= MAX_VALUES


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Reading ends with values or problems, never with an exception."""
    found = read(text)

    assert (
        found.problems
        or found.value is None
        or isinstance(found.value, dict | list | str | int | float)
    )


@given(st.text(alphabet="ab:-[]{}&*!|>'\"%@#,? \n\t0", max_size=60))
def test_any_mixture_of_marks_is_read_or_refused(text: str) -> None:
    """The characters that mean something to YAML, in any order."""
    assert read(text).problems is not None
