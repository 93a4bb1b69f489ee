"""Runs on this machine: done once, whatever dies in between."""

import json
import signal
import subprocess
import time

import psutil
import pytest
from stubs import Heard, attempts, dying, holding_much
from teams import COMPARE, contents, finished, quiet, tiny

import adaps
from adaps.study import carry_out
from adaps.study.job import ATTEMPTS, Outcome
from adaps.study.local import JobQueue, Local
from adaps.study.plan import jobs
from adaps.study.worker import ERROR
from processes import INTERRUPTIBLE

pytestmark = pytest.mark.timeout(900)  # many processes start in turn


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


def test_a_worker_that_is_killed_costs_its_own_run_alone(tmp_path):
    every = jobs(tiny(seeds=(0, 1, 2)))
    heard = Heard()
    Local(2, 2.0).run(dying, every, tmp_path, heard)
    assert sorted(heard.begun) == sorted(job.folder for job in every) == sorted(heard.outcomes)
    for job in every:
        assert len(attempts(job, tmp_path)) == {0: 2, 1: ATTEMPTS, 2: 1}[job.seed]
        failure = f"its process died, {ATTEMPTS} times" if job.seed == 1 else None
        assert heard.outcomes[job.folder].failure == failure
    assert not (tmp_path / ".programs").exists()


def test_a_study_that_is_ended_goes_on(whole, tmp_path):
    out = tmp_path / "study"
    command = [*INTERRUPTIBLE, *COMPARE, "--out", str(out)]
    code, said, _ = ended_after_a_run(command, out, signal.SIGINT)
    assert code == 130
    assert "the same command goes on" in said
    _, _, before = ended_after_a_run(command, out, signal.SIGKILL)
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, timeout=300)
    for path, written in before.items():
        assert path.stat().st_mtime_ns == written
    assert contents(out) == contents(whole / "study")
    assert (out / "report.html").exists()


def ended_after_a_run(command, out, sent):
    """End a study once one more run is finished: exit code, what it said, and what was finished.

    Its processes end with it, and what was finished before stays.
    """
    before = {path: path.stat().st_mtime_ns for path in finished(out)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 200
        while len(finished(out)) == len(before) and time.monotonic() < until:
            time.sleep(0.05)
        now = {path: path.stat().st_mtime_ns for path in finished(out)}
        assert now.items() > before.items()
        workers = psutil.Process(process.pid).children(recursive=True)
        assert workers
        process.send_signal(sent)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    return process.returncode, said, now


class InThisProcess:
    """Carries out runs one after another."""

    def run(self, work, left, out, listener):
        for job in left:
            listener.started(job)
            listener.ended(job, work(job, out))


def test_a_run_that_fails_is_told_and_the_others_go_on(tmp_path, monkeypatch):
    broken = tmp_path / "broken_team.py"
    broken.write_text(
        "import dataclasses, adaps\n"
        "@dataclasses.dataclass(frozen=True)\n"
        "class Broken(adaps.FuPS):\n"
        "    checked = []\n"
        "    def build(self, key, shape, identity):\n"
        "        if len(self.checked) == 2:\n"
        "            raise RuntimeError('no\\nluck')\n"
        "        self.checked.append(1)  # by the study and the run, before they begin\n"
        "        return super().build(key, shape, identity)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    study = tiny(("broken_team:Broken", "fups"), seeds=(0,))
    out = tmp_path / "out"
    failures = carry_out(study, out, InThisProcess(), quiet())
    ((folder, reason),) = failures.items()
    assert reason == "RuntimeError: no luck"
    assert "no\nluck" in (out / folder / ERROR).read_text()
    assert json.loads((out / "failures.json").read_text())["failures"] == failures
    assert len(finished(out)) == 1


class Failing:
    """Fails every run, and is interrupted after so many."""

    def __init__(self, most=9):
        self.most = most

    def run(self, work, left, out, listener):
        for number, job in enumerate(left):
            if number == self.most:
                raise KeyboardInterrupt
            listener.ended(job, Outcome(0.0, 0.0, None, f"no {job.seed}"))


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
        def run(self, work, left, out, listener):
            with pytest.raises(adaps.UserError, match="in use by another study"):
                carry_out(tiny(), out, self, quiet())

    carry_out(tiny(), tmp_path, Meanwhile(), quiet())


def test_lanes_keep_to_a_setting_and_begin_with_different_ones():
    queue = JobQueue(jobs(tiny(("fups", "nops", "seps"), seeds=(0, 1, 2))))
    one, other = queue.next_after(None), queue.next_after(None)
    assert (one.variant, other.variant) == ("fups", "nops")
    taken = [one, other]
    for _ in range(2):
        one, other = queue.next_after(one.setting), queue.next_after(other.setting)
        taken += [one, other]
    assert {job.variant for job in taken} == {"fups", "nops"}
    one, other = queue.next_after(one.setting), queue.next_after(other.setting)
    assert (one.variant, other.variant) == ("seps", "seps")
    assert len(queue) == 1
    assert queue.next_after(one.setting).variant == "seps"
    assert not queue


def test_a_process_that_holds_much_is_replaced(tmp_path):
    every = jobs(tiny(seeds=(0, 1, 2)))
    heard = Heard()
    Local(1, 2.0).run(holding_much, every, tmp_path, heard)
    first, second, third = (heard.outcomes[job.folder].value for job in every)
    assert first == second != third
