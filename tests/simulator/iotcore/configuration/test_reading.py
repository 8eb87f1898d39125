"""Configuration files as users write them, right and wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certs.errors import ConfigurationError
from simulator.iotcore.configuration import CoreConfiguration, overlaid, read
from simulator.iotcore.configuration.reading import MAX_BYTES, parse
from simulator.iotcore.throttling.account import Mode

ALLOW = "arn:aws:lambda:eu-central-1:123456789012:function:allow-car"
SECRET = "hush-hush-hush-hush"


def problems(text: str) -> list[str]:
    """What is wrong with a text, as `line: place: what`."""
    return [problem.text("core.yaml") for problem in parse(text)[1]]


def written(folder: Path, text: str) -> Path:
    """A file with this text."""
    path = folder / "core.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    """Every key has a default, so a file may say nothing."""
    assert read(written(tmp_path, "# nothing\n")) == CoreConfiguration()


def test_values_are_read(tmp_path: Path) -> None:
    """Texts, numbers, truth values, durations, codes and lists arrive as what they are."""
    found = read(
        written(
            tmp_path,
            """
            port: 1883
            require_sni: true
            account: "123456789012"
            quota_mode: observe
            clock_ahead: 7d
            protocol: {payload_code: 0x95}
            events: [THING, JOB]
            """,
        )
    )
    assert (found.port, found.require_sni, found.account) == (1883, True, "123456789012")
    assert found.quota_mode is Mode.OBSERVE
    assert found.clock_ahead == 604_800.0
    assert found.protocol.choices().payload_code == 0x95
    assert found.events == ["THING", "JOB"]


def test_relative_paths_start_from_the_folder_of_the_file(tmp_path: Path) -> None:
    """A configuration can be moved together with the files it names."""
    found = read(
        written(
            tmp_path,
            f"""
            store: ids
            policy: [vehicle.json, /etc/policies]
            quotas: raised.toml
            lambdas: {{"{ALLOW}": "hooks/mine.py:allow"}}
            """,
        )
    )
    assert found.store == tmp_path / "ids"
    assert found.policy == [tmp_path / "vehicle.json", Path("/etc/policies")]
    assert found.quotas == str(tmp_path / "raised.toml")
    assert found.lambdas == {ALLOW: f"{tmp_path / 'hooks/mine.py'}:allow"}


def test_names_that_are_no_paths_stay_names(tmp_path: Path) -> None:
    """Shipped quota tables and importable modules have no folder."""
    found = read(written(tmp_path, f"quotas: low\nlambdas: {{'{ALLOW}': 'cloud.hooks:allow'}}\n"))
    assert found.quotas == "low"
    assert found.lambdas == {ALLOW: "cloud.hooks:allow"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host: here\nprot: 1", "core.yaml:2: prot: is no key here; did you mean port?"),
        ("\nport: 70000", "core.yaml:2: port: 70000 is too large; the most is 65,535"),
        ("port: many", "core.yaml:1: port: 'many' is not a whole number"),
        ("region: moon", "core.yaml:1: region: 'moon' is no Region; it reads like eu-central-1"),
        (
            "account: 123456789012",
            (
                "core.yaml:1: account: 123456789012 is a number where a text is wanted; "
                'write "123456789012"'
            ),
        ),
        (
            "quota_mode: maybe",
            "core.yaml:1: quota_mode: 'maybe' is not known here; write one of enforce, observe",
        ),
        (
            "status:\n  readers: ['a b']",
            (
                "core.yaml:2: status.readers[0]: 'a b' is no certificate id of 64 hexadecimal "
                "digits or thing name"
            ),
        ),
        ("shadows: 3", "core.yaml:1: shadows: 3 is not keys with values"),
        ("[1, 2]", "core.yaml: this is no configuration; write keys with values"),
        ("a: &x 1", "core.yaml:1: a: leave &x out; anchors are not read in a configuration"),
        ("clock_ahead: soon", "core.yaml:1: clock_ahead: 'soon' is no duration; write"),
        ("clock_ahead: 99999d", "core.yaml:1: clock_ahead: '99999d' is too large; the most is"),
    ],
)
def test_a_mistake_is_named_with_line_key_value_and_range(text: str, expected: str) -> None:
    """One sentence each, in the form that editors turn into a link."""
    (found,) = problems(text)
    assert found.startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"provisioning_templates:\n  - {{name: cars, body: t.json, hook: '{ALLOW}'}}",
            f"core.yaml:2: provisioning_templates[0].hook: {ALLOW} is none of lambdas",
        ),
        (
            f"authorizers:\n  - {{name: a, function: '{ALLOW}'}}",
            f"core.yaml:2: authorizers[0].function: {ALLOW} is none of lambdas",
        ),
        (
            "certificate_authorities:\n  - certificate: ca.pem\n    template: none-such",
            "core.yaml:3: certificate_authorities[0].template: 'none-such' is none of",
        ),
        (
            (
                "provisioning_templates: [{name: t, body: t.json}]\n"
                "certificate_authorities:\n  - certificate: ca.pem\n    template: t"
            ),
            (
                "core.yaml:4: certificate_authorities[0].template: 't' is no template for this; "
                "write type: JITP there"
            ),
        ),
        (
            (
                "provisioning_templates:\n  - {name: t, body: t.json, type: JITP, "
                f"hook: '{ALLOW}'}}\nlambdas: {{'{ALLOW}': 'm:f'}}"
            ),
            "core.yaml:2: provisioning_templates[0]: a JITP template has no hook; leave hook out",
        ),
    ],
)
def test_parts_that_do_not_fit_together_are_named(text: str, expected: str) -> None:
    """What one part demands of another has a line too."""
    (found,) = problems(text)
    assert found.startswith(expected)


def test_names_that_stand_twice_and_two_defaults_are_named() -> None:
    """Of authorizers only one may have a name, and only one may be the default."""
    entry = f"  - {{name: a, function: '{ALLOW}', is_default: true}}\n"
    found = problems(f"lambdas: {{'{ALLOW}': 'm:f'}}\nauthorizers:\n{entry}{entry}")
    assert found == [
        "core.yaml:3: authorizers[0].name: 'a' stands there more than once",
        "core.yaml:4: authorizers[1].name: 'a' stands there more than once",
        "core.yaml:4: authorizers[1].is_default: 'a' is the default already",
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"api: {{access_keys: {{short: {SECRET}}}}}",
        f"api: {{access_keys: [{SECRET}]}}",
        f"api: {{access_keys: {{EXAMPLEACCESSKEY: [{SECRET}]}}}}",
        f"api: {{access_keys: {{EXAMPLEACCESSKEY: {SECRET * 20}}}}}",
        "api: {access_keys: {EXAMPLEACCESSKEY: 12345678901234567}}",
    ],
)
def test_a_secret_stands_in_no_message(text: str) -> None:
    """Errors about access keys name the key and never what it protects."""
    (found,) = problems(text)
    assert "api.access_keys" in found
    assert SECRET not in found
    assert "12345678901234567" not in found


def test_a_secret_stands_in_no_representation(tmp_path: Path) -> None:
    """Also a configuration that is printed by mistake does not tell."""
    path = written(tmp_path, f"api: {{access_keys: {{EXAMPLEACCESSKEY: {SECRET}}}}}")
    assert SECRET not in repr(read(path))


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    """The error lists them from the top of the file to its end, and what to do."""
    path = written(tmp_path, "port: -1\nprotocol: {payload_code: 5}\nhots: x\n")
    with pytest.raises(ConfigurationError) as caught:
        read(path)
    lines = caught.value.what.splitlines()
    assert lines[0] == "3 problems in this configuration"
    assert [line.partition(f"{path}:")[2].partition(":")[0] for line in lines[1:]] == [
        "1",
        "2",
        "3",
    ]
    assert "--write-config" in caught.value.remedy


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _path: None, "cannot be read"),
        (lambda path: path.mkdir(), "cannot be read"),
        (lambda path: path.write_bytes(b"x" * (MAX_BYTES + 1)), "more than"),
        (lambda path: path.write_bytes(b"host: \xff"), "not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_explained(tmp_path: Path, make: object, words: str) -> None:
    """Missing, a folder, too large, no text: one error that names the file."""
    path = tmp_path / "core.yaml"
    assert callable(make)
    make(path)
    with pytest.raises(ConfigurationError, match=words) as caught:
        read(path)
    assert "core.yaml" in caught.value.what


def test_what_is_given_beats_the_file(tmp_path: Path) -> None:
    """Options replace values, also inside of sections, and leave the rest."""
    path = written(tmp_path, "port: 1883\nhost: 0.0.0.0\nstatus: {loopback: false}\n")
    found = overlaid(read(path), {"port": 0, "status.enabled": False, "clock_ahead": "90m"})
    assert (found.port, found.host, found.clock_ahead) == (0, "0.0.0.0", 5400.0)
    assert (found.status.enabled, found.status.loopback) == (False, False)


def test_a_wrong_option_is_named_as_an_option() -> None:
    """The error names the option as it was typed."""
    with pytest.raises(ConfigurationError, match="--quota-answer"):
        overlaid(CoreConfiguration(), {"quota_answer": "shrug"})


@given(st.text(max_size=200))
def test_any_text_is_a_configuration_or_problems(text: str) -> None:
    """The parser is total."""
    found, wrong = parse(text)
    assert (found is not None) or wrong
