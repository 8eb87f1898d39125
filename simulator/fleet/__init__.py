"""How a fleet of cars moves: thousands of them as arrays, from the choices of a scenario.

Pure but for the map and recording files that `build` reads. No asyncio, no clock, no logging:
time comes in as an argument and randomness from a seed.
"""

from simulator.fleet.building import build
from simulator.fleet.cars import Cars

__all__ = ["Cars", "build"]
