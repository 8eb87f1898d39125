"""The agent's configuration: a TOML file, overridden by environment variables, checked as a whole.

Owns the schema and turns every mistake into one error that names file, key, value and what is
allowed. It opens no socket and reads no certificate; `morai-agent check` does that.
"""

from __future__ import annotations

import os
import tomllib
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from certs.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT_PREFIX = "MORAI_AGENT_"
MAX_CONFIGURATION_BYTES = 256 * 1024

Port = Annotated[int, Field(ge=0, le=65_535, description="UDP or TCP port; 0 takes any free one")]
# Samples a second at most; 0 keeps every sample that the simulator sends.
Destination = Annotated[int, Field(ge=1, le=65_535)]
Rate = Annotated[float, Field(ge=0, le=200)]
# Thing names and topic levels: AWS IoT Core, CreateThing, thingName pattern.
Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9:_-]{1,128}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VehicleSection(_Section):
    """Who the car is in the cloud."""

    thing: Name
    fleet: Name = "demo"


class BrokerSection(_Section):
    """Where the broker is and how to sign in."""

    endpoint: Annotated[str, Field(min_length=1, max_length=253)]
    port: Annotated[int, Field(ge=1, le=65_535)] = 8883
    certificate: Path
    private_key: Path
    ca: Path | None = None
    keep_alive_s: Annotated[int, Field(ge=30, le=1200)] = 30
    ping_timeout_s: Annotated[float, Field(ge=1, le=60)] = 10
    session_expiry_s: Annotated[int, Field(ge=0, le=604_800)] = 3600
    reconnect_min_s: Annotated[float, Field(ge=0.1, le=60)] = 1
    reconnect_max_s: Annotated[float, Field(ge=0.1, le=3600)] = 120
    basic_ingest_rule: Annotated[str, Field(pattern=r"^([a-zA-Z0-9_]{1,128})?$")] = ""
    in_flight: Annotated[int, Field(ge=1, le=100)] = 50
    waiting_bytes: Annotated[int, Field(ge=0, le=1 << 30)] = 4 << 20

    @model_validator(mode="after")
    def _intervals_make_sense(self) -> BrokerSection:
        if self.reconnect_max_s < self.reconnect_min_s:
            raise ValueError("reconnect_max_s must not be below reconnect_min_s")
        if self.keep_alive_s < self.ping_timeout_s + 1:
            raise ValueError("keep_alive_s must be at least ping_timeout_s + 1 (AWS device SDK)")
        return self


class ReceiveSection(_Section):
    """Ports this machine listens on: the *destination* ports of the simulator's settings."""

    ego_status: Port | None = 1911
    objects: Port | None = 7505
    collision: Port | None = 9092
    traffic_light: Port | None = 7502
    imu: Port | None = 9299
    gps: Port | None = 9297

    def ports(self) -> dict[str, int]:
        """Channel name to port, without the channels that are switched off."""
        return {name: port for name, port in self.model_dump().items() if port is not None}

    @model_validator(mode="after")
    def _ports_differ(self) -> ReceiveSection:
        used: dict[int, str] = {}
        for name, port in self.ports().items():
            if port and port in used:
                raise ValueError(f"{name} and {used[port]} both use port {port}")
            used[port] = name
        return self


class SendSection(_Section):
    """Ports the simulator listens on: the *host* ports of its network settings."""

    ego_control: Destination = 9093
    lamps: Destination = 9097
    scenario_load: Destination = 9095

    def ports(self) -> dict[str, int]:
        """Channel name to port."""
        return self.model_dump()


class SimulatorSection(_Section):
    """Where MORAI SIM runs and which ports its channels use."""

    host: str = "127.0.0.1"
    bind: str = "127.0.0.1"
    allowed_sources: tuple[str, ...] = ()
    silent_after_s: Annotated[float, Field(ge=0.1, le=60)] = 2.0
    receive: ReceiveSection = ReceiveSection()
    send: SendSection = SendSection()

    @field_validator("host", "bind")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        ip_address(value)
        return value

    @field_validator("allowed_sources")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ip_address(item)) for item in value)

    @model_validator(mode="after")
    def _can_reach_each_other(self) -> SimulatorSection:
        host, bind = ip_address(self.host), ip_address(self.bind)
        if host.version != bind.version:
            raise ValueError("host and bind must both be IPv4 or both be IPv6")
        if bind.is_loopback and not host.is_loopback:
            raise ValueError(
                f"host {host} is another machine, which cannot reach the loopback address {bind}:"
                " set bind to an address of this machine, or to 0.0.0.0"
            )
        return self


class DialectSection(_Section):
    """What public material leaves open about the simulator's protocol; see docs/morai.md."""

    ego_control: Literal["C1", "C2"] = "C1"
    command_steer_sign: Literal[-1, 1] = -1
    status_steer_sign: Literal[-1, 1] = 1
    max_wheel_angle_deg: Annotated[float, Field(gt=0, le=90)] = 36.25


class MapSection(_Section):
    """How map-local metres become latitude and longitude."""

    mgeo_global_info: Path | None = None
    crs: str | None = None
    origin_east_m: float = 0.0
    origin_north_m: float = 0.0
    origin_up_m: float = 0.0

    @model_validator(mode="after")
    def _one_source(self) -> MapSection:
        if self.mgeo_global_info is not None and self.crs is not None:
            raise ValueError("give either mgeo_global_info or crs, not both")
        return self


class StreamSection(_Section):
    """How one telemetry stream is sampled, batched and published."""

    enabled: bool = True
    rate_hz: Rate = 0.0
    max_samples: Annotated[int, Field(ge=1, le=1000)] = 50
    max_delay_s: Annotated[float, Field(ge=0, le=60)] = 1.0
    qos: Literal[0, 1] = 1


