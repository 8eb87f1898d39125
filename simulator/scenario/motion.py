"""How cars of a group move: the part of a scenario that `simulator.fleet` turns into motion.

Owns the choices and their bounds only.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from simulator.scenario.units import Speed


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Driving(_Part):
    speed_limit: Speed = Field(50 / 3.6, description="where the road says nothing else")
    lateral_mps2: float = Field(2.5, gt=0, le=10, description="sets the speed in curves")
    accelerate_mps2: float = Field(1.5, gt=0, le=10)
    brake_mps2: float = Field(2.5, gt=0, le=10, description="comfortable deceleration")
    gnss_noise_m: float = Field(0.8, ge=0, le=100, description="standard deviation, east and north")
    imu_noise: float = Field(
        1.0, ge=0, le=100, description="factor on a consumer-grade IMU's noise and bias"
    )


class Origin(_Part):
    """Where local coordinates lie on Earth."""

    latitude_deg: float = Field(37.5665, ge=-80, le=84)
    longitude_deg: float = Field(126.9780, ge=-180, le=180)


class CityMotion(_Driving):
    """Random routes over a generated grid of streets, with stops at crossings."""

    kind: Literal["city"] = "city"
    blocks: int = Field(20, ge=2, le=400, description="blocks along each side of the city")
    block_m: float = Field(200.0, ge=50, le=2000, description="length of a block")
    origin: Origin = Field(default_factory=Origin, description="centre of the city")
    stop_share: float = Field(
        0.3, ge=0, le=1, description="share of crossings at which a car has to stop"
    )
    stop_s: float = Field(8.0, ge=0, le=600, description="mean length of such a stop")


class MgeoMotion(_Driving):
    """Random routes over the links of a MORAI MGeo map."""

    kind: Literal["mgeo"]
    path: str = Field(min_length=1, description="folder with node_set.json and link_set.json")
    stop_share: float = Field(0.3, ge=0, le=1, description="share of links whose end is a stop")
    stop_s: float = Field(8.0, ge=0, le=600, description="mean length of such a stop")


class LineMotion(_Driving):
    """One line, there and back or round and round, from a GPX or CSV file."""

    kind: Literal["line"]
    path: str = Field(
        min_length=1, description="GPX, or CSV with latitude_deg and longitude_deg columns"
    )
    closed: bool = Field(False, description="join the end to the start")


class RecordingMotion(_Part):
    """A recorded drive, each car with its own start in time and offset in space."""

    kind: Literal["recording"]
    path: str | None = Field(None, description="MCAP file; default the drive that is shipped")
    spread_m: float = Field(
        5_000.0, ge=0, le=500_000, description="cars are shifted by up to this, east and north"
    )
    gnss_noise_m: float = Field(0.0, ge=0, le=100)
    imu_noise: float = Field(0.0, ge=0, le=100)


class ParkedMotion(_Part):
    """Cars that stand still, spread over an area; the cheapest motion there is."""

    kind: Literal["parked"]
    origin: Origin = Field(default_factory=Origin)
    spread_m: float = Field(5_000.0, ge=0, le=500_000)


Motion: TypeAlias = Annotated[
    CityMotion | MgeoMotion | LineMotion | RecordingMotion | ParkedMotion,
    Field(discriminator="kind"),
]
