"""What the SDK's clients of a worker share: a thread, a way to the event loop, TLS contexts.

Owns the native threads of the AWS IoT Device SDK and the hop from them to the event loop, and what
the SDK must be told of a target. Knows nothing about cars or messages.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from awscrt import io
from awscrt.exceptions import AwsCrtError

from agent.cloud.inbound_gate import InboundGate
from certs.errors import ConfigurationError
from simulator.scenario.schema import BrokerTarget, StandInTarget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.load.target.identities import KeyPair
    from simulator.load.target.opening import Route
    from simulator.scenario.schema import Target

REFUSALS: Final = (AwsCrtError, RuntimeError, ValueError, OSError)
"""What a call into the SDK may raise."""


class Hop:
    """Calls from the SDK's thread, done on the event loop in their order.

    One wake-up of the loop brings everything that came meanwhile: at a thousand acknowledgements a
    second a wake-up for each would cost more than the rest. What waits is bounded by what is in
    flight, and for incoming messages by an `InboundGate`.

    Args:
        loop: The event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._is_awaited = False

    def post(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have a function called on the event loop; from any thread."""
        self._calls.append((function, arguments))
        if not self._is_awaited:
            self._is_awaited = True
            # A loop that is closed already needs no news.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._bring)

    def _bring(self) -> None:
        # Before the first look at the queue: what is posted from now on wakes the loop again.
        self._is_awaited = False
        for _ in range(len(self._calls)):
            function, arguments = self._calls.popleft()
            function(*arguments)


class SdkRuntime:
    """The SDK's native side of one worker: one thread for all its clients.

    Args:
        loop: The event loop.

    Attributes:
        bootstrap: What clients are made with; None once closed.
        hop: The way to the event loop.
        gate: Bounds the incoming messages on that way.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # Callbacks take turns at the interpreter anyway, and the gate wants a single writer.
        threads = io.EventLoopGroup(1)
        self._ended = threads.shutdown_event
        self.bootstrap: Any = io.ClientBootstrap(threads, io.DefaultHostResolver(threads))
        self.hop = Hop(loop)
        self.gate = InboundGate()

    async def close(self, patience_s: float) -> bool:
        """Let the thread end once all clients are released; whether it did within `patience_s`.

        A client that was left in the middle of an attempt to connect keeps it until that ends. The
        process can end all the same.
        """
        self.bootstrap = None
        return bool(await asyncio.to_thread(self._ended.wait, patience_s))


class SdkEquipment:
    """What the SDK's clients of one group are made with.

    Args:
        runtime: The native side.
        target: The target of the scenario.
        route: Where to connect.

    Attributes:
        runtime: The native side.
        port: The target's port.

    Raises:
        ConfigurationError: The SDK cannot connect to such a target.
    """

    def __init__(self, runtime: SdkRuntime, target: Target, route: Route) -> None:
        self.runtime = runtime
        self.port = route.addresses[0].sockaddr[1]
        self._tls = route.tls
        self._hosts = tuple(address.sockaddr[0] for address in route.addresses)
        # Every system root in every context would be 1 MB a car; the SDK reads them by itself.
        self._takes_system_roots = not isinstance(target, StandInTarget) and target.ca is None
        self._contexts: list[Any] = []
        if route.tls is None or not route.tls.verify:
            return
        if isinstance(target, BrokerTarget) and target.server_name not in {None, target.host}:
            raise ConfigurationError(
                "client: sdk cannot connect to a broker under one name and verify another: "
                f"target.server_name is {target.server_name!r} and target.host {target.host!r}",
                "write the name in the broker's certificate as host, and leave server_name out",
            )
        # It looks the name up itself, with every attempt, and verifies the server by it.
        self._hosts = (route.tls.server_name,)

    async def prepare(self, pairs: Sequence[KeyPair] | None) -> None:
        """Make the TLS context of each car, about 5 ms each; before the run, for that reason.

        Raises:
            ConfigurationError: A certificate or the CA cannot be used.
        """
        if self._tls is None:
            return
        for pair in pairs or (None,):
            self._contexts.append(self._context(pair))
            await asyncio.sleep(0)

    @property
    def has_tls(self) -> bool:
        """Whether its connections have TLS."""
        return self._tls is not None

    def host(self, number: int) -> str:
        """Name or address that a car with this number connects to."""
        return self._hosts[number % len(self._hosts)]

    def context(self, index: int) -> Any:
        """The TLS context of a car, or None for plain TCP."""
        return self._contexts[index % len(self._contexts)] if self._contexts else None

    def _context(self, pair: KeyPair | None) -> Any:
        tls = self._tls
        assert tls is not None  # noqa: S101 - prepare() decides
        try:
            if pair is None:
                options = io.TlsContextOptions()
            else:
                options = io.TlsContextOptions.create_client_with_mtls(
                    pair.certificate_pem, pair.key_pem
                )
            options.verify_peer = tls.verify
            if tls.ca_pem is not None and not self._takes_system_roots:
                options.override_default_trust_store(tls.ca_pem)
            if tls.alpn is not None:
                options.alpn_list = [tls.alpn]
            return io.ClientTlsContext(options)
        except REFUSALS as error:
            whose = "the CA of the target" if pair is None else f"the identity of {pair.thing!r}"
            raise ConfigurationError(
                f"the SDK cannot use {whose}: {error}", "check the store: morai-certs check"
            ) from error
