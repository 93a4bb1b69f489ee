"""Checkpoints from arrays to files and back; and what remains where that fails."""

import errno
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from children import ended, started, write_beyond_a_limit
from saved import is_that, manifest_of, metadata, parts, write_manifest

from adaps.errors import UserError
from adaps.files.checkpoint import CheckpointError, Series, load, numbers, save


@pytest.fixture
def series(tmp_path):
    return Series(tmp_path, 3)


@pytest.fixture
def three(series):
    """A series with checkpoints 1 to 3."""
    for number in (1, 2, 3):
        save(series, parts(number), metadata(number), keep=3)
    return series


def test_the_newest_is_loaded(three):
    found = load(three, pytest.fail)
    assert (found.number, found.metadata) == (3, metadata(3))
    assert found.path == three.run / "checkpoints" / "state" / "seed-3" / "00000003"
    assert is_that(found, 3)


def test_a_checkpoint_is_one_plain_file_of_two_lines_and_tensors(three):
    seal, manifest, tensors = three.path(3).read_bytes().split(b"\n", 2)
    assert json.loads(seal)["size"] == len(manifest + b"\n" + tensors)
    assert json.loads(manifest)["metadata"] == metadata(3)
    assert set(safetensors.numpy.load(tensors)) == {
        f"{part}/{name}" for part, arrays in parts(3).items() for name in arrays
    }


def test_two_are_kept_unless_more_are_wanted(three):
    assert numbers(three) == [1, 2, 3]
    save(three, parts(4), metadata(4))
    assert numbers(three) == [3, 4]
    assert {path.name for path in three.folder.iterdir()} == {"00000003", "00000004"}
    with pytest.raises(ValueError, match="at least 2"):
        save(three, parts(5), metadata(5), keep=1)


def test_a_damaged_one_does_not_count_among_those_that_are_kept(three):
    three.path(3).write_text("{}")
    save(three, parts(4), metadata(4))
    assert numbers(three) == [2, 3, 4]


def test_a_damaged_one_is_named_and_the_one_before_it_used(three):
    file = three.path(3)
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    said = []
    assert is_that(load(three, said.append), 2)
    (text,) = said
    assert "checkpoint 00000003 is damaged: it was changed" in text
    assert text.endswith("using 00000002")


def test_without_a_whole_one_each_reason_is_given(three):
    three.path(1).unlink()
    three.path(1).symlink_to("nothing")
    three.path(2).write_text("[]")
    file = three.path(3)
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(UserError, match="seed-3 has no whole checkpoint") as caught:
        load(three, pytest.fail)
    message = str(caught.value)
    assert re.search("00000003 is damaged: [0-9]+ bytes were saved, and [0-9]+ are there", message)
    assert "00000002 is damaged: it is no checkpoint: Expected `object`, got `array`" in message
    assert "00000001 is damaged: it cannot be read: " in message
    assert "\n" not in message


def test_a_series_without_checkpoints_says_so(series):
    assert numbers(series) == []
    with pytest.raises(UserError, match="has no checkpoint to resume from"):
        load(series, pytest.fail)


def test_a_checkpoint_of_another_number_or_series_is_refused(three, tmp_path):
    three.path(3).rename(three.path(9))
    other = Series(tmp_path, 4)
    save(other, parts(1), {})
    three.path(2).rename(other.path(2))
    said = []
    assert load(other, said.append).number == 1
    assert "it was checkpoint 2 of 'seed-3'" in said[0]
    said = []
    assert load(three, said.append).number == 1
    assert "it was checkpoint 3 of 'seed-3'" in said[0]


def test_a_manifest_that_lies_about_tensors_is_refused(three):
    data = manifest_of(three.path(3))
    data["parts"]["train"]["total"] = "float32[]"  # as large as what is there
    write_manifest(three.path(3), data, sealed=True)
    said = []
    assert load(three, said.append).number == 2
    assert "holds other tensors than its manifest says" in said[0]


def test_a_checkpoint_of_an_earlier_version_is_refused_in_one_line(series):
    series.path(1).mkdir(parents=True)
    (series.path(1) / "manifest.json").write_text('{"format": 1}')
    message = "00000001 is damaged: it is a folder, of a format that this adaps does not read"
    with pytest.raises(UserError, match=message):
        load(series, pytest.fail)


@pytest.mark.parametrize("what", ["link", "folder", "pipe"])
def test_what_is_no_plain_file_itself_is_refused(three, what, tmp_path):
    elsewhere = three.path(3).rename(tmp_path / "elsewhere")
    make = {
        "link": lambda path: path.symlink_to(elsewhere),
        "folder": lambda path: path.mkdir(),
        "pipe": os.mkfifo,
    }
    make[what](three.path(3))
    said = []
    assert load(three, said.append).number == 2
    assert len(said) == 1


@pytest.mark.parametrize("level", ["checkpoints", "checkpoints/state", "checkpoints/state/seed-3"])
def test_a_folder_above_that_is_a_link_is_refused(three, level, tmp_path_factory):
    folder = three.run / level
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "folder"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    before = sorted(elsewhere.rglob("*"))
    with pytest.raises(UserError, match="is a symbolic link"):
        load(three, pytest.fail)
    with pytest.raises(CheckpointError, match="is a symbolic link"):
        save(three, parts(4), metadata(4))
    assert sorted(elsewhere.rglob("*")) == before


