from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

from agent.commands.ledger import ExecutionKey, Ledger, Replay

ROOT = Path(__file__).parents[3]
EXECUTIONS = 400
KILLS = 8

# Executes each id once by appending it to a file, as a real command would move a car: the effect
# comes after `begin` and before `finish`.
WORKER = """
import os, sys
from pathlib import Path
from agent.commands.ledger import ExecutionKey, Ledger, New

ledger = Ledger(Path(sys.argv[1]))
effects = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
print("ready", flush=True)
for number in range(int(sys.argv[3])):
    key = ExecutionKey("aws", str(number))
    if ledger.begin(key, b"digest", float(number)) == New():
        os.write(effects, b"%d\\n" % number)
        ledger.finish(key, b"done %d" % number)
        print(number, flush=True)
print("end", flush=True)
"""


def test_no_command_takes_effect_twice_however_often_the_agent_is_killed(tmp_path: Path) -> None:
    """SIGKILL at random moments, redeliver everything each time: every effect happens once."""
    path, effects = tmp_path / "ledger.sqlite", tmp_path / "effects"
    chance = random.Random(20260101)
    confirmed: set[int] = set()

    for attempt in range(KILLS + 1):
        let_live = attempt == KILLS
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(path), str(effects), str(EXECUTIONS)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert worker.stdout is not None
        patience = EXECUTIONS if let_live else chance.randrange(1, EXECUTIONS // KILLS)
        ended = False
        for line in worker.stdout:
            ended = line.startswith("end")
            if line.strip().isdigit():
                confirmed.add(int(line))
                patience -= 1
            if patience <= 0 and not let_live:
                worker.kill()
                break
        worker.stdout.close()
        worker.wait()
        assert ended or not let_live

    happened = [int(line) for line in effects.read_text().split()]
    assert len(happened) == len(set(happened))
    assert confirmed <= set(happened)

    ledger = Ledger(path)
    assert ledger.warning is None
    recorded = {
        number: ledger.look_up(ExecutionKey("aws", str(number)), b"digest")
        for number in range(EXECUTIONS)
    }
    ledger.close()
    for number, found in recorded.items():
        assert isinstance(found, Replay)
        if number in confirmed:
            assert found.outcome == b"done %d" % number
        elif number not in set(happened):
            # Killed between begin and the effect: refused for good rather than done twice.
            assert b"INTERRUPTED" in found.outcome
