from __future__ import annotations

import json
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.iotcore.services.command_payload import PayloadTemplate, read_parameters
from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.formats import Format
from tests.simulator.iotcore.services.test_commands import COMMAND, Desk


def placeholder(name: str) -> str:
    """The placeholder of a parameter."""
    return f"${{aws:iot:commandexecution::parameter:{name}}}"


def filled(
    template: Any,
    parameters: list[dict[str, Any]],
    given_values: dict[str, Any] | None = None,
    output: Format = Format.JSON,
) -> bytes:
    """The payload of a template."""
    text = template if isinstance(template, str) else json.dumps(template)
    return PayloadTemplate(text, read_parameters(parameters), output).fill(given_values or {}, 42)


def test_values_keep_their_type_alone_and_become_text_inside_text() -> None:
    """Every type, by itself and in a sentence; the timeout too."""
    values: dict[str, tuple[dict[str, Any], Any, str]] = {
        "s": ({"S": "x"}, "x", "x"),
        "i": ({"I": -3}, -3, "-3"),
        "l": ({"L": 2**40}, 2**40, "1099511627776"),
        "d": ({"D": 0.5}, 0.5, "0.5"),
        "u": ({"UL": "18446744073709551615"}, 18446744073709551615, "18446744073709551615"),
        "b": ({"B": True}, True, "true"),
        "bin": ({"BIN": "AP8="}, "AP8=", "AP8="),
    }
    template = {
        "alone": {name: placeholder(name) for name in values},
        "inside": [f"<{placeholder(name)}>" for name in values],
        "timeout": "${aws:iot:commandexecution::executionTimeoutSec}",
        "kept": [1, None, "$", "${aws:iot:other}"],
    }
    payload = filled(
        template,
        [{"name": name} for name in values],
        {name: value for name, (value, _, _) in values.items()},
    )
    assert json.loads(payload) == {
        "alone": {name: alone for name, (_, alone, _) in values.items()},
        "inside": [f"<{text}>" for _, _, text in values.values()],
        "timeout": 42,
        "kept": [1, None, "$", "${aws:iot:other}"],
    }


def test_cbor_output_carries_bytes() -> None:
    """The same template in the other format."""
    payload = filled({"x": placeholder("x")}, [{"name": "x"}], {"x": {"BIN": "AP8="}}, Format.CBOR)
    assert cbor2.loads(payload) == {"x": b"\x00\xff"}


def test_a_value_cannot_break_out_of_its_string() -> None:
    """Quotes and placeholders in a value stay text."""
    value = f'", "evil": "{placeholder("x")}'
    payload = filled({"x": f"a{placeholder('x')}"}, [{"name": "x"}], {"x": {"S": value}})
    assert json.loads(payload) == {"x": f"a{value}"}


def test_requests_come_before_defaults_and_both_are_checked() -> None:
    """The temperature example of the developer guide."""
    condition = {
        "comparisonOperator": "IN_RANGE",
        "operand": {"numberRange": {"min": "60", "max": "80"}},
    }
    temperature = {
        "name": "temperature",
        "type": "INTEGER",
        "defaultValue": {"I": 72},
        "valueConditions": [condition],
    }
    template = {"temperature": placeholder("temperature")}
    assert json.loads(filled(template, [temperature])) == {"temperature": 72}
    assert json.loads(filled(template, [temperature], {"temperature": {"I": 60}})) == {
        "temperature": 60
    }
    for wrong in ({"I": 81}, {"I": 59}, {"S": "70"}, {"L": 70}, {}, {"I": 70, "L": 70}, 70):
        with pytest.raises(ServiceFailure):
            filled(template, [temperature], {"temperature": wrong})
    with pytest.raises(ServiceFailure):
        filled(template, [temperature], {"other": {"I": 70}})
    with pytest.raises(ServiceFailure):
        filled(template, [temperature | {"defaultValue": {"I": 90}}])
    with pytest.raises(ServiceFailure, match="has no value"):
        filled(template, [{"name": "temperature"}])


@pytest.mark.parametrize(
    ("operator", "operand", "good", "bad"),
    [
        ("EQUALS", {"number": "5"}, {"D": 5.0}, {"D": 5.1}),
        ("NOT_EQUALS", {"number": "5"}, {"I": 4}, {"I": 5}),
        ("LESS_THAN", {"number": "5"}, {"I": 4}, {"I": 5}),
        ("LESS_THAN_EQUALS", {"number": "5"}, {"I": 5}, {"I": 6}),
        ("GREATER_THAN", {"number": "5"}, {"UL": "6"}, {"UL": "5"}),
        ("GREATER_THAN_EQUALS", {"number": "5"}, {"L": 5}, {"L": 4}),
        ("IN_SET", {"numbers": ["1", "2.5"]}, {"D": 2.5}, {"I": 2}),
        ("NOT_IN_SET", {"numbers": ["1", "2"]}, {"I": 3}, {"I": 2}),
        ("IN_RANGE", {"numberRange": {"min": "1", "max": "2"}}, {"I": 2}, {"I": 3}),
        ("NOT_IN_RANGE", {"numberRange": {"min": "1", "max": "2"}}, {"I": 3}, {"I": 1}),
        ("EQUALS", {"string": "on"}, {"S": "on"}, {"S": "ON"}),
        ("NOT_EQUALS", {"string": "on"}, {"S": "off"}, {"S": "on"}),
        ("IN_SET", {"strings": ["on", "off"]}, {"S": "off"}, {"S": "x"}),
        ("NOT_IN_SET", {"strings": ["on", "off"]}, {"S": "x"}, {"S": "off"}),
        ("EQUALS", {"string": "1"}, {"S": "1"}, {"I": 1}),
        ("EQUALS", {"number": "1"}, {"I": 1}, {"S": "1"}),
    ],
)
def test_every_operator(
    operator: str, operand: dict[str, Any], good: dict[str, Any], bad: dict[str, Any]
) -> None:
    """One value that satisfies it and one that does not."""
    parameter = {
        "name": "x",
        "valueConditions": [{"comparisonOperator": operator, "operand": operand}],
    }
    filled([placeholder("x")], [parameter], {"x": good})
    with pytest.raises(ServiceFailure, match="conditions"):
        filled([placeholder("x")], [parameter], {"x": bad})


