"""Every environment × method × algorithm keeps the promises that others build on."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adaps
from adaps.algos import ALGORITHMS
from adaps.collect.jax import JaxCollector
from adaps.networks import NETWORKS
from adaps.sharing import METHODS, SharingMethod
from adaps.sharing.method import hooks_of
from adaps.types import Environment, Identity, NetworkShape, action_space_of
from probes import OPPOSITE

ENVS = {
    "bps:2-1": adaps.make("bps:2-1"),
    "bps:1-2-shuffled": adaps.make("bps:1-2-shuffled"),
    "rware-2color-tiny-2ag": adaps.make("rware-2color-tiny-2ag"),
    "foraging-2s-fixed-5x5-2p-1f-coop": adaps.make("foraging-2s-fixed-5x5-2p-1f-coop"),
    "probe": OPPOSITE,
}
TRAINED = [name for name in ENVS if not name.endswith("shuffled")]
ALL = list(itertools.product(TRAINED, METHODS, ALGORITHMS, NETWORKS))


def shape_of(env):
    return NetworkShape(env.num_agents, env.obs_size, action_space_of(env), (8, 8))


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
        assert timestep.observation.legal.shape == (env.num_agents, env.num_actions)
        assert timestep.reward.shape == (env.num_agents,)
        assert timestep.terminated.shape == timestep.truncated.shape == ()
        assert np.isfinite(timestep.obs).all()
        assert np.isfinite(timestep.reward).all()
        if t == env.max_steps - 1:
            assert timestep.terminated | timestep.truncated


@partial(jax.jit, static_argnums=(0, 1, 2))
def roll_out_and_update(env, agent, algo, learner, sharing, position):
    """One program for all methods that are only data and whose arrays have equal shapes."""
    policy = agent.policy(learner.params, sharing)
    position, rollout = JaxCollector(env).collect(policy, position, 4)
    return *algo.update(position.key, agent, learner, sharing, rollout), position, rollout


@pytest.mark.parametrize(("env", "method", "algo", "network"), ALL)
def test_everything_fits_together(env, method, algo, network):
    env, method, algo = ENVS[env], METHODS[method](), ALGORITHMS[algo]()
    assert isinstance(method, SharingMethod)
    network = NETWORKS[network]().build(shape_of(env))
    sharing = method.build(jax.random.key(0), network, identity_of(env))
    params = method.init(jax.random.key(1), network, sharing)
    agent = adaps.Agent(network, hooks_of(method))
    learner = algo.init(jax.random.key(3), agent, params)
    position = JaxCollector(env).start(jax.random.key(2), 2, agent.memory(2))
    for _ in range(3):
        learner, metrics, position, rollout = roll_out_and_update(
            env, agent, algo, learner, sharing, position
        )
    assert all(np.isfinite(value) for value in metrics.values())
    moved = jax.tree.map(lambda a, b: (a != b).any(), learner.params, params)
    assert all(jax.tree.leaves(moved))
    unrolled = agent.unroll(learner.params, sharing, rollout)
    assert unrolled.distribution.logits.shape == rollout.observation.legal.shape
    assert unrolled.value.shape == rollout.reward.shape
