from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mqtt5
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.iotcore.conftest import Bench, Client

EVENTS = "$aws/events/"


def watcher(bench: Bench) -> Client:
    """A client that sees all lifecycle events."""
    client = bench.join("watcher")
    client.subscribe(f"{EVENTS}presence/#", f"{EVENTS}subscriptions/#", qos=0)
    client.messages()
    return client


def test_a_connection_is_announced_as_aws_does(bench: Bench) -> None:
    """`presence/connected` with the documented fields, times in milliseconds."""
    watch = watcher(bench)
    bench.wait(1.5)
    bench.join("car-1")
    ((topic, event),) = bench.events(watch)
    assert topic == f"{EVENTS}presence/connected/car-1"
    session_identifier = event.pop("sessionIdentifier")
    assert isinstance(session_identifier, str)
    assert session_identifier
    assert event == {
        "clientId": "car-1",
        "timestamp": 1_700_001_001_500,
        "eventType": "connected",
        "principalIdentifier": bench.certificate.certificate_id,
        "ipAddress": "192.0.2.7",
        "versionNumber": 0,
    }


def leave(_bench: Bench, client: Client) -> None:
    """DISCONNECT."""
    client.send(mqtt5.DisconnectPacket())


def lose(_bench: Bench, client: Client) -> None:
    """The transport breaks."""
    client.lose()


def misbehave(_bench: Bench, client: Client) -> None:
    """A packet that is not supported."""
    client.send(mqtt5.PubRelPacket(1))


def be_deleted(bench: Bench, _client: Client) -> None:
    """DeleteConnection."""
    bench.broker.disconnect("car-1", bench.now_s)
    bench.collect()


def be_silent(bench: Bench, client: Client) -> None:
    """No packet for longer than the keep-alive, while the others go on."""
    for _ in range(2):
        bench.wait(1000)
        for other in bench.clients.values():
            if other is not client and not other.is_closed:
                other.send(mqtt5.PingReqPacket())


def be_duplicated(bench: Bench, _client: Client) -> None:
    """Another connection with the client id."""
    bench.connect("car-1")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (leave, "CLIENT_INITIATED_DISCONNECT"),
        (lose, "CONNECTION_LOST"),
        (misbehave, "CLIENT_ERROR"),
        (be_deleted, "API_INITIATED_DISCONNECT"),
        (be_silent, "MQTT_KEEP_ALIVE_TIMEOUT"),
        (be_duplicated, "DUPLICATE_CLIENTID"),
    ],
)
def test_the_end_of_a_connection_says_why(
    bench: Bench, how: Callable[[Bench, Client], None], reason: str
) -> None:
    """`presence/disconnected` carries the reason, and the session and version of its start."""
    watch = watcher(bench)
    client = bench.join("car-1")
    (_, start), *_ = bench.events(watch)
    how(bench, client)
    ends = [e for topic, e in bench.events(watch) if topic.endswith("disconnected/car-1")]
    assert len(ends) == 1
    end = ends[0]
    assert end["disconnectReason"] == reason
    assert end["clientInitiatedDisconnect"] is (reason == "CLIENT_INITIATED_DISCONNECT")
    assert end["versionNumber"] == start["versionNumber"]
    assert end["sessionIdentifier"] == start["sessionIdentifier"]
    assert "ipAddress" not in end


def test_a_denied_publish_at_qos_0_is_forbidden_access(make_bench: Callable[..., Bench]) -> None:
    """The reason tells policy from protocol."""
    bench = make_bench(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": "iot:*", "Resource": "*"},
                {"Effect": "Deny", "Action": "iot:Publish", "Resource": "*topic/closed"},
            ],
        }
    )
    watch = watcher(bench)
    client = bench.join("car-1")
    client.publish("closed")
    assert bench.events(watch)[-1][1]["disconnectReason"] == "FORBIDDEN_ACCESS"


def test_versions_rise_per_client_and_start_anew_after_an_hour(bench: Bench) -> None:
    """`versionNumber` orders the events of one client id."""
    watch = watcher(bench)

    def version_of_next_connection() -> Any:
        bench.join("car-1").lose()
        return bench.events(watch)[0][1]["versionNumber"]

    def an_hour_passes() -> None:
        for _ in range(4):
            bench.wait(900.1)
            watch.send(mqtt5.PingReqPacket())

    assert [version_of_next_connection() for _ in range(3)] == [0, 1, 2]
    an_hour_passes()
    assert version_of_next_connection() == 0


def test_a_refused_connect_is_announced(make_bench: Callable[..., Bench]) -> None:
    """`presence/connect_failed` when the policies refuse the client."""
    bench = make_bench(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": "iot:*", "Resource": "*"},
                {"Effect": "Deny", "Action": "iot:Connect", "Resource": "*client/bad"},
            ],
        }
    )
    watch = watcher(bench)
    bench.connect("bad")
    ((topic, event),) = bench.events(watch)
    assert topic == f"{EVENTS}presence/connect_failed/bad"
    assert event["connectFailureReason"] == "AUTHORIZATION_FAILED"
    assert event["ipAddress"] == "192.0.2.7"


def test_subscriptions_are_announced(bench: Bench) -> None:
    """`subscriptions/subscribed` lists what was granted, `unsubscribed` what was removed."""
    watch = watcher(bench)
    client = bench.join("car-1")
    client.subscribe("a", "$SYS/x", "b/#")
    client.send(mqtt5.UnsubscribePacket(2, ["a", "never"]))
    events = dict(bench.events(watch))
    assert events[f"{EVENTS}subscriptions/subscribed/car-1"]["topics"] == ["a", "b/#"]
    assert events[f"{EVENTS}subscriptions/unsubscribed/car-1"]["topics"] == ["a"]


def test_an_exclusive_thing_is_named(bench: Bench) -> None:
    """`thingName` appears with an exclusive attachment only."""
    watch = watcher(bench)
    bench.attach_thing("the-thing", exclusive=True)
    bench.join("car-1")
    assert bench.events(watch)[0][1]["thingName"] == "the-thing"


def test_client_ids_with_wildcards_have_no_events(bench: Bench) -> None:
    """Their topics could not be subscribed to."""
    watch = watcher(bench)
    bench.join("car#1").lose()
    assert bench.events(watch) == []
