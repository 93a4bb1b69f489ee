"""What is compiled is found again by the next process, whatever happened to the one before."""

import os
import subprocess
import sys

import pytest

COUNT = """
import jax
from adaps.files.compile_cache import enable
where = enable()
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))
print(where, jax.jit(lambda x: sum(jax.numpy.sin(i * x) @ x for i in range(60)))(
    jax.numpy.ones((64, 64))).shape, sum("cache_hits" in hit for hit in hits))
"""


@pytest.fixture
def said(tmp_path):
    def run(**variables):
        home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        plain = {k: v for k, v in os.environ.items() if "CACHE" not in k}
        env = plain | home | {k: v for k, v in variables.items() if v is not None}
        words = [sys.executable, "-c", COUNT]
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
        assert "Error" not in done.stderr
        return done.stdout.split()

    return run


def test_a_second_process_compiles_nothing_anew(said, tmp_path):
    where, *_, hits = said()
    assert where.startswith(str(tmp_path / "cache" / "adaps"))
    assert hits == "0"
    assert said()[-1] != "0"


def test_a_program_that_was_half_written_is_compiled_again(said):
    where = said()[0]
    for name in os.listdir(where):
        if name.endswith("-atime"):
            os.unlink(os.path.join(where, name))
        elif name.endswith("-cache"):
            os.truncate(os.path.join(where, name), 10)
    assert said()[-1] == "0"
    assert said()[-1] != "0"


def test_it_can_be_switched_off_and_put_elsewhere(said, tmp_path):
    assert said(ADAPS_COMPILE_CACHE="off")[0] == "None"
    assert said(ADAPS_COMPILE_CACHE=str(tmp_path / "other"))[0].startswith(str(tmp_path / "other"))
    assert said(JAX_COMPILATION_CACHE_DIR=str(tmp_path / "theirs"))[0] == "None"
    (tmp_path / "file").write_text("")
    assert said(ADAPS_COMPILE_CACHE=str(tmp_path / "file"))[0] == "None"
