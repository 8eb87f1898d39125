"""Python functions named in a configuration, loaded: `package.module:function`, `file.py:function`.

They run in the stand-in's process with its rights, as everything a user configures there does.
Owns the search and the words for what can go wrong; what a function is for is not its business.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from certs.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    Function: TypeAlias = Callable[[Any, Any], Any]


def load_functions(named: Mapping[str, str]) -> dict[str, Function]:
    """The functions, by the same names.

    Args:
        named: ARN to function.

    Raises:
        ConfigurationError: A module or file does not exist or fails, or has no such function.
    """
    return {arn: _load(f"lambdas.{arn}", target) for arn, target in named.items()}


def _load(where: str, target: str) -> Function:
    module_name, _, name = target.rpartition(":")
    try:
        module = (
            _from_file(Path(module_name))
            if module_name.endswith(".py")
            else importlib.import_module(module_name)
        )
    except (Exception, SystemExit) as error:
        # The module is the user's code: whatever it raises is a matter of the configuration.
        raise ConfigurationError(
            f"{where}: {module_name} cannot be loaded: {type(error).__name__}: {error}",
            "correct it; a module must be importable (PYTHONPATH), a file is named with its path",
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise ConfigurationError(
            f"{where}: {module_name} has no function {name!r}", "name one that is defined there"
        )
    found: Function = function
    return found


def _from_file(path: Path) -> ModuleType:
    resolved = path.resolve(strict=True)
    name = f"lambda_file_{resolved.stem}_{abs(hash(resolved)):x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickles look their module up there.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
