"""An environment as PettingZoo's ``ParallelEnv``. Stage: environment.

Needs the extra ``pettingzoo``, so only :func:`adaps.envs.to_pettingzoo` imports it, when called.
"""

import functools
import secrets
from collections.abc import Container
from typing import Any

import jax
import numpy as np
from gymnasium.spaces import Box, Discrete, Space
from jaxtyping import Array, Int, Key
from pettingzoo import ParallelEnv

from adaps.errors import UserError, shown
from adaps.types import Environment, EnvState, Timestep

Infos = dict[str, dict[str, np.ndarray]]


class PettingZooEnv(ParallelEnv[str, np.ndarray, Any]):
    """One copy of an environment, for code that speaks PettingZoo.

    Agents are ``agent_0``, ``agent_1``, … in the environment's order; ``agents`` are those that act
    next. One that pauses is not among them and has no flag; what it is paid meanwhile is in the
    rewards. Observations are ``float32[obs]``, actions are numbers in ``[0, action)``, and
    ``infos[agent]["action_mask"]`` is ``int8[action]``, 1 where an action may be taken.

    Args:
        env: the environment; kept as ``env``.
    """

    render_mode = None

    def __init__(self, env: Environment) -> None:
        self.env = env
        self.metadata = {"name": env.name, "render_modes": [], "is_parallelizable": True}
        self.possible_agents = [f"agent_{i}" for i in range(env.num_agents)]
        self.agents = []
        self.observation_spaces = {
            agent: Box(-np.inf, np.inf, (env.obs_size,), np.float32)
            for agent in self.possible_agents
        }
        self.action_spaces = {agent: Discrete(env.num_actions) for agent in self.possible_agents}
        self._key: Key[Array, ""] | None = None
        self._state: EnvState = None

    @property
    def agent_types(self) -> tuple[int, ...] | None:
        """True type of each possible agent, for evaluation only."""
        return self.env.agent_types

    def observation_space(self, agent: str) -> Space:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Space:
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], Infos]:
        """Start an episode; the observation and the info of every agent.

        Args:
            seed: the same seed and actions give the same episodes. None goes on from the last
                seed; if there was none, from chance.
            options: not used.
        """
        if seed is not None or self._key is None:
            self._key = jax.random.key(secrets.randbits(32) if seed is None else seed)
        self._key, self._state, timestep = _reset(self.env, self._key)
        timestep = jax.device_get(timestep)
        self.agents = self._acting(timestep)
        obs = np.array(timestep.observation.obs, np.float32)
        return self._by_agent(obs, self.agents), self._infos(timestep, self.agents)

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[dict[str, np.ndarray], dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """Observations, rewards, terminations, truncations and infos, each by agent.

        With the last step of an episode, observations are the final ones, and ``agents`` is empty.

        Raises:
            UserError: there is no episode to go on with, or not exactly one action for each agent.
        """
        action = self._checked(actions)
        self._key, self._state, timestep = _step(self.env, self._key, self._state, action)
        timestep = jax.device_get(timestep)
        acted, self.agents = self.agents, [] if timestep.ended else self._acting(timestep)
        told = {*acted, *self.agents}
        own, ends = timestep.agent_ends, timestep.ends
        ended = set() if own is None else self._where(own.terminated | own.truncated)
        return (
            self._by_agent(np.array(timestep.final.obs, np.float32), told),
            self._by_agent(timestep.reward.tolist(), told | self._where(timestep.reward != 0)),
            self._by_agent(self._for_all(ends.terminated), told | ended),
            self._by_agent(self._for_all(ends.truncated), told | ended),
            self._infos(timestep, told),
        )

    def render(self) -> None:
        """Nothing: environments are not drawn."""

    def _checked(self, actions: dict[str, Any]) -> Int[np.ndarray, " agent"]:
        name = self.env.name
        if not self.agents:
            raise UserError(f"environment '{name}': there is no episode to step; call reset first")
        if actions.keys() != set(self.agents):
            everyone = self.agents == self.possible_agents
            who = f"agent_0 to {self.agents[-1]}" if everyone else ", ".join(self.agents)
            raise UserError(
                f"environment '{name}': actions must be for {who}, "
                f"one for each; they are for {', '.join(map(str, actions)) or 'none'}"
            )
        for agent, action in actions.items():
            if not self.action_spaces[agent].contains(action):
                raise UserError(
                    f"environment '{name}': the action of {agent} must be a whole number from 0 to "
                    f"{self.env.num_actions - 1}, not {shown(action)}"
                )
        return np.array([actions.get(agent, 0) for agent in self.possible_agents], np.int32)

    def _acting(self, timestep: Timestep) -> list[str]:
        """Who acts next, in the environment's order."""
        here: Any = timestep.observation.here
        if here is None:
            return self.possible_agents.copy()
        return [agent for agent in self.possible_agents if agent in self._where(here)]

    def _infos(self, timestep: Timestep, who: Container[str]) -> Infos:
        masks = self._by_agent(np.array(timestep.observation.legal, np.int8), who)
        return {agent: {"action_mask": mask} for agent, mask in masks.items()}

    def _where(self, flags: Any) -> set[str]:
        return {agent for agent, flag in zip(self.possible_agents, flags, strict=True) if flag}

    def _for_all(self, flags: Any) -> list[bool]:
        """Flags of agents, from theirs or from a single one of the episode."""
        return np.broadcast_to(flags, len(self.possible_agents)).tolist()

    def _by_agent(self, values: Any, who: Container[str]) -> dict[str, Any]:
        """Arrays are copies, since what comes from the device must not be written to."""
        each = zip(self.possible_agents, values, strict=True)
        return {agent: value for agent, value in each if agent in who}


@functools.partial(jax.jit, static_argnums=0)
def _reset(env: Environment, key: Key[Array, ""]) -> tuple[Key[Array, ""], EnvState, Timestep]:
    key, now = jax.random.split(key)
    return key, *env.reset(now)


@functools.partial(jax.jit, static_argnums=0)
def _step(
    env: Environment, key: Key[Array, ""], state: EnvState, action: Int[Array, " agent"]
) -> tuple[Key[Array, ""], EnvState, Timestep]:
    key, now = jax.random.split(key)
    return key, *env.step(now, state, action)
