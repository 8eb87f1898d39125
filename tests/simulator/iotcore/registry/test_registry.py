from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certs.errors import ConfigurationError
from certs.store import Store
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry import CertificateStatus, Registry, Thing
from simulator.iotcore.registry_files import (
    DEVELOPMENT_POLICY,
    StoreRegistration,
    account_of,
    read_policies,
    read_registry,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ID = "ab" * 32
POLICY = """{"Version": "2012-10-17", "Statement":
 {"Effect": "Allow", "Action": "iot:Connect",
  "Resource": "arn:aws:iot:eu-central-1:42:client/*"}}"""


@pytest.fixture
def registry() -> Registry:
    """One certificate and two things."""
    found = Registry()
    found.register_certificate(ID)
    for name in ("a", "b"):
        found.put_thing(Thing(name))
    return found


def test_every_change_raises_the_revision(registry: Registry) -> None:
    """Open connections see that something changed; what changes nothing does not disturb them."""
    policy = Policy.parse("p", POLICY)
    changes: list[Callable[[], object]] = [
        lambda: registry.put_policy(policy),
        lambda: registry.attach_policy("p", ID),
        lambda: registry.attach_thing("a", ID),
        lambda: registry.set_status(ID, CertificateStatus.INACTIVE),
        lambda: registry.detach_thing("a", ID),
        lambda: registry.detach_policy("p", ID),
        lambda: registry.delete_certificate(ID),
    ]
    for change in changes:
        before = registry.revision
        change()
        assert registry.revision > before
    before = registry.revision
    registry.register_certificate(ID)
    registry.detach_thing("a", ID)
    assert registry.revision == before + 1


def test_refuses_what_does_not_fit(registry: Registry) -> None:
    """Unknown names, bad ids, an eleventh policy and a second exclusive thing are errors."""
    registry.attach_thing("a", ID)
    bad: list[Callable[[], object]] = [
        lambda: registry.register_certificate("xyz"),
        lambda: registry.attach_policy("unknown", ID),
        lambda: registry.attach_thing("unknown", ID),
        lambda: registry.attach_thing("a", "cd" * 32),
        lambda: registry.attach_thing("b", ID, exclusive=True),
        lambda: registry.put_thing(Thing("")),
        lambda: registry.put_thing(Thing("x" * 129)),
    ]
    for number in range(10):
        registry.put_policy(Policy.parse(f"p{number}", POLICY))
        registry.attach_policy(f"p{number}", ID)
    registry.put_policy(Policy.parse("eleventh", POLICY))
    bad.append(lambda: registry.attach_policy("eleventh", ID))
    for attempt in bad:
        with pytest.raises(ConfigurationError):
            attempt()


def write(folder: Path, text: str) -> Path:
    """A registry file beside a policy document."""
    (folder / "vehicle.json").write_text(POLICY, encoding="utf-8")
    path = folder / "registry.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_a_registry_file(tmp_path: Path) -> None:
    """Certificates by id with status, policies, things and attributes."""
    path = write(
        tmp_path,
        f"""
        region = "ap-northeast-2"
        account = "123456789012"
        [policies]
        vehicle = "vehicle.json"
        [things.car-1]
        type = "Car"
        attributes = {{ fleet = "seoul" }}
        [[certificates]]
        id = "{ID.upper()}"
        policies = ["vehicle"]
        things = ["car-1"]
        [[certificates]]
        id = "{"cd" * 32}"
        status = "INACTIVE"
        exclusive_thing = "car-2"
        """,
    )
    registry = Registry()
    account = read_registry(path, registry)
    assert account is not None
    assert account.arn_prefix == "arn:aws:iot:ap-northeast-2:123456789012:"
    assert registry.is_active(ID)
    assert not registry.is_active("cd" * 32)
    assert [policy.name for policy in registry.policies_of(ID)] == ["vehicle"]
    assert registry.thing_of(ID, "car-1") == Thing("car-1", "Car", {"fleet": "seoul"})
    assert registry.thing_of(ID, "other") is None
    assert registry.thing_of("cd" * 32, "other") == Thing("car-2")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[", "registry.toml"),
        ("colour = 1", "colour"),
        ("policies = 1", "policies"),
        ("certificates = 1", "certificates"),
        ("[policies]\nx = 'missing.json'", "missing.json"),
        ("[[certificates]]", "certificate 1"),
        (f"[[certificates]]\nid = '{ID}'\nfile = 'x'", "certificate 1"),
        ("[[certificates]]\nfile = 'missing.pem'", "missing.pem"),
        ("[[certificates]]\nfile = 'vehicle.json'", "vehicle.json"),
        (f"[[certificates]]\nid = '{ID}'\nstatus = 'SLEEPY'", "SLEEPY"),
        (f"[[certificates]]\nid = '{ID}'\npolicies = ['nope']", "nope"),
        (f"[[certificates]]\nid = '{ID}'\nthings = [7]", "7"),
        ("region = 7", "region"),
        ("[things.a]\nkind = 'x'", "kind"),
    ],
)
def test_a_broken_registry_file_names_the_place(tmp_path: Path, text: str, says: str) -> None:
    """Unknown keys, wrong types, missing files and unknown names are configuration errors."""
    with pytest.raises(ConfigurationError, match=says):
        read_registry(write(tmp_path, text), Registry())


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    """Registry, policy file and an empty policy folder."""
    with pytest.raises(ConfigurationError, match="gone"):
        read_registry(tmp_path / "gone.toml", Registry())
    with pytest.raises(ConfigurationError, match="gone"):
        read_policies([tmp_path / "gone.json"])
    with pytest.raises(ConfigurationError, match=r"no \.json"):
        read_policies([tmp_path])


def test_policies_are_named_after_their_files(tmp_path: Path) -> None:
    """A folder gives all its documents; the account is the one they all name."""
    for name in ("b", "a"):
        (tmp_path / f"{name}.json").write_text(POLICY, encoding="utf-8")
    policies = read_policies([tmp_path])
    assert [policy.name for policy in policies] == ["a", "b"]
    account = account_of(policies)
    assert account is not None
    assert (account.region, account.account_id) == ("eu-central-1", "42")
    assert account_of([DEVELOPMENT_POLICY]) is None


def test_things_of_a_store_are_registered_also_later_ones(tmp_path: Path) -> None:
    """Each with its own name, ACTIVE, and the policies of all."""
    store = Store(tmp_path)
    store.init_authority()
    first = store.issue_thing("car-1").certificate_id()
    registry = Registry()
    registration = StoreRegistration(registry, store, [DEVELOPMENT_POLICY])
    assert registration.refresh() == 1
    assert registration.refresh() == 0
    second = store.issue_thing("car-2").certificate_id()
    assert registration.refresh() == 1
    assert registry.is_active(first)
    assert registry.thing_of(second, "car-2") == Thing("car-2")
    assert [policy.name for policy in registry.policies_of(second)] == ["development"]
