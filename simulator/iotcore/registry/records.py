"""What the registry keeps of each certificate, thing, type, group, policy, CA and so on.

Plain records: no rules, no relations but the names of what is attached. Times are Unix time in
seconds; versions count changes from 1, as the AWS IoT API shows them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, TypeAlias


class CertificateStatus(StrEnum):
    """State of a registered certificate. Only ACTIVE ones may connect."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    REVOKED = "REVOKED"
    PENDING_ACTIVATION = "PENDING_ACTIVATION"


class CertificateMode(StrEnum):
    """How a certificate or CA was registered (API reference, CertificateDescription).

    DEFAULT: made by the service or with proof that the CA is one's own. SNI_ONLY: without.
    """

    DEFAULT = "DEFAULT"
    SNI_ONLY = "SNI_ONLY"


@dataclass(slots=True)
class Identity:
    """A Cognito identity. It is known for as long as something is attached to it.

    Attributes:
        policies: Names of the attached policies, in order of attachment.
        things: Attached thing name -> whether the attachment is exclusive.
    """

    policies: list[str] = field(default_factory=list)
    things: dict[str, bool] = field(default_factory=dict)


@dataclass(slots=True)
class RegisteredCertificate:
    """A certificate the registry knows.

    Attributes:
        certificate_id: SHA-256 of the DER encoding, hexadecimal.
        status: Whether it may connect.
        policies: Names of the attached policies, in order of attachment.
        things: Attached thing name -> whether the attachment is exclusive.
        pem: The certificate, when it is known.
        ca_id: Certificate id of the registered CA that signed it.
        mode: How it was registered.
        created_s: When it was registered.
        modified_s: When its status last changed.
        version: Rises with every change of its status.
        generation: Tells this registration from others of the same certificate.
    """

    certificate_id: str
    status: CertificateStatus
    policies: list[str] = field(default_factory=list)
    things: dict[str, bool] = field(default_factory=dict)
    pem: str | None = None
    ca_id: str | None = None
    mode: CertificateMode = CertificateMode.DEFAULT
    created_s: float = 0.0
    modified_s: float = 0.0
    version: int = 1
    generation: str = ""


@dataclass(frozen=True, slots=True)
class Thing:
    """A thing of the registry. Version and id are the registry's business: equality ignores them.

    Attributes:
        name: Its name.
        type_name: Its thing type, if it has one.
        attributes: Its attributes.
        version: Rises with every change.
        thing_id: Tells it from earlier things of the same name.
    """

    name: str
    type_name: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    version: int = field(default=1, compare=False)
    thing_id: str = field(default="", compare=False)


@dataclass(slots=True)
class ThingType:
    """A thing type.

    Attributes:
        name: Its name.
        type_id: Tells it from earlier types of the same name.
        description: For people.
        searchable_attributes: Kept and shown.
        propagating_attributes: `mqtt5Configuration`, kept and shown as the API has it.
        created_s: When it was created.
        deprecated_s: Since when it is deprecated, if it is.
    """

    name: str
    type_id: str = ""
    description: str | None = None
    searchable_attributes: list[str] = field(default_factory=list)
    propagating_attributes: list[dict[str, str]] | None = None
    created_s: float = 0.0
    deprecated_s: float | None = None


@dataclass(slots=True)
class ThingGroup:
    """A static thing group.

    Attributes:
        name: Its name.
        group_id: Tells it from earlier groups of the same name.
        parent: The group it is in, if any.
        description: For people.
        attributes: Its attributes.
        version: Rises with every change.
        created_s: When it was created.
        policies: Names of the attached policies, in order of attachment.
    """

    name: str
    group_id: str = ""
    parent: str | None = None
    description: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    version: int = 1
    created_s: float = 0.0
    policies: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One version of a policy document."""

    document: str
    created_s: float


@dataclass(slots=True)
class StoredPolicy:
    """A policy with its versions.

    Attributes:
        name: Its name.
        versions: Version id -> version, oldest first.
        default_version: The one in force.
        last_version: The highest id ever given.
        created_s: When it was created.
        modified_s: When it was last changed.
        generation: Tells it from earlier policies of the same name.
    """

    name: str
    versions: dict[int, PolicyVersion]
    default_version: int
    last_version: int
    created_s: float
    modified_s: float
    generation: str


@dataclass(slots=True)
class RegisteredAuthority:
    """A certificate authority of one's own.

    Attributes:
        ca_id: SHA-256 of its certificate's DER encoding, hexadecimal.
        pem: Its certificate.
        is_active: Whether device certificates may be registered with it.
        mode: Whether ownership of its key was proven.
        auto_registration: Whether its certificates are registered when they connect.
        template_body: Provisioning template for them.
        template_name: Name of a provisioning template instead.
        role_arn: Kept and shown, never assumed: there is no IAM here.
        created_s: When it was registered.
        modified_s: When it was last changed.
        version: Rises with every change.
        generation: Tells this registration from others of the same CA.
    """

    ca_id: str
    pem: str
    is_active: bool
    mode: CertificateMode = CertificateMode.DEFAULT
    auto_registration: bool = False
    template_body: str | None = None
    template_name: str | None = None
    role_arn: str | None = None
    created_s: float = 0.0
    modified_s: float = 0.0
    version: int = 1
    generation: str = ""


@dataclass(slots=True)
class RoleAlias:
    """A name under which devices ask for credentials of a role.

    Attributes:
        name: The alias.
        role_arn: The role.
        duration_s: How long the credentials are valid.
        created_s: When it was created.
        modified_s: When it was last changed.
    """

    name: str
    role_arn: str
    duration_s: int = 3_600
    created_s: float = 0.0
    modified_s: float = 0.0


@dataclass(slots=True)
class CustomAuthorizer:
    """A Lambda function that decides who connects.

    Attributes:
        name: Its name.
        function_arn: The function.
        token_key_name: Where the token stands, when tokens are signed.
        signing_keys: Name -> PEM of the public keys that check the token's signature.
        is_active: Whether it may be used.
        signing_disabled: Whether tokens come without a signature.
        caches_for_http: Kept and shown.
        created_s: When it was created.
        modified_s: When it was last changed.
    """

    name: str
    function_arn: str
    token_key_name: str | None = None
    signing_keys: dict[str, str] = field(default_factory=dict)
    is_active: bool = False
    signing_disabled: bool = False
    caches_for_http: bool = False
    created_s: float = 0.0
    modified_s: float = 0.0


EventType: TypeAlias = Literal[
    "THING",
    "THING_GROUP",
    "THING_TYPE",
    "THING_GROUP_MEMBERSHIP",
    "THING_GROUP_HIERARCHY",
    "THING_TYPE_ASSOCIATION",
    "JOB",
    "JOB_EXECUTION",
    "POLICY",
    "CERTIFICATE",
    "CA_CERTIFICATE",
]
"""Kinds of events of the registry and of jobs (AWS IoT API reference, `EventType`)."""


@dataclass(slots=True)
class EventConfigurations:
    """Which events the account publishes.

    Attributes:
        enabled: Event type -> whether it is on; what is missing is off.
        created_s: When the configuration was first changed; 0 before.
        modified_s: When it was last changed.
    """

    enabled: dict[str, bool] = field(default_factory=dict)
    created_s: float = 0.0
    modified_s: float = 0.0
