"""Functions named in a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certs.errors import ConfigurationError
from simulator.iotcore.configuration.functions import load_functions

if TYPE_CHECKING:
    from pathlib import Path


def test_a_function_of_a_file(tmp_path: Path) -> None:
    """A file is loaded once, however many of its functions are named."""
    path = tmp_path / "hooks.py"
    path.write_text(
        "seen = []\n"
        "def allow(event, context):\n    seen.append(event); return {'allowProvisioning': True}\n"
        "def count(event, context):\n    return len(seen)\n"
    )
    found = load_functions({"allow": f"{path}:allow", "count": f"{path}:count"})
    assert found["allow"]({}, None) == {"allowProvisioning": True}
    assert found["count"]({}, None) == 1


def test_a_function_of_a_module() -> None:
    """Anything that can be imported."""
    assert load_functions({"a": "posixpath:basename"})["a"]("/x/y") == "y"  # type: ignore[call-arg] # any callable will do


@pytest.mark.parametrize(
    ("text", "target", "words"),
    [
        (None, "hooks.py:allow", "FileNotFoundError"),
        ("x = 1\n", "hooks.py:allow", "no function 'allow'"),
        ("allow = 3\n", "hooks.py:allow", "no function 'allow'"),
        ("1/0\n", "hooks.py:allow", "ZeroDivisionError"),
        ("def allow(\n", "hooks.py:allow", "SyntaxError"),
        ("raise SystemExit\n", "hooks.py:allow", "SystemExit"),
        (None, "no_such_module_here:allow", "ModuleNotFoundError"),
    ],
)
def test_what_cannot_be_loaded_is_explained(
    tmp_path: Path, text: str | None, target: str, words: str
) -> None:
    """A configuration error that names the key, the module and the reason."""
    if text is not None:
        (tmp_path / "hooks.py").write_text(text)
    named = f"{tmp_path}/{target}" if target.startswith("hooks") else target
    with pytest.raises(ConfigurationError, match=words) as caught:
        load_functions({"my-function": named})
    assert "lambdas.my-function" in caught.value.what
