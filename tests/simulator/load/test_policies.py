from __future__ import annotations

import pytest

from agent.cloud.topics import CommandProtocol, TopicSpace
from simulator.iotcore.permissions.policy import Action, Permissions, Policy
from simulator.load.target import policies

ARN = "arn:aws:iot:local:000000000000"
OWN = TopicSpace("load", "load-city-0001")
OTHER = TopicSpace("load", "load-city-0002")
SHADOW = "$aws/things/load-city-0001/shadow/name/vehicle"
OTHER_SHADOW = "$aws/things/load-city-0002/shadow/name/vehicle"


def rights(document: dict[str, object], thing: str) -> Permissions:
    """Of a connection whose certificate is attached to the thing."""
    values = {
        "iot:clientid": (thing,),
        "iot:connection.thing.isattached": ("true",),
        "iot:connection.thing.thingname": (thing,),
    }
    return Permissions([Policy.parse("p", document)], values)


CAR = rights(policies.vehicle("load"), OWN.thing)
APPLICATION = rights(policies.application("load"), "load:observers:0001")


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        (Action.CONNECT, f"client/{OWN.thing}"),
        (Action.PUBLISH, f"topic/{OWN.telemetry('state')}"),
        (Action.PUBLISH, f"topic/{OWN.response(CommandProtocol.PLAIN, 'e-1')}"),
        (Action.PUBLISH, f"topic/{OWN.response(CommandProtocol.AWS, 'e-1')}"),
        (Action.PUBLISH, f"topic/{SHADOW}/update"),
        (Action.SUBSCRIBE, f"topicfilter/{OWN.request_filter(CommandProtocol.PLAIN)}"),
        (Action.SUBSCRIBE, f"topicfilter/{OWN.request_filter(CommandProtocol.AWS)}"),
        (Action.SUBSCRIBE, f"topicfilter/{SHADOW}/update/delta"),
        (Action.RECEIVE, f"topic/{OWN.request(CommandProtocol.PLAIN, 'e-1')}"),
        (Action.RECEIVE, f"topic/{OWN.request(CommandProtocol.AWS, 'e-1')}"),
        (Action.RECEIVE, f"topic/{SHADOW}/update/accepted"),
    ],
)
def test_a_car_may_do_its_work(action: Action, resource: str) -> None:
    """Telemetry, answers and shadow reports out, its own commands in."""
    assert CAR.allows(action, f"{ARN}:{resource}")


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        (Action.CONNECT, f"client/{OTHER.thing}"),
        (Action.PUBLISH, f"topic/{OTHER.telemetry('state')}"),
        (Action.PUBLISH, f"topic/{OWN.request(CommandProtocol.PLAIN, 'e-1')}"),
        (Action.PUBLISH, f"topic/{OWN.request(CommandProtocol.AWS, 'e-1')}"),
        (Action.PUBLISH, f"topic/{OTHER_SHADOW}/update"),
        (Action.SUBSCRIBE, f"topicfilter/{OTHER.request_filter(CommandProtocol.PLAIN)}"),
        (Action.SUBSCRIBE, "topicfilter/cmd/morai/load/+/req/+"),
        (Action.SUBSCRIBE, "topicfilter/dt/morai/load/#"),
        (Action.RECEIVE, f"topic/{OTHER.request(CommandProtocol.PLAIN, 'e-1')}"),
    ],
)
def test_a_car_may_do_nothing_as_another_one(action: Action, resource: str) -> None:
    """Topics of another car and of applications are closed to it."""
    assert not CAR.allows(action, f"{ARN}:{resource}")


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        (Action.SUBSCRIBE, "topicfilter/dt/morai/load/+/state"),
        (Action.RECEIVE, f"topic/{OWN.telemetry('state')}"),
        (Action.PUBLISH, f"topic/{OWN.request(CommandProtocol.PLAIN, 'e-1')}"),
        (Action.PUBLISH, f"topic/{OWN.request(CommandProtocol.AWS, 'e-1')}"),
        (Action.SUBSCRIBE, f"topicfilter/{OWN.response_filter(CommandProtocol.PLAIN)}"),
        (Action.SUBSCRIBE, f"topicfilter/{OWN.response_filter(CommandProtocol.AWS)}"),
        (Action.RECEIVE, f"topic/{OWN.response(CommandProtocol.AWS, 'e-1')}"),
    ],
)
def test_an_application_reads_and_commands_every_car(action: Action, resource: str) -> None:
    """Telemetry and answers in, requests out, in both command protocols."""
    assert APPLICATION.allows(action, f"{ARN}:{resource}")


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        (Action.CONNECT, f"client/{OWN.thing}"),
        (Action.PUBLISH, f"topic/{OWN.telemetry('state')}"),
        (Action.PUBLISH, f"topic/{OWN.response(CommandProtocol.AWS, 'e-1')}"),
        (Action.SUBSCRIBE, "topicfilter/dt/morai/other/+/state"),
    ],
)
def test_an_application_does_not_speak_for_cars(action: Action, resource: str) -> None:
    """It cannot connect as one, write telemetry, or see another fleet."""
    assert not APPLICATION.allows(action, f"{ARN}:{resource}")


def test_the_longest_fleet_name_still_makes_a_valid_policy() -> None:
    """Policy documents hold at most 2,048 characters besides blanks (AWS IoT Core quotas)."""
    fleet = "f" * 32

    for document in (policies.vehicle(fleet), policies.application(fleet), policies.everything()):
        Policy.parse("p", document)
        assert len(str(document).replace(" ", "")) < 2_048


PROBE = rights(policies.probe("load"), "load:probe")


def test_a_probe_is_on_its_own() -> None:
    """It may use any client id that no car has, and topics that nobody else has."""
    own, others = "probe/load/payload-bytes/a/t", OWN.telemetry("state")

    assert PROBE.allows(Action.CONNECT, f"{ARN}:client/load:probes:payload-bytes:a0")
    assert not PROBE.allows(Action.CONNECT, f"{ARN}:client/{OWN.thing}")
    for action, kind in (
        (Action.PUBLISH, "topic"),
        (Action.RETAIN_PUBLISH, "topic"),
        (Action.RECEIVE, "topic"),
        (Action.SUBSCRIBE, "topicfilter"),
    ):
        assert PROBE.allows(action, f"{ARN}:{kind}/{own}")
        assert not PROBE.allows(action, f"{ARN}:{kind}/{others}")
    assert not CAR.allows(Action.PUBLISH, f"{ARN}:topic/{own}")
    assert not APPLICATION.allows(Action.SUBSCRIBE, f"{ARN}:topicfilter/{own}")