@pytest.mark.parametrize(
    "change",
    [
        {"payloadTemplate": "{"},
        {"payloadTemplate": '{"no": "placeholder"}'},
        {"payloadTemplate": json.dumps([placeholder("undeclared")])},
        {"payloadTemplate": json.dumps([placeholder("x"), "y" * 32_768])},
        {"preprocessor": None},
        {"preprocessor": {"awsJsonSubstitution": {}}},
        {"payload": {"content": "eA=="}},
        {"mandatoryParameters": [{"name": "x"}, {"name": "x"}]},
        {"mandatoryParameters": [{"name": "x", "type": "FLOAT"}]},
        {"mandatoryParameters": [{"name": "x", "type": "STRING", "defaultValue": {"I": 1}}]},
        {
            "mandatoryParameters": [
                {
                    "name": "x",
                    "type": "BOOLEAN",
                    "valueConditions": [
                        {"comparisonOperator": "EQUALS", "operand": {"string": "x"}}
                    ],
                }
            ]
        },
        *(
            {"mandatoryParameters": [{"name": "x", "valueConditions": [condition]}]}
            for condition in (
                {},
                {"comparisonOperator": "LESS_THAN", "operand": {"string": "x"}},
                {"comparisonOperator": "IN_RANGE", "operand": {"number": "1"}},
                {"comparisonOperator": "IN_SET", "operand": {"numbers": []}},
                {"comparisonOperator": "EQUALS", "operand": {"numbers": ["1"]}},
                {"comparisonOperator": "EQUALS", "operand": {"number": "NaN"}},
                {"comparisonOperator": "EQUALS", "operand": {"number": "1", "string": "1"}},
            )
        ),
    ],
)
def test_a_command_that_could_never_run_is_not_created(change: dict[str, Any]) -> None:
    """ValidationException at CreateCommand."""
    good = {
        "commandId": "stop",
        "payloadTemplate": json.dumps([placeholder("x")]),
        "preprocessor": {"awsJsonSubstitution": {"outputFormat": "JSON"}},
        "mandatoryParameters": [{"name": "x"}],
    }
    service = Desk().service
    with pytest.raises(ServiceFailure) as caught:
        service.create_command(good | change, 0.0)
    assert caught.value.code == "ValidationException"
    service.create_command(good, 0.0)


def test_a_dynamic_command_from_end_to_end() -> None:
    """Created, executed in CBOR, its parameters shown, and still working after a restart."""
    desk = Desk()
    desk.call(
        "CreateCommand",
        commandId="stop",
        payloadTemplate=json.dumps({"speed": placeholder("speed_mps")}),
        preprocessor={"awsJsonSubstitution": {"outputFormat": "CBOR"}},
        mandatoryParameters=[{"name": "speed_mps", "type": "DOUBLE"}],
    )
    names = [
        entry["commandId"]
        for entry in desk.call("ListCommands", commandParameterName="speed_mps")[0]["commands"]
    ]
    assert names == ["stop"]
    dump = json.loads(json.dumps(desk.service.dump()))
    desk.service = desk.fresh()
    desk.service.load(dump)
    execution_id, answers = desk.start(commandArn=COMMAND, parameters={"speed_mps": {"D": 1.5}})
    message = answers[0].message
    assert message.topic.endswith("/request/cbor")
    assert message.content_type == "application/cbor"
    assert cbor2.loads(message.payload) == {"speed": 1.5}
    assert desk.execution(execution_id)["parameters"] == {"speed_mps": {"D": 1.5}}
    assert desk.call("GetCommand", commandId="stop")[0]["mandatoryParameters"] == [
        {"name": "speed_mps", "type": "DOUBLE"}
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["payload", "payloadTemplate", "preprocessor", "mandatoryParameters", "namespace"]
        ),
        JSON,
    )
)
def test_any_request_is_served_or_refused(request: dict[str, Any]) -> None:
    """CreateCommand fails in one way only."""
    with pytest.raises(ServiceFailure):
        Desk().service.create_command({"commandId": "c", **request}, 0.0)
