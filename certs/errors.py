"""The product's error tree, split by who must act.

The tree lives in the lowest room because imports run `simulator` → `agent` → `certs` only.
Every error says what was wrong and what to do about it; the command line prints exactly that
and ends with the error's exit code.

    EdgeError
    ├── ConfigurationError  the user: a file, a key, an option, a permission
    ├── PeerError           the other side: it answered, and the answer was a refusal or nonsense
    ├── LinkError           the network between: nothing answered, or the connection broke
    └── StorageError        the machine: disk full, unwritable folder, damaged file

A defect of ours is none of these: it is any other exception, and the command line reports it as a
bug with exit code 70.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_OK = 0
EXIT_CHECK_FAILED = 1
EXIT_USAGE = 2
EXIT_ENVIRONMENT = 3
EXIT_BUG = 70  # EX_SOFTWARE of BSD sysexits.h


class EdgeError(Exception):
    """Something a person can act on.

    Args:
        what: What was wrong, naming the file, key, peer or address, and the value found.
        remedy: What to do about it, as an instruction.
    """

    exit_code: ClassVar[int] = EXIT_ENVIRONMENT
    who: ClassVar[str] = "error"

    def __init__(self, what: str, remedy: str = "") -> None:
        if type(self) is EdgeError:
            raise TypeError("EdgeError is abstract: raise one of its subclasses")
        super().__init__(what)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}. {self.remedy}" if self.remedy else self.what


class ConfigurationError(EdgeError, ValueError):
    """The user's file, option or permission is wrong: an unknown key, an unreadable certificate."""

    exit_code = EXIT_USAGE
    who = "configuration"


class PeerError(EdgeError):
    """The other side answered with a refusal or nonsense: CONNACK 0x87, a broken certificate."""

    who = "peer"


class LinkError(EdgeError, ConnectionError):
    """The network failed: connection refused, timed out, port already in use."""

    who = "link"


class StorageError(EdgeError, OSError):
    """The machine could not keep data: disk full, folder not writable, damaged database."""

    who = "storage"

    def __init__(self, what: str, remedy: str = "") -> None:
        # OSError assembles its own text from several arguments, so it gets the finished sentence.
        EdgeError.__init__(self, what, remedy)
