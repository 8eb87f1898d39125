"""What `morai-sim run` and `morai-sim report` end with: one rule for a run and its result file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from certs.errors import EXIT_CHECK_FAILED, EXIT_ENVIRONMENT, EXIT_OK

if TYPE_CHECKING:
    from simulator.report.result import Result
    from simulator.report.verdict import Verdict

EXIT_INTERRUPTED: Final = 130


def exit_code(result: Result, verdict: Verdict, *, is_stopped: bool = False) -> int:
    """The exit code of a run.

    Args:
        result: What is known of the run.
        verdict: Its verdict.
        is_stopped: Whether somebody stopped it, which a result that was cut off does not say.

    Returns:
        130 for a run that was interrupted, 3 for one that failed or was cut off whatever its checks
        say; otherwise 1 when a check failed, else 0.
    """
    end = result.end
    if (is_stopped and end is None) or (end is not None and end.outcome == "interrupted"):
        return EXIT_INTERRUPTED
    if end is None or end.outcome == "failed":
        return EXIT_ENVIRONMENT
    return EXIT_OK if verdict.held else EXIT_CHECK_FAILED
