"""Every environment × method × algorithm keeps the promises that others build on."""

import itertools
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adaps
from adaps.algos import ALGORITHMS
from adaps.collect.jax import rollout, start
from adaps.networks.mlp import actor_logits, critic_value, init_params, num_sets_of, sampled
from adaps.sharing import METHODS
from adaps.types import Environment, Identity, NetworkShape, SharingMethod
from probes import OPPOSITE

ENVS = {
    "bps:2-1": adaps.make("bps:2-1"),
    "bps:1-2-shuffled": adaps.make("bps:1-2-shuffled"),
    "rware-2color-tiny-2ag": adaps.make("rware-2color-tiny-2ag"),
    "foraging-2s-fixed-5x5-2p-1f-coop": adaps.make("foraging-2s-fixed-5x5-2p-1f-coop"),
    "probe": OPPOSITE,
}
TRAINED = [name for name in ENVS if not name.endswith("shuffled")]
ALL = list(itertools.product(TRAINED, METHODS, ALGORITHMS))


def shape_of(env):
    return NetworkShape(env.num_agents, env.obs_size, env.num_actions, (8, 8))


def identity_of(env):
    clusters = np.asarray(env.agent_types)
    centres = np.random.default_rng(0).normal(size=(clusters.max() + 1, 4))
    return Identity(centres[clusters], clusters, centres, {})


@pytest.mark.parametrize("env", ENVS.values(), ids=ENVS)
def test_environments(env):
    assert isinstance(env, Environment)
    assert len(env.agent_types) == env.num_agents
    assert hash(env) == hash(env)
    state, timestep = jax.jit(env.reset)(jax.random.key(0))
    spec = jax.tree.map(lambda x: (x.shape, x.dtype), (state, timestep))
    step = jax.jit(env.step)
    for t in range(env.max_steps + 2):
        action = jnp.full(env.num_agents, t % env.num_actions)
        state, timestep = step(jax.random.key(t), state, action)
        assert jax.tree.map(lambda x: (x.shape, x.dtype), (state, timestep)) == spec
        assert timestep.obs.shape == (env.num_agents, env.obs_size)
        assert timestep.legal.shape == (env.num_agents, env.num_actions)
        assert timestep.reward.shape == (env.num_agents,)
        assert timestep.terminated.shape == timestep.truncated.shape == ()
        assert np.isfinite(timestep.obs).all()
        assert np.isfinite(timestep.reward).all()
        if t == env.max_steps - 1:
            assert timestep.terminated | timestep.truncated


@lru_cache
def roll_out_and_update(env, algo):
    """One program for all methods whose arrays have equal shapes."""
    algorithm = ALGORITHMS[algo]().build()

    @jax.jit
    def run(learner, sharing, state):
        state, transitions = rollout(env, sampled(learner.params, sharing), state, 4)
        return *algorithm.update(learner, sharing, transitions), state, transitions

    return run


@pytest.mark.parametrize(("env", "method", "algo"), ALL)
def test_everything_fits_together(env, method, algo):
    env = ENVS[env]
    shape = shape_of(env)
    assert isinstance(METHODS[method](), SharingMethod)
    sharing = METHODS[method]().build(jax.random.key(0), shape, identity_of(env))
    sets, tags = num_sets_of(sharing), sharing.tags.shape[-1]
    params = init_params(jax.random.key(1), shape, sets, tags, sharing.learned)
    learner = ALGORITHMS[algo]().build().init(params)
    state = start(env, jax.random.key(2), num_envs=2)
    for _ in range(3):
        learner, metrics, state, transitions = roll_out_and_update(env, algo)(
            learner, sharing, state
        )
    assert all(np.isfinite(value) for value in metrics.values())
    moved = jax.tree.map(lambda a, b: (a != b).any(), learner.params, params)
    assert all(jax.tree.leaves(moved))
    obs, legal = transitions.obs, transitions.legal
    assert actor_logits(learner.params, sharing, obs, legal).shape == legal.shape
    assert critic_value(learner.params, sharing, obs).shape == transitions.reward.shape
