"""What can be configured about the stand-in, with defaults, bounds and a sentence for each key.

Frozen values. Owns the names, which are those of the command line's options where there is one.
What one key demands of another stands in `configuration.rules`. Knows nothing about files, YAML or
how anything is served.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from certs.store import DEFAULT_ROOT
from simulator.iotcore.broker.choices import Choices
from simulator.iotcore.clock import TRAVEL_MAX_S
from simulator.iotcore.registry import EventType
from simulator.iotcore.services.shadow_store import ShadowLimits
from simulator.iotcore.throttling.account import Mode
from simulator.quotas.files import DEFAULT, LOW
from simulator.scenario.units import parse_duration_s

DEFAULT_PORT: Final = 8883
OFF: Final = "off"
ENTRIES_MAX: Final = 256
"""Most entries of each list and table."""

_CHOICES: Final = Choices()
_SHADOWS: Final = ShadowLimits()
_ACCOUNT: Final = re.compile(r"[0-9]{12}", re.ASCII)
_REGION: Final = re.compile(r"[a-z]{2}(-[a-z]+){1,2}-[0-9]{1,2}", re.ASCII)
_ACCESS_KEY: Final = re.compile(r"\w{16,128}", re.ASCII)
_SECRET_CHARACTERS_MAX: Final = 256
_FUNCTION_ARN: Final = re.compile(
    r"arn:aws[\w-]*:lambda:[a-z0-9-]*:[0-9]{12}:function:[A-Za-z0-9-_]{1,64}(:[\w$-]+)?", re.ASCII
)
_FUNCTION: Final = re.compile(r"(?P<module>.+):(?P<name>[A-Za-z_]\w*)")
_TEMPLATE: Final = re.compile(r"[0-9A-Za-z_-]{1,36}", re.ASCII)
_AUTHORIZER: Final = re.compile(r"[\w=,@-]{1,128}", re.ASCII)
_TOKEN_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_READER: Final = re.compile(r"[0-9a-fA-F]{64}|[a-zA-Z0-9:_-]{1,128}", re.ASCII)


def _written(pattern: re.Pattern[str], what: str) -> AfterValidator:
    """A text of a certain form; the sentence says what it has to be."""

    def check(value: str) -> str:
        if pattern.fullmatch(value) is None:
            raise ValueError(f"{value[:60]!r} is no {what}")
        return value

    return AfterValidator(check)


def _beside(value: Path, info: ValidationInfo) -> Path:
    """Relative paths start from the folder of the file they stand in, if that is known."""
    base = (info.context or {}).get("base")
    return value if base is None else base / value


File = Annotated[Path, AfterValidator(_beside)]
FunctionArn = Annotated[
    str,
    _written(
        _FUNCTION_ARN,
        "ARN of a function, such as arn:aws:lambda:eu-central-1:123456789012:function:allow-car",
    ),
]


class Part(BaseModel):
    """Base of every part: frozen, no unknown keys, finite numbers; errors do not quote secrets."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )


