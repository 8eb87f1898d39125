"""The pages under `/_core/` of a whole stand-in, over TLS."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from simulator.iotcore.broker.counters import Cause
from simulator.iotcore.status.document import FORMAT, Status
from simulator.iotcore.status.exposition import registry_of
from tests.simulator.iotcore.status.running import JSON, VERSION, running

if TYPE_CHECKING:
    from pathlib import Path

    from certs.store import Store


async def test_the_status_says_what_goes_on(store: Store) -> None:
    """Connections, totals, refusals, talkers, services, clock: as they are."""
    async with running(store) as core, core.client("car-1") as car:
        await car.publish(150)
        found = await core.status()
    assert msgspec.convert(found, Status).format == FORMAT
    assert (found["version"], found["port"]) == (VERSION, core.server.port)
    assert (found["connections"], found["sessions"]) == (1, 1)
    assert found["totals"]["publishes_in"] == 150
    assert found["registered"] == {"certificates": 3, "things": 3}
    assert found["clock"]["ahead_s"] == 0.0
    (talker,) = found["talkers"]
    assert (talker["client_id"], talker["publishes_in"]) == ("car-1", 150)
    (refusal,) = found["quotas"]["refusals"]
    refused = refusal["refused"]
    assert 1 <= refused <= 50
    assert refusal["clients"] == [{"client_id": "car-1", "refused": refused, "excess": 0}]
    assert refusal["text"].endswith("of car-1: more than 100 a second on one connection")
    assert found["totals"]["refused"] == refused
    assert {"shadows", "jobs", "commands", "provisioning", "streams"} <= set(found["services"])
    assert found["api"]["requests"] == 0
    assert found["persistence"] is None


async def test_requests_to_services_and_the_api_are_counted(store: Store) -> None:
    """A request over MQTT counts for its service, one over HTTP for its operation."""
    async with running(store) as core, core.client("car-1") as car:
        await car.publish(2, "$aws/things/car-1/shadow/get")
        await core.ask("/things", headers={"Authorization": "none"})
        found = await core.status()
    assert found["services"]["shadows"]["requests"] == 2
    assert found["services"]["jobs"]["requests"] == 0
    assert found["api"]["requests"] == 1


async def test_refusals_name_every_client_that_is_remembered(store: Store) -> None:
    """More than the ten of the status."""
    async with running(store) as core:
        for number in range(12):
            core.server.broker.counters.refuse(Cause.QUOTA_CONNECTS_OF_CLIENT, f"car-{number}")
        all_of_them = (await core.ask("/_core/refusals")).json()
        shown = await core.status()
    assert len(all_of_them["quotas"]["refusals"][0]["clients"]) == 12
    assert len(shown["quotas"]["refusals"][0]["clients"]) == 10
    assert all_of_them["causes"] == {"quota:connects-per-client-id": 12}


@pytest.mark.parametrize("accept", ["*/*", "application/openmetrics-text; version=1.0.0"])
async def test_metrics_are_what_prometheus_reads(store: Store, accept: str) -> None:
    """In the text format or in OpenMetrics, with units in the names and zeroes that alerts need."""
    async with running(store) as core, core.client("car-1") as car:
        await car.publish(150)
        answer = await core.ask("/_core/metrics", headers={"Accept": accept})
    is_open = "openmetrics" in accept
    assert ("openmetrics" in answer.headers["Content-Type"]) is is_open
    parse = parse_openmetrics if is_open else parse_plain
    samples: dict[tuple[str, Any], float] = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(answer.body.decode())
        for sample in family.samples
    }
    assert samples["morai_core_connections", ()] == 1
    assert samples["morai_core_publishes_received_total", ()] == 150
    of_connection = (("cause", "quota"), ("quota", "publishes-per-connection"))
    assert 1 <= samples["morai_core_refused_total", of_connection] <= 50
    denied = (("cause", "publish_denied"), ("quota", ""))
    assert samples["morai_core_refused_total", denied] == 0
    limit = (("quota", "publishes-per-connection"), ("unit", "publishes/s"))
    assert samples["morai_core_quota_limit", limit] == 100
    assert samples["morai_core_service_requests_total", (("service", "shadows"),)] == 0
    names = {name for name, _ in samples}
    assert all(name.startswith("morai_core_") for name in names)
    assert len(samples) < 400


async def test_no_label_names_a_client(store: Store) -> None:
    """Fifty clients more are not one series more."""
    async with running(store) as core:
        observer = core.stand_in.observer
        metrics = registry_of(lambda: observer.status(1.0), observer.choice.table)
        before = generate_latest(metrics)
        for number in range(50):
            core.server.broker.counters.refuse(Cause.QUOTA_CONNECTS_OF_CLIENT, f"car-{number}")
        after = generate_latest(metrics)
    assert after.count(b"\n") == before.count(b"\n")
    assert after != before
    assert b"car-4" not in after


async def test_the_page_for_people_loads_nothing_from_elsewhere(store: Store) -> None:
    """It, its style and its script come from here, and the browser is told to load nothing else."""
    async with running(store) as core:
        page = await core.ask("/_core/")
        style = await core.ask("/_core/page.css")
        script = await core.ask("/_core/page.js")
    assert page.status == style.status == script.status == 200
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    for text in (page.body, style.body, script.body):
        assert b"//cdn" not in text
        assert b"https://" not in text
    assert b"innerHTML" not in script.body


async def test_head_has_no_body_and_other_methods_are_refused(store: Store) -> None:
    """Reading is GET and HEAD; a path that is not there is 404."""
    async with running(store) as core:
        head = await core.ask("/_core/status", "HEAD")
        wrong = await core.ask("/_core/status", "DELETE")
        missing = await core.ask("/_core/secrets")
    assert (head.status, head.body) == (200, b"")
    assert (wrong.status, wrong.headers["Allow"]) == (405, "GET, HEAD")
    assert missing.status == 404


async def test_what_changes_something_is_off_unless_switched_on(store: Store) -> None:
    """The answer says how to switch it on, and nothing happens."""
    async with running(store) as core, core.client("car-1"):
        travel = await core.ask("/_core/clock", "POST", json={"travel_s": 3600})
        drop = await core.ask("/_core/clients/car-1/drop", "POST", json={})
        found = await core.status()
    assert (travel.status, drop.status) == (403, 403)
    assert "--allow-time-travel" in travel.json()["error"]
    assert "--allow-drop" in drop.json()["error"]
    assert (found["clock"]["ahead_s"], found["connections"]) == (0.0, 1)


async def test_time_travels_from_outside(store: Store) -> None:
    """The clock is ahead, and what was due by then happened: a silent client timed out."""
    async with (
        running(store, status={"allow_time_travel": True}) as core,
        core.client("car-1") as car,
    ):
        before = await core.status()
        answer = await core.ask("/_core/clock", "POST", json={"travel_s": 86_400})
        # At most 1,200 s of keep-alive, one and a half times (developer guide, "MQTT keep-alive").
        await car.reader.read(100)
        after = await core.status()
    assert answer.status == 200
    assert answer.json()["ahead_s"] == 86_400
    assert after["clock"]["ahead_s"] == 86_400
    assert after["clock"]["unix_s"] - before["clock"]["unix_s"] >= 86_400
    assert after["causes"] == {"closed_keep_alive": 1}
    assert after["uptime_s"] < 60


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"travel_s": -1}', 400),
        ('{"travel_s": 1e12}', 400),
        ('{"travel_s": "long"}', 400),
        ('{"travel_s": NaN}', 400),
        ("{}", 400),
        ("[", 400),
        ('{"travel_s": 1, "more": 2}', 400),
        ("x" * 5_000, 413),
    ],
)
async def test_a_journey_that_makes_no_sense_is_refused(
    store: Store, body: str, status: int
) -> None:
    """The clock stays where it was."""
    async with running(store, status={"allow_time_travel": True}) as core:
        answer = await core.ask("/_core/clock", "POST", data=body, headers=JSON)
        found = await core.status()
    assert answer.status == status
    assert "error" in answer.json()
    assert found["clock"]["ahead_s"] == 0.0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({**JSON, "Origin": "https://evil.example"}, 403),
        ({**JSON, "Origin": "null"}, 403),
    ],
)
async def test_a_page_of_another_site_changes_nothing(
    store: Store, headers: dict[str, str], status: int
) -> None:
    """What a browser sends for a foreign page is refused."""
    async with running(store, status={"allow_time_travel": True}) as core:
        body = json.dumps({"travel_s": 60})
        answer = await core.ask("/_core/clock", "POST", data=body, headers=headers)
        found = await core.status()
    assert answer.status == status
    assert found["clock"]["ahead_s"] == 0.0


@pytest.mark.parametrize("client_id", ["car-1", "fleet/car 1?#%é"])
async def test_a_connection_is_cut_from_outside(store: Store, client_id: str) -> None:
    """Whatever its client id is; without a word, so that the client sees a broken network."""
    async with (
        running(store, status={"allow_drop": True}) as core,
        core.client("car-1", client_id) as car,
    ):
        path = f"/_core/clients/{quote(client_id, safe='')}/drop"
        answer = await core.ask(path, "POST", json={})
        try:
            rest = await car.reader.read(100)
        except ConnectionError:
            rest = b""
        again = await core.ask(path, "POST", json={})
    assert (answer.status, answer.json()) == (200, {"dropped": True})
    assert rest == b""
    assert again.status == 404


async def test_the_loopback_may_be_closed_and_a_thing_named(store: Store) -> None:
    """Then nobody is answered but the thing that is named, by its certificate."""
    options = {"loopback": False, "readers": ["operator"]}
    async with running(store, status=options) as core:
        nobody = await core.ask("/_core/status")
        stranger = await core.ask("/_core/status", thing="car-1")
        operator = await core.ask("/_core/status", thing="operator")
        page = await core.ask("/_core/")
    assert (nobody.status, stranger.status, operator.status) == (403, 403, 200)
    assert page.status == 403
    assert "status.readers" in nobody.json()["error"]


async def test_pages_can_be_left_out(store: Store) -> None:
    """Then nothing is shown to anybody."""
    async with running(store, status={"enabled": False}) as core:
        answer = await core.ask("/_core/status")
    assert answer.status == 404
    assert b"uptime" not in answer.body


async def test_no_page_shows_a_secret(store: Store, tmp_path: Path) -> None:
    """Neither access keys nor what clients publish stand in any page."""
    secret = "hush-hush-hush-hush"
    options = {"api": {"access_keys": {"EXAMPLEACCESSKEY": secret}}, "data_dir": tmp_path / "data"}
    async with running(store, **options) as core, core.client("car-1") as car:
        await car.publish(1, "topic-of-a-customer")
        pages = [
            (await core.ask(f"/_core/{name}")).body
            for name in ("", "status", "refusals", "metrics")
        ]
    for page in pages:
        assert secret.encode() not in page
        assert b"topic-of-a-customer" not in page
        assert b"PRIVATE KEY" not in page
    assert b"EXAMPLEACCESSKEY" not in b"".join(pages)


async def test_a_change_whose_body_does_not_arrive_is_given_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """408, and the connection does not stay."""
    monkeypatch.setattr("simulator.iotcore.transports.http_entry.BODY_TIMEOUT_S", 0.05)
    async with running(store, status={"allow_time_travel": True}) as core:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", core.server.port, ssl=core.context(), server_hostname="localhost"
        )
        writer.write(
            b"POST /_core/clock HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
            b"Content-Type: application/json\r\n\r\n{"
        )
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.transport.abort()
        assert core.server.counters().get("closed_defect") is None
