"""Commands that arrange the simulation: scenario, egos, lamps, sensors, saved data.

Owns the five messages and their byte tables. All of them travel to the simulator and none is
acknowledged.

Sources: MORAI_UDP_NetworkModule branch 24.R2.0 `lib/define/ScenarioLoad.py`, `MultiEgoSetting.py`,
`TurnSignalLampControl.py`, `SensorControl.py`, `SaveSensorData.py`.
"""

from __future__ import annotations

import msgspec

from agent.morai.enums import Direction, TurnSignal
from agent.morai.layout import Counted, Layout
from agent.morai.table import BOOL, F32, I8, I16, I32, SPACE, Binding, Field, Text


class ScenarioLoad(msgspec.Struct, frozen=True, gc=False):
    """Load a scenario file that the simulator already has.

    Attributes:
        file_name: Name without extension, at most 30 characters.
        delete_all: Remove everything that is in the scene first.
        load_network: Load the network settings of the scenario.
        load_ego: Load the ego.
        load_npc: Load NPC vehicles.
        load_pedestrian: Load pedestrians.
        load_object: Load obstacles.
        pause: Stay paused afterwards.
    """

    file_name: str
    delete_all: bool = True
    load_network: bool = True
    load_ego: bool = True
    load_npc: bool = True
    load_pedestrian: bool = True
    load_object: bool = True
    pause: bool = False


class MultiEgoRecord(msgspec.Struct, frozen=True, gc=False):
    """Where one of several egos starts.

    Attributes:
        index: Number of the ego.
        position_x_m: East in the map frame.
        position_y_m: North in the map frame.
        position_z_m: Up in the map frame.
        roll_deg: Roll.
        pitch_deg: Pitch.
        yaw_deg: 0 is east, counter-clockwise positive.
        velocity_kmh: Speed.
        gear: See `Gear`.
        control_mode: 1 keyboard, 2 external.
    """

    index: int
    position_x_m: float
    position_y_m: float
    position_z_m: float
    roll_deg: float = 0.0
    pitch_deg: float = 0.0
    yaw_deg: float = 0.0
    velocity_kmh: float = 0.0
    gear: int = 4
    control_mode: int = 2


class MultiEgoSetting(msgspec.Struct, frozen=True, gc=False):
    """Place several egos.

    Attributes:
        camera_index: The ego that the view follows.
        egos: At most 20.
    """

    camera_index: int
    egos: tuple[MultiEgoRecord, ...]


class LampControl(msgspec.Struct, frozen=True, gc=False):
    """Lamps of the ego.

    Attributes:
        turn_signal: See `TurnSignal`.
        emergency: Hazard lamps.
    """

    turn_signal: int = TurnSignal.NONE
    emergency: bool = False


class SensorPosition(msgspec.Struct, frozen=True, gc=False):
    """Move a sensor on the car.

    Attributes:
        sensor_index: Number of the sensor.
        position_x_m: Forward on the car.
        position_y_m: Left on the car.
        position_z_m: Up on the car.
        roll: The unit is not documented for UDP; the ROS message of the same purpose uses radians.
        pitch: As above.
        yaw: As above.
    """

    sensor_index: int
    position_x_m: float
    position_y_m: float
    position_z_m: float
    roll: float = 0.0
    pitch: float = 0.0
    yaw: float = 0.0


class SaveSensorData(msgspec.Struct, frozen=True, gc=False):
    """Write the sensors' present data to files on the simulator's machine.

    Attributes:
        use_custom_name: Use `file_name` instead of a generated name.
        file_name: At most 30 characters.
        directory: At most 60 characters.
    """

    use_custom_name: bool
    file_name: str = ""
    directory: str = ""


_EGO = (
    Field(0, I16, "index"),
    Field(2, F32, "position_x_m", "m", "map frame, east"),
    Field(6, F32, "position_y_m", "m", "map frame, north"),
    Field(10, F32, "position_z_m", "m", "map frame, up"),
    Field(14, F32, "roll_deg", "deg"),
    Field(18, F32, "pitch_deg", "deg"),
    Field(22, F32, "yaw_deg", "deg", "0 east, counter-clockwise"),
    Field(26, F32, "velocity_kmh", "km/h"),
    Field(30, I8, "gear", "", "0 M, 1 P, 2 R, 3 N, 4 D, 5 L"),
    Field(31, I8, "control_mode", "", "1 keyboard, 2 external"),
)

SCENARIO_LOAD = Layout(
    ScenarioLoad,
    b"#ScenarioLoad$",
    69,
    (
        Field(30, Text(30, SPACE), "file_name", "", "without extension"),
        Field(60, BOOL, "delete_all"),
        Field(61, BOOL, "load_network"),
        Field(62, BOOL, "load_ego"),
        Field(63, BOOL, "load_npc"),
        Field(64, BOOL, "load_pedestrian"),
        Field(65, BOOL, "load_object"),
        Field(66, BOOL, "pause"),
    ),
    data_length=37,
    direction=Direction.TO_SIMULATOR,
)
MULTI_EGO_SETTING = Layout(
    MultiEgoSetting,
    b"#MultiEgoSetting$",
    683,
    (
        Field(33, I32, "number_of_egos", "", "0 to 20"),
        Field(37, I32, "camera_index", "", "ego that the view follows"),
    ),
    data_length=648,
    direction=Direction.TO_SIMULATOR,
    records=Counted("egos", Binding(MultiEgoRecord, _EGO, 32), 20, counted_by="number_of_egos"),
)
LAMP_CONTROL = Layout(
    LampControl,
    b"#LampControl$",
    33,
    (
        Field(29, I8, "turn_signal", "", "0 none, 1 left, 2 right"),
        Field(30, BOOL, "emergency", "", "hazard lamps"),
    ),
    data_length=2,
    direction=Direction.TO_SIMULATOR,
)
SENSOR_POSITION = Layout(
    SensorPosition,
    b"#SensorControl$",
    59,
    (
        Field(31, I16, "sensor_index"),
        Field(33, F32, "position_x_m", "m", "forward on the car"),
        Field(37, F32, "position_y_m", "m", "left on the car"),
        Field(41, F32, "position_z_m", "m", "up on the car"),
        Field(45, F32, "roll", "", "unit not documented"),
        Field(49, F32, "pitch", "", "unit not documented"),
        Field(53, F32, "yaw", "", "unit not documented"),
    ),
    data_length=26,
    direction=Direction.TO_SIMULATOR,
)
SAVE_SENSOR_DATA = Layout(
    SaveSensorData,
    b"#SaveSensorData$",
    125,
    (
        Field(32, BOOL, "use_custom_name"),
        Field(33, Text(30, SPACE), "file_name"),
        Field(63, Text(60, SPACE), "directory"),
    ),
    data_length=91,
    direction=Direction.TO_SIMULATOR,
)
