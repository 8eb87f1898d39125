"""Tests of `certs.store`."""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certs.authority import create_authority, mint_device
from certs.errors import ConfigurationError, StorageError
from certs.pem import load_certificate, load_private_key, load_request
from certs.store import Store, read_private_key_guard

if TYPE_CHECKING:
    from datetime import datetime

    from certs.authority import Credential

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="file modes are POSIX")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder and what it holds."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def entries(folder: Path) -> list[str]:
    """The names in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def mode_of(path: Path) -> int:
    """The permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_layout(store: Store, now: datetime) -> None:
    """CA, things and server lie where the documentation says, and nothing else does."""
    store.issue_thing("car-1", now=now)
    store.issue_server(["broker.lab"], now=now)

    assert sorted(contents(store.root)) == [
        ".gitignore",
        "ca/ca.key",
        "ca/ca.pem",
        "server/cert.pem",
        "server/key.pem",
        "things/car-1/cert.pem",
        "things/car-1/csr.pem",
        "things/car-1/key.pem",
    ]
    assert (store.root / ".gitignore").read_text() == "*\n"


def test_an_issued_identity_hangs_together(store: Store, now: datetime) -> None:
    """Key, request and certificate share one key, and the CA of the store signed it."""
    identity = store.issue_thing("car-1", now=now, days=9)
    certificate = load_certificate(identity.certificate_path.read_bytes(), "cert")
    key = load_private_key(identity.key_path.read_bytes(), "key")
    request = load_request((identity.certificate_path.parent / "csr.pem").read_bytes(), "csr")
    ca = load_certificate(identity.ca_path.read_bytes(), "ca")

    assert certificate.public_key() == key.public_key() == request.public_key()
    certificate.verify_directly_issued_by(ca)
    assert certificate.not_valid_after_utc == now + timedelta(days=9)
    assert identity == store.identity("car-1")
    assert identity.certificate() == certificate
    assert len(identity.certificate_id()) == 64


@posix_only
def test_modes_do_not_depend_on_the_umask(tmp_path: Path, now: datetime) -> None:
    """Keys are 0600 in folders of 0700 even if the user's umask lets everything through."""
    store = Store(tmp_path / "identities")
    before = os.umask(0)
    try:
        store.init_authority(now=now)
        identity = store.issue_thing("car-1", now=now)
        server = store.issue_server(now=now)
    finally:
        os.umask(before)

    for key in (identity.key_path, server.key_path, store.ca_key_path):
        assert mode_of(key) == 0o600
        assert mode_of(key.parent) == 0o700
        read_private_key_guard(key)


def test_names_that_windows_forbids_are_stored(store: Store, now: datetime) -> None:
    """A thing name with a colon or of a device has a folder of its own and its name back."""
    store.issue_thing("fleet:car", now=now)
    store.issue_thing("nul", now=now)

    assert store.things() == ["fleet:car", "nul"]
    assert store.identity("fleet:car").certificate_path.parent.name == "fleet+car"
    assert store.identity("nul").certificate_path.parent.name == "nul="


def test_things_are_in_natural_order(store: Store, now: datetime) -> None:
    """Things sort by number, and stray files and temporary folders are not things."""
    list(store.issue_things(["car-10", "car-9", "a"], now=now))
    (store.things_folder / ".new-1").mkdir()
    (store.things_folder / "note.txt").write_text("x")
    (store.things_folder / "plain").write_text("x")

    assert store.things() == ["a", "car-9", "car-10"]
    assert Store(store.root / "elsewhere").things() == []


def test_many_things_are_issued_in_order(store: Store, now: datetime) -> None:
    """A series longer than a batch comes out complete, in order, each with its own key."""
    names = [f"car-{number}" for number in range(250)]
    issued = list(store.issue_things(names, now=now))

    assert [identity.name for identity in issued] == names
    assert store.things() == names
    assert len({identity.certificate_id() for identity in issued}) == 250


def test_an_interrupted_series_leaves_whole_identities(store: Store, now: datetime) -> None:
    """Whoever stops iterating finds only complete things and no temporary folders."""
    series = store.issue_things((f"car-{number}" for number in range(250)), now=now)
    for _ in range(3):
        next(series)
    del series

    names = store.things()
    assert 3 <= len(names) < 250
    assert len(names) == len(entries(store.things_folder))
    for name in names:
        folder = store.identity(name).key_path.parent
        assert entries(folder) == ["cert.pem", "csr.pem", "key.pem"]


def test_nothing_is_overwritten_unasked(store: Store, now: datetime) -> None:
    """A second CA, thing or server is refused and every file stays as it was."""
    store.issue_thing("car-1", now=now)
    store.issue_server(now=now)
    before = contents(store.root)

    with pytest.raises(ConfigurationError, match="a CA exists already"):
        store.init_authority(now=now)
    with pytest.raises(ConfigurationError, match="'car-1' exists already"):
        store.issue_thing("car-1", now=now)
    with pytest.raises(ConfigurationError, match="a server certificate exists already"):
        store.issue_server(now=now)
    assert contents(store.root) == before


