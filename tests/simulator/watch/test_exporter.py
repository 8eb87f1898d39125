"""The Prometheus endpoint: real requests over real sockets, good and bad."""

from __future__ import annotations

import asyncio
import socket
import urllib.request

import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from certs.errors import EdgeError, LinkError
from simulator.report.result import Result
from simulator.watch.exporter import Exporter
from tests.simulator.report import records_of_a_run
from tests.simulator.watch import moments

GET = b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n"


async def answer(exporter: Exporter, request: bytes) -> tuple[str, dict[str, str], bytes]:
    """Status line, headers and body of the answer to these bytes; empty ones when there is none."""
    reader, writer = await asyncio.open_connection(exporter.host, exporter.port)
    writer.write(request)
    received = await reader.read(-1)
    writer.close()
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return status, headers, body


def published(body: bytes) -> float:
    """All publishes in a text for Prometheus."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        if sample.name == "morai_sim_published_total"
    )


async def test_serves_the_result_as_it_grows() -> None:
    """What was folded since is in the next scrape, under one port."""
    result = Result()
    records = records_of_a_run.records()
    async with Exporter(result) as exporter:
        status, headers, body = await answer(exporter, GET)
        assert status == "HTTP/1.1 200 OK"
        assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert int(headers["content-length"]) == len(body)
        assert published(body) == 0
        for record in records:
            result.add(record)
        # A text is kept for a moment; the other format has not been rendered yet.
        request = GET[:-2] + b"Accept: application/openmetrics-text;version=1.0.0\r\n\r\n"
        _, headers, body = await answer(exporter, request)
        assert headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        read_back = openmetrics_parser.text_string_to_metric_families
        read = read_back(body.decode())  # type: ignore[no-untyped-call] # untyped there
        (family,) = [family for family in read if family.name == "morai_sim_published"]
        assert sum(sample.value for sample in family.samples) == 10_848
        assert exporter.scrapes == 2


async def test_any_http_client_can_read_it() -> None:
    """The standard library's client, in a thread of its own, gets a text that parses."""
    async with Exporter(moments.at(50.0)) as exporter:

        def fetch() -> bytes:
            with urllib.request.urlopen(exporter.url) as response:
                read: bytes = response.read()
                return read

        assert published(await asyncio.to_thread(fetch)) > 7000


async def test_scrapes_in_a_row_cost_one_rendering() -> None:
    """Two scrapes at the same moment get the same text, even if the result has grown."""
    result = moments.at(20.0)
    async with Exporter(result) as exporter:
        _, _, first = await answer(exporter, GET)
        result.add(moments.snapshot(21.0, reasons={"new": 1}))
        exporter._kept = {kind: (at_s + 1e6, text) for kind, (at_s, text) in exporter._kept.items()}
        _, _, kept = await answer(exporter, GET)
        exporter._kept.clear()
        _, _, fresh = await answer(exporter, GET)
    assert kept == first
    assert b'code="new"' in fresh


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", "200 OK"),
        (b"GET / HTTP/1.1\r\n\r\n", "200 OK"),
        (b"GET /secrets HTTP/1.1\r\n\r\n", "404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
        (b"hello\r\n\r\n", "400 Bad Request"),
        (b"\x16\x03\x01\x00\xff\xfe\r\n\r\n", "400 Bad Request"),
        (b"GET /metrics HTTP/1.1\r\nAccept: " + b"\x00\xff:;=" * 99 + b"\r\n\r\n", "200 OK"),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", "431 Request Header Fields Too Large"),
    ],
)
async def test_every_request_gets_an_answer(request_bytes: bytes, status: str) -> None:
    """Good, wrong, foreign and huge requests each get their status."""
    async with Exporter(moments.at(1.0)) as exporter:
        assert (await answer(exporter, request_bytes))[0] == f"HTTP/1.1 {status}"


async def test_head_has_headers_only() -> None:
    """HEAD tells the length and sends nothing of it."""
    async with Exporter(moments.at(1.0)) as exporter:
        status, headers, body = await answer(exporter, GET.replace(b"GET", b"HEAD"))
    assert status == "HTTP/1.1 200 OK"
    assert int(headers["content-length"]) > 0
    assert body == b""


async def test_headers_cannot_be_injected() -> None:
    """Nothing of a request is repeated in the head of the answer."""
    async with Exporter(moments.at(1.0)) as exporter:
        evil = b"Accept: application/openmetrics-text;version=1.0.0\nSet-Cookie: a=b;escaping=x"
        _, headers, _ = await answer(exporter, b"GET /metrics HTTP/1.1\r\n" + evil + b"\r\n\r\n")
    assert "set-cookie" not in headers


async def test_idle_connections_are_bounded_and_do_not_hold_the_end() -> None:
    """Beyond 32 silent connections a further one is closed; leaving closes all of them."""
    async with Exporter(moments.at(1.0)) as exporter:
        silent = [await asyncio.open_connection(exporter.host, exporter.port) for _ in range(32)]
        further = await asyncio.open_connection(exporter.host, exporter.port)
        assert await is_closed_by_peer(further)
    assert all([await is_closed_by_peer(connection) for connection in silent])


async def is_closed_by_peer(
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> bool:
    """Whether nothing but the end comes; closes this side too."""
    reader, writer = connection
    try:
        return await reader.read(1) == b""
    except ConnectionResetError:
        return True
    finally:
        writer.transport.abort()


async def test_taken_port_is_said_with_a_remedy() -> None:
    """A port in use is an error of the environment that names the port and a way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LinkError, match=f"port {port} on 127.0.0.1") as caught:
            async with Exporter(Result(), port=port):
                pass
    assert "another port" in caught.value.remedy


async def test_foreign_address_is_said_with_a_remedy() -> None:
    """An address that is not of this machine (RFC 5737) is an error of the environment."""
    with pytest.raises(EdgeError, match=r"192\.0\.2\.1") as caught:
        async with Exporter(Result(), "192.0.2.1"):
            pass
    assert caught.value.remedy


async def test_port_can_be_used_again() -> None:
    """Leaving frees the port."""
    async with Exporter(Result()) as first:
        port = first.port
    async with Exporter(Result(), port=port) as second:
        assert (await answer(second, GET))[0] == "HTTP/1.1 200 OK"
