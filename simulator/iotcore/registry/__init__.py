"""The registry of one account, the one truth of the broker and the API about it."""

from simulator.iotcore.registry.principals import CERTIFICATE_ID_CHARACTERS, is_certificate_id
from simulator.iotcore.registry.records import (
    CertificateMode,
    CertificateStatus,
    CustomAuthorizer,
    EventType,
    Identity,
    RegisteredAuthority,
    RegisteredCertificate,
    RoleAlias,
    StoredPolicy,
    Thing,
    ThingGroup,
    ThingType,
)
from simulator.iotcore.registry.registry import (
    POLICIES_PER_CERTIFICATE_MAX,
    THING_NAME_CHARACTERS_MAX,
    Registry,
)

__all__ = [
    "CERTIFICATE_ID_CHARACTERS",
    "POLICIES_PER_CERTIFICATE_MAX",
    "THING_NAME_CHARACTERS_MAX",
    "CertificateMode",
    "CertificateStatus",
    "CustomAuthorizer",
    "EventType",
    "Identity",
    "RegisteredAuthority",
    "RegisteredCertificate",
    "Registry",
    "RoleAlias",
    "StoredPolicy",
    "Thing",
    "ThingGroup",
    "ThingType",
    "is_certificate_id",
]
