"""`IotShadowClientV2` of the AWS SDK against the Device Shadow service, over both protocols."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from awsiot import iotshadow

from tests.simulator.iotcore.clients.device_sdk import (
    REQUEST_OPTIONS,
    KeyPair,
    Version,
    answer_of,
    connected,
    error_of,
    opened,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.simulator.iotcore.clients.estate import Estate

CAR = "car-1"


@asynccontextmanager
async def shadow_client(
    estate: Estate, name: str, version: Version
) -> AsyncIterator[iotshadow.IotShadowClientV2]:
    """The service client of a car or an application."""
    async with connected(estate, KeyPair.of(estate.store.identity(name)), name, version) as client:
        yield iotshadow.IotShadowClientV2(client, REQUEST_OPTIONS)


def update(version: int | None = None, **sections: Any) -> iotshadow.UpdateShadowRequest:
    """An update of the car's classic shadow."""
    state = iotshadow.ShadowState(**sections)
    return iotshadow.UpdateShadowRequest(thing_name=CAR, state=state, version=version)


async def test_a_shadow_from_first_update_to_deletion(estate: Estate, version: Version) -> None:
    """Update, get and delete are accepted; then there is none, and its versions go on."""
    async with shadow_client(estate, CAR, version) as client:
        updated = await answer_of(
            client.update_shadow(update(desired={"gear": "D"}, reported={"gear": "P", "lamp": 1}))
        )
        assert updated.version == 1
        assert updated.state.desired == {"gear": "D"}
        assert updated.metadata.reported["lamp"].keys() == {"timestamp"}
        found = await answer_of(client.get_shadow(iotshadow.GetShadowRequest(thing_name=CAR)))
        assert found.state.reported == {"gear": "P", "lamp": 1}
        assert found.state.delta == {"gear": "D"}
        gone = await answer_of(client.delete_shadow(iotshadow.DeleteShadowRequest(thing_name=CAR)))
        assert gone.version == 1
        error = await error_of(client.get_shadow(iotshadow.GetShadowRequest(thing_name=CAR)))
        assert (error.code, error.message) == (404, f"No shadow exists with name: '{CAR}'")
        again = await answer_of(client.update_shadow(update(reported={"gear": "R"})))
        assert again.version > gone.version


async def test_a_named_shadow_is_a_shadow_of_its_own(estate: Estate, version: Version) -> None:
    """It has its own topics, versions and end."""
    names = {"thing_name": CAR, "shadow_name": "cabin"}
    async with shadow_client(estate, CAR, version) as client:
        await answer_of(client.update_shadow(update(reported={"gear": "P"})))
        state = iotshadow.ShadowState(reported={"heat_k": 294})
        updated = await answer_of(
            client.update_named_shadow(iotshadow.UpdateNamedShadowRequest(**names, state=state))
        )
        assert updated.version == 1
        found = await answer_of(client.get_named_shadow(iotshadow.GetNamedShadowRequest(**names)))
        assert found.state.reported == {"heat_k": 294}
        await answer_of(client.delete_named_shadow(iotshadow.DeleteNamedShadowRequest(**names)))
        error = await error_of(client.get_named_shadow(iotshadow.GetNamedShadowRequest(**names)))
        assert error.code == 404
        classic = await answer_of(client.get_shadow(iotshadow.GetShadowRequest(thing_name=CAR)))
        assert classic.state.reported == {"gear": "P"}


async def test_an_update_for_another_version_conflicts(estate: Estate, version: Version) -> None:
    """409 and the text of the developer guide, "Device Shadow error messages"."""
    async with shadow_client(estate, CAR, version) as client:
        await answer_of(client.update_shadow(update(reported={"gear": "P"})))
        error = await error_of(client.update_shadow(update(7, reported={"gear": "D"})))
        assert (error.code, error.message) == (409, "Version conflict")
        updated = await answer_of(client.update_shadow(update(1, reported={"gear": "D"})))
        assert updated.version == 2


def nested(levels: int) -> dict[str, Any]:
    """Objects inside each other."""
    return {"a": nested(levels - 1)} if levels > 1 else {"a": 1}


# Developer guide, "Device Shadow error messages". The depth in the text is the service's own.
REFUSED = {
    "Missing required node: state": (
        400,
        iotshadow.UpdateShadowRequest(thing_name=CAR),
    ),
    "Desired node must be an object": (400, update(desired="D")),
    "Reported node must be an object": (400, update(reported=[1])),
    "Invalid version": (400, update(-1, reported={"gear": "P"})),
    "JSON contains too many levels of nesting": (400, update(desired=nested(12))),
    "The payload exceeds the maximum size allowed": (413, update(desired={"a": "x" * 9000})),
}


@pytest.mark.parametrize("text", REFUSED)
async def test_a_refused_update_says_why(estate: Estate, version: Version, text: str) -> None:
    """Code and text arrive as the modeled error of the SDK."""
    code, request = REFUSED[text]
    async with shadow_client(estate, CAR, version) as client:
        error = await error_of(client.update_shadow(request))
    assert error.code == code
    assert error.message.startswith(text)


async def test_an_application_and_a_car_agree_through_a_shadow(
    estate: Estate, version: Version
) -> None:
    """The car hears what is desired, the application what is reported, both what became of it."""
    async with (
        shadow_client(estate, CAR, version) as car,
        shadow_client(estate, "app", Version.MQTT_5) as app,
    ):
        deltas = await opened(
            car.create_shadow_delta_updated_stream,
            iotshadow.ShadowDeltaUpdatedSubscriptionRequest(thing_name=CAR),
        )
        documents = await opened(
            app.create_shadow_updated_stream,
            iotshadow.ShadowUpdatedSubscriptionRequest(thing_name=CAR),
        )
        await answer_of(app.update_shadow(update(desired={"lamp": {"on": True, "lux": 3}})))
        delta = await deltas.next()
        assert (delta.state, delta.version) == ({"lamp": {"on": True, "lux": 3}}, 1)
        first = await documents.next()
        assert first.previous is None
        await answer_of(car.update_shadow(update(reported={"lamp": {"on": True, "lux": 2}})))
        delta = await deltas.next()
        assert (delta.state, delta.version) == ({"lamp": {"lux": 3}}, 2)
        await answer_of(car.update_shadow(update(reported={"lamp": {"lux": 3}})))
        await documents.next()
        last = await documents.next()
        assert last.previous.version == 2
        assert last.current.version == 3
        assert last.previous.state.reported == {"lamp": {"on": True, "lux": 2}}
        assert last.current.state.reported == {"lamp": {"on": True, "lux": 3}}
        assert deltas.is_empty


async def test_named_shadows_have_streams_of_their_own(estate: Estate, version: Version) -> None:
    """Delta and documents of one named shadow."""
    names = {"thing_name": CAR, "shadow_name": "cabin"}
    async with shadow_client(estate, CAR, version) as client:
        deltas = await opened(
            client.create_named_shadow_delta_updated_stream,
            iotshadow.NamedShadowDeltaUpdatedSubscriptionRequest(**names),
        )
        documents = await opened(
            client.create_named_shadow_updated_stream,
            iotshadow.NamedShadowUpdatedSubscriptionRequest(**names),
        )
        await answer_of(client.update_shadow(update(desired={"gear": "D"})))
        state = iotshadow.ShadowState(desired={"heat_k": 295})
        await answer_of(
            client.update_named_shadow(iotshadow.UpdateNamedShadowRequest(**names, state=state))
        )
        assert (await deltas.next()).state == {"heat_k": 295}
        assert (await documents.next()).current.state.desired == {"heat_k": 295}
        assert deltas.is_empty
