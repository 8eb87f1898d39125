"""Nagle's algorithm on connections that another library opened."""

from __future__ import annotations

import socket
import sys

import pytest

from agent.cloud.nagle import disable_nagle


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors can be listed on Linux only")
def test_only_connections_to_the_port_are_changed() -> None:
    """The client's socket gets TCP_NODELAY; one to another port and the server's side do not."""
    with (
        socket.create_server(("127.0.0.1", 0)) as wanted,
        socket.create_server(("127.0.0.1", 0)) as other,
        socket.create_connection(wanted.getsockname()) as client,
        socket.create_connection(other.getsockname()) as bystander,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        datagrams.connect(wanted.getsockname())

        assert disable_nagle(wanted.getsockname()[1]) == 1

        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert bystander.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
        # The descriptor is still the other library's to use.
        client.sendall(b"x")


def test_a_port_nobody_is_connected_to_changes_nothing() -> None:
    """Without a matching connection the answer is zero, on every platform."""
    assert disable_nagle(1) == 0
