"""What sending costs without any fleet: the floor under every cost per message.

A process that does nothing but send packets of the usual size over many loopback connections, in
the same bursts as a load worker, while another process reads them: once in the clear, and once
through TLS with the fleet's own client context. The costs of a fleet are to be read as a multiple
of these, since what a system call costs differs between machines and between days.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import selectors
import socket
import ssl
import tempfile
import time
from typing import TYPE_CHECKING, Final

from certs.store import Store
from simulator.iotcore.process import prepare_for_many_connections
from simulator.load.connection.tls_client import ClientContext
from simulator.load.worker import TICK_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection as Pipe
    from pathlib import Path

    from certs.store import Identity

PACKET_BYTES: Final = 330
"""A PUBLISH of 250 bytes with its topic, in the clear."""

_RATE_HZ: Final = 4000.0
_READ_BYTES: Final = 64 * 1024
_WARM_UP_S: Final = 0.5
_PATIENCE_S: Final = 60.0


def cost_us(
    connections: int, seconds: float, repetitions: int, *, tls: bool = False
) -> tuple[float, ...]:
    """CPU of the sending process per packet in microseconds, user and system, each repetition.

    Args:
        connections: Over how many connections the packets are spread, one after the other.
        seconds: Length of a repetition.
        repetitions: How many.
        tls: Through TLS.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        identity = None
        if tls:
            store = Store(folder)
            store.init_authority()
            identity = store.issue_server(["127.0.0.1"])
        arguments = (theirs, connections, identity)
        reader = context.Process(target=_read, args=arguments, daemon=True)
        sender_ours, sender_theirs = context.Pipe()
        reader.start()
        try:
            sender = context.Process(
                target=_send,
                args=(
                    sender_theirs,
                    _receive(ours),
                    connections,
                    seconds,
                    repetitions,
                    store.ca_certificate_path if tls else None,
                ),
                daemon=True,
            )
            sender.start()
            # The child's copies must be the only ones, or its death would go unnoticed.
            sender_theirs.close()
            try:
                patience_s = _PATIENCE_S + seconds * repetitions
                return tuple(_receive(sender_ours, patience_s))
            finally:
                sender.kill()
                sender.join()
        finally:
            reader.kill()
            reader.join()


def _receive(pipe: Pipe, patience_s: float = _PATIENCE_S) -> list[float]:
    if not pipe.poll(patience_s):
        raise TimeoutError("a process of the benchmark does not answer")
    answer: list[float] = pipe.recv()
    return answer


# The process that reads


def _read(pipe: Pipe, connections: int, identity: Identity | None) -> None:
    prepare_for_many_connections()
    context = None
    if identity is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.certificate_path, identity.key_path)
    selector = selectors.DefaultSelector()
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as server:
        pipe.send([float(server.getsockname()[1])])
        for _ in range(connections):
            sock, _ = server.accept()
            if context is not None:
                sock = context.wrap_socket(sock, server_side=True)
            selector.register(sock, selectors.EVENT_READ)
    # The sender's end is the end.
    with contextlib.suppress(OSError):
        while True:
            for key, _ in selector.select():
                # Not deciphered: that would be the reader's cost, and only the sender's is wanted.
                os.read(key.fd, _READ_BYTES)


# The process that sends


def _send(
    pipe: Pipe,
    port: list[float],
    connections: int,
    seconds: float,
    repetitions: int,
    ca_path: Path | None,
) -> None:
    prepare_for_many_connections()
    context = None if ca_path is None else ClientContext(ca_path.read_bytes(), "127.0.0.1")
    with contextlib.ExitStack() as stack:
        senders = list(_connect(stack, int(port[0]), connections, context))
        _burst(senders, _WARM_UP_S)
        pipe.send([_burst(senders, seconds) for _ in range(repetitions)])


def _connect(
    stack: contextlib.ExitStack, port: int, connections: int, context: ClientContext | None
) -> Iterator[Callable[[bytes], int]]:
    for _ in range(connections):
        sock = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is None:
            yield sock.send
        else:
            connection = context.connection(sock, None)
            connection.do_handshake()
            yield connection.send


def _burst(senders: list[Callable[[bytes], int]], seconds: float) -> float:
    """Send for a while in short bursts; microseconds of CPU per packet."""
    packet = bytes(PACKET_BYTES)
    began_cpu_s, began_s, sent = time.process_time(), time.monotonic(), 0
    while (elapsed_s := time.monotonic() - began_s) < seconds:
        due = int(elapsed_s * _RATE_HZ)
        for number in range(sent, due):
            senders[number % len(senders)](packet)
        sent = due
        time.sleep(TICK_S)
    return (time.process_time() - began_cpu_s) / max(1, sent) * 1e6
