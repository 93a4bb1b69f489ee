"""Somebody's Jumanji environment of several agents, to be identified and trained in. Stage: env.

Needs the extra ``jumanji`` only where an environment is made by name.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from adaps.envs.adapters.common import (
    flag,
    made_already,
    made_by_name,
    number,
    numbers,
    state_types,
    timestep,
    with_types,
)
from adaps.envs.autoreset import auto_reset
from adaps.envs.checked import as_count, checked, checked_limit, checked_types, outlined
from adaps.envs.names import full_name
from adaps.errors import UserError
from adaps.extensions import needs_extra
from adaps.types import EnvState, Observation, Timestep

TELL_BY_DISCOUNT = ("LevelBasedForaging",)
"""Environments whose discount tells the time limit from ends by the rules."""


@dataclass(frozen=True)
class JumanjiTeam:
    """A Jumanji environment with ``agents_view`` and ``action_mask``, as ours.

    A reward that all share is split evenly, so that the sum over agents is the environment's. An
    episode is cut off where its step count has come to the time limit.
    """

    env: Any = field(repr=False)
    name: str
    num_agents: int
    obs_size: int
    num_actions: int
    max_steps: int | None
    agent_types: tuple[int, ...] | None
    state_types: Any = field(repr=False, compare=False)
    """Of its state; see :func:`adaps.envs.adapters.common.state_types`."""

    def reset(self, key: Key[Array, ""]) -> tuple[EnvState, Timestep]:
        # Jumanji keeps keys of the old kind in its states.
        return self._converted(*self.env.reset(jax.random.key_data(key)))

    def step(
        self, key: Key[Array, ""], state: EnvState, action: Int[Array, " agent"]
    ) -> tuple[EnvState, Timestep]:
        return auto_reset(self.reset, key, *self._converted(*self.env.step(state, action)))

    def _converted(self, state: EnvState, theirs: Any) -> tuple[EnvState, Timestep]:
        state = with_types(state, self.state_types)
        seen = numbers(self.name, "agents_view", theirs.observation.agents_view)
        if seen.size != self.num_agents * self.obs_size:
            raise UserError(
                f"{self.name}: agents_view is {outlined(theirs.observation.agents_view)}, not "
                f"{self.obs_size} numbers for each of {self.num_agents} agents"
            )
        legal = self._legal(getattr(theirs.observation, "action_mask", None))
        reward, at_limit = self._rewards(theirs.reward), self._at_limit(state, theirs)
        ended = flag(self.name, "last", theirs.last())
        observation = Observation(seen.reshape(self.num_agents, -1), legal)
        return state, timestep(observation, reward, ended, at_limit)

    def _legal(self, mask: Any) -> Bool[Array, "agent action"]:
        shape = (self.num_agents, self.num_actions)
        if mask is None:
            return jnp.ones(shape, bool)
        legal = numbers(self.name, "action_mask", mask) != 0
        if legal.size != math.prod(shape):
            raise UserError(f"{self.name}: action_mask is {outlined(mask)}, not of shape {shape}")
        return legal.reshape(shape)

    def _at_limit(self, state: EnvState, theirs: Any) -> Bool[Array, ""]:
        """Whether an episode that is over was so by its time limit."""
        goes_on = (jnp.asarray(theirs.discount) > 0).any()
        if type(self.env.unwrapped).__name__ in TELL_BY_DISCOUNT:
            return goes_on
        return goes_on | (state.step_count >= self.env.time_limit)

    def _rewards(self, reward: Any) -> Float[Array, " agent"]:
        """Each agent's own, or its part of what all share."""
        if jnp.size(reward) == 1:
            part = number(self.name, "reward", reward) / self.num_agents
            return jnp.broadcast_to(part, (self.num_agents,))
        own = numbers(self.name, "reward", reward)
        if own.size != self.num_agents:
            raise UserError(
                f"{self.name}: reward is {outlined(reward)}, and neither one number for all nor "
                f"one for each of {self.num_agents} agents"
            )
        return own


def from_jumanji(
    env: Any,
    *,
    name: str | None = None,
    agent_types: Any = None,
    max_steps: Any = None,
    options: Mapping[str, Any] | None = None,
    **more: Any,
) -> JumanjiTeam:
    """An environment of Jumanji's with several agents, to identify and train in.

    Args:
        env: an environment, or a name as ``jumanji.make`` takes it.
        name: what to call it; None takes its own name.
        agent_types: the true type of each agent, as whole numbers, for evaluation only.
        max_steps: evaluation goes no further than this many steps in an episode; None: to its end.
        options: for ``jumanji.make``, whatever they are called.
        more: further options.

    Raises:
        UserError: the extra ``jumanji`` is not installed, there is no such environment, it is not
            one of several agents with discrete actions, or what it returns cannot be used.
    """
    options = {**(options or {}), **more}
    by_name = isinstance(env, str)
    called = name or full_name("jumanji", env if by_name else _class(env), options)
    made = _made(env, options) if by_name else made_already(called, env, options)
    num_actions = _num_actions(called, made)
    num_agents, own_limit = int(made.num_agents), as_count(getattr(made, "time_limit", None))
    team = JumanjiTeam(
        made,
        called,
        num_agents,
        int(math.prod(made.observation_spec.agents_view.shape[1:])),
        num_actions,
        checked_limit(called, max_steps) or own_limit,
        checked_types(called, agent_types, num_agents),
        _state_types(called, made, num_agents),
    )
    return checked(team, called)


def _num_actions(name: str, made: Any) -> int:
    """How many actions each agent has, where there are several agents with as many."""
    if not hasattr(made, "num_agents") or not hasattr(made.observation_spec, "agents_view"):
        seen = ", ".join(part for part in vars(made.observation_spec) if not part.startswith("_"))
        raise UserError(
            f"{name}: its observations have no agents_view, which says what each of several agents "
            f"sees; they have {seen or 'no names'}"
        )
    actions = getattr(made.action_spec, "num_values", None)
    if actions is None or jnp.ndim(actions) != 1 or len(set(map(int, actions))) != 1:
        raise UserError(
            f"{name}: its actions are {made.action_spec}; only the same number of discrete "
            "actions for each agent can be trained"
        )
    return int(actions[0])


def _state_types(name: str, made: Any, num_agents: int) -> Any:
    key, actions = jax.random.key_data(jax.random.key(0)), jnp.zeros(num_agents, jnp.int32)
    return state_types(name, lambda: made.reset(key)[0], lambda state: made.step(state, actions)[0])


def _made(name: str, options: dict[str, Any]) -> Any:
    with needs_extra("jumanji"):
        from jumanji.registration import make, registered_environments  # noqa: PLC0415

    return made_by_name("Jumanji", name, registered_environments(), make, options)


def _class(made: Any) -> str:
    return type(getattr(made, "unwrapped", made)).__name__
