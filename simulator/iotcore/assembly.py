"""The stand-in put together from a configuration: registry, services, broker, API, pages, files.

The one place that knows all the parts and the order in which they come up and go down. Shows
nothing and decides nothing that the configuration does not say.
"""

from __future__ import annotations

import asyncio
import uuid
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NoReturn

from certs.authority import create_authority
from certs.errors import ConfigurationError
from certs.store import Store
from simulator.iotcore.api.gateway import Gateway
from simulator.iotcore.api.sigv4 import AccessKey, Keyring
from simulator.iotcore.broker.counters import Effect
from simulator.iotcore.buckets import Buckets
from simulator.iotcore.clock import Clock
from simulator.iotcore.cloud import Cloud
from simulator.iotcore.configuration.functions import load_functions
from simulator.iotcore.furnishing import furnish
from simulator.iotcore.hooks import HookPump
from simulator.iotcore.lambdas import Lambdas
from simulator.iotcore.permissions.account import Account
from simulator.iotcore.persistence.keeping import Persistence
from simulator.iotcore.persistence.parts import REGISTRY, parts_of
from simulator.iotcore.registry import Registry
from simulator.iotcore.registry_files import (
    DEVELOPMENT_POLICY,
    StoreRegistration,
    account_of,
    read_policies,
    read_registry,
)
from simulator.iotcore.server import CoreServer
from simulator.iotcore.services.provisioning_authority import DevelopmentAuthority
from simulator.iotcore.status.access import Access, is_loopback
from simulator.iotcore.status.observer import Observer
from simulator.iotcore.status.pages import PREFIX, StatusPages, not_served
from simulator.iotcore.throttling.choosing import choose
from simulator.iotcore.tls import ServerTls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from certs.authority import Credential
    from simulator.iotcore.configuration import CoreConfiguration
    from simulator.iotcore.permissions.policy import Policy

REFRESH_EVERY_S: Final = 2.0
_SAMPLE_EVERY_S: Final = 1.0
_PASSING_CA: Final = "IoT Core stand-in, until it stops"
_ENDPOINTS: Final = ("iot:Data", "iot:Data-ATS", "iot:CredentialProvider", "iot:Jobs")


@dataclass(frozen=True, slots=True)
class StandIn:
    """A stand-in that is listening.

    Attributes:
        server: The server.
        observer: What is shown of it.
        registration: Keeps what the store has registered; None when nothing is.
        page: Where people find its status; empty when there is none.
    """

    server: CoreServer
    observer: Observer
    registration: StoreRegistration | None
    page: str

    async def look_after(self) -> NoReturn:
        """Take rates down, and register things that are issued while it runs."""
        now_s = asyncio.get_running_loop().time
        refreshed_s = now_s()
        while True:
            await asyncio.sleep(_SAMPLE_EVERY_S)
            self.observer.sample(now_s())
            if self.registration is not None and now_s() - refreshed_s >= REFRESH_EVERY_S:
                refreshed_s = now_s()
                # A certificate that is being written, or damaged, must not end the server.
                with suppress(ConfigurationError):
                    self.registration.refresh()


def prepare_store(configuration: CoreConfiguration) -> list[str]:
    """Make what is missing in the store, if the configuration says so.

    Returns:
        What was made, in sentences.

    Raises:
        ConfigurationError: There is no store, and none is to be made.
        StorageError: It cannot be written.
    """
    store = Store(configuration.store)
    if not store.has_authority() and not store.has_server() and not configuration.init:
        raise ConfigurationError(
            f"there is no certificate store in {store.root}",
            "add --init to make one, or name another with --store",
        )
    made = []
    if configuration.init and not store.has_authority():
        store.init_authority()
        made.append(f"Made a CA in {store.root}")
    if configuration.init and not store.has_server():
        store.issue_server()
        made.append(f"Made a server certificate in {store.root}")
    return made


def is_open_to_all(configuration: CoreConfiguration) -> bool:
    """Whether registered certificates may do everything, because no policy is named."""
    return not configuration.policy and configuration.registry is None


def trusts_strangers(configuration: CoreConfiguration) -> bool:
    """Whether other machines may connect and sign with any access key, because none is named."""
    is_local = configuration.host == "localhost" or is_loopback(configuration.host)
    return not is_local and not configuration.api.access_keys


