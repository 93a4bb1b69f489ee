"""Runs that are killed at any moment come to the same, byte for byte.

``ADAPS_KILLS`` says how many runs to kill; ``make torture`` kills a hundred.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest

from adaps.files import run_folder as files

KILLS = int(os.environ.get("ADAPS_KILLS", "1"))
WORDS = (
    "train bps:2-2 --auto-resume --steps 12_000 --gather-steps 3_200 --encoder.updates 200 "
    "--seeds 2 --evaluations 4 --eval-episodes 8 --checkpoint-every 400"
)
MEASURED = re.compile(r"seconds|memory|per_second")
"""Fields that say how long something took, or how much room."""


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """What is compiled, once for all processes: none of them writes to it after the first two."""
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(scope="session")
def whole(programs, tmp_path_factory):
    """What an undisturbed run comes to, and how long it takes once it has begun."""
    out = tmp_path_factory.mktemp("whole") / "run"
    finish(out, programs)
    finish(out, programs)
    again = out.with_name("again")
    process = begun(again, programs)
    wait_for(again / files.CONFIG, process)
    started = time.monotonic()
    assert process.wait() == 0, log(again)
    assert results(again) == results(out)
    return results(again), time.monotonic() - started


def begun(out, programs):
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(programs),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    words = [sys.executable, "-m", "adaps", *WORDS.split(), "--out", str(out)]
    with out.with_suffix(".log").open("a") as said:
        return subprocess.Popen(words, stdout=said, stderr=said, env={**os.environ, **cache})


def finish(out, programs):
    assert begun(out, programs).wait() == 0, log(out)


def log(out):
    """What the processes said."""
    return out.with_suffix(".log").read_text()


def wait_for(path, process):
    while not path.exists() and process.poll() is None:
        time.sleep(0.01)


def results(out):
    """Every file that says what a run came to, without what was measured."""
    texts = {name: (out / name).read_text() for name in (files.IDENTITY, files.SHARING)}
    lines = [json.loads(line) for line in (out / files.METRICS).read_text().splitlines()]
    result = files.read_json(out, files.RESULT)
    return {
        **texts,
        "config": files.read_json(out, files.CONFIG),
        "metrics": [[(k, v) for k, v in line.items() if k != "seconds"] for line in lines],
        "result": {name: value for name, value in result.items() if not MEASURED.search(name)},
        "policies": [files.policy_file(out, s).read_bytes() for s in files.saved_seeds(out)],
    }


@pytest.mark.parametrize("trial", range(KILLS))
def test_a_killed_run_comes_to_the_same(trial, whole, programs, tmp_path):
    expected, seconds = whole
    moments = random.Random(trial)
    out = tmp_path / "run"
    # Mostly once; one in ten so early that nothing has begun.
    for _ in range(moments.choice([1, 1, 2])):
        process = begun(out, programs)
        if moments.random() > 0.1:
            wait_for(out / files.CONFIG, process)
        time.sleep(moments.uniform(0, seconds))
        process.send_signal(signal.SIGKILL)
        process.wait()
    finish(out, programs)
    assert results(out) == expected
