"""The health of identities on disk: reads their files and runs every check that applies.

Owns which checks an identity, the CA and the server certificate have to pass. The checks themselves
are pure and live in `certs.inspection`. Used by `morai-certs check`, and by the agent for the files
its configuration names.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from cryptography.x509.oid import ExtendedKeyUsageOID

from certs.authority import thing_of_certificate
from certs.disk import read_public
from certs.errors import ConfigurationError, EdgeError, StorageError
from certs.inspection import (
    WARNING_DAYS,
    Finding,
    Verdict,
    check_authority,
    check_chain,
    check_key,
    check_purpose,
    check_strength,
    check_thing,
    check_validity,
)
from certs.pem import load_certificates, load_private_key
from certs.permissions import exposure, restrict_command

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from cryptography import x509

    from certs.store import Store


def trusted_roots(store: Store) -> tuple[list[x509.Certificate], list[Finding]]:
    """The certificates the store trusts, and a failure for each file that cannot be read."""
    certificates: list[x509.Certificate] = []
    findings: list[Finding] = []
    own = [store.ca_certificate_path] if store.has_authority() else []
    for path in (*own, *store.roots()):
        try:
            certificates += load_certificates(read_public(path), str(path))
        except (ConfigurationError, StorageError) as error:
            findings.append(_failure("root", error))
    return certificates, findings


def audit_files(
    certificate_path: Path,
    key_path: Path,
    roots: list[x509.Certificate],
    now: datetime,
    *,
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    warning_days: int = WARNING_DAYS,
) -> list[Finding]:
    """Check one certificate file and its key file.

    Args:
        certificate_path: The certificate, with its intermediates if there are any.
        key_path: Its private key.
        roots: The CAs that are trusted.
        now: The present, with a time zone.
        purpose: The role in TLS: `ExtendedKeyUsageOID.CLIENT_AUTH` or `SERVER_AUTH`.
        warning_days: How many days before its end a certificate is worth a note.

    Returns:
        One finding a check; never raises for what is wrong with the files.
    """
    findings: list[Finding] = []
    chain: list[x509.Certificate] = []
    try:
        chain = load_certificates(read_public(certificate_path), str(certificate_path))
    except (ConfigurationError, StorageError) as error:
        findings.append(_failure("certificate", error, cured_by_replacing=True))
    else:
        findings += [
            check_validity(chain[0], now, warning_days),
            check_chain(chain, roots, now),
            check_purpose(chain[0], purpose),
            check_strength(chain[0]),
        ]
    return findings + _audit_key(key_path, chain)


def audit_thing(
    store: Store,
    name: str,
    roots: list[x509.Certificate],
    now: datetime,
    warning_days: int = WARNING_DAYS,
) -> list[Finding]:
    """Check a thing of the store: as `audit_files`, and that the certificate is this thing's.

    Raises:
        ConfigurationError: There is no such thing.
    """
    identity = store.identity(name)
    findings = audit_files(
        identity.certificate_path, identity.key_path, roots, now, warning_days=warning_days
    )
    own = store.has_authority()
    with suppress(ConfigurationError, StorageError):
        certificate = identity.certificate()
        findings.append(check_thing(certificate, name))
        own = thing_of_certificate(certificate) is not None
    command = f"issue {name} --force" if own else f"import {name} --cert ... --key ... --force"
    return _with_command(findings, store.command(command))


def audit_server(
    store: Store,
    roots: list[x509.Certificate],
    now: datetime,
    warning_days: int = WARNING_DAYS,
) -> list[Finding]:
    """Check the server certificate of the store.

    Raises:
        ConfigurationError: There is none.
    """
    identity = store.server_identity()
    findings = audit_files(
        identity.certificate_path,
        identity.key_path,
        roots,
        now,
        purpose=ExtendedKeyUsageOID.SERVER_AUTH,
        warning_days=warning_days,
    )
    return _with_command(findings, store.command("server --force"))


def audit_authority(store: Store, now: datetime, warning_days: int = WARNING_DAYS) -> list[Finding]:
    """Check the development CA: its validity, strength, key and permissions."""
    findings: list[Finding] = []
    chain: list[x509.Certificate] = []
    path = store.ca_certificate_path
    try:
        chain = load_certificates(read_public(path), str(path))
    except (ConfigurationError, StorageError) as error:
        findings.append(_failure("certificate", error, cured_by_replacing=True))
    else:
        findings += [
            check_validity(chain[0], now, warning_days),
            check_strength(chain[0]),
            check_authority(chain[0]),
        ]
    findings += _audit_key(store.ca_key_path, chain)
    return _with_command(findings, store.command("init --force"))


def _audit_key(path: Path, chain: list[x509.Certificate]) -> list[Finding]:
    findings: list[Finding] = []
    try:
        # Not behind the guard: a key that others can read is still worth comparing.
        key = load_private_key(read_public(path), str(path))
        if chain:
            findings.append(check_key(chain[0], key))
    except (ConfigurationError, StorageError) as error:
        findings.append(_failure("key", error, cured_by_replacing=True))
    with suppress(OSError):
        readers = exposure(path)
        findings.append(
            Finding("permissions", Verdict.OK, "only the owner can read the key")
            if readers is None
            else Finding(
                "permissions",
                Verdict.FAILED,
                f"others can read the key ({readers})",
                f"{restrict_command(path)}; replace the key if others had the chance",
            )
        )
    return findings


def _failure(check: str, error: EdgeError, *, cured_by_replacing: bool = False) -> Finding:
    remedy = f"{error.remedy}, or replace it" if cured_by_replacing else error.remedy
    return Finding(check, Verdict.FAILED, error.what, remedy, cured_by_replacing=cured_by_replacing)


def _with_command(findings: list[Finding], command: str) -> list[Finding]:
    return [
        replace(finding, remedy=f"{finding.remedy}: {command}")
        if finding.cured_by_replacing
        else finding
        for finding in findings
    ]
