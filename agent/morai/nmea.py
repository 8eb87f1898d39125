"""GPS: bare NMEA 0183 text, `$GPRMC` and `$GPGGA`, without the common frame.

Owns the sentence types, the checksum and both directions of the text. A datagram may hold one
sentence or several and may end with NULs. Sentences of other types are kept as they are; a sentence
with a wrong checksum or an unreadable field is counted and left out.

What this module leaves to the reader of its messages, because text alone cannot settle it:

* The simulator writes the fraction of the UTC second as milliseconds without leading zeros, so
  `.7` may be 7 ms or 700 ms. `utc` is kept as text, and only whole seconds are offered.
* In blackout and jamming zones the simulator sends latitude and longitude 0 and may still claim a
  valid fix. Such a position is passed on as 0, 0.
* The speed of RMC is known to be near 0 whatever the car does, and its course is the sensor's yaw.

Sources: NMEA 0183 version 3.01 sentence formats RMC and GGA; MORAI SIM: Drive user manual 24.R2,
sensor protocols; MORAI_UDP_NetworkModule branch 24.R2.0 `lib/define/GPS.py`.
"""

from __future__ import annotations

import datetime as dt
import functools
import math
import operator
import re
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from agent.morai.errors import DecodeError, DecodeReason, EncodeError, EncodeReason

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 2048
"""Longest text accepted; the receive buffers in MORAI's examples have 1,028 bytes."""

_TALKER = "GP"
_RMC_FIELDS = (11, 12, 13)  # NMEA 2.0, 2.3 with the mode, 4.1 with the navigation status
_GGA_FIELDS = 14
_MAX_LATITUDE_DEG = 90
_MAX_LONGITUDE_DEG = 180
_MINUTES = 60
_CHECKSUM = re.compile(rb"\$([^$*\r\n]*)\*([0-9A-Fa-f]{2})")
_ADDRESS = re.compile(r"[A-Z0-9]{2}")
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)")
_WHOLE = re.compile(r"\d{1,4}")
_UTC = re.compile(r"([01]\d|2[0-3])([0-5]\d)([0-5]\d|60)(?:\.\d*)?")
_DATE = re.compile(r"\d{6}")
_ANGLE = re.compile(r"(\d{2,3})(\d{2}(?:\.\d*)?)")


class Rmc(msgspec.Struct, frozen=True, gc=False):
    """Recommended minimum data.

    Attributes:
        utc: Time of day as sent, `hhmmss.f`, or empty. Its fraction is ambiguous.
        valid: Status A. The simulator claims it without a position too.
        latitude_deg: North positive; `None` when the field is empty.
        longitude_deg: East positive; `None` when the field is empty.
        speed_knots: Not dependable on the UDP path.
        course_deg: Clockwise from north by the standard; the simulator sends the sensor's yaw.
        date: `ddmmyy` as sent, or empty.
        magnetic_variation_deg: East positive.
        mode: Mode indicator of NMEA 2.3, for example `A`; `None` in sentences without it.
        navigation_status: Of NMEA 4.1; `None` in sentences without it.
        talker: Two characters, `GP` from the simulator.
    """

    utc: str
    valid: bool
    latitude_deg: float | None
    longitude_deg: float | None
    speed_knots: float | None = None
    course_deg: float | None = None
    date: str = ""
    magnetic_variation_deg: float | None = None
    mode: str | None = None
    navigation_status: str | None = None
    talker: str = _TALKER

    def unix_s(self) -> int | None:
        """Whole Unix seconds of date and time, years 2000 to 2099; `None` when not a date."""
        if not self.date or not self.utc:
            return None
        day, month, year = int(self.date[:2]), int(self.date[2:4]), 2000 + int(self.date[4:])
        try:
            midnight = dt.datetime(year, month, day, tzinfo=dt.UTC)
        except ValueError:
            return None
        return int(midnight.timestamp()) + _second_of_day(self.utc)


