"""The identity store: where certificates and keys lie on disk, and how they get there.

Owns the layout, atomic writes, file modes and the rule that nothing is overwritten unasked. Knows
nothing about trust (`certs.audit`) or about terminals.

    <root>/ca/ca.pem  ca.key                      the development CA
    <root>/things/<thing>/cert.pem key.pem csr.pem   one folder a thing; issued or imported
    <root>/server/cert.pem key.pem                the server certificate of the IoT Core stand-in
    <root>/roots/*.pem                            roots of others, such as AmazonRootCA1.pem

Each folder with a key is written under a temporary name and renamed into place, so a key and its
certificate appear together or not at all, also when two processes issue the same thing. Folders
have mode 0700 and keys 0600. On Windows the mode 0700 of a new folder sets an access list for the
owner, the system and administrators that the files in it inherit (Python 3.11.10, 3.12.4 and 3.13
onwards; before that the folder's parent decides).
"""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from certs import authority as x509_authority
from certs.authority import AUTHORITY_DAYS, AUTHORITY_NAME, DEVICE_DAYS, SERVER_DAYS, Credential
from certs.disk import (
    PUBLIC_FILE,
    create_file,
    disk_errors,
    install_folders,
    read_public,
    replace_file,
)
from certs.errors import ConfigurationError, StorageError
from certs.naming import (
    check_distinct,
    check_thing_name,
    folder_of_thing,
    natural_order,
    thing_of_folder,
)
from certs.pem import (
    certificate_id,
    certificate_pem,
    load_certificate,
    load_certificates,
    load_private_key,
    private_key_pem,
    request_pem,
)
from certs.permissions import read_private_key, read_private_key_guard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cryptography import x509

__all__ = ["DEFAULT_ROOT", "Identity", "Store", "read_private_key_guard", "read_public"]

DEFAULT_ROOT: Final = Path("identities")
STORE_VARIABLE: Final = "MORAI_CERTS_STORE"
AMAZON_ROOT: Final = "AmazonRootCA1.pem"
_BATCH: Final = 100
_PRIVATE_FILES: Final = {"key.pem", "ca.key"}


@dataclass(frozen=True, slots=True)
class Identity:
    """The files with which one party of a TLS connection proves who it is.

    The files may be missing or damaged: `certs.audit` finds that out.
    """

    name: str
    """The thing name, or `server`."""
    certificate_path: Path
    key_path: Path
    ca_path: Path
    """The root that vouches for the other side: the development CA for what it issued, otherwise
    the Amazon root (or the first root) in `roots/`."""

    def certificate(self) -> x509.Certificate:
        """Read the certificate.

        Raises:
            ConfigurationError: It is missing or damaged.
        """
        return load_certificate(read_public(self.certificate_path), str(self.certificate_path))

    def certificate_id(self) -> str:
        """Read the certificate's id: SHA-256 of its DER, 64 hex digits, as in AWS IoT Core.

        Raises:
            ConfigurationError: The certificate is missing or damaged.
        """
        return certificate_id(self.certificate())


