"""Somebody's Jumanji environment of several agents, to be identified and trained in. Stage: env.

Needs the extra ``jumanji`` only where an environment is made by name.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from adaps.envs.adapters.common import made_by_name, timestep
from adaps.envs.autoreset import auto_reset
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
    max_steps: int
    agent_types: tuple[int, ...] | None = None

    def reset(self, key: Key[Array, ""]) -> tuple[EnvState, Timestep]:
        # Jumanji keeps keys of the old kind in its states.
        return self._converted(*self.env.reset(jax.random.key_data(key)))

    def step(
        self, key: Key[Array, ""], state: EnvState, action: Int[Array, " agent"]
    ) -> tuple[EnvState, Timestep]:
        return auto_reset(self.reset, key, *self._converted(*self.env.step(state, action)))

    def _converted(self, state: EnvState, theirs: Any) -> tuple[EnvState, Timestep]:
        seen = jnp.float32(theirs.observation.agents_view).reshape(self.num_agents, -1)
        legal = getattr(theirs.observation, "action_mask", None)
        if legal is None:
            legal = jnp.ones((self.num_agents, self.num_actions), bool)
        reward, at_limit = self._rewards(theirs.reward), self._at_limit(state, theirs)
        return state, timestep(Observation(seen, legal), reward, theirs.last(), at_limit)

    def _at_limit(self, state: EnvState, theirs: Any) -> Bool[Array, ""]:
        """Whether an episode that is over was so by its time limit."""
        goes_on = (jnp.asarray(theirs.discount) > 0).any()
        if type(self.env.unwrapped).__name__ in TELL_BY_DISCOUNT:
            return goes_on
        return goes_on | (state.step_count >= self.env.time_limit)

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
        UserError: the extra ``jumanji`` is not installed, there is no such environment, or it is
            not one of several agents with discrete actions.
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
    size = math.prod(made.observation_spec.agents_view.shape[1:])
    limit = int(getattr(made, "time_limit", 1_000))
    return JumanjiTeam(made, called, int(made.num_agents), int(size), int(actions[0]), limit)


def _made(name: str, options: dict[str, Any]) -> Any:
    with needs_extra("jumanji"):
        from jumanji.registration import make, registered_environments  # noqa: PLC0415

    return made_by_name("Jumanji", name, registered_environments(), make, options)


def _class(made: Any) -> str:
    return type(getattr(made, "unwrapped", made)).__name__