def test_a_link_among_old_ones_is_removed_alone(three, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").touch()
    three.path(1).unlink()
    three.path(1).symlink_to(elsewhere)
    save(three, parts(4), metadata(4))
    assert numbers(three) == [3, 4]
    assert (elsewhere / "mine").exists()


def test_a_folder_among_old_ones_is_removed(three):
    three.path(1).unlink()
    (three.path(1) / "inside").mkdir(parents=True)
    save(three, parts(4), metadata(4))
    assert numbers(three) == [3, 4]


@pytest.mark.parametrize("name", ["../up", "a/b", "", "Train", "manifest.json", "a\0"])
def test_parts_have_plain_names(series, name):
    with pytest.raises(CheckpointError, match="matching regex"):
        save(series, {name: {"a": np.zeros(2)}}, {})
    assert list(series.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("part", "said", "message"),
    [
        ({"a": np.array([None])}, {}, "train/a is of object, which checkpoints do not keep"),
        ({"a": np.zeros(2, "c16")}, {}, "train/a is of complex128"),
        ({"": np.zeros(2)}, {}, "length >= 1"),
        ({"a" * 1_001: np.zeros(2)}, {}, "length <= 1000"),
        ({"a\x1b[2J": np.zeros(2)}, {}, "not printable"),
        ({}, {"loss": float("nan")}, "not plain JSON"),
        ({}, {"deep": json.loads("[" * 100 + "]" * 100)}, "nested too deeply"),
    ],
)
def test_what_cannot_be_kept_is_refused(three, part, said, message):
    with pytest.raises(CheckpointError, match=message):
        save(three, {"train": part}, said)
    assert is_that(load(three, pytest.fail), 3)
    assert not list(three.folder.glob(".tmp-*"))


ERRORS = {
    errno.ENOSPC: "No space left on device; free some space",
    errno.EDQUOT: "quota exceeded; free some space, or ask",
    errno.EACCES: "Permission denied; allow writing",
    errno.EROFS: "Read-only file system; make the disk writable",
    errno.EIO: "Input/output error; check the disk",
}


@pytest.mark.parametrize("number", ERRORS)
@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_write_that_fails_leaves_the_earlier_ones(three, number, call, monkeypatch):
    """Each call on the way to the file's name."""

    def failing(*_):
        raise OSError(number, "a library's words")

    def writing(path, data):
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        failing()

    if call == "write":
        monkeypatch.setattr(Path, "write_bytes", writing)
    else:
        monkeypatch.setattr(os, call, failing)
    with pytest.raises(CheckpointError, match=ERRORS[number]) as caught:
        save(three, parts(4), metadata(4))
    monkeypatch.undo()
    assert "\n" not in str(caught.value)
    assert numbers(three) == [1, 2, 3]
    assert not list(three.folder.glob(".tmp-*"))
    assert is_that(load(three, pytest.fail), 3)
    save(three, parts(4), metadata(4))
    assert is_that(load(three, pytest.fail), 4)


def test_a_disk_that_changes_what_is_written_is_noticed(three, monkeypatch):
    def changing(path, data):
        with path.open("wb") as file:
            file.write(data[:-1] + bytes([data[-1] ^ 1]))

    monkeypatch.setattr(Path, "write_bytes", changing)
    with pytest.raises(CheckpointError, match="was changed: its hash is another"):
        save(three, parts(4), metadata(4))
    assert is_that(load(three, pytest.fail), 3)


def test_an_old_one_that_cannot_be_removed_is_named(three, monkeypatch):
    unlink = Path.unlink

    def failing(path, missing_ok=False):
        if path == three.path(2):
            raise PermissionError(errno.EACCES, "Permission denied")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", failing)
    with pytest.raises(
        CheckpointError, match=r"a checkpoint was saved, but .*00000002 could not be"
    ):
        save(three, parts(4), metadata(4))
    assert is_that(load(three, pytest.fail), 4)


def test_a_runs_folder_that_is_gone_is_not_made_anew(three):
    three.run.rename(three.run.with_name("moved"))
    with pytest.raises(CheckpointError, match="No such file or directory; put the folder back"):
        save(three, parts(4), metadata(4))
    assert not three.run.exists()


def test_a_limit_on_the_size_of_files(three):
    child, said = started(write_beyond_a_limit, three)
    assert said.recv() == "refused"
    assert "File too large; raise the limit" in said.recv()
    ended(child)
    assert is_that(load(three, pytest.fail), 3)
    assert numbers(three) == [1, 2, 3]
    assert not list(three.folder.glob(".tmp-*"))


FILL_A_DISK = """
    import sys
    from pathlib import Path

    from saved import metadata, is_that, parts
    from adaps.files.checkpoint import CheckpointError, Series, load, numbers, save

    series = Series(Path(sys.argv[1]), 3)
    for number in (1, 2):
        save(series, parts(number), metadata(number))
    rows = 1_000
    try:
        while True:
            save(series, parts(3, rows), metadata(3))
            rows *= 2
    except CheckpointError as error:
        print(error)
    assert not list(series.folder.glob(".tmp-*"))
    load(series, print)
    save(series, parts(9), metadata(9))
    assert is_that(load(series, print), 9)
"""


def test_a_disk_that_is_full(tmp_path):
    """On a real disk of 1 MB, where this user may have one; as a limit on files otherwise."""
    small = "ulimit -f 900"
    mount = f"mount -t tmpfs -o size=1m none '{tmp_path}'"
    probe = subprocess.run(["unshare", "-rm", "sh", "-c", mount], check=False, capture_output=True)
    mounted = probe.returncode == 0
    command = f"{mount if mounted else small} && exec '{sys.executable}' -c \"$0\" '{tmp_path}'"
    child = subprocess.run(
        [
            *(["unshare", "-rm"] if mounted else []),
            "bash",
            "-c",
            command,
            textwrap.dedent(FILL_A_DISK),
        ],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )
    assert child.returncode == 0, child.stderr
    assert ("No space left" if mounted else "File too large") in child.stdout
    assert len(child.stdout.splitlines()) == 1