class Gga(msgspec.Struct, frozen=True, gc=False):
    """Fix data.

    Attributes:
        utc: Time of day as sent, `hhmmss.f`, or empty. Its fraction is ambiguous.
        latitude_deg: North positive; `None` when the field is empty.
        longitude_deg: East positive; `None` when the field is empty.
        quality: 0 no fix, 1 GPS, 2 differential, 4 RTK fixed, 5 RTK float.
        satellites: In use.
        hdop: Horizontal dilution of precision.
        altitude_m: Above mean sea level.
        geoid_separation_m: Geoid above the ellipsoid.
        correction_age_s: Age of differential corrections.
        station: Id of the reference station, or empty.
        talker: Two characters, `GP` from the simulator.
    """

    utc: str
    latitude_deg: float | None
    longitude_deg: float | None
    quality: int
    satellites: int | None = None
    hdop: float | None = None
    altitude_m: float | None = None
    geoid_separation_m: float | None = None
    correction_age_s: float | None = None
    station: str = ""
    talker: str = _TALKER

    def second_of_day(self) -> int | None:
        """Whole seconds since midnight UTC, `None` when the time is empty."""
        return _second_of_day(self.utc) if self.utc else None


class OtherSentence(msgspec.Struct, frozen=True, gc=False):
    """A sentence of another type, its checksum verified.

    Attributes:
        body: Everything between `$` and `*`.
    """

    body: str


Sentence: TypeAlias = Rmc | Gga | OtherSentence


class GpsSentences(msgspec.Struct, frozen=True, gc=False):
    """The sentences of one datagram, in order.

    Attributes:
        sentences: At least one.
        damaged: How many were left out: wrong checksum or unreadable field. 0 on writing.
    """

    sentences: tuple[Sentence, ...]
    damaged: int = 0


def checksum(body: bytes) -> int:
    """Exclusive or of all bytes between `$` and `*`."""
    return functools.reduce(operator.xor, body, 0)


def _second_of_day(utc: str) -> int:
    return int(utc[:2]) * 3600 + int(utc[2:4]) * 60 + int(utc[4:6])


class _Unreadable(Exception):  # noqa: N818 - private signal between two functions of this module
    """A field does not hold what its format promises."""


def _decimal(text: str) -> float | None:
    if not text:
        return None
    value = float(text) if _DECIMAL.fullmatch(text) else math.inf
    if not math.isfinite(value):
        raise _Unreadable
    return value


def _whole(text: str) -> int | None:
    if not text:
        return None
    if not _WHOLE.fullmatch(text):
        raise _Unreadable
    return int(text)


def _matching(pattern: re.Pattern[str], text: str) -> str:
    if text and not pattern.fullmatch(text):
        raise _Unreadable
    return text


def _angle(text: str, side: str, sides: str, limit_deg: int) -> float | None:
    if not text and not side:
        return None
    match = _ANGLE.fullmatch(text)
    if match is None or len(side) != 1 or side not in sides:
        raise _Unreadable
    minutes = float(match[2])
    degrees = (int(match[1]) * _MINUTES + minutes) / _MINUTES
    if minutes >= _MINUTES or degrees > limit_deg:
        raise _Unreadable
    return -degrees if side == sides[1] else degrees


def _signed(text: str, side: str, sides: str) -> float | None:
    value = _decimal(text)
    if value is None:
        return None
    if len(side) > 1 or (side and side not in sides):
        raise _Unreadable
    return -value if side == sides[1] else value


def _parse_rmc(talker: str, fields: list[str]) -> Rmc:
    if len(fields) not in _RMC_FIELDS or fields[1] not in ("A", "V"):
        raise _Unreadable
    return Rmc(
        utc=_matching(_UTC, fields[0]),
        valid=fields[1] == "A",
        latitude_deg=_angle(fields[2], fields[3], "NS", _MAX_LATITUDE_DEG),
        longitude_deg=_angle(fields[4], fields[5], "EW", _MAX_LONGITUDE_DEG),
        speed_knots=_decimal(fields[6]),
        course_deg=_decimal(fields[7]),
        date=_matching(_DATE, fields[8]),
        magnetic_variation_deg=_signed(fields[9], fields[10], "EW"),
        mode=fields[11] if len(fields) > 11 else None,  # noqa: PLR2004 - column of the sentence
        navigation_status=fields[12] if len(fields) > 12 else None,  # noqa: PLR2004 - same
        talker=talker,
    )


