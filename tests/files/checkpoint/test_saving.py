"""Checkpoints from arrays to files and back; and what remains where that fails."""

import errno
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from children import ended, started, write_beyond_a_limit
from saved import facts, is_that, manifest_of, parts, write_manifest

from adaps.errors import UserError
from adaps.files.checkpoint import CheckpointError, Series, load, numbers, save


@pytest.fixture
def series(tmp_path):
    return Series(tmp_path, 3)


@pytest.fixture
def three(series):
    """A series with checkpoints 1 to 3."""
    for number in (1, 2, 3):
        save(series, parts(number), facts(number), keep=3)
    return series


def test_the_newest_is_loaded(three):
    found = load(three, pytest.fail)
    assert (found.number, found.facts) == (3, facts(3))
    assert found.path == three.run / "checkpoints" / "state" / "seed-3" / "00000003"
    assert is_that(found, 3)


def test_a_checkpoint_is_plain_files(three):
    assert {path.name for path in three.path(3).iterdir()} == {
        "manifest.json",
        "train.safetensors",
        "encoder.safetensors",
    }


def test_two_are_kept_unless_more_are_wanted(three):
    assert numbers(three) == [1, 2, 3]
    save(three, parts(4), facts(4))
    assert numbers(three) == [3, 4]
    assert {path.name for path in three.folder.iterdir()} == {"00000003", "00000004"}
    with pytest.raises(ValueError, match="at least 2"):
        save(three, parts(5), facts(5), keep=1)


def test_a_damaged_one_does_not_count_among_those_that_are_kept(three):
    (three.path(3) / "manifest.json").write_text("{}")
    save(three, parts(4), facts(4))
    assert numbers(three) == [2, 3, 4]


def test_a_damaged_one_is_named_and_the_one_before_it_used(three):
    file = three.path(3) / "train.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    said = []
    assert is_that(load(three, said.append), 2)
    (text,) = said
    assert "checkpoint 00000003 is damaged: train.safetensors was changed" in text
    assert text.endswith("using 00000002")


def test_without_a_whole_one_each_reason_is_given(three):
    (three.path(1) / "manifest.json").unlink()
    (three.path(2) / "manifest.json").write_text("[]")
    (three.path(3) / "train.safetensors").write_bytes(b"short")
    with pytest.raises(UserError, match="seed-3 has no whole checkpoint") as caught:
        load(three, pytest.fail)
    message = str(caught.value)
    assert "00000003 is damaged: train.safetensors is of 5 bytes, not" in message
    assert "00000002 is damaged: manifest.json is not an object" in message
    assert "00000001 is damaged: manifest.json cannot be read: No such file" in message
    assert "\n" not in message


def test_a_series_without_checkpoints_says_so(series):
    assert numbers(series) == []
    with pytest.raises(UserError, match="has no checkpoint to go on from"):
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
    tensors = data["files"]["train.safetensors"]["tensors"]
    tensors["total"]["dtype"] = "float32"  # as large as what is there
    write_manifest(three.path(3), data, sealed=True)
    said = []
    assert load(three, said.append).number == 2
    assert "holds other tensors than its manifest says" in said[0]


@pytest.mark.parametrize("what", ["file", "manifest", "checkpoint", "pipe"])
def test_what_is_no_file_or_folder_itself_is_refused(three, what, tmp_path):
    folder = three.path(3)
    name = {"file": "train.safetensors", "manifest": "manifest.json"}.get(what)
    path = folder / name if name else folder
    if what == "pipe":
        (folder / "manifest.json").unlink()
        os.mkfifo(folder / "manifest.json")
    else:
        elsewhere = path.rename(tmp_path / "elsewhere")
        path.symlink_to(elsewhere)
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
        save(three, parts(4), facts(4))
    assert sorted(elsewhere.rglob("*")) == before


def test_a_link_among_old_ones_is_removed_alone(three, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    three.path(1).rename(elsewhere)
    three.path(1).symlink_to(elsewhere)
    save(three, parts(4), facts(4))
    assert numbers(three) == [3, 4]
    assert (elsewhere / "manifest.json").exists()


@pytest.mark.parametrize("name", ["../up", "a/b", "", "Train", "manifest.json", "a\0"])
def test_parts_have_plain_names(series, name):
    with pytest.raises(CheckpointError, match="no file of the name"):
        save(series, {name: {}}, {})
    assert list(series.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("part", "said", "message"),
    [
        ({"a": np.array([None])}, {}, "a is of object, which checkpoints do not keep"),
        ({"a": np.zeros(2, "c16")}, {}, "a is of complex128"),
        ({"__metadata__": np.zeros(2)}, {}, "."),
        ({}, {"loss": float("nan")}, "not plain JSON"),
        ({}, {"deep": json.loads("[" * 100 + "]" * 100)}, "more than 64 deep"),
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
@pytest.mark.parametrize("calls", [1, 2, 3, 4])
def test_a_write_that_fails_leaves_the_earlier_ones(three, number, calls, monkeypatch):
    """The calls are those for two files, the manifest and the folder of them."""
    sync, left = os.fsync, iter(range(calls))

    def failing(descriptor):
        sync(descriptor)
        if next(left) == calls - 1:
            raise OSError(number, "a library's words")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(CheckpointError, match=ERRORS[number]) as caught:
        save(three, parts(4), facts(4))
    monkeypatch.undo()
    assert "\n" not in str(caught.value)
    assert numbers(three) == [1, 2, 3]
    assert not list(three.folder.glob(".tmp-*"))
    assert is_that(load(three, pytest.fail), 3)
    save(three, parts(4), facts(4))
    assert is_that(load(three, pytest.fail), 4)


def test_a_disk_that_changes_what_is_written_is_noticed(three, monkeypatch):
    def changing(path, data):
        path.write_bytes(data if path.suffix == ".json" else data[:-1] + bytes([data[-1] ^ 1]))

    monkeypatch.setattr("adaps.files.checkpoint.writing.write_bytes", changing)
    with pytest.raises(CheckpointError, match="was changed: its hash is another"):
        save(three, parts(4), facts(4))
    assert is_that(load(three, pytest.fail), 3)


def test_an_old_one_that_cannot_be_removed_is_named(three, monkeypatch):
    def failing(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("adaps.files.checkpoint.writing.remove", failing)
    with pytest.raises(
        CheckpointError, match=r"a checkpoint was saved, but .*00000002 could not be"
    ):
        save(three, parts(4), facts(4))
    assert is_that(load(three, pytest.fail), 4)


def test_a_runs_folder_that_is_gone_is_not_made_anew(three):
    three.run.rename(three.run.with_name("moved"))
    with pytest.raises(CheckpointError, match="No such file or directory; put the folder back"):
        save(three, parts(4), facts(4))
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

    from saved import facts, is_that, parts
    from adaps.files.checkpoint import CheckpointError, Series, load, numbers, save

    series = Series(Path(sys.argv[1]), 3)
    for number in (1, 2):
        save(series, parts(number), facts(number))
    rows = 1_000
    try:
        while True:
            save(series, parts(3, rows), facts(3))
            rows *= 2
    except CheckpointError as error:
        print(error)
    assert not list(series.folder.glob(".tmp-*"))
    load(series, print)
    save(series, parts(9), facts(9))
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
