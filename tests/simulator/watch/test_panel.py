"""The live panel: fits every terminal, says what the records say, and is not led astray."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from simulator.load.records import Count, Event, PlannedPhase, PlannedProbe, ProcessUse
from simulator.report.result import Result
from simulator.watch.panel import Panel
from tests.simulator.report import records_of_a_run
from tests.simulator.watch import moments

SIZES = [(80, 24), (120, 40), (200, 60), (100, 30), (76, 24), (75, 24), (60, 12), (40, 10), (20, 5)]
SIZES += [(120, 8), (10, 3), (1, 1)]


def shown(result: Result, size: tuple[int, int] = (120, 40), now_s: float = 0.0) -> list[str]:
    """The lines on a terminal of this size."""
    width, height = size
    console = Console(
        file=io.StringIO(), width=width, height=height, record=True, color_system=None
    )
    panel = Panel(result)
    panel.now_s = now_s
    console.print(panel)
    return console.export_text(styles=False).splitlines()


def line_with(word: str, lines: list[str]) -> str:
    """The only line that begins with a word."""
    (found,) = [line for line in lines if line.startswith(word)]
    return found


RESULTS = {
    "nothing": (Result, 0.0),
    "header": (lambda: moments.at(0.0), 0.0),
    "before the start": (lambda: moments.at(0.0), -5.0),
    "running": (lambda: moments.at(50.0), 50.5),
    "silent": (lambda: moments.at(20.0), 500.0),
    "interrupted": (
        lambda: records_of_a_run.result(seconds=20, outcome="interrupted", reason="Ctrl-C"),
        20.0,
    ),
    "completed": (records_of_a_run.result, 60.0),
    "huge numbers": (moments.busy_run, 60.0),
    "hostile names": (lambda: moments.busy_run(name=moments.HOSTILE), 60.0),
}


@pytest.mark.parametrize("state", RESULTS)
def test_fits_every_terminal(state: str) -> None:
    """No line is wider than the terminal, and there are fewer lines than it has."""
    make, now_s = RESULTS[state]
    result = make()
    for width, height in SIZES:
        lines = shown(result, (width, height), now_s)
        assert max((cell_len(line) for line in lines), default=0) <= width
        assert len(lines) <= max(1, height - 1)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_hostile_names_reach_no_terminal(size: tuple[int, int]) -> None:
    """Names and texts with terminal commands or line breaks are shown as escapes."""
    text = "".join(shown(moments.busy_run(name=moments.HOSTILE), size, 60.0))
    assert text.isprintable()
    assert "\\x1b[2J" in text


def test_markup_in_names_is_text() -> None:
    """What looks like markup of the terminal library is shown as it is."""
    lines = shown(moments.folded(records_of_a_run.header(name="[red]x[/red]")))
    assert "[red]x[/red]" in lines[1]


def test_first_line_says_who_is_connected_of_those_asked_for() -> None:
    """98 of the 100 cars asked for ever connect, and the generator has time left."""
    first = shown(moments.at(50.0), now_s=50.5)[0]
    assert first.startswith("98 of 100 cars connected · 98 online")
    assert "generator keeps up" in first


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (79, 3)])
def test_first_line_says_when_the_generator_is_the_limit(size: tuple[int, int]) -> None:
    """A worker at 99 % of a core is named in the first line of any size."""
    first = shown(moments.at(50.0, cpu_share=0.99), size, 50.5)[0]
    assert "98 of 100 cars connected" in first
    assert "GENERATOR IS THE LIMIT" in first


def test_silence_of_the_workers_is_said_in_the_first_line() -> None:
    """After six seconds without a word the first line says so, and the rates fall to none."""
    result = moments.at(20.0)
    assert "NO WORD" not in shown(result, now_s=20.5)[0]
    later = shown(result, now_s=27.0)
    assert "NO WORD FROM ANY WORKER" in later[0]
    assert line_with("publishes", later).split()[1] == "0"


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_everything_fits_the_usual_terminals(size: tuple[int, int]) -> None:
    """At 80 x 24 already all rates, latencies, reason codes, processes and the last event show."""
    text = "\n".join(shown(moments.at(50.0), size, 50.5))
    for part in (
        "connects publishes acks received commands",
        "connect tls lateness",
        "reasons" if size == (80, 24) else "reason",
        "stand-in workers" if size == (80, 24) else "stand-in worker",
    ):
        for word in part.split():
            assert word in text
    assert "publish ack" in text
    assert "end to end" in text
    assert "CONNACK 0x87" in text
    assert "storm: 20 of vans dropped and back at once (20 cars)" in text


def test_rates_are_those_of_the_last_seconds() -> None:
    """In the drive phase 60 cars at 2 Hz and 38 vans at 1 Hz write 158 messages a second."""
    lines = shown(moments.at(30.0), now_s=30.5)
    assert line_with("publishes", lines).split()[1] == "158"
    assert line_with("acks", lines).split()[1] == "120"
    assert line_with("received", lines).split()[1] == "316"
    assert line_with("commands", lines).split()[1] == "2.0"


def test_recent_and_whole_latencies_stand_apart() -> None:
    """Without connects in the last ten seconds the recent columns are empty, the others are not."""
    columns = line_with("connect ", shown(moments.at(30.0), (80, 24), 30.5)).split()
    assert columns[1:4] == ["-", "-", "-"]
    assert all(float(value) > 0 for value in columns[4:7])
    assert columns[7] == "98"


def test_current_phase_is_marked() -> None:
    """The name of the phase that is running has a mark, and what is left is counted down."""
    lines = shown(moments.at(30.0), (80, 24), 30.0)
    assert "0:30 of 1:00 · 0:30 left" in lines[1]
    assert "▸drive" in lines[3]
    assert "▸" not in lines[3].replace("▸drive", "")


def test_current_phase_is_named_among_many() -> None:
    """Of 60 phases in 80 cells none has room for its name, yet the current one is named."""
    phases = [PlannedPhase(f"step-{n}", n * 2.0, n * 2.0 + 2.0, 1, 1) for n in range(60)]
    header = records_of_a_run.header(phases=phases)
    for number in (0, 30, 59):
        lines = shown(moments.folded(header), (80, 24), number * 2.0 + 1.0)
        assert lines[3].split() == [f"▸step-{number}"]


def test_progress_bar_is_as_full_as_the_run_is_old() -> None:
    """At half time half of the bar is drawn full, within a cell for each of the three phases."""
    bar = shown(moments.at(30.0), (80, 24), 30.0)[2]
    assert abs(bar.count("━") - 40) <= 3
    assert bar.count("━") + bar.count("╌") + bar.count(" ") == 80


def test_drain_and_end_are_said() -> None:
    """After the last phase it drains, and in the end it says how the run ended."""
    assert "drain" in shown(moments.at(60.0), now_s=61.0)[1]
    assert "completed after 1:00" in shown(records_of_a_run.result(), now_s=99.0)[1]
    cut = records_of_a_run.result(seconds=20, outcome="interrupted", reason="Ctrl-C")
    assert "interrupted after 0:20" in shown(cut, now_s=20.0)[1]


def test_losses_are_known_at_the_end() -> None:
    """Losses come from closed books: unknown before, five in the end."""
    assert "known at the end" in line_of("messages lost", moments.at(50.0), 50.5)
    assert line_of("messages lost", records_of_a_run.result(), 60.0).endswith("messages lost 5")


def line_of(name: str, result: Result, now_s: float) -> str:
    """What stands in the column of troubles from its name on, with single blanks."""
    (line,) = [line for line in shown(result, now_s=now_s) if name in line]
    return " ".join(line[line.index(name) :].split())


def test_causes_of_unsent_publishes_are_shown() -> None:
    """30 were due offline, 6 at a full window and 2 at a full socket: 38 in all."""
    wide = shown(moments.at(50.0), (160, 40), 50.5)
    (line,) = [line for line in wide if "not sent" in line]
    assert "offline 30, window 6, backpressure 2" in line
    assert line.rstrip().endswith("38")


def test_trouble_that_happened_displaces_trouble_that_did_not() -> None:
    """With room for one line of trouble it is one with a number, not the first of the list."""
    lines = shown(moments.at(50.0), (50, 14), 50.5)
    (head,) = [number for number, line in enumerate(lines) if line.startswith("─ so far")]
    assert lines[head + 1].startswith("not sent")


def test_next_fault_is_announced_until_it_strikes() -> None:
    """The storm planned for 47 s is announced at 40 s and gone from the plan after it."""
    text = "\n".join(shown(moments.at(40.0), now_s=40.0))
    assert "in 0:07: storm of vans (20 cars)" in text
    assert "next" not in "\n".join(shown(moments.at(50.0), now_s=50.0))


def test_latest_events_are_those_that_show() -> None:
    """Of more events than lines the last ones are shown."""
    result = moments.at(30.0)
    for number in range(50):
        result.add(Event(30.0, "warning", f"number {number}."))
    text = "\n".join(shown(result, (80, 24), 30.5))
    assert "number 49." in text
    assert "number 10." not in text


def test_busiest_workers_are_those_that_show() -> None:
    """Of more workers than lines the busiest are shown, and how many are not."""
    header = records_of_a_run.header()
    load = [
        moments.snapshot(
            second + 1.0,
            worker=worker,
            process=ProcessUse(worker / 100, 1_000_000),
        )
        for second in range(12)
        for worker in range(60)
    ]
    lines = shown(moments.folded(header, *load), now_s=12.5)
    workers = [line.split()[1] for line in lines if line.startswith("worker ")]
    assert workers[0] == "59"
    assert any(line.startswith(f"and {60 - len(workers)} more workers") for line in lines)


def test_an_hour_long_run_still_has_a_minute() -> None:
    """When slices are two seconds long, rates are still per second."""
    header = records_of_a_run.header()
    seconds = [
        moments.snapshot(second + 1.0, counts=[Count("published", "cars", "storm", 10)])
        for second in range(4000)
    ]
    result = moments.folded(header, *seconds)
    assert result.slice_s == 2.0
    assert line_with("publishes", shown(result, now_s=4000.9)).split()[1] == "10"


def test_quotas_and_probes_are_shown() -> None:
    """What IoT Core would have refused stands among the troubles and beside the stand-in."""
    result = moments.at(50.0, probes=[PlannedProbe("edges", "payload-bytes")])
    lines = shown(result, (160, 50), 50.5)
    text = "\n".join(lines)

    assert "over a quota" in text
    assert "publishes-per-connection 1,234" in text
    assert "IoT Core would refuse 1,234" in text
    assert "probed 0 of 1" in text
