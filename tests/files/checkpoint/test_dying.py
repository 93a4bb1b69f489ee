"""Writers that are killed at any moment leave something to go on from."""

import random
import time

import pytest
from children import started, write_for_ever
from saved import is_that, metadata, parts

from adaps.files import processes
from adaps.files.checkpoint import Series, load, numbers, save

TIMES, AT_MOST = 8, 80
"""How many writers are killed, and how many until one was killed while it wrote."""


def test_whenever_a_writer_is_killed_the_newest_is_whole(tmp_path):
    series = Series(tmp_path, 0)
    moments = random.Random(0)
    told, leftovers = 0, 0
    for killed in range(AT_MOST):
        if leftovers and killed >= TIMES:
            break
        child, pipe = started(write_for_ever, series)
        told = max(told, pipe.recv())
        time.sleep(moments.uniform(0, 0.15))
        child.kill()
        child.join(60)
        told = max([told, *heard(pipe)])
        found = load(series, pytest.fail)
        # Killed after it renamed the folder, it could not tell of it any more.
        assert found.number in (told, told + 1)
        assert is_that(found, found.number)
        assert found.metadata == metadata(found.number)
        assert len(numbers(series)) >= min(2, found.number)
        leftovers += len(list(series.folder.glob(".tmp-*")))
    save(series, parts(1), {})
    assert not list(series.folder.glob(".tmp-*"))
    assert len(numbers(series)) == 2
    assert leftovers > 0


def heard(pipe):
    try:
        while pipe.poll():
            yield pipe.recv()
    except EOFError:
        pass


def test_only_what_dead_writers_left_is_removed(tmp_path):
    series = Series(tmp_path, 0)
    save(series, parts(1), {})
    own = processes.own()
    names = {
        f".tmp-{own.pid}-{round(own.started)}-00000000": True,
        f".tmp-{own.pid}-{round(own.started) - 1_000}-00000000": False,
        ".tmp-999999999-1-0123abcd": False,
        ".tmp-mine": True,
        "notes": True,
    }
    for name in names:
        (series.folder / name).touch()
    (series.folder / ".tmp-999999999-2-0123abcd").symlink_to(tmp_path)
    save(series, parts(2), {})
    left = {path.name for path in series.folder.iterdir()}
    assert left == {"00000001", "00000002"} | {name for name, stays in names.items() if stays}
    assert tmp_path.exists()
