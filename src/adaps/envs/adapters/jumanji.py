"""Somebody's Jumanji environment of several agents, to be identified and trained in. Stage: env.

Needs the extra ``jumanji`` only where an environment is made by name.
"""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from adaps.envs.auto_reset import auto_reset
from adaps.envs.names import full_name
from adaps.errors import UserError, unknown
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
    max_steps: int
    agent_types: tuple[int, ...] | None = None

    def reset(self, key: Key[Array, ""]) -> tuple[EnvState, Timestep]:
        state, timestep = self.env.reset(_raw(key))
        return state, self._timestep(state, timestep)

    def step(
        self, key: Key[Array, ""], state: EnvState, action: Int[Array, " agent"]
    ) -> tuple[EnvState, Timestep]:
        state, timestep = self.env.step(state, action)
        return auto_reset(self.reset, key, state, self._timestep(state, timestep))

    def _timestep(self, state: EnvState, timestep: Any) -> Timestep:
        ended = timestep.last()
        truncated = ended & self._cut_off(state, timestep)
        seen = timestep.observation
        observation = Observation(self._seen(seen), self._legal(seen))
        return Timestep(
            observation=observation,
            reward=self._rewards(timestep.reward),
            terminated=ended & ~truncated,
            truncated=truncated,
            final=observation,
        )

    def _cut_off(self, state: EnvState, timestep: Any) -> Bool[Array, ""]:
        goes_on = (jnp.asarray(timestep.discount) > 0).any()
        if type(self.env.unwrapped).__name__ in TELL_BY_DISCOUNT:
            return goes_on
        return goes_on | (state.step_count >= self.env.time_limit)

    def _seen(self, observation: Any) -> Float[Array, "agent obs"]:
        return jnp.float32(observation.agents_view).reshape(self.num_agents, -1)

    def _legal(self, observation: Any) -> Bool[Array, "agent action"]:
        mask = getattr(observation, "action_mask", None)
        return jnp.ones((self.num_agents, self.num_actions), bool) if mask is None else mask

    def _rewards(self, reward: Array) -> Float[Array, " agent"]:
        reward = jnp.float32(reward)
        if reward.ndim == 1:
            return reward
        return jnp.broadcast_to(reward / self.num_agents, (self.num_agents,))


def from_jumanji(env: Any, *, name: str | None = None, **options: Any) -> JumanjiTeam:
    """An environment of Jumanji's with several agents, to identify and train in.

    Args:
        env: an environment, or a name as ``jumanji.make`` takes it.
        name: what to call it; None takes its own name.
        options: for ``jumanji.make``.

    Raises:
        UserError: no such environment, or not one of several agents with discrete actions.
    """
    made = _made(env, options) if isinstance(env, str) else env
    called = name or full_name("jumanji", env if isinstance(env, str) else _class(made), options)
    if not hasattr(made, "num_agents") or not hasattr(made.observation_spec, "agents_view"):
        raise UserError(f"{called} is not for several agents: it has no agents_view")
    actions = getattr(made.action_spec, "num_values", None)
    if actions is None or jnp.ndim(actions) != 1 or len(set(map(int, actions))) != 1:
        raise UserError(
            f"{called}: its actions are {made.action_spec}; only the same number of discrete "
            "actions for each agent can be trained"
        )
    view = made.observation_spec.agents_view.shape
    size = 1
    for length in view[1:]:
        size *= int(length)
    limit = int(getattr(made, "time_limit", 1_000))
    return JumanjiTeam(made, called, int(made.num_agents), size, int(actions[0]), limit)


def _made(name: str, options: dict[str, Any]) -> Any:
    from jumanji.registration import make, registered_environments  # noqa: PLC0415

    if name not in (known := registered_environments()):
        raise unknown("Jumanji environment", name, known, see="as jumanji.make takes it")
    try:
        return make(name, **options)
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UserError(f"environment 'jumanji:{name}' cannot be made: {reason}") from error


def _class(made: Any) -> str:
    return type(getattr(made, "unwrapped", made)).__name__


def _raw(key: Key[Array, ""]) -> Array:
    """Jumanji keeps keys of the old kind in its states."""
    return jax.random.key_data(key)
