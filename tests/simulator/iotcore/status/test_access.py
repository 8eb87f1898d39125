"""Who may ask for the pages."""

from __future__ import annotations

import pytest

from simulator.iotcore.registry import CertificateStatus, Registry
from simulator.iotcore.registry_files import register
from simulator.iotcore.status.access import Access, is_loopback, is_same_origin

OPERATOR, CAR, STRANGER = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def registry() -> Registry:
    """An operator and a car with their certificates."""
    found = Registry()
    register(found, OPERATOR, ["operator"])
    register(found, CAR, ["car-1"])
    return found


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.7", False),
        ("::ffff:192.0.2.7", False),
        ("fe80::1%eth0", False),
        ("", False),
        ("localhost", False),
    ],
)
def test_the_loopback_interface_is_known_by_its_addresses(address: str, *, expected: bool) -> None:
    """Names and other addresses are not this machine, whatever they say."""
    assert is_loopback(address) is expected


@pytest.mark.parametrize("reader", ["operator", OPERATOR, OPERATOR.upper()])
def test_a_certificate_is_named_by_its_thing_or_its_id(registry: Registry, reader: str) -> None:
    """It may ask from anywhere, and nobody else may."""
    access = Access(registry, loopback=True, readers=[reader])
    assert access.is_granted("192.0.2.7", OPERATOR)
    assert not access.is_granted("192.0.2.7", CAR)
    assert not access.is_granted("192.0.2.7", STRANGER)
    assert not access.is_granted("192.0.2.7", None)
    assert access.is_granted("127.0.0.1", None)


def test_a_certificate_must_be_active(registry: Registry) -> None:
    """One that was revoked opens nothing, though TLS still takes it."""
    registry.set_status(OPERATOR, CertificateStatus.REVOKED)
    access = Access(registry, loopback=False, readers=["operator"])
    assert not access.is_granted("192.0.2.7", OPERATOR)


def test_without_loopback_this_machine_needs_a_certificate(registry: Registry) -> None:
    """For a proxy beside it, through which everybody seems to come from here."""
    access = Access(registry, loopback=False, readers=["operator"])
    assert not access.is_granted("127.0.0.1", None)
    assert access.is_granted("127.0.0.1", OPERATOR)


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        (None, "localhost:8883", True),
        ("https://localhost:8883", "localhost:8883", True),
        ("https://LOCALHOST:8883", "localhost:8883", True),
        ("http://localhost:8883", "localhost:8883", False),
        ("https://evil.example", "localhost:8883", False),
        ("null", "localhost:8883", False),
        ("https://[", "localhost:8883", False),
        ("https://localhost:8883", None, False),
    ],
)
def test_a_page_of_another_site_is_recognised(
    origin: str | None, host: str | None, *, expected: bool
) -> None:
    """By the Origin that browsers send with every POST."""
    assert is_same_origin(origin, host) is expected
