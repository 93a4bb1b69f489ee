"""One writer at a time, whoever it is and however it ends."""

import errno
import json
import os
import re
import socket

import pytest
from children import ended, hold, race, race_of_threads, started

from adaps.errors import UserError
from adaps.files import checkpoint, processes
from adaps.files.checkpoint import lock, locked


def assert_refused(folder, message):
    with pytest.raises(UserError, match=message) as caught, locked(folder):
        pass
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith(f"{folder} is in use by ")


def test_another_process_is_refused_and_told_who_is_there(tmp_path):
    child, pipe = started(hold, tmp_path)
    assert pipe.recv() == "held"
    who = rf"process {child.pid} on {re.escape(socket.gethostname())} \(.*python.*\) since 20..-"
    assert_refused(tmp_path, who)
    pipe.send("end")
    ended(child)
    with locked(tmp_path):
        pass


def test_what_a_killed_process_held_is_free(tmp_path):
    child, pipe = started(hold, tmp_path)
    assert pipe.recv() == "held"
    child.kill()
    child.join(60)
    assert json.loads((tmp_path / lock.HOLDER).read_text())["pid"] == child.pid
    with locked(tmp_path):
        assert json.loads((tmp_path / lock.HOLDER).read_text())["pid"] == os.getpid()
    assert not (tmp_path / lock.HOLDER).exists()


def test_a_second_run_in_one_process_is_refused(tmp_path):
    with locked(tmp_path):
        assert_refused(tmp_path, "another run in this process since 20")
    with locked(tmp_path):
        pass


def test_other_folders_are_not_locked(tmp_path):
    with locked(tmp_path / "a"), locked(tmp_path / "b"):
        pass


def test_of_processes_that_race_one_is_inside(tmp_path):
    children = [started(race, tmp_path / "run", tmp_path / "inside") for _ in range(4)]
    for _, pipe in children:
        assert pipe.recv() == "ready"
    for _, pipe in children:
        pipe.send("go")
    said = [pipe.recv() for _, pipe in children]
    for child, _ in children:
        ended(child)
    assert set(said) == {"alone", "refused"}


def test_of_threads_that_race_one_is_inside(tmp_path):
    said = race_of_threads(tmp_path / "run", tmp_path / "inside", count=4)
    assert said.count("alone") == 1
    assert sum("another run in this process" in text for text in said) == 3


def test_a_failure_inside_lets_go_and_goes_on(tmp_path):
    with pytest.raises(OSError, match="own"), locked(tmp_path):
        raise OSError(errno.EIO, "its own")
    with locked(tmp_path):
        pass


HOSTILE = [
    "",
    "[]",
    "[" * 60_000,
    '{"pid": true, "started": 0, "host": "a", "command": "", "since": ""}',
    '{"pid": -1, "started": NaN, "host": "a", "command": 3, "since": ""}',
    json.dumps(
        {"pid": 10**30, "started": 0, "host": socket.gethostname(), "command": "", "since": ""}
    ),
    json.dumps({"pid": -5, "started": 0, "host": socket.gethostname(), "command": "", "since": ""}),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_says_who_holds_it_may_be_damaged(tmp_path, text, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE", 0.1)
    with locked(tmp_path):
        (tmp_path / lock.HOLDER).write_text(text)
        assert_refused(tmp_path, "a process that has not said who it is")


def test_a_holder_on_another_machine_is_named_in_one_line(tmp_path):
    said = {"pid": 7, "started": 0.0, "host": "far", "command": "a\nb\x1b[2J", "since": "today"}
    with locked(tmp_path):
        (tmp_path / lock.HOLDER).write_text(json.dumps(said))
        assert_refused(tmp_path, r"process 7 on far \(a b \[2J\) since today; wait")


@pytest.mark.parametrize("name", [lock.LOCK, lock.HOLDER])
def test_links_are_not_followed(tmp_path, name):
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(outside)
    if name == lock.LOCK:
        with pytest.raises(UserError, match="is a symbolic link"), locked(tmp_path / "run"):
            pass
    else:
        with locked(tmp_path / "run"):
            pass
    assert outside.read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    message = r"cannot write to .*file/run: Not a directory"
    with pytest.raises(UserError, match=message), checkpoint.locked(tmp_path / "file" / "run"):
        pass


def test_a_number_that_was_given_anew_is_another_process():
    own = processes.own()
    assert own.is_alive()
    assert not own._replace(started=own.started - 1_000).is_alive()
