"""Runs `morai-agent` as a user does: its own process, with output that is no terminal."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def findings(self) -> dict[str, dict[str, Any]]:
        """Findings of `check --json`, by what was checked; the last one of each."""
        return {finding["check"]: finding for finding in json.loads(self.out)}

    def failed(self) -> set[str]:
        """What `check --json` found to be wrong."""
        return {f["check"] for f in json.loads(self.out) if f["verdict"] == "failed"}


async def morai_agent(*arguments: str, cwd: Path) -> Ended:
    """Run one command to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "agent", *arguments),
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "NO_COLOR": "1"},
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())
