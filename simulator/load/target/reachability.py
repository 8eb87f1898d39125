"""A look at the target before the run: does it answer, does it speak TLS, is it who it should be.

Owns the words for what can be wrong between this machine and a broker. One connection an address,
TCP and the TLS handshake, no MQTT. Knows nothing about scenarios.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography import x509

from certs.disk import PRIVATE_FILE
from certs.errors import ConfigurationError, EdgeError, LinkError, PeerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simulator.load.target.identities import KeyPair

ADDRESSES_MAX: Final = 8
"""Addresses of one name that are used; AWS IoT Core answers with about this many."""

_RESOLVE_S: Final = 15.0
_CONNECT_S: Final = 5.0
_HANDSHAKE_S: Final = 10.0
_SECOND_THOUGHTS_S: Final = 0.3
"""A TLS 1.3 server judges the client's certificate after the client thinks that all is well."""

_HOSTNAME_MISMATCH: Final = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, IP_ADDRESS
_NOT_VALID_NOW: Final = frozenset({9, 10})  # X509_V_ERR_CERT_NOT_YET_VALID, HAS_EXPIRED
_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"})
_NAMES_SHOWN: Final = 3


class Address(NamedTuple):
    """A numeric address and port, as `socket.connect` takes it.

    Attributes:
        family: Address family of the socket module.
        sockaddr: Address and port.
    """

    family: int
    sockaddr: tuple[str, int]


async def resolve(host: str, port: int) -> list[Address]:
    """The addresses of a host, at most 8, in the order the system prefers.

    Raises:
        LinkError: The name has no address.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_RESOLVE_S):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise LinkError(
            f"the host {host!r} cannot be resolved: no answer within {_RESOLVE_S:g} s",
            "check this machine's network and DNS",
        ) from None
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else "it is no host name"
        raise LinkError(
            f"the host {host!r} cannot be resolved: {reason}",
            "check its spelling in the scenario's target, and this machine's network and DNS",
        ) from error
    addresses = [Address(family, (str(info[0]), port)) for family, _, _, _, info in found]
    return list(dict.fromkeys(addresses))[:ADDRESSES_MAX]


async def reachable(
    addresses: Sequence[Address],
    title: str,
    context: ssl.SSLContext | None = None,
    server_name: str = "",
    identity: KeyPair | None = None,
) -> list[Address]:
    """The addresses that can be used, each tried once and all at the same time.

    Args:
        addresses: At least one.
        title: What the user calls the target, such as `broker.example.com port 8883`.
        context: TLS, or None for plain TCP. The identity is loaded into it.
        server_name: Name the server's certificate must be for.
        identity: Client certificate to show, if there is one.

    Returns:
        At least one address, in the given order.

    Raises:
        LinkError: Nothing answered.
        PeerError: Something answered, and a run would fail for the same reason.
    """
    if context is not None and identity is not None:
        present(context, identity)
    with_identity = identity is not None
    outcomes = await asyncio.gather(
        *(_look(address, title, context, server_name, with_identity) for address in addresses)
    )
    good = [address for address, fault in zip(addresses, outcomes, strict=True) if fault is None]
    if good:
        return good
    faults = [fault for fault in outcomes if fault is not None]
    # An answer explains more than a silence.
    raise next((fault for fault in faults if isinstance(fault, PeerError)), faults[0])


def present(context: ssl.SSLContext, identity: KeyPair) -> None:
    """Make a context of the standard library show an identity.

    Raises:
        ConfigurationError: OpenSSL refuses it.
    """
    with _as_file(identity.certificate_pem + identity.key_pem) as path:
        try:
            context.load_cert_chain(path)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"the certificate and key of {identity.thing!r} cannot be used: {error}",
                "issue them again",
            ) from error


async def _look(
    address: Address,
    title: str,
    context: ssl.SSLContext | None,
    server_name: str,
    with_identity: bool,
) -> EdgeError | None:
    """What is wrong with an address, or None."""
    try:
        sock = await _connected(address)
    except TimeoutError:
        return LinkError(
            f"{title} does not answer: no connection to {address.sockaddr[0]} within "
            f"{_CONNECT_S:g} s",
            "check the host and the port, and that no firewall is in between",
        )
    except ConnectionRefusedError:
        return LinkError(
            f"{title} refuses connections: nothing listens at {address.sockaddr[0]}",
            "start the broker, or correct the host and the port of the target",
        )
    except OSError as error:
        return LinkError(
            f"{title} cannot be reached at {address.sockaddr[0]}: {error.strerror or error}",
            "check this machine's network, and the host and the port of the target",
        )
    if context is None:
        sock.close()
        return None
    try:
        await _shake_hands(sock, context, server_name)
    except ssl.SSLCertVerificationError as error:
        return await _untrusted(address, title, server_name, error)
    except ssl.SSLError as error:
        return _refused(title, error, with_identity)
    except TimeoutError:
        return LinkError(
            f"{title} accepts connections but does not finish the TLS handshake within "
            f"{_HANDSHAKE_S:g} s",
            "check that the port is the broker's TLS port; without TLS set tls: false",
        )
    except (OSError, EOFError) as error:
        return _closed(title, error, with_identity)
    return None


async def _connected(address: Address) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        async with asyncio.timeout(_CONNECT_S):
            await asyncio.get_running_loop().sock_connect(sock, address.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


async def _shake_hands(sock: socket.socket, context: ssl.SSLContext, server_name: str) -> bytes:
    """Shake hands and wait for second thoughts; the server's certificate as DER."""
    try:
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=context, server_hostname=server_name, ssl_handshake_timeout=_HANDSHAKE_S
        )
    except ConnectionAbortedError as error:
        # The event loop's word for a handshake that took too long.
        if "handshake" in str(error):
            raise TimeoutError from error
        raise
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SECOND_THOUGHTS_S):
                if not await reader.read(1):
                    raise EOFError("no byte after the handshake")
        ssl_object = writer.get_extra_info("ssl_object")
        return ssl_object.getpeercert(binary_form=True) or b""
    finally:
        writer.transport.abort()


