"""Small networks, their parameters and rollouts, for tests of what computes with them."""

import jax
import jax.numpy as jnp

import adaps
from adaps.networks.agent import inputs
from adaps.sharing.method import DATA_ONLY
from adaps.types import Discrete, NetworkShape, Observation, Rollout


def network_of(num_agents, obs_size, num_actions, hidden=(8,)):
    """A multi-layer perceptron of these sizes."""
    shape = NetworkShape(num_agents, obs_size, Discrete(num_actions), hidden)
    return adaps.MLP().build(shape)


def agent_of(network, method=DATA_ONLY):
    return adaps.Agent(network, method)


def full(network):
    """One parameter set, every unit for everyone, no tags."""
    return adaps.FuPS().build(jax.random.key(0), network, None)


def params_of(network, sharing=None, method=DATA_ONLY, seed=0, num_sets=None):
    """Parameters before training, in as many sets as the agents use unless told."""
    sharing = full(network) if sharing is None else sharing
    return method.init(jax.random.key(seed), network, sharing, num_sets)


def outputs(agent, params, sharing, obs, legal=None):
    """Logits and values of a network without memory."""
    weights = agent.method.bind(params, sharing)
    seen = inputs(sharing, Observation(obs, legal))
    first = jnp.zeros(obs.shape[:-1], bool)
    _, distribution = agent.network.actor(weights, (), seen, first)
    _, value = agent.network.critic(weights, (), seen, first)
    return distribution.logits, value


def observation_of(key, shape, leading):
    """Random numbers for all agents; every action is legal where actions are discrete."""
    sizes = (*leading, shape.num_agents)
    space = shape.action_space
    legal = jnp.ones((*sizes, space.num_actions), bool) if isinstance(space, Discrete) else None
    return Observation(jax.random.normal(key, (*sizes, shape.obs_size)), legal)


def rollout_of(key, shape, time=5, copies=2, memory=()):
    """Made up, within one episode."""
    obs_key, action_key, reward_key, final_key = jax.random.split(key, 4)
    leading, sizes = (time, copies), (time, copies, shape.num_agents)
    space, no = shape.action_space, jnp.zeros((time, copies), bool)
    if isinstance(space, Discrete):
        action = jax.random.randint(action_key, sizes, 0, space.num_actions)
    else:
        limits = {"minval": space.low, "maxval": space.high}
        action = jax.random.uniform(action_key, (*sizes, space.size), **limits)
    return Rollout(
        observation=observation_of(obs_key, shape, leading),
        first=jnp.zeros(sizes, bool),
        action=action,
        reward=jax.random.normal(reward_key, sizes),
        terminated=no,
        truncated=no,
        final=observation_of(final_key, shape, leading),
        agent_ends=None,
        memory=memory,
    )


def with_obs(rollout, change):
    """A rollout whose observations are changed."""
    seen = rollout.observation
    return rollout._replace(observation=seen._replace(obs=change(seen.obs)))


def with_final_obs(rollout, change):
    """A rollout whose observations that followed are changed."""
    final = rollout.final
    return rollout._replace(final=final._replace(obs=change(final.obs)))
