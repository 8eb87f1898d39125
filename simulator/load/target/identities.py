"""With which identities the cars and applications of a run connect.

Owns where keys and certificates come from (made for the run, or a certificate store), which car
gets which, and the form in which they travel to a worker process: PEM text in memory. Knows nothing
about sockets, the broker or what a car does. Private keys never reach a log: no object here shows
them in its text form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from cryptography.exceptions import InvalidSignature

from certs.authority import Credential, create_authority, issue_server, mint_device
from certs.errors import ConfigurationError
from certs.naming import numbered_names
from certs.pem import (
    certificate_id,
    load_certificate,
    load_private_key,
    private_key_pem,
)
from certs.permissions import read_private_key
from certs.store import Store, read_public
from simulator.scenario.roster import Roster
from simulator.scenario.schema import MintedIdentities, StoreIdentities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from cryptography import x509

    from simulator.scenario.schema import Identities as IdentitiesPart
    from simulator.scenario.schema import Scenario

Progress: TypeAlias = "Callable[[int], None]"
"""Called with how many identities are ready, now and then and at the end."""

APPLICATION_PREFIX: Final = "app-"
"""Things of a store whose name begins like this are for applications and never for cars."""

_AUTHORITY_NAME: Final = "morai-edge load test CA"
_FOREIGN_NAME: Final = "a CA nobody trusts"
_RUN_DAYS: Final = 30
_PROGRESS_EVERY: Final = 250


@dataclass(frozen=True, slots=True)
class KeyPair:
    """One identity: a certificate and its private key as PEM text. Picklable; about 1.3 kB.

    Attributes:
        thing: Thing name and client id.
        certificate_id: SHA-256 of the certificate's DER, 64 hex digits.
        certificate_pem: The certificate, with its chain if there is one.
        key_pem: The private key, unencrypted.
    """

    thing: str
    certificate_id: str
    certificate_pem: bytes = field(repr=False)
    key_pem: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuthorityPem:
    """A certificate authority as PEM text, so that it can be handed to a worker process."""

    certificate_pem: bytes = field(repr=False)
    key_pem: bytes = field(repr=False)

    @classmethod
    def make(cls, common_name: str, now: datetime) -> Self:
        """A fresh authority that exists only in memory."""
        made = create_authority(common_name, now, _RUN_DAYS)
        return cls(made.certificate_pem, made.private_key_pem)

    def credential(self) -> Credential:
        """The authority, ready to sign.

        Raises:
            ConfigurationError: It is damaged.
        """
        return Credential(
            load_certificate(self.certificate_pem, "the authority of the run"),
            load_private_key(self.key_pem, "the authority's key"),
        )

    def server_pair(self, hosts: Iterable[str], now: datetime) -> tuple[bytes, bytes]:
        """Certificate and key of a server on this machine, as PEM text."""
        made = issue_server(hosts, self.credential(), now, _RUN_DAYS)
        return made.certificate_pem, made.private_key_pem


def mint_range(
    authority: AuthorityPem,
    things: Sequence[str],
    now: datetime,
    on_progress: Progress | None = None,
) -> list[KeyPair]:
    """Make identities in memory, about 0.4 ms each. A worker runs this for its own cars.

    Args:
        authority: Who signs.
        things: Their names.
        now: The present, with a time zone.
        on_progress: Told how many are ready.

    Returns:
        The identities in the order of the names. Their ids must be registered with the stand-in
        before they connect.

    Raises:
        ConfigurationError: A name is invalid.
    """
    signer = authority.credential()
    minted: list[KeyPair] = []
    for thing in things:
        made = mint_device(thing, signer, now, _RUN_DAYS)
        minted.append(
            KeyPair(thing, made.certificate_id, made.certificate_pem, made.private_key_pem)
        )
        if on_progress is not None and len(minted) % _PROGRESS_EVERY == 0:
            on_progress(len(minted))
    if on_progress is not None:
        on_progress(len(minted))
    return minted


@dataclass(frozen=True, slots=True)
class CarIdentities:
    """The identities of a range of cars, in the form that is handed to a worker process.

    Attributes:
        things: Thing names of the cars, in order of their numbers.
        authority: Who signs, when the worker makes the identities itself.
        ready: The identities, when they exist already.
        foreign: An authority that no broker trusts, for the wrong-certificate fault.
    """

    things: tuple[str, ...]
    authority: AuthorityPem | None
    ready: tuple[KeyPair, ...]
    foreign: AuthorityPem

    def pairs(self, now: datetime, on_progress: Progress | None = None) -> list[KeyPair] | None:
        """The identity of each car, made now if need be; None when cars connect without one."""
        if self.authority is not None:
            return mint_range(self.authority, self.things, now, on_progress)
        return list(self.ready) or None

    def wrong_pair(self, thing: str, now: datetime) -> KeyPair:
        """An identity of the right name signed by the wrong authority."""
        return mint_range(self.foreign, [thing], now)[0]


class Identities:
    """The identities of all cars and application connections of a scenario.

    Make one with `prepare`. Identities of a store are read and checked here, once; those that are
    made for the run are made by the workers, except those of applications.

    Attributes:
        authority: An authority made for the run. It signs the stand-in's certificate, and all
            client certificates that are made for the run.
        foreign: An authority nobody trusts.
        things: Names of the cars when they come from a store, for `Roster`; otherwise None.
        applications: Name of the observers or commanders to the names of their connections.
    """

    def __init__(
        self,
        *,
        things: list[str] | None,
        car_names: tuple[str, ...],
        cars: tuple[KeyPair, ...],
        applications: dict[str, tuple[str, ...]],
        application_pairs: dict[str, KeyPair],
        authority: AuthorityPem,
        foreign: AuthorityPem,
        mints: bool,
        trusted: tuple[bytes, ...],
        probe: KeyPair | None,
    ) -> None:
        self.things = things
        self.applications = applications
        self.authority = authority
        self.foreign = foreign
        self._car_names = car_names
        self._cars = cars
        self._application_pairs = application_pairs
        self._mints = mints
        self._trusted = trusted
        self._probe = probe

    @classmethod
    def prepare(
        cls,
        scenario: Scenario,
        base: Path,
        now: datetime | None = None,
        on_progress: Progress | None = None,
    ) -> Self:
        """Read or make what the scenario asks for.

        Args:
            scenario: The scenario.
            base: Folder of the scenario file; the path of a store is relative to it.
            now: The present; the system's clock when left out.
            on_progress: Told how many identities of a store were read.

        Raises:
            ConfigurationError: The store has too few things, or a file in it is missing, damaged,
                readable by others, or does not belong to its neighbour.
            StorageError: A file of the store cannot be read.
        """
        now = datetime.now(UTC) if now is None else now
        authority = AuthorityPem.make(_AUTHORITY_NAME, now)
        foreign = AuthorityPem.make(_FOREIGN_NAME, now)
        part: IdentitiesPart = scenario.identities
        counts = _application_counts(scenario)
        probe = (
            mint_range(authority, [f"{scenario.fleet}:probe"], now)[0] if scenario.probes else None
        )
        if isinstance(part, StoreIdentities):
            store = Store(base / Path(part.path).expanduser())
            wanted_applications = sum(counts.values())
            cars, apps = _things_of(store, part.prefix, scenario.vehicle_count, wanted_applications)
            pairs = list(_read_pairs(store, [*cars, *apps], on_progress))
            names = iter(apps)
            return cls(
                things=cars,
                car_names=tuple(cars),
                cars=tuple(pairs[: len(cars)]),
                applications={
                    name: tuple(next(names) for _ in range(count)) for name, count in counts.items()
                },
                application_pairs={pair.thing: pair for pair in pairs[len(cars) :]},
                authority=authority,
                foreign=foreign,
                mints=False,
                trusted=(*_trusted_of(store, pairs), *_own(probe, authority)),
                probe=probe,
            )
        mints = isinstance(part, MintedIdentities)
        roster = Roster(scenario)
        applications = {
            # Names of cars hold no colon, so an application never has the name of a car.
            name: tuple(numbered_names(f"{scenario.fleet}:{name}:", count))
            for name, count in counts.items()
        }
        all_names = [name for names in applications.values() for name in names]
        minted = mint_range(authority, all_names, now) if mints else []
        return cls(
            things=None,
            car_names=tuple(roster.thing(number) for number in range(roster.count)),
            cars=(),
            applications=applications,
            application_pairs={pair.thing: pair for pair in minted},
            authority=authority,
            foreign=foreign,
            mints=mints,
            trusted=(authority.certificate_pem,) if mints else (),
            probe=probe,
        )

    @property
    def trusted(self) -> tuple[bytes, ...]:
        """What the stand-in must trust to let these identities in: CAs or single certificates."""
        return self._trusted

    def cars(self, start: int, stop: int) -> CarIdentities:
        """The identities of the cars numbered `start` to `stop - 1`, for their worker."""
        return CarIdentities(
            things=self._car_names[start:stop],
            authority=self.authority if self._mints else None,
            ready=self._cars[start:stop],
            foreign=self.foreign,
        )

    def application(self, name: str) -> KeyPair | None:
        """The identity of one application connection; None when it connects without one."""
        return self._application_pairs.get(name)

    @property
    def probe(self) -> KeyPair | None:
        """The identity that all clients of probes share; None without probes."""
        return self._probe

    def known_probes(self) -> list[tuple[str, str]]:
        """Certificate id and thing name of the probes' identity."""
        return [] if self._probe is None else [(self._probe.certificate_id, self._probe.thing)]

    def known_cars(self) -> list[tuple[str, str]]:
        """Certificate id and thing name of every car whose certificate exists already.

        Empty when the workers make them: then they say what they made.
        """
        return [(pair.certificate_id, pair.thing) for pair in self._cars]

    def known_applications(self) -> list[tuple[str, str]]:
        """Certificate id and thing name of every application connection."""
        return [(pair.certificate_id, pair.thing) for pair in self._application_pairs.values()]

    def sample(self) -> KeyPair | None:
        """Any identity that exists already, to look whether the broker can be reached."""
        return next(iter((*self._application_pairs.values(), *self._cars[:1])), None)


