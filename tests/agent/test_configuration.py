"""The configuration file: the template, the schema, the errors."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from agent.cli.init import TEMPLATE, render_template
from agent.configuration import AgentConfiguration, load_configuration
from certs.errors import ConfigurationError

MINIMAL = """
[vehicle]
thing = "car-1"
[broker]
endpoint = "localhost"
certificate = "cert.pem"
private_key = "/keys/key.pem"
"""


def write(folder: Path, text: str) -> Path:
    """Write a configuration file and return its path."""
    path = folder / "agent.toml"
    path.write_text(text, encoding="utf-8")
    return path


def template_text() -> str:
    """The template with every placeholder filled in."""
    return render_template(
        thing="car-1", fleet="demo", endpoint="localhost", port=8883, store="ids", ca="ids/ca.pem"
    )


def uncommented(text: str) -> str:
    """The template with every commented-out key switched on."""
    return re.sub(r"(?m)^# (?=[a-z0-9_]+ = )", "", text)


def leaves(value: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted key to value of a nested table."""
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, dict):
        return {
            k: v
            for name, item in value.items()
            for k, v in leaves(item, f"{prefix}{name}.").items()
        }
    return {prefix[:-1]: value}


def test_a_minimal_file_is_enough(tmp_path: Path) -> None:
    """Thing, endpoint, certificate and key are all that must be given."""
    configuration = load_configuration(write(tmp_path, MINIMAL), {})

    assert configuration.vehicle.thing == "car-1"
    assert configuration.broker.port == 8883


def test_relative_paths_belong_to_the_files_folder(tmp_path: Path) -> None:
    """A relative path is resolved against the configuration's folder, an absolute one is kept."""
    configuration = load_configuration(write(tmp_path, MINIMAL), {})

    assert configuration.broker.certificate == tmp_path / "cert.pem"
    assert configuration.broker.private_key == Path("/keys/key.pem")
    assert configuration.commands.ledger == tmp_path / "agent-data/commands.sqlite"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """A variable overrides its key, and other variables change nothing."""
    environment = {"MORAI_AGENT_BROKER__ENDPOINT": "other", "MORAI_AGENT_LOG__LEVEL": "debug"}

    configuration = load_configuration(write(tmp_path, MINIMAL), environment)

    assert configuration.broker.endpoint == "other"
    assert configuration.log.level == "debug"
    assert configuration.vehicle.thing == "car-1"


def test_all_mistakes_are_listed_at_once(tmp_path: Path) -> None:
    """Unknown key, wrong type, missing key and bad address all stand in one error."""
    text = """
[vehicle]
thing = "car 1"
colour = "red"
[broker]
endpoint = "localhost"
certificate = "c"
keep_alive_s = "often"
[simulator]
host = "nowhere"
"""
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(write(tmp_path, text), {})

    for part in (
        "vehicle.thing",
        "vehicle.colour is not a known key",
        "broker.private_key is missing",
        "broker.keep_alive_s",
        "'often'",
        "simulator.host",
    ):
        assert part in caught.value.what


@pytest.mark.parametrize(
    ("extra", "part"),
    [
        ("simulator.receive = {imu = 7505}", "imu and objects both use port 7505"),
        ("simulator.receive = {imu = 70000}", "less than or equal to 65535"),
        ("streams.state = {rate_hz = -1}", "greater than or equal to 0"),
        ("streams.state = {qos = 2}", "0 or 1"),
        ('map = {mgeo_global_info = "a", crs = "b"}', "not both"),
        ('commands.protocols = ["soap"]', "'aws' or 'plain'"),
        ("streams.state = {rate_hz = nan}", "streams.state.rate_hz"),
    ],
)
def test_values_out_of_range_name_key_and_range(tmp_path: Path, extra: str, part: str) -> None:
    """Each bad value is refused with its key and what is allowed."""
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(write(tmp_path, extra + "\n" + MINIMAL), {})

    assert part in caught.value.what


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[vehicle", b"x" * 300_000])
def test_a_file_that_is_not_toml_is_refused_with_its_name(tmp_path: Path, content: bytes) -> None:
    """Binary, broken and oversized files give one error that names the file."""
    path = tmp_path / "agent.toml"
    path.write_bytes(content)

    with pytest.raises(ConfigurationError, match=r"agent\.toml"):
        load_configuration(path, {})


def test_a_missing_file_says_how_to_write_one(tmp_path: Path) -> None:
    """The remedy of a missing file is `morai-agent init`."""
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(tmp_path / "none.toml", {})

    assert "morai-agent init" in caught.value.remedy


def test_the_template_loads_as_it_is_written(tmp_path: Path) -> None:
    """What `morai-agent init` writes is accepted unchanged."""
    configuration = load_configuration(write(tmp_path, template_text()), {})

    assert configuration.broker.certificate == tmp_path / "ids/things/car-1/cert.pem"


def test_the_template_shows_every_key_with_its_default() -> None:
    """Switched on, the commented keys are exactly the schema's keys and the schema's defaults."""
    shown = leaves(tomllib.loads(uncommented(template_text())))
    minimal = {"thing": "x"}, {"endpoint": "x", "certificate": "c", "private_key": "k"}
    schema = leaves(
        AgentConfiguration.model_validate({"vehicle": minimal[0], "broker": minimal[1]})
    )
    required_or_example = re.compile(
        r"^(vehicle|map)\.|^broker\.(endpoint|port|certificate|private_key|ca)$"
    )

    assert set(shown) == set(schema)
    for key, value in shown.items():
        if not required_or_example.match(key):
            default = schema[key]
            plain = list(default) if isinstance(default, tuple) else default
            assert (str(plain) if isinstance(plain, Path) else plain) == value, key


def test_the_template_ships_with_the_package() -> None:
    """The template is package data, so an installed agent can write it."""
    assert files("agent").joinpath(TEMPLATE).is_file()


@pytest.mark.parametrize(
    ("simulator", "part"),
    [
        ('host = "10.0.0.5"', "set bind to an address of this machine"),
        ('host = "::1"', "must both be IPv4 or both be IPv6"),
        ("send = {ego_control = 0}", "simulator.send.ego_control"),
    ],
)
def test_addresses_that_cannot_work_are_refused(tmp_path: Path, simulator: str, part: str) -> None:
    """A simulator elsewhere cannot reach the loopback address; port 0 is nowhere to send to."""
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(write(tmp_path, f"{MINIMAL}\n[simulator]\n{simulator}\n"), {})

    assert part in caught.value.what


def test_a_simulator_on_another_machine_works_with_an_address_of_its_own(tmp_path: Path) -> None:
    """With bind set, the host may be anywhere."""
    text = f'{MINIMAL}\n[simulator]\nhost = "10.0.0.5"\nbind = "0.0.0.0"\n'

    assert load_configuration(write(tmp_path, text), {}).simulator.host == "10.0.0.5"
