"""Filling the registry from files: a certificate store, policy documents, a registry file.

Owns the file formats. The registry itself does not know where its content came from.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from certs.errors import ConfigurationError, StorageError
from certs.pem import certificate_id, certificate_pem, load_certificate
from simulator.iotcore.permissions.account import Account
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry import CertificateStatus, Registry, Thing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from certs.store import Store

_FILE_BYTES_MAX = 1024 * 1024

DEVELOPMENT_POLICY = Policy.parse(
    "development",
    {
        "Version": "2012-10-17",
        "Statement": {
            "Sid": "EverythingForRegisteredCertificates",
            "Effect": "Allow",
            "Action": "iot:*",
            "Resource": "*",
        },
    },
)
"""In force when no policy is named: every registered certificate may do everything."""


def read_policy(path: Path) -> Policy:
    """Read a policy document; the policy is named after the file.

    Raises:
        ConfigurationError: The file is missing or the document is wrong.
    """
    return Policy.parse(path.stem, _read(path, "policy file"))


def read_policies(paths: Iterable[Path]) -> list[Policy]:
    """Read policy documents; a folder stands for its `*.json` files in order of name.

    Raises:
        ConfigurationError: A file is missing, a document is wrong, or a folder has none.
    """
    policies: list[Policy] = []
    for path in paths:
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not files:
            raise ConfigurationError(
                f"policy folder {path} has no .json file", "put the policy documents into it"
            )
        policies.extend(read_policy(file) for file in files)
    return policies


def account_of(policies: Iterable[Policy]) -> Account | None:
    """The account the policies are written for, when they name exactly one."""
    owners = {owner for policy in policies for owner in policy.arn_owners}
    if len(owners) != 1:
        return None
    region, account_id = owners.pop()
    return Account(region, account_id)


class StoreRegistration:
    """Registers every thing of a certificate store, with the same policies for all.

    The thing has the name of its folder. Its certificate is ACTIVE, unless it was registered before
    and has another status since.

    Args:
        registry: What is filled.
        store: Where the certificates lie.
        policies: Attached to each certificate.
    """

    def __init__(self, registry: Registry, store: Store, policies: Sequence[Policy]) -> None:
        self._registry = registry
        self._store = store
        self._policies = tuple(policy.name for policy in policies)
        self._known: dict[str, str] = {}
        for policy in policies:
            registry.put_policy(policy)

    def refresh(self) -> int:
        """Register what is new in the store.

        Certificates that were registered before and are gone or replaced stay registered, as they
        would at AWS.

        Returns:
            How many certificates were registered.

        Raises:
            ConfigurationError: A certificate cannot be read.
        """
        added = 0
        for name in self._store.things():
            if name in self._known:
                continue
            certificate = self._store.identity(name).certificate()
            key, pem = certificate_id(certificate), certificate_pem(certificate).decode()
            found = self._registry.certificate(key)
            status = found.status if found is not None else CertificateStatus.ACTIVE
            register(self._registry, key, [name], self._policies, status, pem=pem)
            self._known[name] = key
            added += 1
        return added


def register(
    registry: Registry,
    certificate: str,
    things: Iterable[str] = (),
    policies: Iterable[str] = (),
    status: CertificateStatus = CertificateStatus.ACTIVE,
    *,
    pem: str | None = None,
) -> None:
    """Register a certificate with its things, which are made when missing, and its policies."""
    registry.register_certificate(certificate, status, pem=pem)
    for name in things:
        if registry.thing(name) is None:
            registry.put_thing(Thing(name))
        registry.attach_thing(name, certificate)
    for name in policies:
        registry.attach_policy(name, certificate)


def read_registry(path: Path, registry: Registry) -> Account | None:
    """Add the content of a registry file.

    A TOML file; paths in it are relative to it:

        region = "ap-northeast-2"            # optional
        account = "123456789012"             # optional

        [policies]
        vehicle = "vehicle.json"

        [things.car-1]                       # optional: type and attributes
        type = "Car"
        attributes = { fleet = "seoul" }

        [[certificates]]
        file = "car-1.pem"                   # or id = "<64 hexadecimal digits>"
        status = "ACTIVE"                    # optional; a new certificate is ACTIVE
        policies = ["vehicle"]
        things = ["car-1"]                   # or exclusive_thing = "car-1"

    Returns:
        The account it names, if it does.

    Raises:
        ConfigurationError: The file is missing, is not TOML, or says something unknown.
    """
    try:
        document = tomllib.loads(_read(path, "registry file").decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"registry file {path}: {error}", "correct the file") from error
    where = f"registry file {path}"
    _known(where, document, {"region", "account", "policies", "things", "certificates"})
    for name, file in _table(where, document, "policies").items():
        policy_path = path.parent / _text(f"{where}: policies.{name}", file)
        registry.put_policy(Policy.parse(name, _read(policy_path, "policy file")))
    for name, entry in _table(where, document, "things").items():
        _read_thing(f"{where}: things.{name}", name, entry, registry)
    certificates = document.get("certificates", [])
    if not isinstance(certificates, list):
        raise ConfigurationError(f"{where}: certificates must be a list", "write [[certificates]]")
    for number, entry in enumerate(certificates, start=1):
        _read_certificate(f"{where}: certificate {number}", path.parent, entry, registry)
    if "region" in document or "account" in document:
        default = Account()
        return Account(
            _text(f"{where}: region", document.get("region", default.region)),
            _text(f"{where}: account", document.get("account", default.account_id)),
        )
    return None


def _read_thing(where: str, name: str, entry: Any, registry: Registry) -> None:
    _known(where, entry, {"type", "attributes"})
    attributes = _table(where, entry, "attributes")
    registry.put_thing(
        Thing(
            name,
            _text(where, entry["type"]) if "type" in entry else None,
            {key: _text(f"{where}.attributes.{key}", value) for key, value in attributes.items()},
        )
    )


def _read_certificate(where: str, folder: Path, entry: Any, registry: Registry) -> None:
    _known(where, entry, {"file", "id", "status", "policies", "things", "exclusive_thing"})
    if ("file" in entry) == ("id" in entry):
        raise ConfigurationError(f"{where} needs either file or id", "name exactly one of them")
    if "file" in entry:
        file = folder / _text(f"{where}: file", entry["file"])
        certificate = load_certificate(_read(file, "certificate"), str(file))
        key, pem = certificate_id(certificate), certificate_pem(certificate).decode()
    else:
        pem = None
        key = _text(f"{where}: id", entry["id"]).lower()
    # A certificate deactivated meanwhile stays so, unless the file says otherwise.
    found = registry.certificate(key)
    known = found.status if found is not None else CertificateStatus.ACTIVE
    status = entry.get("status", known.value)
    if status not in set(CertificateStatus):
        raise ConfigurationError(
            f"{where}: status {status!r} is not known",
            f"use one of {', '.join(CertificateStatus)}",
        )
    things = [_text(f"{where}: things", name) for name in entry.get("things", [])]
    policies = [_text(f"{where}: policies", name) for name in entry.get("policies", [])]
    register(registry, key, things, policies, CertificateStatus(status), pem=pem)
    if "exclusive_thing" in entry:
        name = _text(f"{where}: exclusive_thing", entry["exclusive_thing"])
        if registry.thing(name) is None:
            registry.put_thing(Thing(name))
        registry.attach_thing(name, key, exclusive=True)


def _known(where: str, table: Any, keys: set[str]) -> None:
    if not isinstance(table, dict):
        raise ConfigurationError(f"{where} must be a table", "correct the file")
    for key in table:
        if key not in keys:
            raise ConfigurationError(
                f"{where}: key {key!r} is not known", f"known keys: {', '.join(sorted(keys))}"
            )


def _table(where: str, document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key, {})
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where}: {key} must be a table", "correct the file")
    return value


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{where} must be text, found {value!r}", "correct the file")
    return value


def _read(path: Path, what: str) -> bytes:
    try:
        if path.stat().st_size > _FILE_BYTES_MAX:
            raise ConfigurationError(
                f"{what} {path} is larger than {_FILE_BYTES_MAX} bytes", "name the right file"
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigurationError(f"{what} {path} does not exist", "check the path") from error
    except OSError as error:
        raise StorageError(f"{what} {path} cannot be read: {error}", "check the file") from error
