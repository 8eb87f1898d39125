"""The configuration of the stand-in: what can be set, reading it from a file, an example of it.

`model` says what there is, `reading` turns a file and the options of a command line into it, and
`example` writes the commented file. None of them opens a socket.
"""

from simulator.iotcore.configuration.example import text as example_text
from simulator.iotcore.configuration.model import CoreConfiguration
from simulator.iotcore.configuration.reading import overlaid, read

__all__ = ["CoreConfiguration", "example_text", "overlaid", "read"]
