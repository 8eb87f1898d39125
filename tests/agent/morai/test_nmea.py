from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.morai import (
    DecodeError,
    DecodeReason,
    EncodeError,
    EncodeReason,
    Gga,
    GpsSentences,
    OtherSentence,
    Rmc,
    decode,
    encode,
)
from agent.morai.nmea import MAX_BYTES, checksum

# Widely published example sentences with their checksums: the RMC and GGA of the NMEA FAQ by Peter
# Bennett and Glenn Baddeley's reference, the GLL of the u-blox and SiRF manuals.
RMC = b"$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A"
GGA = b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47"
GLL = b"$GPGLL,4916.45,N,12311.12,W,225444,A,*1D"


def _sentences(data: bytes) -> GpsSentences:
    message = decode(data)
    assert isinstance(message, GpsSentences)
    return message


def test_reads_the_published_rmc() -> None:
    """48 deg 07.038' N, 11 deg 31.000' E, 22.4 kn, 84.4 deg, 23 March 1994, variation 3.1 W."""
    (rmc,) = _sentences(RMC + b"\r\n").sentences
    assert isinstance(rmc, Rmc)
    assert rmc.utc == "123519"
    assert rmc.valid
    assert rmc.latitude_deg == pytest.approx(48.1173, abs=1e-9)
    assert rmc.longitude_deg == pytest.approx(11 + 31 / 60, abs=1e-9)
    assert (rmc.speed_knots, rmc.course_deg, rmc.date) == (22.4, 84.4, "230394")
    assert rmc.magnetic_variation_deg == -3.1
    assert rmc.mode is None


def test_reads_the_published_gga() -> None:
    """Quality 1, 8 satellites, HDOP 0.9, 545.4 m, geoid 46.9 m, no corrections."""
    (gga,) = _sentences(GGA).sentences
    assert isinstance(gga, Gga)
    assert (gga.quality, gga.satellites, gga.hdop) == (1, 8, 0.9)
    assert (gga.altitude_m, gga.geoid_separation_m) == (545.4, 46.9)
    assert gga.correction_age_s is None
    assert gga.second_of_day() == 12 * 3600 + 35 * 60 + 19


def test_reads_both_sentences_of_one_datagram_and_trailing_nuls() -> None:
    """One older example has both sentences in one buffer filled up with NULs."""
    data = (RMC + b"\r\n" + GGA + b"\r\n").ljust(1028, b"\0")
    kinds = [type(sentence) for sentence in _sentences(data).sentences]
    assert kinds == [Rmc, Gga]


def test_keeps_sentences_of_other_types() -> None:
    """A verified sentence of an unknown type is kept as text."""
    assert _sentences(GLL).sentences == (OtherSentence("GPGLL,4916.45,N,12311.12,W,225444,A,"),)


def test_counts_a_damaged_sentence_and_keeps_the_good_one() -> None:
    """A wrong checksum costs its own sentence only."""
    message = _sentences(RMC.replace(b"022.4", b"922.4") + b"\r\n" + GGA)
    assert [type(sentence) for sentence in message.sentences] == [Gga]
    assert message.damaged == 1


def test_the_checksum_is_the_published_one() -> None:
    """47 hexadecimal for the published GGA."""
    assert checksum(GGA[1:-3]) == 0x47


def _with_checksum(body: str) -> bytes:
    value = 0
    for byte in body.encode():
        value ^= byte
    return f"${body}*{value:02X}\r\n".encode()


def test_a_fraction_of_one_digit_is_kept_as_text() -> None:
    """The simulator writes 7 ms as .7, so only whole seconds are derived."""
    body = "GPRMC,093015.7,A,0000.0000,N,00000.0000,E,0.0,0.0,211126,,,A"
    (rmc,) = _sentences(_with_checksum(body)).sentences
    assert isinstance(rmc, Rmc)
    assert rmc.utc == "093015.7"
    # 2026-11-21T09:30:15Z by `date -u -d`.
    assert rmc.unix_s() == 1_795_253_415