def _parse_gga(talker: str, fields: list[str]) -> Gga:
    if len(fields) != _GGA_FIELDS or fields[9] not in ("M", "") or fields[11] not in ("M", ""):
        raise _Unreadable
    quality = _whole(fields[5])
    return Gga(
        utc=_matching(_UTC, fields[0]),
        latitude_deg=_angle(fields[1], fields[2], "NS", _MAX_LATITUDE_DEG),
        longitude_deg=_angle(fields[3], fields[4], "EW", _MAX_LONGITUDE_DEG),
        quality=0 if quality is None else quality,
        satellites=_whole(fields[6]),
        hdop=_decimal(fields[7]),
        altitude_m=_decimal(fields[8]),
        geoid_separation_m=_decimal(fields[10]),
        correction_age_s=_decimal(fields[12]),
        station=fields[13],
        talker=talker,
    )


_PARSERS: dict[str, Callable[[str, list[str]], Rmc | Gga]] = {"RMC": _parse_rmc, "GGA": _parse_gga}


def _parse(body: str) -> Sentence:
    if not (body.isascii() and body.isprintable()):
        raise _Unreadable
    address, *fields = body.split(",")
    parser = _PARSERS.get(address[2:])
    if parser is None:
        return OtherSentence(body)
    return parser(_matching(_ADDRESS, address[:2]), fields)


def decode_gps(data: bytes) -> GpsSentences:
    """Read every sentence of a datagram.

    Args:
        data: Text of at most `MAX_BYTES`, with or without CR LF and trailing NULs.

    Raises:
        DecodeError: The text is too long or holds no readable sentence.
    """
    if len(data) > MAX_BYTES:
        raise DecodeError(
            DecodeReason.WRONG_SIZE, f"{len(data)} bytes of NMEA text, at most {MAX_BYTES}"
        )
    sentences: list[Sentence] = []
    checksum_failures = 0
    unreadable = 0
    for line in data.rstrip(b"\0").splitlines():
        if not line:
            continue
        match = _CHECKSUM.fullmatch(line)
        if match is None or checksum(match[1]) != int(match[2], 16):
            checksum_failures += 1
            continue
        try:
            sentences.append(_parse(match[1].decode("latin-1")))
        except _Unreadable:
            unreadable += 1
    if not sentences:
        reason = DecodeReason.BAD_TEXT if unreadable else DecodeReason.BAD_CHECKSUM
        raise DecodeError(
            reason,
            f"no readable sentence: {checksum_failures} wrong checksums, {unreadable} bad fields",
        )
    return GpsSentences(tuple(sentences), checksum_failures + unreadable)


def _refuse(what: str) -> EncodeError:
    return EncodeError(EncodeReason.BAD_VALUE, what)


def _number_text(value: float | None, decimals: int, name: str) -> str:
    if value is None:
        return ""
    if not math.isfinite(value):
        raise EncodeError(EncodeReason.NON_FINITE, f"{name} is not a finite number")
    return f"{value:.{decimals}f}"


def _side(value: float, sides: str) -> str:
    # A negative value that rounds to zero keeps its letter: it reads back as negative zero.
    return sides[1] if math.copysign(1, value) < 0 else sides[0]


def _angle_text(value: float | None, sides: str, limit_deg: int, width: int) -> str:
    """An angle in four decimals of a minute, as the simulator writes it."""
    if value is None:
        return ","
    if not math.isfinite(value) or abs(value) > limit_deg:
        raise EncodeError(EncodeReason.OUT_OF_RANGE, f"an angle of {value} degrees")
    # In whole ten-thousandths of a minute, so that rounding carries into the degrees.
    degrees, rest = divmod(round(abs(value) * _MINUTES * 10_000), _MINUTES * 10_000)
    side = _side(value, sides)
    return f"{degrees:0{width}d}{rest // 10_000:02d}.{rest % 10_000:04d},{side}"


def _checked(pattern: re.Pattern[str], text: str, name: str) -> str:
    if text and not pattern.fullmatch(text):
        raise _refuse(f"{name} cannot be {text!a:.40}")
    return text


