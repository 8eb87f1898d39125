"""Port sets and their changes."""

import pytest

from certs.errors import ConfigurationError
from simulator.morai_host.host import COMMAND_CHANNELS, DEFAULT_RATES_HZ
from simulator.morai_host.ports import PORT_SETS, Pair, PortSet


@pytest.mark.parametrize("name", list(PORT_SETS))
def test_sets_are_complete_and_without_clashes(name: str) -> None:
    """Every channel has its ports and no two channels bind the same one."""
    ports = PORT_SETS[name]
    assert set(ports.listen) == set(COMMAND_CHANNELS)
    assert set(ports.publish) == set(DEFAULT_RATES_HZ)
    bound = [*ports.listen.values(), *(pair.host for pair in ports.publish.values())]
    assert len(set(bound)) == len(bound)
    destinations = [pair.destination for pair in ports.publish.values()]
    assert len(set(destinations)) == len(destinations)


def test_published_numbers() -> None:
    """The ports that published simulator configurations and MORAI's examples have."""
    official, default = PORT_SETS["official"], PORT_SETS["unprivileged"]
    assert official.publish["ego_status"] == Pair(908, 909)
    assert default.publish["ego_status"] == Pair(1910, 1911)
    assert default.listen["ego_control"] == 9093
    assert default.publish["objects"] == Pair(7605, 7505)
    assert default.publish["collision"] == Pair(9091, 9092)
    assert min([*default.listen.values(), *(p.host for p in default.publish.values())]) >= 1024


def test_changes() -> None:
    """A command channel takes one port, a publishing one its destination or both."""
    changed = PORT_SETS["unprivileged"].changed(
        ["ego-control=9100", "ego_status=2911", "gps=9000:9001"]
    )
    assert changed.listen["ego_control"] == 9100
    assert changed.publish["ego_status"] == Pair(1910, 2911)
    assert changed.publish["gps"] == Pair(9000, 9001)
    assert PORT_SETS["unprivileged"].listen["ego_control"] == 9093


@pytest.mark.parametrize(
    "text", ["nothing=1", "ego_control", "ego_control=1:2", "gps=1:2:3", "gps=70000", "gps=-1", ""]
)
def test_wrong_changes(text: str) -> None:
    """Unknown channels, missing numbers and impossible ports are configuration errors."""
    with pytest.raises(ConfigurationError):
        PORT_SETS["unprivileged"].changed([text])


def test_any_port() -> None:
    """For tests every bound port can be left to the system."""
    free = PortSet(publish={"gps": Pair(1, 2)}, listen={"lamps": 3}).on_any_port()
    assert (free.publish["gps"], free.listen["lamps"]) == (Pair(0, 2), 0)