def test_one_existing_thing_stops_a_series_before_it_begins(store: Store, now: datetime) -> None:
    """A series with a taken name issues nothing at all."""
    store.issue_thing("b", now=now)

    with pytest.raises(ConfigurationError, match=r"1 of 3 things exist already in .*: b"):
        store.issue_things(["a", "b", "c"], now=now)
    assert store.things() == ["b"]


def test_force_replaces(store: Store, now: datetime) -> None:
    """With force, CA, thing and server get new keys, and no trace of the old ones is left."""
    store.issue_thing("car-1", now=now)
    store.issue_server(now=now)
    before = contents(store.root)
    store.init_authority(now=now, force=True)
    store.issue_thing("car-1", now=now, force=True)
    store.issue_server(now=now, force=True)
    after = contents(store.root)

    assert before.keys() == after.keys()
    assert [name for name in before if before[name] == after[name]] == [".gitignore"]
    assert store.authority().certificate.subject.rfc4514_string() == "CN=morai-edge development CA"


def test_a_full_disk_leaves_everything_as_it_was(
    store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk gives out while replacing, the old identity is whole and nothing is left over."""
    store.issue_thing("car-1", now=now)
    before = contents(store.root)

    def no_space(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)

    with pytest.raises(StorageError, match="No space left") as caught:
        list(store.issue_things(["car-1", "car-2"], now=now, force=True))
    assert caught.value.remedy == "free some space on the disk"
    assert contents(store.root) == before
    assert entries(store.things_folder) == ["car-1"]


def test_two_who_issue_the_same_thing(store: Store, now: datetime) -> None:
    """Of several at the same time one wins and the others are told; the identity is whole."""
    start = threading.Barrier(4)

    def issue(_: int) -> str:
        start.wait()
        try:
            return store.issue_thing("car-1", now=now).certificate_id()
        except ConfigurationError:
            return "exists"

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(issue, range(4)))
    identity = store.identity("car-1")

    assert results.count("exists") == 3
    assert identity.certificate_id() in results
    assert (
        load_private_key(identity.key_path.read_bytes(), "key").public_key()
        == identity.certificate().public_key()
    )


@pytest.mark.parametrize("name", ["../escape", "a/b", "..", "", "a" * 129])
def test_names_cannot_leave_the_store(store: Store, now: datetime, name: str) -> None:
    """A path is no thing name, for issuing, importing and reading alike."""
    before = contents(store.root.parent)

    with pytest.raises(ConfigurationError):
        store.issue_thing(name, now=now)
    with pytest.raises(ConfigurationError):
        store.identity(name)
    with pytest.raises(ConfigurationError):
        store.import_thing(name, b"", b"")
    assert contents(store.root.parent) == before


def test_repeated_names_are_refused(store: Store, now: datetime) -> None:
    """A series that names a thing twice issues nothing."""
    with pytest.raises(ConfigurationError, match="more than once"):
        store.issue_things(["a", "b", "a"], now=now)
    assert store.things() == []


def test_without_a_ca_nothing_is_issued(tmp_path: Path) -> None:
    """Without a CA the remedy is to make one, and no folder appears."""
    store = Store(tmp_path / "none")

    for attempt in (lambda: store.issue_thing("car-1"), store.issue_server, store.authority):
        with pytest.raises(ConfigurationError, match="no CA") as caught:
            attempt()
        assert "morai-certs init --store" in caught.value.remedy
    assert not store.root.exists()


@posix_only
def test_a_ca_key_that_others_can_read_signs_nothing(store: Store, now: datetime) -> None:
    """The guard stands before the key of the CA too."""
    store.ca_key_path.chmod(0o644)

    with pytest.raises(ConfigurationError, match="can be read by others"):
        store.issue_thing("car-1", now=now)


def test_a_ca_with_another_key_signs_nothing(
    store: Store, authority: Credential, now: datetime
) -> None:
    """A CA certificate beside the key of another CA is refused before it spoils identities."""
    store.ca_key_path.write_bytes(authority.private_key_pem)

    with pytest.raises(ConfigurationError, match="is not the key of"):
        store.issue_thing("car-1", now=now)


def test_a_damaged_ca_is_named(store: Store, now: datetime) -> None:
    """A CA file that was cut off is named with its path."""
    data = store.ca_certificate_path.read_bytes()
    store.ca_certificate_path.write_bytes(data[:100])

    with pytest.raises(ConfigurationError, match=r"ca\.pem is damaged"):
        store.issue_thing("car-1", now=now)


def test_a_file_in_the_way_is_a_storage_error(tmp_path: Path, now: datetime) -> None:
    """Where a folder cannot be made, the path and the reason are told."""
    (tmp_path / "file").write_text("x")

    with pytest.raises(StorageError, match=r"cannot be written") as caught:
        Store(tmp_path / "file" / "store").init_authority(now=now)
    assert "--store" in caught.value.remedy


def test_a_stray_file_is_not_replaced(store: Store, now: datetime) -> None:
    """A file where a thing's folder belongs is left alone even with force."""
    store.things_folder.mkdir(exist_ok=True)
    (store.things_folder / "car-1").write_text("mine")

    with pytest.raises(ConfigurationError, match="exists already"):
        store.issue_thing("car-1", now=now)
    with pytest.raises(ConfigurationError, match="in the way"):
        store.issue_thing("car-1", now=now, force=True)
    assert (store.things_folder / "car-1").read_text() == "mine"


@posix_only
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_a_storage_error(tmp_path: Path, now: datetime) -> None:
    """A folder without write permission is told with the remedy."""
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="Permission denied") as caught:
            Store(tmp_path / "store").init_authority(now=now)
    finally:
        tmp_path.chmod(0o700)
    assert caught.value.remedy.startswith("run as the owner")


