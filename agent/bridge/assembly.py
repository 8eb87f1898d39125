"""Builds the agent's parts from its configuration.

Owns the translation of configuration sections into the settings of each room, so that no room
knows the configuration file. Reads the map file; opens nothing else.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from agent.cloud.session_values import SessionOptions
from agent.cloud.topics import CommandProtocol, TopicSpace
from agent.commands.arbiter import ArbiterSettings
from agent.commands.safety import Limits
from agent.commands.service import ServiceSettings
from agent.links import SourceLock, UdpLink
from agent.morai import Dialect, EgoControlVariant
from agent.vehicle.frames import MapFrame
from certs.errors import ConfigurationError

if TYPE_CHECKING:
    from agent.cloud.publish_window import Message
    from agent.configuration import AgentConfiguration, DialectSection, MapSection

MAX_MAP_FILE_BYTES = 1 << 20


def topic_space(configuration: AgentConfiguration) -> TopicSpace:
    """The topics of the configured car."""
    return TopicSpace(
        configuration.vehicle.fleet,
        configuration.vehicle.thing,
        configuration.broker.basic_ingest_rule or None,
    )


def dialect(section: DialectSection) -> Dialect:
    """The wire dialect of the configured simulator."""
    return Dialect(
        command_steer_sign=section.command_steer_sign,
        status_steer_sign=section.status_steer_sign,
        max_wheel_angle_deg=section.max_wheel_angle_deg,
        ego_control_variant=EgoControlVariant[section.ego_control],
    )


def map_frame(section: MapSection) -> MapFrame | None:
    """The map's place on Earth, or `None` when the configuration does not say.

    Raises:
        ConfigurationError: The map file cannot be read or names no usable projection.
    """
    if section.crs is not None:
        return MapFrame(
            section.crs, section.origin_east_m, section.origin_north_m, section.origin_up_m
        )
    path = section.mgeo_global_info
    if path is None:
        return None
    try:
        if path.stat().st_size > MAX_MAP_FILE_BYTES:
            raise ConfigurationError(f"{path} is too large for a global_info.json")
        global_info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"map.mgeo_global_info: {path} cannot be read: {error}",
            "name the global_info.json of the map's MGeo folder",
        ) from error
    if not isinstance(global_info, dict):
        raise ConfigurationError(f"map.mgeo_global_info: {path} holds no JSON object")
    return MapFrame.from_mgeo(global_info)


def udp_link(configuration: AgentConfiguration) -> UdpLink:
    """The UDP link to the configured simulator."""
    simulator = configuration.simulator
    return UdpLink(
        simulator.receive.ports(),
        {channel: (simulator.host, port) for channel, port in simulator.send.ports().items()},
        bind=simulator.bind,
        lock=SourceLock(
            silence_s=simulator.silent_after_s,
            allowed_hosts=frozenset(simulator.allowed_sources),
        ),
    )


def service_settings(configuration: AgentConfiguration) -> ServiceSettings:
    """What commands may do."""
    commands = configuration.commands
    return ServiceSettings(
        limits=Limits(
            max_speed_mps=commands.max_speed_mps,
            max_steer_rad=commands.max_steer_rad,
            max_steer_rate_radps=commands.max_steer_rate_radps,
            max_acceleration_mps2=commands.max_acceleration_mps2,
        ),
        arbiter=ArbiterSettings(
            control_rate_hz=commands.control_rate_hz,
            dead_man_s=commands.dead_man_s,
            simulator_silent_s=configuration.simulator.silent_after_s,
            assert_mode_every_packet=commands.assert_mode_every_packet,
        ),
    )


def session_options(configuration: AgentConfiguration, will: Message) -> SessionOptions:
    """How to sign in to the configured broker."""
    broker = configuration.broker
    return SessionOptions(
        endpoint=broker.endpoint,
        port=broker.port,
        client_id=configuration.vehicle.thing,
        certificate=broker.certificate,
        private_key=broker.private_key,
        ca=broker.ca,
        keep_alive_s=broker.keep_alive_s,
        ping_timeout_s=broker.ping_timeout_s,
        session_expiry_s=broker.session_expiry_s,
        reconnect_min_s=broker.reconnect_min_s,
        reconnect_max_s=broker.reconnect_max_s,
        in_flight=broker.in_flight,
        waiting_bytes=broker.waiting_bytes,
        will=will,
    )


def subscriptions(configuration: AgentConfiguration, topics: TopicSpace) -> dict[str, int]:
    """Topic filters to keep subscribed, each with its QoS.

    Discrete commands come at QoS 1. The drive stream comes at QoS 0: a set point that had to wait
    must not be delivered at all.
    """
    if not configuration.commands.enabled:
        return {}
    filters = {
        topics.request_filter(CommandProtocol(protocol)): 1
        for protocol in configuration.commands.protocols
    }
    return {**filters, topics.drive: 0}
