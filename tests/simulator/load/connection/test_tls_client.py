from __future__ import annotations

import socket

import pytest

from certs.errors import ConfigurationError
from simulator.load.connection.tls_client import ClientContext, TlsFailure
from simulator.load.target.identities import KeyPair
from tests.simulator.load.connection.servers import CA_PEM, identity


@pytest.mark.parametrize(
    "pem", [b"", b"no certificate", CA_PEM[:100]], ids=["empty", "text", "cut off"]
)
def test_a_ca_that_is_none_is_refused(pem: bytes) -> None:
    """Before any connection, as a mistake in the configuration."""
    with pytest.raises(ConfigurationError, match="the CA of the target"):
        ClientContext(pem, "broker.example")


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".example"])
def test_a_server_name_that_is_none_is_refused(name: str) -> None:
    """A name that cannot be sent as SNI is said before the run."""
    with pytest.raises(ConfigurationError, match="no host name"):
        ClientContext(CA_PEM, name)


def test_a_certificate_and_key_that_do_not_fit_are_a_failure_of_the_link() -> None:
    """The cause names the client's side and no part of the key."""
    pair = identity("a")
    wrong = KeyPair("a", "", pair.certificate_pem, identity("b").key_pem)
    with socket.socket() as sock, pytest.raises(TlsFailure) as failure:
        ClientContext(CA_PEM, "broker.example").connection(sock, wrong)

    assert "client certificate" in str(failure.value)
    assert "PRIVATE" not in str(failure.value)


def test_many_chains_do_not_grow_the_context_without_bound() -> None:
    """Contexts are kept for a few chains; a further one is made and forgotten."""
    context = ClientContext(CA_PEM, "broker.example")
    leaf = identity("a")
    with socket.socket() as sock:
        for number in range(40):
            other = identity(f"other-{number}").certificate_pem
            pair = KeyPair("a", "", leaf.certificate_pem + other, leaf.key_pem)
            context.connection(sock, pair)

    assert len(context._contexts) == 16
