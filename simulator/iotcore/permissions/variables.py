"""The policy variables of the thing that a connection stands for.

Source: AWS IoT Core developer guide, "Thing policy variables". Knows nothing about connections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.iotcore.registry import Thing


def thing_values(thing: Thing | None) -> dict[str, tuple[str, ...]]:
    """Policy variables and condition keys by lower-case name.

    Args:
        thing: The thing, or None when the connection stands for none.
    """
    if thing is None:
        return {"iot:connection.thing.isattached": ("false",)}
    values: dict[str, tuple[str, ...]] = {
        "iot:connection.thing.isattached": ("true",),
        "iot:connection.thing.thingname": (thing.name,),
    }
    if thing.type_name is not None:
        values["iot:connection.thing.thingtypename"] = (thing.type_name,)
    for name, value in thing.attributes.items():
        values[f"iot:connection.thing.attributes[{name.lower()}]"] = (value,)
    return values
