"""Registry and services as documents on disk."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from certs.authority import create_authority
from simulator.iotcore.broker.message import Message
from simulator.iotcore.cloud import Cloud
from simulator.iotcore.permissions.account import Account
from simulator.iotcore.persistence.parts import Parts, parts_of
from simulator.iotcore.persistence.records import Kind
from simulator.iotcore.persistence.restoring import read
from simulator.iotcore.registry import Registry, Thing
from simulator.iotcore.registry_files import DEVELOPMENT_POLICY, register
from simulator.iotcore.services.provisioning_authority import DevelopmentAuthority

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT = Account("ap-northeast-2", "123456789012")
AUTHORITY = DevelopmentAuthority(create_authority("Test CA", datetime.now(UTC)))


def make_cloud(unix_s_at_zero: float = 1_700_000_000.0) -> Cloud:
    """An account with nothing in it."""
    return Cloud(
        Registry(),
        AUTHORITY,
        account=ACCOUNT,
        new_id=lambda: str(uuid.uuid4()),
        unix_s_at_zero=unix_s_at_zero,
    )


def report(cloud: Cloud, thing: str, state: Any) -> None:
    """Update a shadow."""
    payload = json.dumps({"state": {"reported": state}}).encode()
    message = Message(f"$aws/things/{thing}/shadow/update", payload, 0, 5.0)
    cloud.shadows.handle(message, thing, 5.0)


@pytest.fixture
def cloud() -> Cloud:
    """An account with something in every part."""
    found = make_cloud()
    issued = AUTHORITY.create(1_700_000_000.0)
    found.registry.put_policy(DEVELOPMENT_POLICY)
    register(
        found.registry,
        issued.certificate_id,
        ["car-0"],
        ["development"],
        pem=issued.certificate_pem,
    )
    for number in range(1, 300):
        found.registry.put_thing(Thing(f"car-{number}", attributes={"n": str(number)}))
    for number in range(300):
        report(found, f"car-{number}", {"gear": number, "deep": {"a": [1, 2]}})
    found.shadows.handle(Message("$aws/things/car-7/shadow/delete", b"", 0, 6.0), "car-7", 6.0)
    targets = [f"{ACCOUNT.arn_prefix}thing/car-{number}" for number in range(3)]
    request = {"jobId": "job", "targets": targets, "document": '{"do": "it"}'}
    found.jobs.control.create_job(request, 7.0)
    command = {
        "commandId": "stop",
        "namespace": "AWS-IoT",
        "payload": {"content": b"{}", "contentType": "application/json"},
    }
    made, _ = found.commands.create_command(command, 8.0)
    order = {"commandArn": made["commandArn"], "targetArn": targets[0], "clientToken": "t"}
    found.commands.start_command_execution(order, 9.0)
    body = {
        "Parameters": {"AWS::IoT::Certificate::Id": {"Type": "String"}},
        "Resources": {
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}},
            }
        },
    }
    template = {
        "templateName": "template",
        "templateBody": json.dumps(body),
        "provisioningRoleArn": "arn:aws:iam::123456789012:role/x",
        "enabled": True,
    }
    found.provisioning.create_provisioning_template(template, 10.0)
    return found


class Shelf:
    """What is on disk of the parts of an account."""

    def __init__(self, cloud: Cloud) -> None:
        self.parts = Parts()
        for name, part in parts_of(cloud).items():
            self.parts.add(name, part, {})
        self.records: dict[tuple[Kind, str], bytes] = {}
        self.time_s = 0.0

    def save(self, *, is_last: bool = True) -> list[str]:
        """Save; returns the keys of what changed."""
        changed = []
        for step in self.parts.changes(lambda: self.time_s, is_last=is_last):
            if step is not None:
                changed.append(step.key)
                if step.value is None:
                    del self.records[step.kind, step.key]
                else:
                    self.records[step.kind, step.key] = step.value
        return changed

    def rows(self) -> Iterator[tuple[Kind, str, bytes]]:
        """The records as a data directory gives them."""
        return ((kind, key, value) for (kind, key), value in self.records.items())

    def restored(self, unix_s_at_zero: float = 1_700_000_000.0) -> Cloud:
        """The account of the next process."""
        cloud = make_cloud(unix_s_at_zero)
        documents = read(self.rows(), 0.0).documents
        parts = Parts()
        for name, part in parts_of(cloud).items():
            parts.add(name, part, documents)
        return cloud


def test_everything_of_an_account_comes_back(cloud: Cloud) -> None:
    """Every part of the next process has what that of the last one had."""
    shelf = Shelf(cloud)
    shelf.save()
    restored = parts_of(shelf.restored(unix_s_at_zero=1_700_001_000.0))
    for name, part in parts_of(cloud).items():
        assert restored[name].dump() == part.dump(), name


def test_only_what_changed_is_written_again(cloud: Cloud) -> None:
    """One shadow of three hundred is one stretch of the list."""
    shelf = Shelf(cloud)
    assert len(shelf.save()) > 8
    assert shelf.save() == []
    report(cloud, "car-250", {"gear": 1000})
    (changed,) = shelf.save()
    assert changed.startswith("shadows/")
    restored = shelf.restored()
    assert restored.shadows.dump() == cloud.shadows.dump()


def test_a_list_that_shrinks_leaves_nothing_behind(cloud: Cloud) -> None:
    """Stretches that are not needed any more are taken away."""
    shelf = Shelf(cloud)
    shelf.save()
    for number in range(200):
        topic = f"$aws/things/car-{number}/shadow/delete"
        cloud.shadows.handle(Message(topic, b"", 0, 6.0), None, 6.0)
    shelf.save()
    assert shelf.restored().shadows.dump() == cloud.shadows.dump()
    fresh = Shelf(cloud)
    fresh.save()
    assert shelf.records == fresh.records


def test_a_part_that_takes_long_is_asked_seldom(cloud: Cloud) -> None:
    """A quarter of a second for one answer means at least 25 seconds until the next question."""
    shelf = Shelf(cloud)
    dump = cloud.defender.dump

    class Slow:
        def dump(self) -> dict[str, Any]:
            shelf.time_s += 0.25
            return dump()

        def load(self, _document: dict[str, Any], /) -> None:
            raise AssertionError

    shelf.parts = Parts()
    shelf.parts.add("slow", Slow(), {})
    assert shelf.save(is_last=False) == ["slow"]
    cloud.defender.accepted += 1
    shelf.time_s = 25.0
    assert shelf.save(is_last=False) == []
    shelf.time_s = 25.5
    assert shelf.save(is_last=False) == ["slow"]
    cloud.defender.accepted += 1
    assert shelf.save(is_last=True) == ["slow"]


def test_a_missing_stretch_is_damage(cloud: Cloud) -> None:
    """Half a list is not taken for the whole one."""
    shelf = Shelf(cloud)
    shelf.save()
    del shelf.records[next(key for key in shelf.records if key[0] is Kind.STRETCH)]
    with pytest.raises(ValueError, match="is missing"):
        shelf.restored()