async def _untrusted(
    address: Address, title: str, server_name: str, error: ssl.SSLCertVerificationError
) -> PeerError:
    certificate = await _certificate_of(address, server_name)
    if error.verify_code in _HOSTNAME_MISMATCH:
        names = _names_of(certificate)
        known = f"is for {', '.join(names)}" if names else "names no host"
        return PeerError(
            f"the certificate of {title} {known}, not for {server_name!r}",
            "set server_name of the target to a name the certificate holds",
        )
    if error.verify_code in _NOT_VALID_NOW:
        return PeerError(
            f"the certificate of {title} is not valid now: {error.verify_message}",
            "renew the broker's certificate, or set this machine's clock",
        )
    issuer = "" if certificate is None else certificate.issuer.rfc4514_string()
    signed = f"; it was signed by {issuer!r}" if issuer else ""
    return PeerError(
        f"the certificate of {title} is not trusted: {error.verify_message}{signed}",
        f"name the PEM file of the CA {issuer!r} as ca of the target"
        if issuer
        else "name the PEM file of the CA that signed it as ca of the target",
    )


async def _certificate_of(address: Address, server_name: str) -> x509.Certificate | None:
    """The server's certificate, without believing it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(OSError, EOFError, ValueError):
        der = await _shake_hands(await _connected(address), context, server_name)
        return x509.load_der_x509_certificate(der)
    return None


def _names_of(certificate: x509.Certificate | None) -> list[str]:
    if certificate is None:
        return []
    with contextlib.suppress(x509.ExtensionNotFound, ValueError):
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = names.get_values_for_type(x509.DNSName)
        addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
        return [*hosts, *addresses][:_NAMES_SHOWN]
    return []


def _refused(title: str, error: ssl.SSLError, with_identity: bool) -> PeerError:
    reason = error.reason or ""
    if reason in _NOT_TLS:
        return PeerError(
            f"{title} does not speak TLS",
            "name the broker's TLS port (usually 8883), or set tls: false",
        )
    if "ALERT" in reason:
        if with_identity:
            return PeerError(
                f"{title} refuses the client certificate of the run ({_words(error)})",
                "give the broker the CA of these certificates, or the scenario other identities",
            )
        return PeerError(
            f"{title} refuses a client without a certificate ({_words(error)})",
            "give the scenario identities: {kind: store, path: ...}",
        )
    return PeerError(
        f"the TLS handshake with {title} failed ({_words(error)})",
        "check that the port is the broker's TLS port and that it offers TLS 1.2 or 1.3",
    )


def _closed(title: str, error: OSError | EOFError, with_identity: bool) -> PeerError:
    when = "right after" if isinstance(error, EOFError) else "during"
    wish = (
        "check that it trusts the CA of the scenario's certificates"
        if with_identity
        else "if it wants client certificates, give the scenario identities: "
        "{kind: store, path: ...}"
    )
    return PeerError(
        f"{title} closed the connection {when} the TLS handshake",
        f"{wish}; check that the port is the broker's TLS port",
    )


def _words(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()


@contextlib.contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """A path under which OpenSSL can read the bytes; in memory where the system has that."""
    # The ssl module takes certificates only from files.
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        descriptor = os.memfd_create("identity", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, data)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "identity.pem"
        path.touch(mode=PRIVATE_FILE)
        path.write_bytes(data)
        yield str(path)
