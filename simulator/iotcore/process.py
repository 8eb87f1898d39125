"""Settings of a process that serves thousands of connections.

Both change the whole process, so a command line calls this and a library or a test does not.
"""

from __future__ import annotations

import contextlib
import gc
import sys

_GC_YOUNG_OBJECTS = 50_000
_GC_GENERATIONS = 20


def prepare_for_many_connections() -> int | None:
    """Allow as many open files as the system permits, and collect garbage rarely.

    Every connection is a few hundred long-lived objects without cycles; with the default settings
    the collector walks all of them several times a second and finds nothing.

    Returns:
        How many files may be open; None where the system does not say.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_YOUNG_OBJECTS, _GC_GENERATIONS, _GC_GENERATIONS)
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 - absent on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems refuse an unlimited number; then the limit stays as it is.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft
