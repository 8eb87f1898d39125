from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.commands.protocol import (
    ExecutionStatus,
    Outcome,
    ReasonCode,
    ResponseError,
    decode_outcome,
    encode_outcome,
)

# AWS IoT developer guide, "AWS IoT Commands", update of an execution by the device; AWS IoT API
# reference, StatusReason and CommandExecutionResult.
AWS_RESPONSE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["status"],
    "properties": {
        "status": {"enum": ["IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT"]},
        "statusReason": {
            "type": "object",
            "additionalProperties": False,
            "required": ["reasonCode"],
            "properties": {
                "reasonCode": {"type": "string", "pattern": "^[A-Z0-9_-]{1,64}$"},
                "reasonDescription": {"type": "string", "maxLength": 1024},
            },
        },
        "result": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": False,
                "properties": {
                    "s": {"type": "string"},
                    "b": {"type": "boolean"},
                    "bin": {"type": "string", "contentEncoding": "base64"},
                },
            },
        },
    },
}

outcomes = st.builds(
    Outcome,
    st.sampled_from(ExecutionStatus),
    st.none() | st.sampled_from(ReasonCode),
    st.text(max_size=2000),
    st.dictionaries(st.text(min_size=1, max_size=20), st.text() | st.booleans() | st.binary()),
)


@given(outcomes)
def test_every_outcome_is_a_document_aws_accepts(outcome: Outcome) -> None:
    """Whatever the agent wants to say fits the schema of the service."""
    document = json.loads(encode_outcome(outcome))

    jsonschema.validate(document, AWS_RESPONSE)


@given(outcomes)
def test_outcomes_read_back(outcome: Outcome) -> None:
    """An application reads the status, reason and result the agent wrote."""
    read = decode_outcome(encode_outcome(outcome))

    assert (read.status, read.reason) == (outcome.status, outcome.reason)
    assert dict(read.result) == dict(outcome.result)


def test_result_values_carry_lower_case_type_keys() -> None:
    """Text is under `s`, booleans under `b`, bytes in base64 under `bin`."""
    outcome = Outcome(
        ExecutionStatus.SUCCEEDED, result={"speed_mps": "9.87", "latched": True, "raw": b"\x00\xff"}
    )

    assert json.loads(encode_outcome(outcome)) == {
        "status": "SUCCEEDED",
        "result": {"speed_mps": {"s": "9.87"}, "latched": {"b": True}, "raw": {"bin": "AP8="}},
    }


def test_a_description_holds_no_control_characters_and_is_cut() -> None:
    """Control, format and surrogate characters are dropped and 1,024 characters kept."""
    outcome = Outcome(
        ExecutionStatus.FAILED, ReasonCode.LINK_LOST, "a\n\0\u200b\ud800b" + "x" * 2000
    )

    text = json.loads(encode_outcome(outcome))["statusReason"]["reasonDescription"]

    assert text == "ab" + "x" * 1022


def test_only_in_progress_is_not_final() -> None:
    """Reported by a device, every other status ends the execution."""
    final = {status.value for status in ExecutionStatus if status.is_final}

    assert final == {"SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT"}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"status":"DONE"}',
        b'{"status":"FAILED","statusReason":{}}',
        b'{"status":"FAILED","statusReason":{"reasonCode":"NO_SUCH"}}',
        b'{"status":"SUCCEEDED","result":{"a":{}}}',
        b'{"status":"SUCCEEDED","result":{"a":{"s":"x","b":true}}}',
        b'{"status":"SUCCEEDED","result":{"a":{"bin":"***"}}}',
        b'{"status":"SUCCEEDED","result":{"a":{"S":"x"}}}',
        b"[" * 10_000,
        b" " * 20_000,
    ],
)
def test_other_payloads_are_one_typed_error(payload: bytes) -> None:
    """What is not a status document raises ResponseError and nothing else."""
    with pytest.raises(ResponseError):
        decode_outcome(payload)


@given(st.binary(max_size=200))
def test_reading_is_total(payload: bytes) -> None:
    """Any bytes give an outcome or ResponseError."""
    try:
        decode_outcome(payload)
    except ResponseError:
        return
