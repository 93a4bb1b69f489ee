"""What a user sees while a study runs."""

import io
import json

from rich.console import Console
from teams import tiny

from adaps.files.run_folder import METRICS
from adaps.study.board import Board
from adaps.study.job import Outcome
from adaps.study.plan import jobs


def test_on_a_terminal_each_run_has_a_bar_that_follows_its_file(tmp_path):
    one, other = jobs(tiny())
    said = io.StringIO()
    board = Board(
        tmp_path, 2, 0, Console(file=said, force_terminal=True, highlight=False, width=120)
    )
    line = {"env_steps": 4_000, "return_greedy": -12.5}
    (tmp_path / one.folder).mkdir(parents=True)
    (tmp_path / one.folder / METRICS).write_text(f"{json.dumps(line)}\n")
    with board.live:
        board.started(one)
        board.started(other)
        board.live.refresh()
        assert [task.completed for task in board.live.tasks] == [0, 4_000, 0]
        assert "bps:2-2, fups, seed 0" in said.getvalue()
        assert "return -12.5" in said.getvalue()
        board.ended(one, Outcome(3.0, 1.0, -12.25))
        board.ended(other, Outcome(0.0, 0.0, None, "no [luck]"))
    assert board.failures == {other.folder: "no [luck]"}
    assert "1/2  bps:2-2, fups, seed 0: return -12.25  3 s" in said.getvalue()
    assert "1/2, 1 failed  bps:2-2, fups, seed 1: failed: no [luck]" in said.getvalue()


def test_elsewhere_a_line_for_each_run_that_ends(tmp_path):
    (one,) = jobs(tiny(seeds=(0,)))
    said = io.StringIO()
    board = Board(tmp_path, 1, 0, Console(file=said, width=120))
    with board.live:
        board.started(one)
        board.ended(one, Outcome(3.0, 1.0, -12.25))
        board.ended(one, Outcome(3.0, 1.0, -9.0, warnings=("kinds not sure", "updates skipped")))
    done, warned = said.getvalue().splitlines(keepends=True)
    assert warned.endswith("return -9.00  3 s  warns of kinds not sure, updates skipped\n")
    assert done == "1/1  bps:2-2, fups, seed 0: return -12.25  3 s\n"
