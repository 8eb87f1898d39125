"""The IoT policies of a fleet, evaluated as AWS IoT Core would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cloud.topics import CommandProtocol, TopicSpace
from simulator import fleet_policies
from simulator.iotcore.permissions.policy import Action, Permissions, Policy

ARN = "arn:aws:iot:local:000000000000"
OWN = TopicSpace("load", "load-city-0001")
OTHER = TopicSpace("load", "load-city-0002")
ELSEWHERE = TopicSpace("other", "load-city-0001")
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


CAR = rights(fleet_policies.vehicle("load"), OWN.thing)
APPLICATION = rights(fleet_policies.application("load"), "load:observers:0001")


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        (Action.CONNECT, f"client/{OWN.thing}"),
        (Action.PUBLISH, f"topic/{OWN.telemetry('state')}"),
        (Action.PUBLISH, f"topic/{OWN.response(CommandProtocol.PLAIN, 'e-1')}"),
        (Action.PUBLISH, f"topic/{OWN.response(CommandProtocol.AWS, 'e-1')}"),
        (Action.PUBLISH, f"topic/{SHADOW}/update"),
        (Action.RETAIN_PUBLISH, f"topic/{OWN.telemetry('health')}"),
        (Action.SUBSCRIBE, f"topicfilter/{OWN.drive}"),
        (Action.SUBSCRIBE, f"topicfilter/{OWN.request_filter(CommandProtocol.PLAIN)}"),
        (Action.SUBSCRIBE, f"topicfilter/{OWN.request_filter(CommandProtocol.AWS)}"),
        (Action.SUBSCRIBE, f"topicfilter/{SHADOW}/update/delta"),
        (Action.RECEIVE, f"topic/{OWN.drive}"),
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
        (Action.PUBLISH, f"topic/{OTHER.response(CommandProtocol.PLAIN, 'e-1')}"),
        (Action.PUBLISH, f"topic/{OTHER.response(CommandProtocol.AWS, 'e-1')}"),
        (Action.PUBLISH, f"topic/{ELSEWHERE.telemetry('state')}"),
        (Action.PUBLISH, f"topic/{OWN.drive}"),
        (Action.PUBLISH, f"topic/{OWN.request(CommandProtocol.PLAIN, 'e-1')}"),
        (Action.PUBLISH, f"topic/{OWN.request(CommandProtocol.AWS, 'e-1')}"),
        (Action.PUBLISH, f"topic/{OTHER_SHADOW}/update"),
        (Action.SUBSCRIBE, f"topicfilter/{OTHER.request_filter(CommandProtocol.PLAIN)}"),
        (Action.SUBSCRIBE, "topicfilter/#"),
        (Action.SUBSCRIBE, "topicfilter/+/+/+/+/+"),
        (Action.SUBSCRIBE, "topicfilter/cmd/#"),
        (Action.SUBSCRIBE, "topicfilter/cmd/morai/load/+/req/+"),
        (Action.SUBSCRIBE, "topicfilter/cmd/morai/+/+/drive"),
        (Action.SUBSCRIBE, "topicfilter/$aws/commands/things/+/executions/+/request/json"),
        (Action.SUBSCRIBE, "topicfilter/dt/morai/load/#"),
        (Action.SUBSCRIBE, f"topicfilter/{OWN.telemetry('state')}"),
        (Action.RECEIVE, f"topic/{OTHER.drive}"),
        (Action.RECEIVE, f"topic/{OTHER.request(CommandProtocol.PLAIN, 'e-1')}"),
        (Action.RECEIVE, f"topic/{OTHER.request(CommandProtocol.AWS, 'e-1')}"),
        (Action.RECEIVE, f"topic/{OTHER.telemetry('state')}"),
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
        (Action.PUBLISH, f"topic/{OWN.drive}"),
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
        (Action.PUBLISH, f"topic/{SHADOW}/update"),
        (Action.SUBSCRIBE, "topicfilter/#"),
        (Action.SUBSCRIBE, "topicfilter/dt/morai/other/+/state"),
    ],
)
def test_an_application_does_not_speak_for_cars(action: Action, resource: str) -> None:
    """It cannot connect as one, write telemetry, or see another fleet."""
    assert not APPLICATION.allows(action, f"{ARN}:{resource}")


level = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="+#/"))


@given(st.lists(level, max_size=4), st.booleans())
def test_a_car_cannot_hide_below_anothers_topics(levels: list[str], own_name_last: bool) -> None:
    """However its own name is worked into a topic, it cannot reach below another car's."""
    parts = ["dt", "morai", OTHER.fleet, OTHER.thing, *levels]
    if own_name_last:
        parts += [OWN.thing, "state"]

    assert not CAR.allows(Action.PUBLISH, f"{ARN}:topic/{'/'.join(parts)}")


def test_a_certificate_without_a_thing_may_do_nothing() -> None:
    """The certificate must be attached to the thing whose name the client takes."""
    values = {"iot:clientid": (OWN.thing,), "iot:connection.thing.isattached": ("false",)}
    stranger = Permissions([Policy.parse("p", fleet_policies.vehicle("load"))], values)

    assert not stranger.allows(Action.CONNECT, f"{ARN}:client/{OWN.thing}")
    assert not stranger.allows(Action.PUBLISH, f"{ARN}:topic/{OWN.telemetry('state')}")


@pytest.mark.parametrize(
    "document", [fleet_policies.vehicle("load"), fleet_policies.application("load")]
)
def test_no_policy_gives_everything_away(document: dict[str, object]) -> None:
    """No statement opens every action or every resource."""
    anybody = rights(document, "x")

    assert not [
        (action, kind)
        for action in Action
        for kind in ("client", "topic", "topicfilter")
        if anybody.allows(action, f"{ARN}:{kind}/anything/at/all")
    ]


def test_the_longest_fleet_name_still_makes_a_valid_policy() -> None:
    """Policy documents hold at most 2,048 characters besides blanks (AWS IoT Core quotas)."""
    fleet = "f" * 32

    for document in (
        fleet_policies.vehicle(fleet),
        fleet_policies.application(fleet),
        fleet_policies.everything(),
    ):
        Policy.parse("p", document)
        assert len(str(document).replace(" ", "")) < 2_048


PROBE = rights(fleet_policies.probe("load"), "load:probe")


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
