from __future__ import annotations

import hashlib
import pickle
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certs.errors import ConfigurationError
from certs.store import Store
from simulator.load.target.identities import AuthorityPem, Identities, mint_range
from simulator.scenario.roster import Roster
from tests.simulator.load.documents import scenario

if TYPE_CHECKING:
    from simulator.load.target.identities import KeyPair

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOWHERE = Path("no such folder")


def fits(pair: KeyPair, ca_pem: bytes) -> bool:
    """Whether key and certificate belong together and the CA signed it; else it raises."""
    certificate = x509.load_pem_x509_certificate(pair.certificate_pem)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca_pem))
    key = load_pem_private_key(pair.key_pem, None)
    return key.public_key() == certificate.public_key()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Eleven cars and three applications."""
    found = Store(tmp_path_factory.mktemp("fleet") / "identities")
    found.init_authority()
    list(found.issue_things([*(f"car-{n}" for n in range(1, 12)), "app-1", "app-2", "app-3"]))
    return found


def from_store(store: Store, count: int, **more: str) -> Identities:
    """Identities for a number of cars and the three connections of applications."""
    part = {"kind": "store", "path": store.root.name, **more}
    vehicles = [{"name": "city", "count": count}]
    return Identities.prepare(
        scenario(identities=part, vehicles=vehicles, target={"kind": "broker", "host": "b"}),
        store.root.parent,
    )


def test_a_worker_makes_the_identities_of_its_own_cars() -> None:
    """What a worker gets can be pickled, and yields certificates for the names of its range."""
    wanted = scenario()
    identities = Identities.prepare(wanted, NOWHERE, NOW)
    handed_over = pickle.loads(pickle.dumps(identities.cars(1, 3)))

    pairs = handed_over.pairs(NOW)

    roster = Roster(wanted)
    assert [pair.thing for pair in pairs] == [roster.thing(1), roster.thing(2)]
    assert [pair.thing for pair in pairs] == ["load-city-0002", "load-city-0003"]
    assert all(fits(pair, identities.trusted[0]) for pair in pairs)
    der = [ssl.PEM_cert_to_DER_cert(pair.certificate_pem.decode()) for pair in pairs]
    assert [pair.certificate_id for pair in pairs] == [hashlib.sha256(d).hexdigest() for d in der]
    assert len({pair.key_pem for pair in pairs}) == 2


def test_applications_have_names_no_car_can_have() -> None:
    """Each connection has an identity of its own, made before the run and known by its id."""
    identities = Identities.prepare(scenario(), NOWHERE, NOW)

    assert identities.applications == {
        "observers": ("load:observers:0001",),
        "commanders": ("load:commanders:0001", "load:commanders:0002"),
    }
    pair = identities.application("load:commanders:0002")
    assert pair is not None
    assert fits(pair, identities.trusted[0])
    assert (pair.certificate_id, "load:commanders:0002") in identities.known_applications()
    assert identities.known_cars() == []


def test_a_wrong_identity_has_the_right_name_and_another_ca() -> None:
    """The wrong-certificate fault shows a certificate nobody's CA signed."""
    identities = Identities.prepare(scenario(), NOWHERE, NOW)

    wrong = identities.cars(0, 1).wrong_pair("load-city-0001", NOW)

    assert wrong.thing == "load-city-0001"
    assert fits(wrong, identities.foreign.certificate_pem)
    with pytest.raises(ValueError, match=r"[Ii]ssuer"):
        fits(wrong, identities.trusted[0])


def test_minting_tells_how_far_it_is() -> None:
    """Progress rises and ends with the number asked for."""
    told: list[int] = []

    mint_range(AuthorityPem.make("ca", NOW), [f"car-{n}" for n in range(510)], NOW, told.append)

    assert told == [250, 500, 510]


def test_private_keys_do_not_show() -> None:
    """Text forms, as logs and tracebacks hold them, have no part of a key."""
    identities = Identities.prepare(scenario(), NOWHERE, NOW)
    shown = repr(identities.authority) + repr(identities.cars(0, 3)) + repr(identities.sample())

    assert "PRIVATE" not in shown
    assert "BEGIN" not in shown


