"""Shells that carry simulator bytes: UDP sockets, and an in-memory twin for tests.

A link knows channels and datagrams. It does not know what the bytes mean.
"""

from agent.links.datagram import Datagram, LinkCounters, SimulatorLink
from agent.links.memory import MemoryLink
from agent.links.source import SourceLock
from agent.links.udp import UdpLink

__all__ = ["Datagram", "LinkCounters", "MemoryLink", "SimulatorLink", "SourceLock", "UdpLink"]
