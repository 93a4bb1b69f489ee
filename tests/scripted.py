"""A team whose comings, goings and rewards are written down: in Python, and the same in JAX."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box, Discrete
from pettingzoo import ParallelEnv

from adaps.envs import auto_reset
from adaps.types import AgentEnds, Observation, Timestep

MOST = 6
"""Steps of an episode."""
NAMES = ("a", "b", "c")
TERMINATED, TRUNCATED = 1, 2


class Script(NamedTuple):
    """Of each episode, by the steps that are taken in it; the rows after its end mean nothing."""

    length: Any
    """Steps."""
    here: Any
    """``bool[time, agent]``: who acts."""
    flag: Any
    """``int[time, agent]``: whose part ends with the step, and how; 0: it does not."""
    reward: Any
    """``float[time, agent]``, also of those who do not act."""
    obs: Any
    """``float[time + 1, agent]``: what who acts sees; the last row follows the last step."""
    seen: Any
    """``bool[time, agent]``: who is out after the step and is shown what follows, though nobody
    has to show it."""


EVENTFUL = Script(
    length=5,
    here=np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1], [1, 0, 1], [1, 0, 0], [0, 0, 0]], bool),
    flag=np.array([[0, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0], [2, 0, 1], [0, 0, 0]]),
    reward=np.array(
        [[1, 2, 0], [0, 4, 1], [8, 0, 0], [0, 16, 32], [1, 0, 64], [0, 0, 0]], np.float32
    ),
    obs=np.arange(1.0, 22.0, dtype=np.float32).reshape(7, 3),
    seen=np.zeros((6, 3), bool),
)
"""Agent b pauses and dies, c joins and dies in a pause; all are paid while they are away."""


def is_shown(script, time):
    """Who is given an observation that follows a step."""
    over = time == script.length - 1
    goes_on = np.zeros(len(NAMES), bool) if over else script.here[time + 1]
    cut_off = script.flag[time] == TRUNCATED
    return goes_on | (script.here[time] & (cut_off | script.seen[time]))


class InPython(ParallelEnv):
    """The order of ``agents`` changes from step to step."""

    metadata: ClassVar = {"name": "scripted"}

    def __init__(self, script):
        self.script = script
        self.possible_agents, self.agents = list(NAMES), []

    def observation_space(self, agent):
        return Box(-1e6, 1e6, (1,), np.float32)

    def action_space(self, agent):
        return Discrete(2)

    def _by_agent(self, values, who):
        return {NAMES[i]: values[i] for i in np.roll(np.arange(len(NAMES)), self.time) if who[i]}

    def _shown(self, row, who):
        return self._by_agent(self.script.obs[row][:, None].astype(np.float32), who)

    def reset(self, seed=None, options=None):
        self.time = 0
        seen = self._shown(0, self.script.here[0])
        self.agents = list(seen)
        return seen, {}

    def step(self, actions):
        script, now = self.script, self.time
        assert set(actions) == set(self.agents)
        self.time += 1
        acted, flag, reward = script.here[now], script.flag[now], script.reward[now]
        over = self.time == script.length
        self.agents = [] if over else list(self._by_agent(NAMES, script.here[self.time]))
        told = acted | (flag != 0)
        return (
            self._shown(self.time, is_shown(script, now)),
            self._by_agent(reward.tolist(), acted | (reward != 0)),
            self._by_agent(flag == TERMINATED, told),
            self._by_agent(flag == TRUNCATED, told),
            {},
        )


class State(NamedTuple):
    time: Any


@dataclass(frozen=True, eq=False)
class InJax:
    """The same; what agents see that are given nothing is not a number."""

    script: Script

    name = "scripted"
    num_agents = len(NAMES)
    obs_size = 1
    num_actions = 2
    max_steps = MOST
    agent_types = None

    def reset(self, key):
        nothing, nobody = jnp.zeros(self.num_agents), jnp.zeros(self.num_agents, jnp.int32)
        here = self.script.here[0]
        seen = jnp.where(here, self.script.obs[0], jnp.nan)[:, None]
        no, first = jnp.zeros((), bool), self._observation(seen, here)
        return State(jnp.int32(0)), Timestep(first, nothing, no, no, first, _ends(nobody))

    def step(self, key, state, action):
        script = jax.tree.map(jnp.asarray, self.script)
        now, time = state.time, state.time + 1
        flag, over = script.flag[now], time == script.length
        acts = script.here[time] & ~over
        is_shown = acts | (flag == TRUNCATED) | script.seen[now]
        final = jnp.where(is_shown, script.obs[time], script.obs[now])
        final = jnp.where(acts | script.here[now], final, jnp.nan)[:, None]
        cut_off = over & (flag == TRUNCATED).any()
        observation = self._observation(final, acts)
        new = Timestep(
            observation, script.reward[now], over & ~cut_off, cut_off, observation, _ends(flag)
        )
        return auto_reset(self.reset, key, State(time), new)

    def _observation(self, obs, here):
        return Observation(obs, jnp.ones((self.num_agents, self.num_actions), bool), here=here)


def _ends(flag):
    return AgentEnds(flag == TERMINATED, flag == TRUNCATED)
