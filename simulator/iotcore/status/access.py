"""Who may ask for the pages under `/_core/`: this machine, and certificates that are named.

Pure. The stand-in's port may be open to a whole test bench, and its pages name every client, so the
pages answer to whoever connects over the loopback interface, and to a client certificate that the
configuration names by its id or its thing. Nothing else opens them: no password, no header.

A browser lends its user's rights to every site it shows. Reading is safe from that by the
same-origin policy; what changes something asks for JSON in addition, which another site cannot send
without being allowed to first (Fetch standard, "CORS protocol"), and refuses a foreign `Origin`.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulator.iotcore.registry import Registry


class Access:
    """The rule.

    Args:
        registry: Where certificates must be ACTIVE, and which things they belong to.
        loopback: Whether callers on this machine need no certificate.
        readers: Certificate ids and thing names.
    """

    def __init__(self, registry: Registry, *, loopback: bool, readers: Iterable[str]) -> None:
        self._registry = registry
        self._loopback = loopback
        self._readers = frozenset(readers)
        self._ids = frozenset(reader.lower() for reader in self._readers)

    def is_granted(self, address: str, certificate_id: str | None) -> bool:
        """Whether a caller may ask.

        Args:
            address: Where it connects from.
            certificate_id: Of its client certificate, if it has one.
        """
        if self._loopback and is_loopback(address):
            return True
        if certificate_id is None or not self._registry.is_active(certificate_id):
            return False
        registered = self._registry.certificate(certificate_id)
        things = registered.things if registered is not None else ()
        return certificate_id in self._ids or not self._readers.isdisjoint(things)


def is_loopback(address: str) -> bool:
    """Whether an address is this machine's own, also IPv4 inside IPv6."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    inner = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (inner or found).is_loopback


def is_same_origin(origin: str | None, host: str | None) -> bool:
    """Whether a request comes from a page of this server, or from no page at all.

    Args:
        origin: Header `Origin`.
        host: Header `Host`.
    """
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme == "https" and host is not None and parts.netloc.lower() == host.lower()