class StreamsSection(_Section):
    """The telemetry streams."""

    state: StreamSection = StreamSection()
    objects: StreamSection = StreamSection(rate_hz=10, max_samples=20)
    gnss: StreamSection = StreamSection(rate_hz=10, max_samples=20)
    imu: StreamSection = StreamSection()
    collision: StreamSection = StreamSection(max_samples=1, max_delay_s=0)
    traffic_light: StreamSection = StreamSection(rate_hz=10, max_samples=10)

    def by_name(self) -> dict[str, StreamSection]:
        """Stream name as it stands in topics, to its section."""
        fields = type(self).model_fields
        return {name.replace("_", "-"): getattr(self, name) for name in fields}


class HealthSection(_Section):
    """The health document: on every change of state and at this interval."""

    interval_s: Annotated[float, Field(ge=1, le=3600)] = 10.0


class CommandsSection(_Section):
    """Which commands are accepted and what they may do."""

    enabled: bool = True
    protocols: tuple[Literal["aws", "plain"], ...] = ("aws", "plain")
    ledger: Path = Path("agent-data/commands.sqlite")
    control_rate_hz: Annotated[float, Field(ge=5, le=60)] = 20.0
    dead_man_s: Annotated[float, Field(ge=0.1, le=5)] = 0.5
    assert_mode_every_packet: bool = False
    max_speed_mps: Annotated[float, Field(gt=0, le=100)] = 33.0
    max_steer_rad: Annotated[float, Field(gt=0, le=1.2)] = 0.6
    max_steer_rate_radps: Annotated[float, Field(gt=0, le=20)] = 1.5
    max_acceleration_mps2: Annotated[float, Field(gt=0, le=15)] = 4.0


class LogSection(_Section):
    """Structured logs on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class AgentConfiguration(BaseSettings):
    """Everything the agent needs to know, immutable once loaded."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter="__",
    )

    vehicle: VehicleSection
    broker: BrokerSection
    simulator: SimulatorSection = SimulatorSection()
    dialect: DialectSection = DialectSection()
    map: MapSection = MapSection()
    streams: StreamsSection = StreamsSection()
    health: HealthSection = HealthSection()
    commands: CommandsSection = CommandsSection()
    log: LogSection = LogSection()


class _GivenEnvironment(EnvSettingsSource):
    """Reads overrides from a mapping instead of the process, so that loading is a pure function."""

    given: Mapping[str, str] = {}

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {key.lower(): value for key, value in self.given.items()}


def load_configuration(
    path: Path, environment: Mapping[str, str] | None = None
) -> AgentConfiguration:
    """Read and check a configuration file.

    Relative paths inside the file are resolved against the file's own folder, so that the agent
    can be started from anywhere.

    Args:
        path: The TOML file.
        environment: Overrides such as `MORAI_AGENT_BROKER__ENDPOINT`; the process's by default.

    Raises:
        ConfigurationError: The file is missing, is not TOML, or holds unknown keys or values out
            of range; all mistakes are listed at once.
    """
    try:
        if path.stat().st_size > MAX_CONFIGURATION_BYTES:
            raise ConfigurationError(f"{path} is larger than {MAX_CONFIGURATION_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{path} does not exist", "write one with: morai-agent init, or name it with --config"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    configuration = parse_configuration(
        text, str(path), os.environ if environment is None else environment
    )
    return _resolve_paths(configuration, path.parent)


def parse_configuration(
    text: str, where: str, environment: Mapping[str, str]
) -> AgentConfiguration:
    """Check the text of a configuration file. Relative paths in it stay relative.

    Args:
        text: TOML.
        where: What the text is called in errors.
        environment: Overrides.

    Raises:
        ConfigurationError: It is not TOML, or holds unknown keys or values out of range; all
            mistakes are listed at once.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(
            f"{where} is not valid TOML: {error}", "correct that line"
        ) from error
    return _validate(data, where, environment)


def _validate(
    data: dict[str, Any], where: str, environment: Mapping[str, str]
) -> AgentConfiguration:
    class Environment(_GivenEnvironment):
        given = environment

    class Loaded(AgentConfiguration):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            # The environment wins over the file, which arrives as init arguments.
            del init_settings, env_settings, dotenv_settings, file_secret_settings
            return Environment(settings_cls), InitSettingsSource(settings_cls, init_kwargs=data)

    try:
        return Loaded()
    except ValidationError as error:
        lines = [_explain(item) for item in error.errors()]
        raise ConfigurationError(
            f"{where}: " + "; ".join(lines),
            "correct these keys; `morai-agent init --print` shows every key with its meaning",
        ) from error


def _explain(item: Any) -> str:
    key = ".".join(str(part) for part in item["loc"]) or "file"
    kind = item["type"]
    if kind == "extra_forbidden":
        return f"{key} is not a known key"
    if kind == "missing":
        return f"{key} is missing"
    message = item["msg"].removeprefix("Value error, ")
    value = item.get("input")
    shown = "" if isinstance(value, (dict, BaseModel)) else f" (found {value!r})"
    return f"{key}: {message[0].lower()}{message[1:]}{shown}"


def _resolve_paths(configuration: AgentConfiguration, folder: Path) -> AgentConfiguration:
    def resolved(section: BaseModel) -> dict[str, Path]:
        values = ((name, getattr(section, name)) for name in type(section).model_fields)
        return {
            name: folder / value.expanduser() for name, value in values if isinstance(value, Path)
        }

    sections = {
        name: section.model_copy(update=resolved(section))
        for name in type(configuration).model_fields
        if isinstance(section := getattr(configuration, name), BaseModel)
    }
    return configuration.model_copy(update=sections)