def test_a_blackout_position_is_passed_on_as_zero() -> None:
    """0, 0 with status A is what the simulator sends in a jamming zone."""
    body = "GPRMC,093015.7,A,0000.0000,N,00000.0000,E,0.0,0.0,211126,,,A"
    (rmc,) = _sentences(_with_checksum(body)).sentences
    assert isinstance(rmc, Rmc)
    assert (rmc.valid, rmc.latitude_deg, rmc.longitude_deg) == (True, 0.0, 0.0)


def test_south_and_west_are_negative() -> None:
    """Signs come from the side letters."""
    body = "GPGGA,000000,3330.0000,S,07030.0000,W,1,09,1.0,10.0,M,0.0,M,,"
    (gga,) = _sentences(_with_checksum(body)).sentences
    assert isinstance(gga, Gga)
    assert (gga.latitude_deg, gga.longitude_deg) == (-33.5, -70.5)


def test_an_impossible_date_has_no_time() -> None:
    """The date field holds digits, but not a date."""
    assert Rmc("000000", True, 0.0, 0.0, date="310226").unix_s() is None


@pytest.mark.parametrize(
    "body",
    [
        "GPRMC,250000,A,4807.0,N,01131.0,E,0,0,230394,,",
        "GPRMC,123519,A,9107.0,N,01131.0,E,0,0,230394,,",
        "GPRMC,123519,A,4860.0,N,01131.0,E,0,0,230394,,",
        "GPRMC,123519,A,4807.0,X,01131.0,E,0,0,230394,,",
        "GPRMC,123519,A,4807.0,N,18107.0,E,0,0,230394,,",
        "GPRMC,123519,A,4807.0,N,01131.0,E,nan,0,230394,,",
        "GPRMC,123519,A,4807.0,N,01131.0,E,1e5,0,230394,,",
        "GPRMC,123519,A,4807.0,N,01131.0,E," + "9" * 400 + ",0,230394,,",
        "GPRMC,123519,X,4807.0,N,01131.0,E,0,0,230394,,",
        "GPRMC,123519,A",
        "GPGGA,123519,4807.0,N,01131.0,E,-1,08,0.9,545.4,M,46.9,M,,",
        "gpRMC,123519,A,4807.0,N,01131.0,E,0,0,230394,,",
    ],
)
def test_unreadable_fields_are_refused(body: str) -> None:
    """A correct checksum does not make nonsense readable."""
    with pytest.raises(DecodeError) as caught:
        decode(_with_checksum(body))
    assert caught.value.reason is DecodeReason.BAD_TEXT


def test_text_without_a_good_checksum_is_refused() -> None:
    """A sentence without checksum, or with a wrong one, is no sentence."""
    for data in (RMC[:-3], RMC[:-1] + b"0", b"$", b"$$$$"):
        with pytest.raises(DecodeError) as caught:
            decode(data)
        assert caught.value.reason is DecodeReason.BAD_CHECKSUM


def test_too_much_text_is_refused() -> None:
    """The length of the text is bounded."""
    with pytest.raises(DecodeError) as caught:
        decode(RMC + b"\0" * MAX_BYTES)
    assert caught.value.reason is DecodeReason.WRONG_SIZE


def test_writes_a_sentence_with_checksum_and_four_decimals_of_a_minute() -> None:
    """The text is what the simulator would send for that position."""
    gga = Gga("123519.7", 48.1173, -11.516666666, 1, 9, 1.0, 545.4, 0.0)
    body = "GPGGA,123519.7,4807.0380,N,01131.0000,W,1,09,1.0,545.4,M,0.0,M,,"
    assert encode(GpsSentences((gga,))) == _with_checksum(body)