@asynccontextmanager
async def stand_in(configuration: CoreConfiguration, version: str) -> AsyncIterator[StandIn]:
    """Run a stand-in.

    Args:
        configuration: What it is to be like; its store is prepared.
        version: Of the program.

    Raises:
        ConfigurationError: A file it names is missing or wrong.
        LinkError: The port is taken, or the address is not of this machine.
        StorageError: The data directory cannot be used.
    """
    async with AsyncExitStack() as stack:
        store = Store(configuration.store)
        registry = Registry(datetime.now(UTC).timestamp())
        persistence = None
        if configuration.data_dir is not None:
            persistence = stack.enter_context(Persistence(configuration.data_dir))
            # Before the files are read: what they name holds beside what was kept.
            persistence.load({REGISTRY: registry})
        policies = read_policies(configuration.policy)
        named = read_registry(configuration.registry, registry) if configuration.registry else None
        account = _account(configuration, named, policies)
        choice = choose(
            configuration.quotas,
            account.region,
            configuration.quota_mode,
            Effect.DISCARD if configuration.quota_answer == "silence" else Effect.REFUSE,
        )
        clock = Clock.of_machine()
        clock.travel(configuration.clock_ahead)
        lambdas = Lambdas(load_functions(configuration.lambdas))
        stack.callback(lambdas.close)
        endpoints = dict.fromkeys(_ENDPOINTS, "")
        servers: list[CoreServer] = []
        cloud = Cloud(
            registry,
            DevelopmentAuthority(_authority(store)),
            account=account,
            new_id=lambda: str(uuid.uuid4()),
            unix_s_at_zero=clock.unix_s_at_zero,
            certificate_of=lambda client_id: _certificate_of(servers[0], client_id),
            shadow_limits=configuration.shadows.limits(),
            endpoints=endpoints,
        )
        if persistence is not None:
            persistence.load(parts_of(cloud))
            cloud.control.apply_events()
        registration = _registration(configuration, registry, store, policies)
        furnish(cloud, configuration, clock.now_s())
        keys = configuration.api.access_keys
        server = CoreServer(
            registry,
            _tls(configuration, store),
            configuration.host,
            configuration.port,
            limits=choice.limits,
            quotas=choice.quotas,
            choices=configuration.protocol.choices(),
            cloud=cloud,
            clock=clock,
            lambdas=lambdas,
            keyring=Keyring(
                (AccessKey(name, secret.get_secret_value()) for name, secret in keys.items()),
                accepts_unknown=not keys,
            ),
            identities=configuration.api.identities,
            require_sni=configuration.require_sni,
            persistence=persistence,
        )
        servers.append(server)
        gateway = Gateway(
            server,
            keyring=server.keyring,
            limits=choice.limits,
            read_object=Buckets(configuration.buckets),
            identities=configuration.api.identities,
        )
        if configuration.api.enabled:
            server.serve("/", gateway.handle)
        await stack.enter_async_context(server)
        await stack.enter_async_context(HookPump(cloud.provisioning, lambdas, server))
        address = f"{_reachable(server.host)}:{server.port}"
        endpoints.update(dict.fromkeys(_ENDPOINTS, address))
        observer = Observer(
            server,
            choice,
            asyncio.get_running_loop().time(),
            account=account,
            version=version,
            may_travel=configuration.status.allow_time_travel,
            api=gateway.counters.as_dict if configuration.api.enabled else None,
            persistence=persistence.status if persistence is not None else None,
        )
        _serve_pages(configuration, server, observer)
        page = f"https://{address}{PREFIX}" if configuration.status.enabled else ""
        yield StandIn(server, observer, registration, page)


def _serve_pages(configuration: CoreConfiguration, server: CoreServer, observer: Observer) -> None:
    status = configuration.status
    if not status.enabled:
        server.serve(PREFIX, not_served)
        return
    pages = StatusPages(
        observer,
        Access(server.registry, loopback=status.loopback, readers=status.readers),
        asyncio.get_running_loop().time,
        travel=server.travel if status.allow_time_travel else None,
        drop=server.drop if status.allow_drop else None,
    )
    server.serve(PREFIX, pages.handle)


def _registration(
    configuration: CoreConfiguration, registry: Registry, store: Store, policies: list[Policy]
) -> StoreRegistration | None:
    attached = [DEVELOPMENT_POLICY] if is_open_to_all(configuration) else policies
    if not attached:
        return None
    registration = StoreRegistration(registry, store, attached)
    registration.refresh()
    return registration


def _tls(configuration: CoreConfiguration, store: Store) -> ServerTls:
    identity = store.server_identity()
    own = [store.ca_certificate_path] if store.has_authority() else []
    return ServerTls(identity.certificate_path, identity.key_path, [*own, *configuration.trust])


def _authority(store: Store) -> Credential:
    """Who signs what the API and provisioning issue: the store's CA, else one that is forgotten."""
    if store.has_authority():
        return store.authority()
    return create_authority(_PASSING_CA, datetime.now(UTC))


def _certificate_of(server: CoreServer, client_id: str) -> str | None:
    connection = server.broker.connection_of(client_id)
    certificate = connection.peer.certificate if connection is not None else None
    return certificate.certificate_id if certificate is not None else None


def _account(
    configuration: CoreConfiguration, named: Account | None, policies: list[Policy]
) -> Account:
    """The account of the ARNs: as asked for, as the registry file says, as the policies say."""
    found = named or account_of(policies) or Account()
    return Account(configuration.region or found.region, configuration.account or found.account_id)


def _reachable(host: str) -> str:
    """A name under which this machine reaches an address it listens on."""
    if host in {"", "0.0.0.0", "::"}:
        return "localhost"
    return f"[{host}]" if ":" in host else host