def test_a_store_gives_its_things_in_natural_order(store: Store) -> None:
    """car-2 comes before car-10, applications take the things named app-, all are known."""
    told: list[int] = []
    part = {"kind": "store", "path": store.root.name}
    document = scenario(
        identities=part,
        vehicles=[{"name": "city", "count": 10}],
        target={"kind": "broker", "host": "b"},
    )

    identities = Identities.prepare(document, store.root.parent, on_progress=told.append)

    assert identities.things == [f"car-{n}" for n in range(1, 11)]
    assert identities.applications == {"observers": ("app-1",), "commanders": ("app-2", "app-3")}
    pairs = identities.cars(1, 3).pairs(NOW)
    assert pairs is not None
    assert [pair.thing for pair in pairs] == ["car-2", "car-3"]
    ca_pem = store.ca_certificate_path.read_bytes()
    assert all(fits(pair, ca_pem) for pair in pairs)
    assert identities.trusted == (ca_pem,)
    assert (store.identity("car-10").certificate_id(), "car-10") in identities.known_cars()
    assert len(identities.known_cars()) == 10
    assert told == [13]


def test_a_prefix_picks_cars_of_a_store(store: Store) -> None:
    """Only things whose name begins like that are used."""
    identities = from_store(store, 2, prefix="car-1")

    assert identities.things == ["car-1", "car-10"]


def test_a_store_that_is_too_small_says_what_to_run(store: Store) -> None:
    """The error has both numbers and the very command that makes the missing ones."""
    with pytest.raises(ConfigurationError) as caught:
        from_store(store, 40)

    assert "11 things for 40 cars" in caught.value.what
    assert (
        f"morai-certs issue --count 40 --prefix car- --skip-existing --store {store.root}"
        in caught.value.remedy
    )


def test_the_command_of_the_remedy_makes_enough(tmp_path: Path) -> None:
    """Following the advice for an empty folder makes the store sufficient."""
    store = Store(tmp_path / "identities")
    with pytest.raises(ConfigurationError) as caught:
        from_store(store, 2)
    assert caught.value.remedy.count("morai-certs") == 3

    store.init_authority()
    list(store.issue_things(["car-0001", "car-0002", "app-0001", "app-0002", "app-0003"]))

    assert from_store(store, 2).things == ["car-0001", "car-0002"]


def test_cars_cannot_be_named_like_applications(store: Store) -> None:
    """A prefix that only applications have is refused."""
    with pytest.raises(ConfigurationError, match="for applications"):
        from_store(store, 1, prefix="app-")


def test_a_key_of_another_certificate_is_found_before_the_run(tmp_path: Path) -> None:
    """Files that do not belong together are named."""
    store = Store(tmp_path / "identities")
    store.init_authority()
    list(store.issue_things(["car-1", "car-2", "app-1", "app-2", "app-3"]))
    wrong = store.identity("car-2").key_path
    wrong.write_bytes(store.identity("car-1").key_path.read_bytes())

    with pytest.raises(ConfigurationError, match="is not the key of") as caught:
        from_store(store, 2)

    assert str(wrong) in caught.value.what


def test_certificates_of_another_ca_are_trusted_by_themselves(store: Store, tmp_path: Path) -> None:
    """An imported certificate, such as one AWS made, is in what the stand-in must trust."""
    mixed = Store(tmp_path / "identities")
    mixed.init_authority()
    list(mixed.issue_things(["car-1", "app-1", "app-2", "app-3"]))
    foreign = store.identity("car-2")
    mixed.import_thing(
        "car-2", foreign.certificate_path.read_bytes(), foreign.key_path.read_bytes()
    )

    identities = from_store(mixed, 2)

    assert identities.trusted == (
        mixed.ca_certificate_path.read_bytes(),
        foreign.certificate_path.read_bytes(),
    )


def test_without_identities_there_are_only_names() -> None:
    """Cars and applications connect without certificates."""
    document = scenario(
        identities={"kind": "none"}, target={"kind": "broker", "host": "b", "tls": False}
    )
    identities = Identities.prepare(document, NOWHERE, NOW)

    assert identities.cars(0, 3).pairs(NOW) is None
    assert identities.cars(0, 3).things[0] == "load-city-0001"
    assert identities.application("load:observers:0001") is None
    assert identities.sample() is None
    assert identities.trusted == ()


def test_probes_share_one_identity(store: Store) -> None:
    """It is made for the run, also beside those of a store, and the stand-in trusts its CA."""
    probes = [{"quotas": ["payload-bytes"]}]
    made = Identities.prepare(scenario(probes=probes), NOWHERE, NOW)
    part = {"kind": "store", "path": store.root.name}
    beside = Identities.prepare(scenario(probes=probes, identities=part), store.root.parent, NOW)

    for identities in (made, beside):
        assert identities.probe is not None
        assert identities.known_probes() == [(identities.probe.certificate_id, "load:probe")]
        assert fits(identities.probe, identities.trusted[-1])
    assert Identities.prepare(scenario(), NOWHERE, NOW).known_probes() == []
