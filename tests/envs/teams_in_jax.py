"""Small teams in JAX, some of which misbehave: with JaxMARL's interface, and of our own."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaps.envs import auto_reset
from adaps.types import Box, Observation, Timestep


class Inner(NamedTuple):
    """A state whose numbers are Python's own after a reset."""

    time: Any
    done: Any
    x: Any


class Actions(NamedTuple):
    n: int = 2


class JaxMARLStyle:
    """Two agents see two numbers each, and earn 1 for the sign of the first, for ``length`` steps.

    Arguments change what ``reset`` and ``step_env`` return.
    """

    name = "style"

    def __init__(self, length=3, max_steps=None, **changes):
        self.agents, self.length, self.changes = ["a", "b"], length, changes
        if max_steps is not None:
            self.max_steps = max_steps

    def observation_space(self, agent):
        raise NotImplementedError

    def action_space(self, agent):
        return Actions()

    def _change(self, what, value):
        return self.changes.get(what, lambda value: value)(value)

    def _seen(self, state):
        return self._change("obs", {a: state.x[i] for i, a in enumerate(self.agents)})

    def reset(self, key):
        state = Inner(0, False, jax.random.uniform(key, (2, 2), minval=-1))
        return self._change("reset", (self._seen(state), state))

    def step_env(self, key, state, actions):
        right = {a: actions[a] == (state.x[i, 0] > 0) for i, a in enumerate(self.agents)}
        rewards = self._change("rewards", {a: jnp.where(r, 1, 0) for a, r in right.items()})
        time = state.time + 1
        done = time >= self.length
        new = Inner(time, done, jax.random.uniform(key, (2, 2), minval=-1))
        dones = self._change("dones", {"a": done, "b": done, "__all__": done})
        state = self._change("state", new)
        return self._change("step", (self._seen(new), state, rewards, dones, {}))


LEGAL = jnp.ones((2, 2), bool)


@dataclasses.dataclass(frozen=True)
class Own:
    """An environment of ours: two agents, whose reward is their action, for three steps.

    ``changes`` are what a reset and a step return otherwise, by the parts of a timestep.
    """

    name: Any = "own"
    num_agents: Any = 2
    obs_size: Any = 1
    num_actions: Any = 2
    max_steps: Any = 3
    agent_types: Any = (0, 1)
    length: int = 3
    state: Any = None
    """Of the state after a step."""
    reset_state: Any = None
    changes: Any = ()
    members: Any = ()

    def __getattr__(self, name):
        members = dict(object.__getattribute__(self, "members"))
        if name not in members:
            raise AttributeError(name)
        return members[name]

    def reset(self, key):
        time = jnp.int32(0) if self.reset_state is None else self.reset_state
        return time, self._timestep(jnp.int32(0), jnp.zeros(2))

    def step(self, key, time, action):
        new = time + 1
        reward = jnp.float32(action) if action.ndim == 1 else action.sum(-1)
        given = self._timestep(new, reward)
        return auto_reset(self.reset, key, new if self.state is None else self.state, given)

    def _timestep(self, time, reward):
        seen = Observation(jnp.ones((2, 1)), LEGAL)
        ended = time >= self.length
        given = Timestep(seen, reward, ended, jnp.zeros((), bool), seen)
        return given._replace(**dict(self.changes))


BOX = Box(2, -1.0, 1.0)
