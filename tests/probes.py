"""Probe environments: each needs one ability, so a failure says which part is broken.

After rejax's idea. The last one is ours: the same observation must be answered by opposite
actions, which a policy that shares everything cannot do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from adaps.envs import auto_reset
from adaps.types import Observation, Timestep


class State(NamedTuple):
    obs: jax.Array
    time: jax.Array


@dataclass(frozen=True)
class Probe:
    """Rewards ``reward(obs, action, time)``, an array over agents, for ``max_steps`` steps."""

    name: str
    reward: Callable
    max_steps: int = 1
    agent_types: tuple[int, ...] = (0, 0)
    num_actions: int = 2
    terminates: bool = True

    obs_size = 1

    @property
    def num_agents(self):
        return len(self.agent_types)

    def reset(self, key):
        sign = jax.random.bernoulli(key, shape=(self.num_agents, 1))
        state = State(jnp.where(sign, 1.0, -1.0), jnp.int32(0))
        return state, self._timestep(state, jnp.zeros(self.num_agents))

    def step(self, key, state, action):
        reward = self.reward(state.obs[:, 0], action, state.time).astype(jnp.float32)
        state = state._replace(time=state.time + 1)
        return auto_reset(self.reset, key, state, self._timestep(state, reward))

    def _timestep(self, state, reward):
        ended = state.time >= self.max_steps
        legal = jnp.ones((self.num_agents, self.num_actions), bool)
        return Timestep(
            observation=Observation(state.obs, legal),
            reward=reward,
            terminated=ended & self.terminates,
            truncated=ended & (not self.terminates),
            final=Observation(state.obs, legal),
        )


def constant(obs, action, time):
    """Nothing to decide: the critic alone has to learn."""
    return jnp.ones_like(obs)


def one_action(obs, action, time):
    """One action is better, whatever is seen."""
    return jnp.where(action == 1, 1.0, -1.0)


def what_is_seen(obs, action, time):
    """The better action depends on the observation."""
    return jnp.where((action == 1) == (obs > 0), 1.0, -1.0)


def late(obs, action, time):
    """A reward at the second step of an episode: values must reach back."""
    return jnp.where(time == 1, obs, 0.0)


def opposite(obs, action, time):
    """Half of the agents must do the one thing and half the other; nothing shows which."""
    half = jnp.arange(obs.shape[0]) < obs.shape[0] // 2
    return jnp.where((action == 1) == half, 1.0, -1.0)


OPPOSITE = Probe("opposite", opposite, max_steps=5, agent_types=(0, 0, 0, 1, 1, 1))