class Store:
    """A folder of identities.

    Making the object touches nothing; folders appear with the first write. Methods raise
    `ConfigurationError` for what the user can correct and `StorageError` for what the disk refuses.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path | str = DEFAULT_ROOT) -> None:
        self.root = Path(root).expanduser()
        self.ca_folder = self.root / "ca"
        self.ca_certificate_path = self.ca_folder / "ca.pem"
        self.ca_key_path = self.ca_folder / "ca.key"
        self.things_folder = self.root / "things"
        self.server_folder = self.root / "server"
        self.roots_folder = self.root / "roots"

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    # Reading

    def has_authority(self) -> bool:
        """Whether there is a development CA, sound or not."""
        return self.ca_folder.exists()

    def has_server(self) -> bool:
        """Whether there is a server certificate, sound or not."""
        return self.server_folder.exists()

    def authority(self) -> Credential:
        """The development CA, ready to sign.

        Raises:
            ConfigurationError: There is none, others can read its key, or its files are damaged or
                belong to different CAs.
        """
        if not self.has_authority():
            raise ConfigurationError(
                f"there is no CA in {self.root}", f"make one: {self.command('init')}"
            )
        path = self.ca_certificate_path
        certificate = load_certificate(read_public(path), str(path))
        key = load_private_key(read_private_key(self.ca_key_path), str(self.ca_key_path))
        if certificate.public_key() != key.public_key():
            raise ConfigurationError(
                f"{self.ca_key_path} is not the key of {path}",
                f"restore the right file, or make a new CA: {self.command('init --force')}",
            )
        return Credential(certificate, key)

    def things(self) -> list[str]:
        """The names of all things in the store, `car-2` before `car-10`; empty without a store."""
        if not self.things_folder.exists():
            return []
        # scandir tells a thousand folders from stray files without a thousand stats.
        with disk_errors(self.things_folder, "read"), os.scandir(self.things_folder) as entries:
            names = [thing_of_folder(entry.name) for entry in entries if entry.is_dir()]
        return sorted((name for name in names if name is not None), key=natural_order)

    def identity(self, name: str) -> Identity:
        """The files of one thing.

        Raises:
            ConfigurationError: The name is invalid or not in the store.
        """
        folder = self._thing_folder(name)
        if not folder.is_dir():
            raise ConfigurationError(
                f"there is no thing {name!r} in {self.root}",
                f"see {self.command('list')}, or make it: {self.command(f'issue {name}')}",
            )
        return self._identity(name, folder)

    def server_identity(self) -> Identity:
        """The files of the IoT Core stand-in's server certificate.

        Raises:
            ConfigurationError: There is none.
        """
        if not self.has_server():
            raise ConfigurationError(
                f"there is no server certificate in {self.root}",
                f"make one: {self.command('server')}",
            )
        return self._identity("server", self.server_folder)

    def roots(self) -> list[Path]:
        """The files of other parties' roots, in alphabetical order."""
        return sorted(self.roots_folder.glob("*.pem"))

    def command(self, arguments: str) -> str:
        """The `morai-certs` command line that acts on this store, for use in a remedy."""
        inherited = os.environ.get(STORE_VARIABLE) or DEFAULT_ROOT
        if self.root == Path(inherited).expanduser():
            return f"morai-certs {arguments}"
        return f"morai-certs {arguments} --store {shlex.quote(str(self.root))}"

    # Writing

    def init_authority(
        self,
        common_name: str = AUTHORITY_NAME,
        *,
        now: datetime | None = None,
        days: int = AUTHORITY_DAYS,
        force: bool = False,
    ) -> Credential:
        """Make the development CA.

        Args:
            common_name: 1 to 64 characters.
            now: The present; the system's clock when left out.
            days: Validity.
            force: Replace an existing CA. Identities it has issued no longer chain to the new one.

        Raises:
            ConfigurationError: There is a CA already and `force` is not set.
            StorageError: The folder cannot be written.
        """
        if self.has_authority() and not force:
            raise self._exists("a CA", self.ca_folder, "init --force")
        made = x509_authority.create_authority(common_name, _clock(now), days)
        files = {"ca.pem": made.certificate_pem, "ca.key": made.private_key_pem}
        self._install([(self.ca_folder, files)], force=force)
        return made

    def issue_thing(
        self,
        name: str,
        *,
        now: datetime | None = None,
        days: int = DEVICE_DAYS,
        force: bool = False,
    ) -> Identity:
        """Make the key, request and certificate of one thing; see `issue_things`."""
        return next(self.issue_things([name], now=now, days=days, force=force))

    def issue_things(
        self,
        names: Iterable[str],
        *,
        now: datetime | None = None,
        days: int = DEVICE_DAYS,
        force: bool = False,
    ) -> Iterator[Identity]:
        """Make the keys, requests and certificates of many things.

        All names are checked before this returns; the work is done as the result is iterated, in
        batches, so that a progress bar can follow and an interruption leaves whole identities.

        Args:
            names: Thing names, each once.
            now: The present; the system's clock when left out.
            days: Validity of the certificates.
            force: Replace things that exist.

        Raises:
            ConfigurationError: A name is invalid or repeated, a thing exists and `force` is not
                set, or there is no CA that can sign.
            StorageError: The folder cannot be written.
        """
        distinct = check_distinct(names)
        self._check_free(distinct, force=force)
        return self._issue_batches(distinct, self.authority(), _clock(now), days, force=force)

    def issue_server(
        self,
        hosts: Iterable[str] = (),
        *,
        now: datetime | None = None,
        days: int = SERVER_DAYS,
        force: bool = False,
    ) -> Identity:
        """Make the server certificate of the IoT Core stand-in.

        Args:
            hosts: DNS names and IP addresses besides `localhost`, `127.0.0.1` and `::1`.
            now: The present; the system's clock when left out.
            days: Validity.
            force: Replace the one that exists.

        Raises:
            ConfigurationError: A host is invalid, a certificate exists and `force` is not set, or
                there is no CA that can sign.
            StorageError: The folder cannot be written.
        """
        if self.has_server() and not force:
            raise self._exists("a server certificate", self.server_folder, "server --force")
        made = x509_authority.issue_server(hosts, self.authority(), _clock(now), days)
        files = {"cert.pem": made.certificate_pem, "key.pem": made.private_key_pem}
        self._install([(self.server_folder, files)], force=force)
        return self.server_identity()

    def import_thing(
        self, name: str, certificate: bytes, private_key: bytes, *, force: bool = False
    ) -> Identity:
        """Take in a certificate made elsewhere, such as by AWS IoT Core, with its key.

        Args:
            name: The thing it belongs to.
            certificate: PEM (with the chain, if there is one) or DER.
            private_key: Unencrypted PEM; stored as PKCS #8.
            force: Replace the thing if it exists.

        Raises:
            ConfigurationError: The name is invalid or taken, one of the two is damaged, or the key
                belongs to another certificate.
            StorageError: The folder cannot be written.
        """
        check_thing_name(name)
        chain = load_certificates(certificate, "the certificate to import")
        key = load_private_key(private_key, "the key to import")
        if chain[0].public_key() != key.public_key():
            raise ConfigurationError(
                "the key to import belongs to another certificate",
                "name the key that was made with this certificate",
            )
        self._check_free([name], force=force)
        files = {"cert.pem": certificate_pem(chain), "key.pem": private_key_pem(key)}
        self._install([(self._thing_folder(name), files)], force=force)
        return self.identity(name)

    def add_root(self, file_name: str, certificates: bytes, *, force: bool = False) -> Path:
        """Keep a root of another party, such as Amazon's, under `roots/`.

        Adding the same bytes again changes nothing.

        Args:
            file_name: The name it gets; a missing `.pem` is added.
            certificates: One or more certificates, PEM or DER.
            force: Replace a different root of that name.

        Raises:
            ConfigurationError: The name is no plain file name or taken, or there is no certificate.
            StorageError: The folder cannot be written.
        """
        plain = file_name if file_name.endswith(".pem") else f"{file_name}.pem"
        if Path(plain).name != plain or plain.startswith(".") or not plain.isprintable():
            raise ConfigurationError(
                f"{file_name!r} is no name for a root", "use a plain file name such as my-root.pem"
            )
        data = certificate_pem(load_certificates(certificates, file_name))
        path = self.roots_folder / plain
        if path.exists() and not force:
            if read_public(path) == data:
                return path
            raise ConfigurationError(
                f"{path} exists and holds another root", "give it another name, or use --force"
            )
        self._prepare_root()
        with disk_errors(self.roots_folder):
            self.roots_folder.mkdir(exist_ok=True)
        replace_file(path, data, PUBLIC_FILE)
        return path

    # How things get to disk

    def _issue_batches(
        self, names: list[str], signer: Credential, now: datetime, days: int, *, force: bool
    ) -> Iterator[Identity]:
        for start in range(0, len(names), _BATCH):
            batch = names[start : start + _BATCH]
            self._install(
                [
                    (self._thing_folder(name), _thing_files(name, signer, now, days))
                    for name in batch
                ],
                force=force,
            )
            for name in batch:
                folder = self._thing_folder(name)
                yield Identity(
                    name, folder / "cert.pem", folder / "key.pem", self.ca_certificate_path
                )

    def _identity(self, name: str, folder: Path) -> Identity:
        certificate_path = folder / "cert.pem"
        ca_path = self._root_for(certificate_path)
        return Identity(name, certificate_path, folder / "key.pem", ca_path)

    def _root_for(self, certificate_path: Path) -> Path:
        foreign = self.roots()
        if not foreign:
            return self.ca_certificate_path
        if self.has_authority():
            with suppress(ConfigurationError, StorageError):
                ca = load_certificate(read_public(self.ca_certificate_path), "the CA")
                if load_certificate(read_public(certificate_path), "").issuer == ca.subject:
                    return self.ca_certificate_path
        return next((path for path in foreign if path.name == AMAZON_ROOT), foreign[0])

    def _thing_folder(self, name: str) -> Path:
        return self.things_folder / folder_of_thing(check_thing_name(name))

    def _check_free(self, names: list[str], *, force: bool) -> None:
        folders = {name: self._thing_folder(name) for name in names}
        taken = [name for name, folder in folders.items() if os.path.lexists(folder)]
        if not taken:
            return
        if not force:
            shown = ", ".join(taken[:3]) + (f" and {len(taken) - 3} more" if taken[3:] else "")
            raise ConfigurationError(
                f"{len(taken)} of {len(names)} things exist already in {self.root}: {shown}"
                if len(names) > 1
                else f"the thing {taken[0]!r} exists already in {self.root}",
                "choose other names, leave these out with --skip-existing, or replace them and "
                "their keys with --force",
            )
        # On a file system that ignores case, `Car-1` would replace `car-1`.
        known = set(self.things())
        for name in taken:
            if name not in known:
                raise ConfigurationError(
                    f"{folders[name]} is in the way of the thing {name!r}",
                    "choose a name that differs in more than upper and lower case, "
                    "or remove that file",
                )

    def _exists(self, what: str, folder: Path, forced: str) -> ConfigurationError:
        return ConfigurationError(
            f"{what} exists already: {folder}",
            f"keep it, or replace it and its key: {self.command(forced)}",
        )

    def _prepare_root(self) -> None:
        with disk_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            ignore = self.root / ".gitignore"
            if not ignore.exists():
                # Private keys have no place in a repository.
                create_file(ignore, b"*\n", PUBLIC_FILE)

    def _install(self, folders: list[tuple[Path, Mapping[str, bytes]]], *, force: bool) -> None:
        self._prepare_root()
        install_folders(folders, private=_PRIVATE_FILES, replace=force)


def _clock(now: datetime | None) -> datetime:
    return datetime.now(UTC) if now is None else now


def _thing_files(name: str, signer: Credential, now: datetime, days: int) -> dict[str, bytes]:
    key = x509_authority.new_private_key()
    request = x509_authority.create_request(name, key)
    certificate = x509_authority.issue_device(request, name, signer, now, days)
    return {
        "key.pem": private_key_pem(key),
        "csr.pem": request_pem(request),
        "cert.pem": certificate_pem(certificate),
    }