def test_import_takes_in_a_foreign_identity(tmp_path: Path, now: datetime) -> None:
    """A certificate made elsewhere lies like an issued one, in a store without a CA."""
    made = mint_device("x", create_authority("Elsewhere", now), now)
    store = Store(tmp_path / "identities")
    root = store.add_root("AmazonRootCA1.pem", create_authority("R", now).certificate_pem)
    identity = store.import_thing("car-1", made.certificate_pem, made.private_key_pem)

    assert identity.certificate_id() == made.certificate_id
    assert identity.ca_path == root
    read_private_key_guard(identity.key_path)
    assert store.things() == ["car-1"]
    assert not store.has_authority()


def test_import_refuses_what_does_not_fit(store: Store, now: datetime) -> None:
    """The key of another certificate, and a name that is taken, are refused."""
    ca = create_authority("Elsewhere", now)
    one, two = mint_device("one", ca, now), mint_device("two", ca, now)

    with pytest.raises(ConfigurationError, match="belongs to another certificate"):
        store.import_thing("car-1", one.certificate_pem, two.private_key_pem)
    assert store.things() == []
    store.import_thing("car-1", one.certificate_pem, one.private_key_pem)
    with pytest.raises(ConfigurationError, match="exists already"):
        store.import_thing("car-1", two.certificate_pem, two.private_key_pem)
    store.import_thing("car-1", two.certificate_pem, two.private_key_pem, force=True)
    assert store.identity("car-1").certificate_id() == two.certificate_id


def test_each_identity_knows_the_root_of_its_server(store: Store, now: datetime) -> None:
    """Beside Amazon's root, what the CA of the store issued is still verified by that CA."""
    own = store.issue_thing("own", now=now)
    made = mint_device("x", create_authority("Elsewhere", now), now)
    store.import_thing("foreign", made.certificate_pem, made.private_key_pem)
    store.add_root("ARoot", create_authority("A", now).certificate_pem)
    amazon = store.add_root("AmazonRootCA1.pem", create_authority("B", now).certificate_pem)

    assert store.identity("own").ca_path == own.ca_path == store.ca_certificate_path
    assert store.identity("foreign").ca_path == amazon
    assert [path.name for path in store.roots()] == ["ARoot.pem", "AmazonRootCA1.pem"]


def test_roots_are_kept_and_not_replaced_unasked(store: Store, now: datetime) -> None:
    """The same root twice is fine, another under its name needs force."""
    first = create_authority("A", now).certificate_pem
    second = create_authority("B", now).certificate_pem
    path = store.add_root("root.pem", first)

    assert store.add_root("root.pem", first) == path
    with pytest.raises(ConfigurationError, match="holds another root"):
        store.add_root("root.pem", second)
    assert path.read_bytes() == first
    store.add_root("root.pem", second, force=True)
    assert path.read_bytes() == second


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", ".pem", "", "a\nb"])
def test_root_names_cannot_leave_the_folder(store: Store, authority: Credential, name: str) -> None:
    """A root has a plain file name."""
    with pytest.raises(ConfigurationError, match="is no name for a root"):
        store.add_root(name, authority.certificate_pem)


def test_missing_things_and_servers_are_named(store: Store) -> None:
    """What is not there is said, with the command that makes it."""
    with pytest.raises(ConfigurationError, match="no thing 'car-1'") as thing:
        store.identity("car-1")
    with pytest.raises(ConfigurationError, match="no server certificate") as server:
        store.server_identity()
    assert "morai-certs issue car-1" in thing.value.remedy
    assert "morai-certs server" in server.value.remedy


def test_remedies_name_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command in a remedy acts on this very store, whatever default is set."""
    monkeypatch.delenv("MORAI_CERTS_STORE", raising=False)

    assert Store().command("init") == "morai-certs init"
    assert Store("my cars").command("init") == "morai-certs init --store 'my cars'"
    monkeypatch.setenv("MORAI_CERTS_STORE", "my cars")
    assert Store("my cars").command("init") == "morai-certs init"
    assert Store().command("init") == "morai-certs init --store identities"


def test_the_home_folder_is_understood() -> None:
    """A tilde in the path of a store means the user's home."""
    assert Store("~/cars").root == Path.home() / "cars"