def test_rounding_carries_from_minutes_into_degrees() -> None:
    """59.99999 minutes are written as the next degree, never as 60 minutes."""
    data = encode(GpsSentences((Rmc("000000", True, 47.99999999, 0.0),)))
    assert b",4800.0000,N," in data


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (GpsSentences(()), EncodeReason.BAD_COUNT),
        (GpsSentences((OtherSentence("GPGLL"),), damaged=1), EncodeReason.NOT_CARRIED),
        (GpsSentences((Rmc("", True, 90.1, 0.0),)), EncodeReason.OUT_OF_RANGE),
        (GpsSentences((Rmc("", True, float("nan"), 0.0),)), EncodeReason.OUT_OF_RANGE),
        (GpsSentences((Rmc("", True, 0.0, 0.0, float("inf")),)), EncodeReason.NON_FINITE),
        (GpsSentences((Rmc("noon", True, 0.0, 0.0),)), EncodeReason.BAD_VALUE),
        (GpsSentences((OtherSentence("GP*GLL"),)), EncodeReason.BAD_TEXT),
        (GpsSentences((OtherSentence("GPRMC,fake"),)), EncodeReason.BAD_VALUE),
        (GpsSentences((Gga("", 0.0, 0.0, -1),)), EncodeReason.OUT_OF_RANGE),
        (GpsSentences((Gga("", 0.0, 0.0, 1, station="a,b"),)), EncodeReason.BAD_TEXT),
        (
            GpsSentences((Rmc("", True, 0.0, 0.0, navigation_status="S"),)),
            EncodeReason.MISSING_VALUE,
        ),
        (GpsSentences((OtherSentence("GPGLL"),) * 300), EncodeReason.BAD_COUNT),
    ],
)
def test_sentences_that_cannot_be_written_are_refused(
    message: GpsSentences, reason: EncodeReason
) -> None:
    """Each fault has its reason."""
    with pytest.raises(EncodeError) as caught:
        encode(message)
    assert caught.value.reason is reason


decimals = st.none() | st.floats(-9999, 9999)
utc = st.sampled_from(["", "000000", "235959.9", "120000.123", "101010."])
rmcs = st.builds(
    Rmc,
    utc=utc,
    valid=st.booleans(),
    latitude_deg=st.none() | st.floats(-90, 90),
    longitude_deg=st.none() | st.floats(-180, 180),
    speed_knots=decimals,
    course_deg=decimals,
    date=st.sampled_from(["", "010126", "311299"]),
    magnetic_variation_deg=decimals,
    mode=st.none() | st.sampled_from(["A", "D", "N", ""]),
)
ggas = st.builds(
    Gga,
    utc=utc,
    latitude_deg=st.none() | st.floats(-90, 90),
    longitude_deg=st.none() | st.floats(-180, 180),
    quality=st.integers(0, 8),
    satellites=st.none() | st.integers(0, 99),
    hdop=decimals,
    altitude_m=decimals,
    geoid_separation_m=decimals,
    correction_age_s=decimals,
    station=st.sampled_from(["", "0120"]),
)


@given(st.lists(rmcs | ggas, min_size=1, max_size=4))
def test_what_was_written_reads_back_within_the_resolution_of_the_text(
    sentences: list[Rmc | Gga],
) -> None:
    """A second writing gives the same bytes, and positions are within half a grid step."""
    data = encode(GpsSentences(tuple(sentences)))
    message = _sentences(data)
    assert message.damaged == 0
    assert encode(message) == data
    for before, after in zip(sentences, message.sentences, strict=True):
        assert isinstance(after, Rmc | Gga)
        if before.latitude_deg is None:
            assert after.latitude_deg is None
        else:
            half_a_step_deg = 0.00005 / 60
            assert after.latitude_deg == pytest.approx(
                before.latitude_deg, abs=half_a_step_deg * 1.001
            )


@given(st.binary(max_size=200))
def test_any_text_behind_a_dollar_gives_sentences_or_one_error(tail: bytes) -> None:
    """No bytes make the reader fail in another way."""
    try:
        outcome: object = decode(b"$" + tail)
    except DecodeError as error:
        outcome = error.reason
    assert isinstance(outcome, GpsSentences | DecodeReason)
