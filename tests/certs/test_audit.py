"""Tests of `certs.audit`."""

from __future__ import annotations

import shutil
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from certs.audit import audit_authority, audit_files, audit_server, audit_thing, trusted_roots
from certs.authority import create_authority, mint_device
from certs.errors import ConfigurationError
from certs.inspection import Finding, Verdict

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from certs.store import Identity, Store

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="file modes are POSIX")


def failures(findings: list[Finding]) -> dict[str, Finding]:
    """The failed checks by name."""
    return {finding.check: finding for finding in findings if finding.verdict is Verdict.FAILED}


def audit(store: Store, name: str, now: datetime) -> dict[str, Finding]:
    """The failed checks of a thing."""
    roots, _ = trusted_roots(store)
    return failures(audit_thing(store, name, roots, now))


@pytest.fixture
def car(store: Store, now: datetime) -> Identity:
    """A thing called `car-1`, valid for sixty days."""
    return store.issue_thing("car-1", now=now, days=60)


def test_a_sound_store_passes(store: Store, car: Identity, now: datetime) -> None:
    """What the store itself made passes every check."""
    store.issue_server(now=now)
    roots, unreadable = trusted_roots(store)
    thing = audit_thing(store, car.name, roots, now)

    assert unreadable == []
    assert [finding.check for finding in thing] == [
        "validity",
        "chain",
        "purpose",
        "strength",
        "key",
        "permissions",
        "thing",
    ]
    for findings in (thing, audit_server(store, roots, now), audit_authority(store, now)):
        assert {finding.verdict for finding in findings} == {Verdict.OK}


def test_an_expired_thing_names_the_command(store: Store, car: Identity, now: datetime) -> None:
    """The remedy of an expired certificate is the command that replaces it."""
    found = audit(store, car.name, now + timedelta(days=61))

    assert found.keys() == {"validity"}
    assert "morai-certs issue car-1 --force" in found["validity"].remedy


def test_a_thing_that_expires_soon_is_a_note(store: Store, car: Identity, now: datetime) -> None:
    """How soon is soon is the caller's choice."""
    roots, _ = trusted_roots(store)
    late = audit_thing(store, car.name, roots, now, warning_days=61)

    assert [finding.check for finding in late if finding.verdict is Verdict.NOTE] == ["validity"]


def test_the_key_of_another_thing_fails(store: Store, car: Identity, now: datetime) -> None:
    """A key that was copied from another thing does not match."""
    shutil.copy(store.issue_thing("car-2", now=now).key_path, car.key_path)

    assert audit(store, car.name, now).keys() == {"key"}


def test_a_folder_that_was_copied_fails(store: Store, car: Identity, now: datetime) -> None:
    """A thing whose folder is a copy of another's has a sound pair, but not its own."""
    shutil.copytree(car.key_path.parent, store.things_folder / "car-2")
    found = audit(store, "car-2", now)

    assert found.keys() == {"thing"}
    assert found["thing"].what == "the certificate was issued for 'car-1'"


@posix_only
def test_a_readable_key_fails_and_is_still_compared(
    store: Store, car: Identity, now: datetime
) -> None:
    """A key others can read fails for that alone, with the command that mends it."""
    car.key_path.chmod(0o640)
    found = audit(store, car.name, now)

    assert found.keys() == {"permissions"}
    assert f"chmod 600 {car.key_path}" in found["permissions"].remedy


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "is damaged"),
    ],
)
def test_a_bad_certificate_fails_and_the_key_is_still_checked(
    store: Store, car: Identity, now: datetime, damage: bytes | None, text: str
) -> None:
    """A certificate that is gone, empty or garbled fails; permissions are checked all the same."""
    car.certificate_path.unlink()
    if damage is not None:
        car.certificate_path.write_bytes(damage)
    roots, _ = trusted_roots(store)
    findings = audit_thing(store, car.name, roots, now)

    assert failures(findings).keys() == {"certificate"}
    assert text in failures(findings)["certificate"].what
    assert "permissions" in {finding.check for finding in findings}


def test_a_missing_key_fails(store: Store, car: Identity, now: datetime) -> None:
    """A thing without its key fails with the path of the key."""
    car.key_path.unlink()
    found = audit(store, car.name, now)

    assert found.keys() == {"key"}
    assert str(car.key_path) in found["key"].what


def test_a_new_ca_orphans_what_the_old_one_issued(
    store: Store, car: Identity, now: datetime
) -> None:
    """After `init --force` the chain of every older thing fails."""
    store.init_authority("Store CA", now=now, force=True)

    assert audit(store, car.name, now).keys() == {"chain"}


def test_a_foreign_ca_can_be_trusted_through_roots(store: Store, now: datetime) -> None:
    """An imported certificate fails until its CA lies in `roots/`."""
    ca = create_authority("Company CA", now)
    made = mint_device("car-9", ca, now)
    store.import_thing("car-9", made.certificate_pem, made.private_key_pem)
    before = audit(store, "car-9", now)
    store.add_root("company.pem", ca.certificate_pem)
    after = audit(store, "car-9", now)

    assert before.keys() == {"chain"}
    assert after == {}


def test_an_unreadable_root_is_a_finding(store: Store, now: datetime) -> None:
    """A damaged root does not hide the sound ones."""
    store.add_root("good.pem", create_authority("Good", now).certificate_pem)
    (store.roots_folder / "bad.pem").write_bytes(b"x")
    roots, findings = trusted_roots(store)

    assert [root.subject.rfc4514_string() for root in roots] == ["CN=Store CA", "CN=Good"]
    assert [finding.check for finding in findings] == ["root"]
    assert "bad.pem" in findings[0].what


def test_a_device_in_the_place_of_the_ca_fails(store: Store, car: Identity, now: datetime) -> None:
    """A CA folder that holds a device's pair is no CA."""
    shutil.copy(car.certificate_path, store.ca_certificate_path)
    shutil.copy(car.key_path, store.ca_key_path)

    assert failures(audit_authority(store, now)).keys() == {"purpose"}


def test_a_device_in_the_place_of_the_server_fails(
    store: Store, car: Identity, now: datetime
) -> None:
    """A server folder that holds a device's pair serves nobody."""
    server = store.issue_server(now=now)
    shutil.copy(car.certificate_path, server.certificate_path)
    shutil.copy(car.key_path, server.key_path)
    roots, _ = trusted_roots(store)

    assert failures(audit_server(store, roots, now)).keys() == {"purpose"}


def test_any_two_files_can_be_audited(tmp_path: Path, now: datetime) -> None:
    """The files of a configuration are checked without a store, and nothing is raised."""
    findings = audit_files(tmp_path / "cert.pem", tmp_path / "key.pem", [], now)

    assert failures(findings).keys() == {"certificate", "key"}


def test_unknown_things_are_refused(store: Store, now: datetime) -> None:
    """A thing that does not exist is a mistake of the caller, not a finding."""
    with pytest.raises(ConfigurationError, match="no thing 'car-7'"):
        audit_thing(store, "car-7", [], now)
