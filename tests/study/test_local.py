"""Runs on this machine: done once, whatever dies in between."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time

import psutil
import pytest
from teams import COMPARE, contents, finished, quiet, tiny

import adaps
from adaps.study import carry_out
from adaps.study.board import Board
from adaps.study.local import Local, Waiting
from adaps.study.plan import jobs
from adaps.study.worker import ERROR, Outcome
from processes import INTERRUPTIBLE


def test_every_run_is_a_runs_folder(whole):
    study = whole / "study"
    for job in jobs(tiny(("fups", "adaps"))):
        result = json.loads((study / job.folder / "result.json").read_text())
        assert result["seeds"] == [job.seed]
    assert not (study / ".programs").exists()
    assert not (study / "failures.json").exists()
    said = (whole / "said.txt").read_text()
    assert "4 runs" in said
    assert "4/4" in said


def test_a_run_is_the_same_as_adaps_train_makes_it(whole):
    options = {"evaluations": 2, "eval_episodes": 8, "steps": 8_000}
    result = adaps.train("bps:2-2", "fups", seeds=1, seed=1, **options)
    (job,) = [job for job in jobs(tiny()) if job.seed == 1]
    saved = json.loads((whole / "study" / job.folder / "result.json").read_text())
    assert saved["return_per_seed"] == result.returns


def test_a_second_time_nothing_is_done(whole):
    written = {path: path.stat().st_mtime_ns for path in finished(whole / "study")}
    carry_out(tiny(("fups", "adaps")), whole / "study", Local(2, 2.0), quiet())
    assert {path: path.stat().st_mtime_ns for path in finished(whole / "study")} == written


def test_a_worker_that_is_killed_costs_its_own_run_alone(whole, tmp_path):
    killed = threading.Event()

    def kill_one():
        while not killed.is_set():
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):  # it may end while it is looked at
                    if "spawn_main" in " ".join(process.cmdline()) and begun(tmp_path):
                        process.kill()
                        killed.set()
                        return
            time.sleep(0.05)

    thread = threading.Thread(target=kill_one)
    thread.start()
    try:
        assert carry_out(tiny(("fups", "adaps")), tmp_path, Local(2, 2.0), quiet()) == {}
        assert killed.is_set()
    finally:
        killed.set()
        thread.join()
    assert contents(tmp_path) == contents(whole / "study")


def begun(out):
    return list(out.glob("runs/*/*/*/config.json"))


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_study_that_is_ended_goes_on(sent, whole, tmp_path):
    out = tmp_path / "study"
    command = [*INTERRUPTIBLE, *COMPARE, "--out", str(out)]
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 120
        while not finished(out) and time.monotonic() < until:
            time.sleep(0.05)
        assert finished(out)
        workers = psutil.Process(first.pid).children(recursive=True)
        before = {path: path.stat().st_mtime_ns for path in finished(out)}
        first.send_signal(sent)
        _, said = first.communicate(timeout=60)
    finally:
        first.kill()
        first.wait()
    if sent == signal.SIGINT:
        assert first.returncode == 130
        assert "the same command goes on" in said
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, timeout=200)
    for path, written in before.items():
        assert path.stat().st_mtime_ns == written
    assert contents(out) == contents(whole / "study")
    assert (out / "report.html").exists()


def test_a_run_that_fails_is_told_and_the_others_go_on(tmp_path, monkeypatch):
    broken = tmp_path / "broken_team.py"
    broken.write_text(
        "import dataclasses, adaps\n"
        "@dataclasses.dataclass(frozen=True)\n"
        "class Broken(adaps.FuPS):\n"
        "    def build(self, key, shape, identity):\n"
        "        import multiprocessing\n"
        "        if multiprocessing.parent_process() is not None:\n"
        "            raise RuntimeError('no\\nluck')\n"
        "        return super().build(key, shape, identity)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    study = tiny(("broken_team:Broken", "fups"), seeds=(0,))
    out = tmp_path / "out"
    failures = carry_out(study, out, Local(1, 2.0), quiet())
    ((folder, reason),) = failures.items()
    assert reason == "RuntimeError: no luck"
    assert "no\nluck" in (out / folder / ERROR).read_text()
    assert json.loads((out / "failures.json").read_text())["failures"] == failures
    assert len(finished(out)) == 1


class Failing:
    """Fails every run, and is interrupted after so many."""

    def __init__(self, most=9):
        self.most = most

    def run(self, left, out, board):
        for number, job in enumerate(left):
            if number == self.most:
                raise KeyboardInterrupt
            board.ended(job, Outcome(0.0, 0.0, None, f"no {job.seed}"))


def test_failures_are_kept_until_the_run_is_whole(tmp_path):
    def failures():
        return json.loads((tmp_path / "failures.json").read_text())["failures"]

    one, other = jobs(tiny(seeds=(0, 1)))
    carry_out(tiny(seeds=(0,)), tmp_path, Failing(), quiet())
    with pytest.raises(KeyboardInterrupt):
        carry_out(tiny(seeds=(1, 2)), tmp_path, Failing(1), quiet())
    assert failures() == {one.folder: "no 0", other.folder: "no 1"}
    (tmp_path / one.folder).mkdir(parents=True)
    (tmp_path / one.folder / "result.json").write_text("{}")
    carry_out(tiny(seeds=(2,)), tmp_path, Failing(), quiet())
    assert list(failures().values()) == ["no 1", "no 2"]
    (tmp_path / "failures.json").write_text("[]")
    carry_out(tiny(seeds=(2,)), tmp_path, Failing(), quiet())
    assert list(failures().values()) == ["no 2"]


def test_two_studies_in_one_folder_at_a_time_are_refused(tmp_path):
    class Meanwhile:
        def run(self, left, out, board):
            with pytest.raises(adaps.UserError, match="in use by another study"):
                carry_out(tiny(), out, self, quiet())

    carry_out(tiny(), tmp_path, Meanwhile(), quiet())


def test_lanes_keep_to_a_setting_and_begin_with_different_ones():
    every = jobs(tiny(("fups", "nops", "seps"), seeds=(0, 1, 2)))
    waiting = Waiting(every)
    one, other = waiting.after(None), waiting.after(None)
    assert (one.variant, other.variant) == ("fups", "nops")
    taken = [one, other]
    for _ in range(2):
        one, other = waiting.after(one), waiting.after(other)
        taken += [one, other]
    assert {job.variant for job in taken} == {"fups", "nops"}
    one, other = waiting.after(one), waiting.after(other)
    assert (one.variant, other.variant) == ("seps", "seps")
    assert waiting.after(one).variant == "seps"
    assert waiting.after(one) is None


def test_a_process_that_holds_much_is_replaced(tmp_path):
    seen = []

    class Noting(Board):
        def ended(self, job, outcome):
            seen.append(outcome.memory_mb)
            super().ended(job, outcome)

    every = jobs(tiny(seeds=(0, 1)))
    board = Noting(tmp_path, 2, 0, quiet())
    Local(1, 0.05).run(every, tmp_path, board)
    assert len(seen) == 2
    assert board.failures == {}
