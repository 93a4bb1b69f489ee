"""Shapes and types are checked while tests run; the environments of the probes live here too."""

import os
import shutil
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of a test's time is XLA's compiling: with these a short run takes half as long. The tests'
# child processes compile so, too.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1"
)
# Tests compile the same programs many times over; here each is compiled once.
PROGRAMS = Path(__file__).parents[1] / ".jax_cache"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(PROGRAMS))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

from jaxtyping import install_import_hook  # noqa: E402

install_import_hook("adaps", "beartype.beartype")

import jax  # noqa: E402
import pytest  # noqa: E402

import adaps  # noqa: E402

MOST_BYTES = 500 * 2**20


def pytest_configure(config):
    """Begin anew where many versions have left their programs."""
    is_worker = hasattr(config, "workerinput")
    if not is_worker and sum(file.stat().st_size for file in PROGRAMS.glob("*")) > MOST_BYTES:
        shutil.rmtree(PROGRAMS)


@pytest.fixture(autouse=True, scope="module")
def _room_for_programs():
    """A process can hold the programs of some thirty settings, and then it crashes."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="session")
def short_run(tmp_path_factory):
    """A short AdaPS run on bps-1 with two seeds: its folder and its result."""
    out = tmp_path_factory.mktemp("runs") / "short"
    options = {"evaluations": 3, "eval_episodes": 20, "encoder": adaps.VAE(updates=1_500)}
    result = adaps.train("bps-1", steps=12_000, seeds=2, out=out, **options)
    return out, result


@pytest.fixture(scope="session")
def two_kinds():
    """Who is alike in bps:2-2, from little data."""
    return adaps.identify("bps:2-2", adaps.VAE(updates=1_000), gather_steps=6_400)
