"""The demo's IoT policies, evaluated as AWS IoT Core would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cloud.topics import CommandProtocol, TopicSpace
from agent.telemetry.streams import STREAM_NAMES
from simulator.demo import policies
from simulator.iotcore.permissions.policy import Action, Permissions, Policy

ARN = "arn:aws:iot:local:000000000000"
OWN = TopicSpace("demo", "car-1")
OTHER = TopicSpace("demo", "car-2")


def car(thing: str = "car-1", *, attached: bool = True) -> Permissions:
    """The rights of a car's connection."""
    values = {
        "iot:clientid": (thing,),
        "iot:connection.thing.isattached": ("true" if attached else "false",),
    }
    if attached:
        values["iot:connection.thing.thingname"] = (thing,)
    return Permissions([Policy.parse("vehicle", policies.VEHICLE)], values)


def application(client_id: str = "demo-app") -> Permissions:
    """The rights of an application's connection; its certificate is attached to `demo-app`."""
    values = {
        "iot:clientid": (client_id,),
        "iot:connection.thing.isattached": ("true",),
        "iot:connection.thing.thingname": ("demo-app",),
    }
    return Permissions([Policy.parse("application", policies.APPLICATION)], values)


def commands(topics: TopicSpace) -> list[str]:
    """Topics on which commands come to a car."""
    return [
        topics.drive,
        topics.request(CommandProtocol.PLAIN, "exec-1"),
        topics.request(CommandProtocol.AWS, "exec-1"),
    ]


def reports(topics: TopicSpace) -> list[str]:
    """Topics on which a car tells about itself."""
    return [
        *(topics.telemetry(stream) for stream in STREAM_NAMES),
        topics.response(CommandProtocol.PLAIN, "exec-1"),
        topics.response(CommandProtocol.AWS, "exec-1"),
    ]


def filters(topics: TopicSpace) -> list[str]:
    """What an agent subscribes to."""
    return [
        topics.drive,
        topics.request_filter(CommandProtocol.PLAIN),
        topics.request_filter(CommandProtocol.AWS),
    ]


def test_a_car_may_do_its_work() -> None:
    """It connects, reports, keeps its health retained, and hears its commands."""
    rights = car()

    assert rights.allows(Action.CONNECT, f"{ARN}:client/car-1")
    for topic in reports(OWN):
        assert rights.allows(Action.PUBLISH, f"{ARN}:topic/{topic}"), topic
    assert rights.allows(Action.RETAIN_PUBLISH, f"{ARN}:topic/{OWN.telemetry('health')}")
    for pattern in filters(OWN):
        assert rights.allows(Action.SUBSCRIBE, f"{ARN}:topicfilter/{pattern}"), pattern
    for topic in commands(OWN):
        assert rights.allows(Action.RECEIVE, f"{ARN}:topic/{topic}"), topic


@pytest.mark.parametrize("topic", [*reports(OTHER), *commands(OTHER), *commands(OWN)])
def test_a_car_may_not_speak_for_another_nor_command(topic: str) -> None:
    """Nothing of another car, and no command to anyone, itself included."""
    assert not car().allows(Action.PUBLISH, f"{ARN}:topic/{topic}")


@pytest.mark.parametrize(
    "pattern",
    [
        *filters(OTHER),
        "#",
        "+/+/+/+/+",
        "cmd/#",
        "cmd/morai/demo/+/req/+",
        "cmd/morai/+/+/drive",
        "cmd/morai/demo/car-2/#",
        "dt/morai/#",
        "dt/morai/demo/car-2/state",
        "dt/morai/demo/car-1/state",
        "$aws/commands/things/+/executions/+/request/json",
    ],
)
def test_a_car_may_not_listen_to_another(pattern: str) -> None:
    """It subscribes to its own commands and to nothing wider."""
    assert not car().allows(Action.SUBSCRIBE, f"{ARN}:topicfilter/{pattern}")


@pytest.mark.parametrize("topic", [*commands(OTHER), *reports(OTHER)])
def test_a_car_does_not_receive_what_is_anothers(topic: str) -> None:
    """Even on a subscription it should not have, nothing of another car is delivered."""
    assert not car().allows(Action.RECEIVE, f"{ARN}:topic/{topic}")


level = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="+#/"))


@given(st.lists(level, max_size=4), st.booleans())
def test_a_car_cannot_hide_below_anothers_topics(levels: list[str], own_name_last: bool) -> None:
    """However its own name is worked into a topic, it cannot reach below another car's."""
    parts = ["dt", "morai", "demo", "car-2", *levels]
    if own_name_last:
        parts += ["car-1", "state"]

    assert not car().allows(Action.PUBLISH, f"{ARN}:topic/{'/'.join(parts)}")


def test_a_car_in_another_fleet_is_another_car() -> None:
    """The policy of one fleet says nothing about the topics of the next."""
    elsewhere = TopicSpace("city", "car-1")

    for topic in (
        elsewhere.telemetry("state"),
        elsewhere.response(CommandProtocol.PLAIN, "exec-1"),
    ):
        assert not car().allows(Action.PUBLISH, f"{ARN}:topic/{topic}"), topic


def test_a_certificate_without_a_thing_may_not_connect() -> None:
    """The certificate must be attached to the thing whose name the client takes."""
    rights = car(attached=False)

    assert not rights.allows(Action.CONNECT, f"{ARN}:client/car-1")
    assert not rights.allows(Action.PUBLISH, f"{ARN}:topic/{OWN.telemetry('state')}")


def test_a_car_may_not_take_another_name() -> None:
    """A client id that is not the thing's own is refused."""
    assert not car().allows(Action.CONNECT, f"{ARN}:client/car-2")


@pytest.mark.parametrize("topics", [OWN, OTHER])
def test_an_application_commands_and_hears_every_car(topics: TopicSpace) -> None:
    """The operator's application is not tied to one car."""
    rights = application()

    for topic in (topics.drive, topics.request(CommandProtocol.PLAIN, "exec-1")):
        assert rights.allows(Action.PUBLISH, f"{ARN}:topic/{topic}"), topic
    for topic in (topics.telemetry("state"), topics.response(CommandProtocol.PLAIN, "exec-1")):
        assert rights.allows(Action.RECEIVE, f"{ARN}:topic/{topic}"), topic


def test_an_application_has_nothing_to_do_elsewhere() -> None:
    """Reserved topics and the rest of the account are closed to it."""
    rights = application()

    assert not rights.allows(Action.SUBSCRIBE, f"{ARN}:topicfilter/#")
    assert not rights.allows(Action.PUBLISH, f"{ARN}:topic/$aws/things/car-1/shadow/update")


def test_an_application_may_not_take_the_place_of_a_car() -> None:
    """Connecting under a car's client id would throw the car off the broker."""
    assert application().allows(Action.CONNECT, f"{ARN}:client/demo-app")
    assert not application("car-1").allows(Action.CONNECT, f"{ARN}:client/car-1")


@pytest.mark.parametrize("document", [policies.VEHICLE, policies.APPLICATION])
def test_no_policy_gives_everything_away(document: dict[str, object]) -> None:
    """No statement opens every action or every resource."""
    rights = Permissions(
        [Policy.parse("any", document)],
        {"iot:clientid": ("x",), "iot:connection.thing.thingname": ("x",)},
    )

    kinds = ("client", "topic", "topicfilter")
    assert not [
        (action, kind)
        for action in Action
        for kind in kinds
        if rights.allows(action, f"{ARN}:{kind}/anything/at/all")
    ]