def _own(probe: KeyPair | None, authority: AuthorityPem) -> tuple[bytes, ...]:
    """The authority that signed the probes' identity, if there are probes."""
    return () if probe is None else (authority.certificate_pem,)


def _application_counts(scenario: Scenario) -> dict[str, int]:
    applications = scenario.applications
    return {
        **{part.name: part.count for part in applications.observers},
        **{part.name: part.count for part in applications.commanders},
    }


def _things_of(
    store: Store, prefix: str, cars: int, applications: int
) -> tuple[list[str], list[str]]:
    """Thing names of the cars and of the application connections."""
    if prefix.startswith(APPLICATION_PREFIX):
        raise ConfigurationError(
            f"identities.prefix is {prefix!r}, and things that begin with {APPLICATION_PREFIX!r} "
            "are for applications",
            "give the cars another prefix",
        )
    names = store.things()
    for_cars = [
        name
        for name in names
        if name.startswith(prefix) and not name.startswith(APPLICATION_PREFIX)
    ]
    for_applications = [name for name in names if name.startswith(APPLICATION_PREFIX)]
    missing: list[str] = []
    commands: list[str] = []
    for what, found, wanted, series in (
        ("cars", for_cars, cars, prefix or "car-"),
        ("application connections", for_applications, applications, APPLICATION_PREFIX),
    ):
        if len(found) < wanted:
            named = f" named {series}..." if prefix or series == APPLICATION_PREFIX else ""
            missing.append(f"{len(found):,} things{named} for {wanted:,} {what}")
            arguments = f"issue --count {wanted} --prefix {series} --skip-existing"
            commands.append(store.command(arguments))
    if missing:
        if not store.has_authority():
            commands.insert(0, store.command("init"))
        raise ConfigurationError(
            f"the certificate store {store.root} has {' and '.join(missing)}",
            f"run: {' && '.join(commands)}",
        )
    return for_cars[:cars], for_applications[:applications]


