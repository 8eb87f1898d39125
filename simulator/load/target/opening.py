"""Where a run goes: the stand-in started for it, a broker, or AWS IoT Core.

Owns the difference between the three kinds of target, so that the engine sees one: addresses, TLS,
registration, reports. Knows nothing about cars or messages.
"""

from __future__ import annotations

import contextlib
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from certs.errors import ConfigurationError
from certs.pem import certificate_pem, load_certificates
from certs.store import read_public
from simulator.load.connection.tls_client import ClientContext
from simulator.load.records import ProcessUse, TargetReport
from simulator.load.target import quota_books
from simulator.load.target.quota_books import CLIENTS_SHOWN
from simulator.load.target.reachability import Address, reachable, resolve
from simulator.load.target.stand_in import StandIn
from simulator.load.target.stand_in_process import Setup
from simulator.scenario.schema import BrokerTarget, NoIdentities, StandInTarget

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from certs.errors import LinkError
    from simulator.load.target.identities import Identities
    from simulator.quotas.table import QuotaTable
    from simulator.scenario.schema import AwsTarget, Scenario

ALPN_MQTT: Final = "x-amzn-mqtt-ca"
"""What AWS IoT Core needs to hear for MQTT with client certificates on port 443 (developer guide:
device communication protocols)."""

_HTTPS_PORT: Final = 443