def _plain(text: str, name: str) -> str:
    if not (text.isascii() and text.isprintable()) or any(char in text for char in ",*$"):
        raise EncodeError(EncodeReason.BAD_TEXT, f"{name} cannot be {text!a:.40}")
    return text


def _rmc_body(rmc: Rmc) -> str:
    variation = rmc.magnetic_variation_deg
    side = "" if variation is None else _side(variation, "EW")
    columns = [
        f"{_checked(_ADDRESS, rmc.talker, 'talker')}RMC",
        _checked(_UTC, rmc.utc, "utc"),
        "A" if rmc.valid else "V",
        _angle_text(rmc.latitude_deg, "NS", _MAX_LATITUDE_DEG, 2),
        _angle_text(rmc.longitude_deg, "EW", _MAX_LONGITUDE_DEG, 3),
        _number_text(rmc.speed_knots, 3, "speed_knots"),
        _number_text(rmc.course_deg, 3, "course_deg"),
        _checked(_DATE, rmc.date, "date"),
        _number_text(None if variation is None else abs(variation), 1, "magnetic_variation_deg"),
        side,
    ]
    if rmc.navigation_status is not None and rmc.mode is None:
        raise EncodeError(EncodeReason.MISSING_VALUE, "navigation_status needs a mode before it")
    for name in ("mode", "navigation_status"):
        value = getattr(rmc, name)
        if value is not None:
            columns.append(_plain(value, name))
    return ",".join(columns)


def _gga_body(gga: Gga) -> str:
    for name in ("quality", "satellites"):
        value = getattr(gga, name)
        if value is not None and not _WHOLE.fullmatch(str(value)):
            raise EncodeError(EncodeReason.OUT_OF_RANGE, f"{name} cannot be {value!r:.40}")
    return ",".join(
        (
            f"{_checked(_ADDRESS, gga.talker, 'talker')}GGA",
            _checked(_UTC, gga.utc, "utc"),
            _angle_text(gga.latitude_deg, "NS", _MAX_LATITUDE_DEG, 2),
            _angle_text(gga.longitude_deg, "EW", _MAX_LONGITUDE_DEG, 3),
            str(gga.quality),
            "" if gga.satellites is None else f"{gga.satellites:02d}",
            _number_text(gga.hdop, 1, "hdop"),
            _number_text(gga.altitude_m, 1, "altitude_m"),
            "M",
            _number_text(gga.geoid_separation_m, 1, "geoid_separation_m"),
            "M",
            _number_text(gga.correction_age_s, 1, "correction_age_s"),
            _plain(gga.station, "station"),
        )
    )


def _body(sentence: Sentence) -> str:
    match sentence:
        case Rmc():
            return _rmc_body(sentence)
        case Gga():
            return _gga_body(sentence)
        case OtherSentence(body):
            if not (body.isascii() and body.isprintable()) or "*" in body or "$" in body:
                raise EncodeError(EncodeReason.BAD_TEXT, f"body cannot be {body!a:.40}")
            if body.split(",")[0][2:] in _PARSERS:
                raise _refuse("an RMC or GGA sentence belongs into its own type")
            return body
    raise _refuse(f"{type(sentence).__name__} is no sentence")


def encode_gps(message: GpsSentences) -> bytes:
    """Write sentences with checksum and CR LF.

    Positions are rounded to 1e-4 minutes, speed and course to 0.001, altitude, HDOP and the rest
    to 0.1: text has a resolution, unlike the binary messages.

    Raises:
        EncodeError: There is nothing to write, or a field cannot be written.
    """
    if message.damaged:
        raise EncodeError(EncodeReason.NOT_CARRIED, "damaged sentences cannot be written")
    if not message.sentences:
        raise EncodeError(EncodeReason.BAD_COUNT, "there must be at least one sentence")
    lines: list[bytes] = []
    for sentence in message.sentences:
        body = _body(sentence).encode("ascii")
        lines.append(b"$%s*%02X\r\n" % (body, checksum(body)))
    data = b"".join(lines)
    if len(data) > MAX_BYTES:
        raise EncodeError(EncodeReason.BAD_COUNT, f"{len(data)} bytes of text, at most {MAX_BYTES}")
    return data