def _read_pairs(
    store: Store, things: Sequence[str], on_progress: Progress | None
) -> Iterator[KeyPair]:
    for number, thing in enumerate(things, start=1):
        yield _read_pair(store, thing)
        if on_progress is not None and (number % _PROGRESS_EVERY == 0 or number == len(things)):
            on_progress(number)


def _read_pair(store: Store, thing: str) -> KeyPair:
    identity = store.identity(thing)
    chain = read_public(identity.certificate_path)
    certificate = load_certificate(chain, str(identity.certificate_path))
    key = load_private_key(read_private_key(identity.key_path), str(identity.key_path))
    if certificate.public_key() != key.public_key():
        raise ConfigurationError(
            f"{identity.key_path} is not the key of {identity.certificate_path}",
            f"restore the right file, or issue it again: {store.command(f'issue {thing} --force')}",
        )
    return KeyPair(thing, certificate_id(certificate), chain, private_key_pem(key))


def _trusted_of(store: Store, pairs: Sequence[KeyPair]) -> tuple[bytes, ...]:
    """The store's CA, and each certificate that another CA signed."""
    if not store.has_authority():
        return tuple(pair.certificate_pem for pair in pairs)
    path = store.ca_certificate_path
    ca_pem = read_public(path)
    ca = load_certificate(ca_pem, str(path))
    others = [
        pair.certificate_pem
        for pair in pairs
        if not _has_signed(ca, load_certificate(pair.certificate_pem, pair.thing))
    ]
    return (ca_pem, *others)


def _has_signed(ca: x509.Certificate, certificate: x509.Certificate) -> bool:
    # A CA that was made anew has the name of the old one, so names do not tell.
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