@dataclass(frozen=True, slots=True)
class ClientTls:
    """How clients of a run check the server. Picklable; each worker makes its context from it.

    Attributes:
        ca_pem: CAs that may have signed the server's certificate; None for those OpenSSL finds.
        server_name: Name or address the certificate must be for.
        verify: False accepts any server certificate.
        alpn: Protocol to ask for.
    """

    ca_pem: bytes | None = field(repr=False)
    server_name: str
    verify: bool = True
    alpn: str | None = None

    def context(self) -> ssl.SSLContext:
        """A client context of the standard library, without an identity.

        Raises:
            ConfigurationError: `ca_pem` holds no certificate.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.ca_pem is None:
            context.load_default_certs()
        else:
            try:
                context.load_verify_locations(cadata=self.ca_pem.decode("ascii", "replace"))
            except (OSError, ValueError) as error:
                raise ConfigurationError(
                    f"the CA of the target cannot be used: {error}",
                    "name a PEM file with certificates as ca",
                ) from error
        if self.alpn is not None:
            context.set_alpn_protocols([self.alpn])
        return context

    def client_context(self) -> ClientContext:
        """The context of the engine's own connections, which bring an identity each.

        Raises:
            ConfigurationError: `ca_pem` holds no certificate.
        """
        return ClientContext(self.ca_pem, self.server_name, verify=self.verify, alpn=self.alpn)


@dataclass(frozen=True, slots=True)
class Route:
    """What a worker needs to connect. Picklable.

    Attributes:
        addresses: Numeric addresses; cars are spread over them.
        tls: TLS, or None for plain TCP.
    """

    addresses: tuple[Address, ...]
    tls: ClientTls | None

    def address(self, number: int) -> Address:
        """The address of a car or connection with this number."""
        return self.addresses[number % len(self.addresses)]


class Target:
    """The target of a run, open.

    Attributes:
        kind: `stand-in`, `broker` or `aws`.
        text: The target in words, with address, for the header of the result.
        host: Name or address as the user knows it.
        port: Port.
        route: What workers need to connect.
        stand_in: The stand-in, when that is the target.
        quotas: Its quotas; None when it has none, or is no stand-in.
    """

    def __init__(
        self,
        kind: Literal["stand-in", "broker", "aws"],
        text: str,
        host: str,
        port: int,
        route: Route,
        stand_in: StandIn | None = None,
        quotas: QuotaTable | None = None,
    ) -> None:
        self.kind = kind
        self.text = text
        self.host = host
        self.port = port
        self.route = route
        self.stand_in = stand_in
        self.quotas = quotas
        self._cpu_s = 0.0

    @property
    def tls(self) -> ClientTls | None:
        """TLS, or None for plain TCP."""
        return self.route.tls

    async def register_cars(self, entries: Sequence[tuple[str, str]]) -> None:
        """Make certificates known that workers made; only the stand-in needs to be told.

        Args:
            entries: Certificate id and thing name of each.

        Raises:
            LinkError: The stand-in is gone.
        """
        if self.stand_in is not None:
            await self.stand_in.register(entries, "vehicle")

    async def report(self, at_s: float, clients: int = CLIENTS_SHOWN) -> TargetReport | None:
        """What the target says about itself; None for those that say nothing.

        The CPU time is that since the last report.

        Args:
            at_s: The time now.
            clients: How many clients to name for each quota that refused something.

        Raises:
            LinkError: The stand-in is gone.
        """
        if self.stand_in is None:
            return None
        status = await self.stand_in.status(clients)
        used_s, self._cpu_s = status.cpu_s - self._cpu_s, status.cpu_s
        process = ProcessUse(used_s, status.resident_bytes)
        return TargetReport(at_s, status.counters, status.refusals, process, status.quotas)

    async def lost(self) -> LinkError | None:
        """Wait until the stand-in dies; why. None at once for other targets."""
        return None if self.stand_in is None else await self.stand_in.lost()


@contextlib.asynccontextmanager
async def open_target(
    scenario: Scenario, base: Path, identities: Identities
) -> AsyncIterator[Target]:
    """Start or find the target of a scenario, and look whether it can be reached.

    Identities that exist already are registered with the stand-in; those that workers make are
    registered with `Target.register_cars`.

    Args:
        scenario: The scenario.
        base: Folder of the scenario file; the path of a CA is relative to it.
        identities: The identities of the run.

    Raises:
        ConfigurationError: The CA file is wrong, or the identities do not go with the target.
        LinkError: The target cannot be reached, or the stand-in does not start.
        PeerError: It answers, and a run would fail for the same reason.
    """
    part = scenario.target
    if isinstance(part, StandInTarget):
        async with _open_stand_in(scenario, part, base, identities) as target:
            yield target
    elif isinstance(part, BrokerTarget):
        yield await _find_broker(part, base, identities)
    else:
        yield await _find_aws(part, base, identities)


@contextlib.asynccontextmanager
async def _open_stand_in(
    scenario: Scenario, part: StandInTarget, base: Path, identities: Identities
) -> AsyncIterator[Target]:
    if isinstance(scenario.identities, NoIdentities):
        raise ConfigurationError(
            "the stand-in asks every client for a certificate, and the scenario has identities: "
            "{kind: none}",
            "use identities: {kind: mint}, or name a broker as target",
        )
    certificate, key = identities.authority.server_pair((), datetime.now(UTC))
    name = quota_books.named(part, base)
    # Chosen here as well, so that a mistake in a quota file is one of the configuration.
    table = quota_books.in_force(name, part.quota_mode).table
    setup = Setup(
        certificate,
        key,
        list(identities.trusted),
        scenario.fleet,
        part.policies,
        name,
        part.quota_mode,
    )
    async with StandIn(setup) as stand_in:
        await stand_in.register(identities.known_applications(), "application")
        await stand_in.register(identities.known_probes(), "probe")
        await stand_in.register(identities.known_cars(), "vehicle")
        host, port = stand_in.host, stand_in.port
        tls = ClientTls(identities.authority.certificate_pem, host)
        [address] = await resolve(host, port)
        yield Target(
            "stand-in",
            f"IoT Core stand-in on {host} port {port}, policies: {part.policies}, "
            f"quotas: {part.quotas}{'' if table is None else f' ({part.quota_mode})'}",
            host,
            port,
            Route((address,), tls),
            stand_in,
            table,
        )


async def _find_broker(part: BrokerTarget, base: Path, identities: Identities) -> Target:
    title = f"{part.host} port {part.port}"
    tls = None
    if part.tls:
        name = part.server_name or part.host
        tls = ClientTls(_ca_pem(part.ca, base), name, part.verify)
    route = await _route(part.host, part.port, title, tls, identities)
    how = "without TLS"
    if tls is not None:
        how = "TLS" if part.verify else "TLS, server not verified"
    return Target("broker", f"broker {title}, {how}", part.host, part.port, route)


async def _find_aws(part: AwsTarget, base: Path, identities: Identities) -> Target:
    title = f"{part.endpoint} port {part.port}"
    alpn = ALPN_MQTT if part.port == _HTTPS_PORT else None
    tls = ClientTls(_ca_pem(part.ca, base), part.endpoint, alpn=alpn)
    route = await _route(part.endpoint, part.port, title, tls, identities)
    return Target("aws", f"AWS IoT Core {title}", part.endpoint, part.port, route)


async def _route(
    host: str, port: int, title: str, tls: ClientTls | None, identities: Identities
) -> Route:
    addresses = await resolve(host, port)
    context = None if tls is None else tls.context()
    name = "" if tls is None else tls.server_name
    good = await reachable(addresses, title, context, name, identities.sample())
    return Route(tuple(good), tls)


def _ca_pem(path: str | None, base: Path) -> bytes | None:
    """The CAs to trust as PEM text: of a file, or those of the system."""
    if path is not None:
        file = base / Path(path).expanduser()
        return certificate_pem(load_certificates(read_public(file), str(file)))
    # Told one by one, so that every TLS library of the run trusts the same ones on every system.
    roots = ssl.create_default_context().get_ca_certs(binary_form=True)
    return "".join(ssl.DER_cert_to_PEM_cert(root) for root in roots).encode("ascii") or None
