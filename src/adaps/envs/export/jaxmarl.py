"""An environment with the interface of JaxMARL's ``MultiAgentEnv``. Stage: environment.

JaxMARL's code asks for no common base class, but its Q-learning asks for its own classes of
spaces: those are used where JaxMARL is installed, and spaces that look like them elsewhere.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt32

from adaps.types import Environment, EnvState, Timestep

AnyKey = Key[Array, ""] | UInt32[Array, "2"]
"""JaxMARL's code makes keys with ``jax.random.PRNGKey``; those of ``jax.random.key`` do as well."""
Action = Int[Array, ""] | Int[Array, "1"]


class State(NamedTuple):
    """The state of the environment, and what agents were last given."""

    env_state: EnvState
    obs: Float[Array, "agent obs"]
    legal: Bool[Array, "agent action"]
    over: Bool[Array, " agent"] | None
    """Whose part of the episode is over; None where agents leave only when their episode ends."""


Observations = dict[str, Float[Array, " obs"]]
Step = tuple[
    Observations, State, dict[str, Float[Array, ""]], dict[str, Bool[Array, ""]], dict[str, Any]
]
"""Observations, state, rewards, dones and infos."""


class Discrete(NamedTuple):
    """Whole numbers in ``[0, n)``."""

    n: int
    shape: tuple[()] = ()
    dtype: Any = jnp.int32

    def sample(self, rng: AnyKey) -> Int[Array, ""]:
        return jax.random.randint(rng, self.shape, 0, self.n, self.dtype)


class Box(NamedTuple):
    """Arrays of one shape, each entry between the same bounds."""

    low: float
    high: float
    shape: tuple[int, ...]
    dtype: Any = jnp.float32


@dataclass(frozen=True)
class JaxMARLEnv:
    """An environment for code that speaks JaxMARL, under ``jit`` and ``vmap`` alike.

    Agents are ``agent_0``, ``agent_1``, … in the environment's order. Observations are
    ``float[obs]``; actions are ``int[]`` or, as JaxMARL's learners make them, ``int[1]``. Infos are
    empty. As everywhere in JaxMARL, ``dones`` holds ends by the rules and by the time limit alike,
    and holds them until the episode ends. JaxMARL knows no pauses: whoever does not act is given an
    observation and gives an action all the same, to no effect.

    Args:
        env: the environment.
    """

    env: Environment

    @property
    def name(self) -> str:
        return self.env.name

    @property
    def num_agents(self) -> int:
        return self.env.num_agents

    @functools.cached_property
    def agents(self) -> list[str]:
        return [f"agent_{i}" for i in range(self.num_agents)]

    @property
    def agent_classes(self) -> dict[str, list[str]]:
        """One class: the true types are for evaluation only, and stay in ``env.agent_types``."""
        return {"agents": self.agents}

    @functools.cached_property
    def observation_spaces(self) -> dict[str, Any]:
        _, box = _space_classes()
        return {a: box(-jnp.inf, jnp.inf, (self.env.obs_size,)) for a in self.agents}

    @functools.cached_property
    def action_spaces(self) -> dict[str, Any]:
        discrete, _ = _space_classes()
        return {a: discrete(self.env.num_actions) for a in self.agents}

    def observation_space(self, agent: str) -> Any:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Any:
        return self.action_spaces[agent]

    @functools.partial(jax.jit, static_argnums=0)
    def reset(self, key: AnyKey) -> tuple[Observations, State]:
        env_state, timestep = self.env.reset(_typed(key))
        nobody = None if timestep.agent_ends is None else jnp.zeros(self.num_agents, bool)
        state = _state(env_state, timestep, nobody)
        return self.get_obs(state), state

    @functools.partial(jax.jit, static_argnums=0)
    def step(
        self,
        key: AnyKey,
        state: State,
        actions: Mapping[str, Action],
        reset_state: State | None = None,
    ) -> Step:
        """One step. Where the episode ends, state and observations are the next one's first.

        Args:
            key: for this step, and for the next episode.
            state: where the episode stands.
            actions: one for each agent.
            reset_state: how the next episode starts; None lets chance decide.
        """
        _, state, rewards, dones, infos = self.step_env(key, state, actions)
        if reset_state is not None:
            ended = dones["__all__"]
            state = jax.tree.map(lambda a, b: jnp.where(ended, a, b), reset_state, state)
        return self.get_obs(state), state, rewards, dones, infos

    @functools.partial(jax.jit, static_argnums=0)
    def step_env(self, key: AnyKey, state: State, actions: Mapping[str, Action]) -> Step:
        """One step. Where the episode ends, the observations are its last.

        The state is then that of the next episode all the same: the environment resets by itself.
        """
        action = jnp.stack([jnp.reshape(actions[agent], ()) for agent in self.agents])
        env_state, timestep = self.env.step(_typed(key), state.env_state, action)
        ended, own, over = cast(Array, timestep.ended), timestep.agent_ends, state.over
        dones = dict.fromkeys([*self.agents, "__all__"], ended)
        if own is not None and over is not None:
            over = over | own.terminated | own.truncated
            dones |= self._by_agent(over | ended)
            over = over & ~ended
        return (
            self._by_agent(timestep.final.obs),
            _state(env_state, timestep, over),
            self._by_agent(timestep.reward),
            dones,
            {},
        )

    def get_obs(self, state: State) -> Observations:
        """What each agent sees, ``float[obs]``."""
        return self._by_agent(state.obs)

    def get_avail_actions(self, state: State) -> dict[str, Bool[Array, " action"]]:
        """Which actions each agent may take, ``bool[action]``."""
        return self._by_agent(state.legal)

    def _by_agent(self, values: Array) -> dict[str, Array]:
        return {agent: values[i] for i, agent in enumerate(self.agents)}


def _state(env_state: EnvState, timestep: Timestep, over: Bool[Array, " agent"] | None) -> State:
    obs, legal = timestep.observation[:2]
    return State(env_state, obs, cast(Array, legal), over)


def _typed(key: AnyKey) -> Key[Array, ""]:
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key
    return jax.random.wrap_key_data(key)


def _space_classes() -> tuple[type, type]:
    try:
        from jaxmarl.environments import spaces  # noqa: PLC0415  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        return Discrete, Box
    return spaces.Discrete, spaces.Box
