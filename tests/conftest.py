"""Shapes and types are checked while tests run; the environments of the probes live here too."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from jaxtyping import install_import_hook

install_import_hook("adaps", "beartype.beartype")

import pytest  # noqa: E402

import adaps  # noqa: E402


@pytest.fixture(scope="session")
def short_run(tmp_path_factory):
    """A short AdaPS run on bps-1 with two seeds: its folder and its result."""
    out = tmp_path_factory.mktemp("runs") / "short"
    result = adaps.train("bps-1", steps=12_000, seeds=2, evaluations=3, eval_episodes=20, out=out)
    return out, result