class Api(Part):
    """The AWS API over HTTP on the same port, for boto3 and the AWS CLI with --endpoint-url."""

    enabled: bool = Field(True, description="false serves MQTT only (--no-api)")
    access_keys: dict[
        Annotated[str, _written(_ACCESS_KEY, "access key id: 16 to 128 letters and digits")],
        SecretStr,
    ] = Field(
        {},
        max_length=ENTRIES_MAX,
        description="access key id to secret; requests signed with others are refused. Without "
        "any, every access key is accepted and no signature is checked. Keep such a file to "
        "yourself",
    )

    identities: dict[str, str] = Field(
        {},
        max_length=ENTRIES_MAX,
        description="access key id to the id of the Cognito identity it stands for, whose IoT "
        "policies then decide; others may do everything",
    )

    @field_validator("access_keys")
    @classmethod
    def _secrets_are_there(cls, keys: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, secret in keys.items():
            if not 0 < len(secret.get_secret_value()) <= _SECRET_CHARACTERS_MAX:
                raise ValueError(
                    f"the secret of {name} must have 1 to {_SECRET_CHARACTERS_MAX} characters"
                )
        return keys


class CustomAuthorizer(Part):
    """A custom authorizer: a function that says who may connect, and with which policies."""

    name: Annotated[
        str, _written(_AUTHORIZER, "name of an authorizer: 1 to 128 letters, digits and _=,@-")
    ] = Field(description="as clients name it")
    function: FunctionArn = Field(description="its function, one of lambdas")
    token_key: (
        Annotated[str, _written(_TOKEN_KEY, "name of a header: letters, digits, _ and -")] | None
    ) = Field(None, description="header or query parameter with the signed token")
    public_keys: dict[str, File] = Field(
        {},
        max_length=2,
        description="key name to PEM file, of which one signed the token; without any, tokens are "
        "not verified (signingDisabled)",
    )
    is_default: bool = Field(False, description="serves clients that name no authorizer")

    @model_validator(mode="after")
    def _a_signature_needs_a_token(self) -> CustomAuthorizer:
        if self.public_keys and self.token_key is None:
            raise ValueError("public_keys need token_key, the name under which the token comes")
        return self


class ProvisioningTemplate(Part):
    """A provisioning template that is there from the start."""

    name: Annotated[
        str, _written(_TEMPLATE, "name of a template: 1 to 36 letters, digits, _ and -")
    ] = Field(description="as devices name it")
    body: File = Field(description="JSON file with Parameters and Resources")
    type: Literal["FLEET_PROVISIONING", "JITP"] = Field(
        "FLEET_PROVISIONING", description="JITP is for certificate_authorities"
    )
    hook: FunctionArn | None = Field(
        None, description="pre-provisioning hook, one of lambdas; for FLEET_PROVISIONING"
    )
    enabled: bool = Field(True, description="false refuses devices that name it")

    @model_validator(mode="after")
    def _a_hook_is_for_fleets(self) -> ProvisioningTemplate:
        if self.hook is not None and self.type != "FLEET_PROVISIONING":
            raise ValueError("a JITP template has no hook; leave hook out")
        return self


class CertificateAuthority(Part):
    """A CA whose device certificates register themselves when they first connect."""

    certificate: File = Field(description="PEM file of the CA")
    auto_registration: bool = Field(
        True, description="false trusts the CA and registers nothing by itself"
    )
    template: str | None = Field(
        None,
        description="one of provisioning_templates with type JITP; without one an event is "
        "published and the certificate waits for activation (JITR)",
    )


def _code(value: Any) -> Any:
    """A code as MQTT's tables write it, 0x97; anything else is left to pydantic."""
    if isinstance(value, str) and re.fullmatch(r"0x[0-9a-fA-F]{2}", value.strip()):
        return int(value, 16)
    return value


READS_CODE: Final = BeforeValidator(_code)
"""Marks a field that is written in hexadecimal."""
Code = Annotated[int, READS_CODE, Field(ge=0x80, le=0xA2)]


class Protocol(Part):
    """What to answer where AWS says that it refuses and not how."""

    connect_denied_return_code: int | None = Field(
        _CHOICES.connect_denied_return_code,
        description="CONNACK of MQTT 3.1.1 when policies refuse CONNECT: 1 to 5 or 7; without one "
        "the connection is closed",
    )
    connect_throttled_return_code: int | None = Field(
        _CHOICES.connect_throttled_return_code,
        description="the same for CONNECTs above a quota; null closes",
    )
    is_connect_throttling_answered: bool = Field(
        _CHOICES.is_connect_throttling_answered,
        description="whether MQTT 5 then gets CONNACK 0x97 before the close",
    )
    do_too_many_filters_end: bool = Field(
        _CHOICES.do_too_many_filters_end,
        description="whether a SUBSCRIBE with too many filters ends the connection; else each "
        "filter is refused",
    )
    does_qos_2_subscription_end: bool = Field(
        _CHOICES.does_qos_2_subscription_end,
        description="whether a SUBSCRIBE at QoS 2 ends the connection; else QoS 1 is granted",
    )
    does_subscription_identifier_end: bool = Field(
        _CHOICES.does_subscription_identifier_end,
        description="whether a Subscription Identifier ends the connection with 0xA1; else each "
        "filter is answered 0xA1",
    )
    do_invalid_filters_end: bool = Field(
        _CHOICES.do_invalid_filters_end,
        description="whether an invalid filter ends a connection of MQTT 3.1.1; else 0x80",
    )
    oversized_topic_code: Code = Field(
        _CHOICES.oversized_topic_code,
        description="to a PUBLISH whose topic is too long or has too many slashes",
    )
    oversized_filter_code: Code = Field(
        _CHOICES.oversized_filter_code, description="the same for a filter"
    )
    payload_code: Code = Field(
        _CHOICES.payload_code, description="DISCONNECT for a payload above the limit"
    )
    packet_code: Code = Field(
        _CHOICES.packet_code, description="DISCONNECT for a packet above the limit"
    )
    small_client_packet_code: Code = Field(
        _CHOICES.small_client_packet_code,
        description="CONNACK for a Maximum Packet Size below the least",
    )
    announced_packet_bytes: int | None = Field(
        _CHOICES.announced_packet_bytes,
        ge=512,
        le=149_504,
        description="Maximum Packet Size in CONNACK; by default the limit in force",
    )

    @model_validator(mode="after")
    def _codes_exist(self) -> Protocol:
        try:
            self.choices()
        except ValueError as error:
            raise ValueError(
                f"{error}; see MQTT 5.0 section 2.4 for codes of each packet"
            ) from error
        return self

    def choices(self) -> Choices:
        """As the broker takes them.

        Raises:
            ValueError: A code does not exist where it is to be sent.
        """
        return Choices(**self.model_dump())


class Shadows(Part):
    """Bounds of shadows."""

    document_bytes: int = Field(
        _SHADOWS.document_bytes,
        ge=1,
        le=1024 * 1024,
        description="state without metadata; AWS: 8192, adjustable",
    )
    levels: int = Field(
        _SHADOWS.levels,
        ge=1,
        le=64,
        description="objects inside each other; AWS's quotas say 8, its error text 6",
    )
    deletion_takes_a_version: bool = Field(
        _SHADOWS.deletion_takes_a_version,
        description="whether versions after a deletion leave one number out",
    )
    things_must_exist: bool = Field(
        _SHADOWS.things_must_exist,
        description="whether a shadow of a thing that is not in the registry is refused with 404",
    )
    shadows: int = Field(
        _SHADOWS.shadows, ge=0, le=10_000_000, description="most shadows; AWS has no such limit"
    )
    state_bytes: int = Field(
        _SHADOWS.state_bytes,
        ge=0,
        le=2**36,
        description="most state in all shadows; a byte of it takes 20 to 40 bytes of memory",
    )

    def limits(self) -> ShadowLimits:
        """As the service takes them."""
        return ShadowLimits(**self.model_dump())


class Status(Part):
    """The pages under /_core/ on the same port, and who may ask for them."""

    enabled: bool = Field(True, description="false serves none of them (--no-status)")
    loopback: bool = Field(
        True,
        description="whether programs on this machine may ask without a certificate; set it to "
        "false behind a proxy on this machine, since all its requests come from here",
    )
    readers: list[
        Annotated[str, _written(_READER, "certificate id of 64 hexadecimal digits or thing name")]
    ] = Field(
        [],
        max_length=ENTRIES_MAX,
        description="things, or certificate ids, whose certificate may ask from anywhere",
    )
    allow_time_travel: bool = Field(
        False, description="whether those may move the clock ahead (--allow-time-travel)"
    )
    allow_drop: bool = Field(False, description="whether those may cut connections (--allow-drop)")


def _ahead_s(value: Any) -> Any:
    if isinstance(value, str) and (match := re.fullmatch(r"([0-9]{1,5})\s*d", value.strip())):
        return float(match[1]) * 86_400
    return parse_duration_s(value)


class CoreConfiguration(Part):
    """Everything about the stand-in that can be chosen."""

    store: File = Field(DEFAULT_ROOT, description="certificate store; see morai-certs (--store)")
    init: bool = Field(
        False, description="make the CA and the server certificate if missing (--init)"
    )
    host: str = Field(
        "127.0.0.1", min_length=1, max_length=253, description="address to listen on (--host)"
    )
    port: int = Field(
        DEFAULT_PORT, ge=0, le=65_535, description="port to listen on; 0 picks a free one (--port)"
    )
    require_sni: bool = Field(
        False,
        description="refuse TLS without a server name, as AWS does for custom domains "
        "(--require-sni)",
    )
    region: Annotated[str, _written(_REGION, "Region; it reads like eu-central-1")] | None = Field(
        None, description="in ARNs; by default that of the policies (--region)"
    )
    account: Annotated[str, _written(_ACCOUNT, "account number of 12 digits")] | None = Field(
        None, description="in ARNs; by default that of the policies (--account)"
    )
    policy: list[File] = Field(
        [],
        max_length=ENTRIES_MAX,
        description="IoT policies (JSON files, or folders of them) for every thing of the store; "
        "without any and without registry they may do everything (--policy)",
    )
    registry: File | None = Field(
        None, description="TOML file with certificates, things, policies (--registry)"
    )
    trust: list[File] = Field(
        [],
        max_length=ENTRIES_MAX,
        description="other CAs (PEM) whose client certificates may connect (--trust)",
    )
    data_dir: File | None = Field(
        None,
        description="folder in which sessions, shadows, jobs and all else survive a restart; "
        "without one everything is forgotten (--data-dir)",
    )
    quotas: str = Field(
        DEFAULT,
        min_length=1,
        description=f"{DEFAULT}, {LOW}, {OFF} or a TOML file of limits that differ (--quotas)",
    )
    quota_mode: Mode = Field(
        Mode.ENFORCE, description="refuse what breaks a quota, or only count it (--quota-mode)"
    )
    quota_answer: Literal["silence", "puback"] = Field(
        "silence",
        description="to a QoS 1 publish above a rate: no PUBACK, or PUBACK 0x97 (--quota-answer)",
    )
    clock_ahead: Annotated[float, Field(ge=0, le=TRAVEL_MAX_S)] = Field(
        0.0,
        description="how far its clock is ahead of this machine's from the start, such as 90m or "
        "7d (--clock-ahead)",
    )
    api: Api = Field(Api(), description="")
    lambdas: dict[FunctionArn, str] = Field(
        {},
        max_length=ENTRIES_MAX,
        description="functions in the place of AWS Lambda, for hooks and authorizers: ARN to "
        "package.module:function or file.py:function",
    )
    authorizers: list[CustomAuthorizer] = Field([], max_length=10)
    provisioning_templates: list[ProvisioningTemplate] = Field([], max_length=ENTRIES_MAX)
    certificate_authorities: list[CertificateAuthority] = Field([], max_length=100)
    events: list[EventType] = Field(
        [],
        max_length=16,
        description="what the registry and jobs publish events about, as UpdateEventConfigurations "
        "switches on",
    )
    buckets: dict[str, File] = Field(
        {},
        max_length=ENTRIES_MAX,
        description="folders in the place of S3 buckets, for the files of streams: bucket to "
        "folder",
    )
    protocol: Protocol = Field(Protocol(), description="")
    shadows: Shadows = Field(Shadows(), description="")
    status: Status = Field(Status(), description="")

    @field_validator("clock_ahead", mode="before")
    @classmethod
    def _read_ahead(cls, value: Any) -> Any:
        return _ahead_s(value)

    @field_validator("quotas")
    @classmethod
    def _quota_file_beside(cls, value: str, info: ValidationInfo) -> str:
        return value if value in {DEFAULT, LOW, OFF} else str(_beside(Path(value), info))

    @field_validator("lambdas")
    @classmethod
    def _functions_beside(cls, functions: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        return {arn: _located(target, info) for arn, target in functions.items()}


def _located(target: str, info: ValidationInfo) -> str:
    """A function as written, with a file's path made complete."""
    match = _FUNCTION.fullmatch(target)
    if match is None:
        raise ValueError(
            f"{target[:60]!r} is no function; write package.module:function or file.py:function"
        )
    module = match["module"]
    return f"{_beside(Path(module), info)}:{match['name']}" if module.endswith(".py") else target
