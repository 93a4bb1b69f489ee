"""One run of a study: what an earlier process left is never thrown away without a word."""

import dataclasses
import shutil

import pytest
from teams import tiny

import adaps
from adaps.errors import StorageError
from adaps.files import run_folder as files
from adaps.files.checkpoint import Series, locked, numbers
from adaps.study import worker
from adaps.study.plan import jobs
from adaps.study.worker import ERROR, work
from adaps.training.progress import Watch
from adaps.training.run import run


class StopAt(Watch):
    """Wishes to stop after so many steps of training."""

    left = 2_000

    def advance(self, name, amount, text=""):
        self.left -= amount if name == "train" else 0
        if self.left <= 0:
            self.stop.set()


def the_job():
    (job,) = jobs(tiny(seeds=(0,)))
    return job


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    out, job = tmp_path_factory.mktemp("stopped"), the_job()
    config = dataclasses.replace(job.config, checkpoint_every=400)
    with pytest.raises(KeyboardInterrupt):
        run(adaps.make(job.env), config, out / job.folder, StopAt())
    return out


@pytest.fixture
def out(stopped, tmp_path):
    return shutil.copytree(stopped, tmp_path / "study")


def contents(folder):
    plain = (p for p in sorted(folder.rglob("*")) if p.is_file() and ".lock" not in p.name)
    return {path: path.read_bytes() for path in plain}


def assert_fails(out, message):
    """With one line that says so, and nothing changed."""
    before = contents(out)
    outcome = work(the_job(), out)
    assert outcome.value is None
    assert message in outcome.failure
    assert len(outcome.failure.splitlines()) == 1
    assert contents(out) == before


def test_a_folder_in_use_is_left_alone(out):
    with locked(out / the_job().folder):
        assert_fails(out, "is in use by another run in this process")
        assert "remove" not in work(the_job(), out).failure


def test_other_versions_fail_and_what_to_do_is_said(out):
    folder = out / the_job().folder
    data = files.read_json(folder, files.CONFIG)
    data["versions"]["numpy"] = "0.0"
    files.write_json(folder / files.CONFIG, data)
    assert_fails(out, f"to begin this run anew, remove {folder}")


def test_damaged_checkpoints_fail_and_what_to_do_is_said(out):
    folder = out / the_job().folder
    for number in numbers(Series(folder, 0)):
        Series(folder, 0).path(number).write_bytes(b"")
    assert_fails(out, f"to begin this run anew, remove {folder}")


def test_after_a_failure_it_goes_on_from_its_checkpoints(out, monkeypatch):
    folder = out / the_job().folder

    def full(*args, **options):
        raise StorageError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(worker, "run", full)
        assert work(the_job(), out).failure == "the disk is full"
    assert "StorageError" in (folder / ERROR).read_text()
    last = numbers(Series(folder, 0))[-1]
    assert work(the_job(), out).failure is None
    assert numbers(Series(folder, 0))[-1] > last
    assert not (folder / ERROR).exists()


def test_a_run_without_a_checkpoint_is_begun_anew_whatever_it_was(out, monkeypatch):
    folder = out / the_job().folder
    shutil.rmtree(folder / "checkpoints" / "state")
    (folder / files.CONFIG).write_text("")
    seen = []
    monkeypatch.setattr(worker, "run", lambda *args, **_: seen.append(args))
    assert "result.json cannot be read" in work(the_job(), out).failure
    assert len(seen) == 1
    assert not (folder / files.CONFIG).exists()


@pytest.mark.parametrize("error", [OSError("no"), adaps.UserError("no")])
def test_a_failure_that_cannot_be_written_down_is_told(error, tmp_path, monkeypatch):
    def fail(*args, **options):
        raise error

    folder = tmp_path / the_job().folder
    folder.parent.mkdir(parents=True)
    folder.write_text("a file")
    monkeypatch.setattr(worker, "run", fail)
    assert "no" in work(the_job(), tmp_path).failure
    assert folder.read_text() == "a file"
