"""A second run of a setting in one process traces and compiles nothing."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import adaps
from adaps.config.choices import algo_options, sharing_options
from adaps.config.training import TrainConfig
from adaps.training import run
from probes import Probe, constant

SHORT = {
    "steps": 6_000,
    "seeds": 1,
    "evaluations": 1,
    "eval_episodes": 4,
    "gather_steps": 3_200,
    "encoder": adaps.VAE(updates=50),
}


ENV = adaps.make("bps:2-2")


def config(rollout_length):
    parts = (sharing_options("fups"), algo_options("a2c"))
    return TrainConfig(ENV.name, *parts, rollout_length=rollout_length)


@pytest.fixture
def compiled(monkeypatch):
    """Programs that were traced or compiled since the test began."""
    monkeypatch.setattr(run, "_settings", set())  # nothing is forgotten meanwhile
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


@dataclasses.dataclass(frozen=True)
class WithTable(Probe):
    """Holds an array, and so cannot be hashed."""

    table: Any = None


def test_training_again_where_the_environment_cannot_be_hashed(compiled):
    env = WithTable("with a table", constant, table=jnp.ones(3))
    short = {**SHORT, "evaluations": 3, "hidden": (8,)}
    adaps.train(env, "fups", **short)
    compiled.clear()
    adaps.train(env, "fups", **short)
    assert compiled == []


def test_identifying_again(compiled):
    options = {"encoder": adaps.VAE(updates=50), "gather_steps": 3_200}
    adaps.identify("bps:2-2", **options)
    compiled.clear()
    adaps.identify("bps:2-2", **options)
    assert compiled == []


def test_a_process_forgets_when_it_has_seen_many_settings(monkeypatch):
    monkeypatch.setattr(run, "MOST_SETTINGS", 2)
    cleared = []
    monkeypatch.setattr(jax, "clear_caches", lambda: cleared.append(True))
    monkeypatch.setattr(run, "_settings", set())
    for rollout_length in (1, 2, 2, 3, 3):
        run._make_room(run.stages_of(ENV, config(rollout_length)))
    assert cleared == [True]
