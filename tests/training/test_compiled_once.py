"""A second run of a setting in one process traces and compiles nothing."""

import jax
import pytest

import adaps

SHORT = {
    "steps": 6_000,
    "seeds": 1,
    "evaluations": 1,
    "eval_episodes": 4,
    "gather_steps": 3_200,
    "encoder": adaps.VAE(updates=50),
}


@pytest.fixture
def compiled():
    """Programs that were traced or compiled since the test began."""
    names = []

    def listen(name, seconds, **_):
        if "compile" in name or "trace" in name:
            names.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield names
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("method", ["adaps", "kaleidoscope"])
def test_training_again(method, compiled):
    first = adaps.train("bps:2-2", method, **SHORT)
    compiled.clear()
    again = adaps.train("bps:2-2", method, **SHORT)
    assert compiled == []
    assert again.returns == first.returns


def test_identifying_again(compiled):
    options = {"encoder": adaps.VAE(updates=50), "gather_steps": 3_200}
    adaps.identify("bps:2-2", **options)
    compiled.clear()
    adaps.identify("bps:2-2", **options)
    assert compiled == []
