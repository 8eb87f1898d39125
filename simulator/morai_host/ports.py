"""Which UDP ports the simulator's channels use.

Owns the two sets of default ports and their overrides. It must not open a socket. In the
simulator's network settings *host* is the port the simulator binds, *destination* the port it sends
to; a command channel has a destination field as well, which nothing uses.

The numbers are the defaults and examples of MORAI SIM: Drive's network settings
(MORAI_UDP_NetworkModule 24.R2 and published simulator configurations). They differ between releases
and examples and every one of them can be changed in the simulator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from certs.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Pair:
    """The two ports of a publishing channel.

    Attributes:
        host: Port the simulator sends from.
        destination: Port it sends to.
    """

    host: int
    destination: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PortSet:
    """Ports of every channel.

    Attributes:
        publish: Port pair by publishing channel.
        listen: Host port by command channel.
    """

    publish: dict[str, Pair]
    listen: dict[str, int]

    def changed(self, items: Iterable[str]) -> PortSet:
        """Apply changes such as `ego_control=9100`, `ego_status=1911` and `gps=9296:9297`.

        A publishing channel with one number keeps its host port and changes the destination.

        Raises:
            ConfigurationError: An unknown channel or something that is no port.
        """
        publish, listen = dict(self.publish), dict(self.listen)
        for item in items:
            channel, _, text = item.strip().partition("=")
            channel = channel.replace("-", "_")
            numbers = [_port(part, item) for part in text.split(":")]
            if channel in listen and len(numbers) == 1:
                listen[channel] = numbers[0]
            elif channel in publish and len(numbers) <= 2:  # noqa: PLR2004 - host and destination
                host = numbers[0] if len(numbers) > 1 else publish[channel].host
                publish[channel] = Pair(host, numbers[-1])
            else:
                raise ConfigurationError(
                    f"{item!r} names no channel with that many ports",
                    f"channels are {', '.join([*publish, *listen])}",
                )
        return PortSet(publish=publish, listen=listen)

    def on_any_port(self) -> PortSet:
        """The same destinations, with every port that the simulator binds chosen by the system."""
        return PortSet(
            publish={name: Pair(0, pair.destination) for name, pair in self.publish.items()},
            listen=dict.fromkeys(self.listen, 0),
        )


def _port(text: str, item: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= _MAX_PORT:
        return int(text)
    raise ConfigurationError(
        f"{item!r} does not give a port from 0 to {_MAX_PORT}", "write CHANNEL=PORT"
    )


_LISTEN = {
    "ego_control": 9093,
    "lamps": 9097,
    "scenario_load": 9095,
    "multi_ego": 7604,
    "set_traffic_light": 7607,
    "set_intersection": 9132,
    # MORAI's examples use 9095 for this, which scenario load holds here.
    "ego_ghost": 9099,
    "npc_ghost": 9101,
    "sensor_position": 9103,
    "save_sensor_data": 9105,
    "trajectory_tracking": 9109,
}
_PUBLISH = {
    "ego_status": Pair(1910, 1911),
    "competition_status": Pair(1908, 1909),
    "objects": Pair(7605, 7505),
    "collision": Pair(9091, 9092),
    "traffic_light": Pair(7603, 7502),
    "intersection": Pair(9100, 9102),
    "imu": Pair(9298, 9299),
    "gps": Pair(9296, 9297),
}

PORT_SETS: dict[str, PortSet] = {
    # Everything from 1024 up, so that it runs without privileges on Linux.
    "unprivileged": PortSet(publish=_PUBLISH, listen=_LISTEN),
    # Ego status where MORAI's own examples have it: 908 is privileged on Linux.
    "official": PortSet(publish={**_PUBLISH, "ego_status": Pair(908, 909)}, listen=_LISTEN),
}
DEFAULT_PORT_SET = "unprivileged"
