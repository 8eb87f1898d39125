from __future__ import annotations

import json
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.iotcore.broker.message import Message
from simulator.iotcore.registry import Registry, Thing
from simulator.iotcore.services.defender import Defender

UNIX_S_AT_ZERO = 1_700_000_000.0
# The two examples of the Device Defender developer guide, shortened.
LONG: dict[str, Any] = {
    "header": {"report_id": 1530304554, "version": "1.0"},
    "metrics": {
        "listening_tcp_ports": {"ports": [{"interface": "eth0", "port": 22}], "total": 1},
        "network_stats": {"bytes_in": 29358693495, "packets_in": 10013573555},
        "tcp_connections": {"established_connections": {"connections": [], "total": 0}},
    },
    "custom_metrics": {
        "MyMetricOfType_Number": [{"number": 1}],
        "MyMetricOfType_NumberList": [{"number_list": [1, 2.5, 3]}],
        "MyMetricOfType_StringList": [{"string_list": ["value_1"]}],
        "MyMetricOfType_IpList": [{"ip_list": ["172.0.0.0"]}],
    },
}
SHORT: dict[str, Any] = {
    "hed": {"rid": 1530305228, "v": "1.0"},
    "met": {"tp": {"pts": [{"if": "eth0", "pt": 22}], "t": 1}, "ns": {"bi": 29359307173}},
}


def fresh(interval_s: float = 300.0) -> Defender:
    """A service that knows the thing `car-1`."""
    registry = Registry()
    registry.put_thing(Thing("car-1"))
    return Defender(registry, unix_s_at_zero=UNIX_S_AT_ZERO, interval_s=interval_s)


def report(
    service: Defender, document: Any, now_s: float = 0.0, level: str = "json", thing: str = "car-1"
) -> tuple[str, dict[str, Any]]:
    """A report: verdict and document of the answer."""
    topic = f"$aws/things/{thing}/defender/metrics/{level}"
    payload = document
    if not isinstance(document, bytes):
        payload = cbor2.dumps(document) if level == "cbor" else json.dumps(document).encode()
    (answer,) = service.handle(Message(topic, payload, 1, now_s), "client", now_s)
    assert answer.client_id == "client"
    base, verdict = answer.message.topic.rsplit("/", 1)
    assert base == topic
    decode = cbor2.loads if level == "cbor" else json.loads
    return verdict, decode(answer.message.payload)


@pytest.mark.parametrize("document", [LONG, SHORT])
@pytest.mark.parametrize("level", ["json", "cbor"])
def test_the_examples_of_the_guide_are_accepted(document: dict[str, Any], level: str) -> None:
    """Long names, short names, both formats."""
    service = fresh()
    verdict, answer = report(service, document, 5.0, level)
    report_id = (document.get("header") or document["hed"]).get("report_id", 1530305228)
    assert verdict == "accepted"
    assert answer == {
        "thingName": "car-1",
        "reportId": report_id,
        "status": "ACCEPTED",
        "timestamp": 1_700_000_005_000,
    }
    assert (service.accepted, service.rejected) == (1, {})


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"", "InvalidPayload"),
        (b"[]", "InvalidPayload"),
        ({}, "MissingHeader"),
        (LONG | {"header": None}, "MissingHeader"),
        (LONG | {"header": {"report_id": "1", "version": "1.0"}}, "InvalidPayload"),
        (LONG | {"header": {"report_id": 1, "version": "1"}}, "InvalidPayload"),
        ({"header": LONG["header"]}, "InvalidPayload"),
        (LONG | {"metrics": []}, "InvalidPayload"),
        (LONG | {"metrics": {"tcp_connections": 3}}, "InvalidPayload"),
        (LONG | {"metrics": {"network_stats": {"bytes_in": -1}}}, "InvalidPayload"),
        (LONG | {"metrics": {"ns": {"bi": "many"}}}, "InvalidPayload"),
        (LONG | {"custom_metrics": {"x": {"number": 1}}}, "InvalidPayload"),
        (LONG | {"custom_metrics": {"x": [{"number": "1"}]}}, "InvalidPayload"),
        (LONG | {"custom_metrics": {"x": [{"number": True}]}}, "InvalidPayload"),
        (LONG | {"custom_metrics": {"x": [{"number_list": 1}]}}, "InvalidPayload"),
        (LONG | {"custom_metrics": {"x": [{"other": 1}]}}, "InvalidPayload"),
    ],
)
def test_malformed_reports_are_rejected_and_counted(document: Any, code: str) -> None:
    """The reason is in the answer; the interval does not start."""
    service = fresh()
    verdict, answer = report(service, document)
    assert verdict == "rejected"
    assert answer["status"] == "REJECTED"
    assert answer["statusDetails"]["ErrorCode"] == code
    assert answer["statusDetails"]["ErrorMessage"]
    assert service.rejected == {code: 1}
    assert report(service, LONG)[0] == "accepted"


def test_one_report_in_five_minutes() -> None:
    """The next one counts from the last accepted one; the interval can be set."""
    service = fresh()
    assert report(service, LONG, 0.0)[0] == "accepted"
    verdict, answer = report(service, LONG, 299.0)
    assert (verdict, answer["statusDetails"]["ErrorCode"]) == ("rejected", "Throttled")
    assert report(service, LONG, 300.0)[0] == "accepted"
    eager = fresh(interval_s=0)
    assert [report(eager, LONG)[0] for _ in range(3)] == ["accepted"] * 3


def test_only_things_report() -> None:
    """A device that is no registered thing is rejected."""
    verdict, answer = report(fresh(), LONG, thing="stranger")
    assert (verdict, answer["statusDetails"]["ErrorCode"]) == ("rejected", "ResourceNotFound")


def test_a_restart_keeps_counts_and_intervals() -> None:
    """The dump is JSON; damage is a ValueError."""
    service = fresh()
    report(service, LONG, 100.0)
    report(service, b"", 100.0)
    dump = json.loads(json.dumps(service.dump()))
    again = fresh()
    again.load(dump)
    assert again.dump() == dump
    assert report(again, LONG, 399.0)[1]["statusDetails"]["ErrorCode"] == "Throttled"
    assert report(again, LONG, 400.0)[0] == "accepted"
    assert list(again.advance(9e9)) == []
    assert again.next_deadline_s is None
    damages: list[dict[str, Any]] = [{}, dump | {"accepted": "x"}, dump | {"reported": [1]}]
    for damage in damages:
        with pytest.raises(ValueError, match="defender"):
            fresh().load(damage)


@given(st.binary(max_size=200), st.sampled_from(["json", "cbor"]))
def test_any_bytes_get_one_answer(payload: bytes, level: str) -> None:
    """The handler is total."""
    assert report(fresh(), payload, level=level)[0] in {"accepted", "rejected"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda children: (
        st.lists(children, max_size=2)
        | st.dictionaries(
            st.sampled_from(["bi", "ns", "tc", "number", "ip_list", "x"]), children, max_size=2
        )
    ),
    max_leaves=6,
)


@given(JSON, JSON)
def test_any_metrics_get_one_answer(metrics: Any, custom: Any) -> None:
    """Total over well-formed documents, too."""
    document = {"hed": SHORT["hed"], "met": metrics, "cmet": custom}
    assert report(fresh(), document)[0] in {"accepted", "rejected"}
