"""Tests of `certs.errors`."""

from __future__ import annotations

import pickle

import pytest

from certs.errors import (
    ConfigurationError,
    EdgeError,
    LinkError,
    PeerError,
    StorageError,
)

CASES = [
    (ConfigurationError, 2, ValueError),
    (PeerError, 3, Exception),
    (LinkError, 3, ConnectionError),
    (StorageError, 3, OSError),
]


@pytest.mark.parametrize(("kind", "exit_code", "standard"), CASES)
def test_each_error_has_its_exit_code_and_standard_base(
    kind: type[EdgeError], exit_code: int, standard: type[Exception]
) -> None:
    """Every kind of error ends the command with its documented code and is a standard error too."""
    error = kind("the disk is full", "free some space")

    assert error.exit_code == exit_code
    assert isinstance(error, standard)


@pytest.mark.parametrize(("kind", "_code", "_standard"), CASES)
def test_text_joins_what_and_remedy(
    kind: type[EdgeError], _code: int, _standard: type[Exception]
) -> None:
    """As text, an error says what was wrong and then what to do."""
    assert str(kind("the disk is full", "free some space")) == "the disk is full. free some space"
    assert str(kind("the disk is full")) == "the disk is full"


@pytest.mark.parametrize(("kind", "_code", "_standard"), CASES)
def test_errors_cross_process_borders(
    kind: type[EdgeError], _code: int, _standard: type[Exception]
) -> None:
    """An error that a worker process raised still has its remedy in the parent."""
    copy = pickle.loads(pickle.dumps(kind("the disk is full", "free some space")))

    assert type(copy) is kind
    assert (copy.what, copy.remedy) == ("the disk is full", "free some space")


def test_the_base_is_not_raised_itself() -> None:
    """Nobody can raise an error without saying who must act."""
    with pytest.raises(TypeError, match="abstract"):
        EdgeError("something")
