"""A trained policy to act with. Stage: evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from adaps.envs.agent_io import Agents, as_arrays
from adaps.errors import UserError
from adaps.files.run_folder import load_policy, saved_seeds
from adaps.networks.mlp import (
    ActorCritic,
    actor_logits,
    count_params,
    greedy_action,
    sample_action,
)
from adaps.types import NetworkShape, Sharing


@dataclass(frozen=True)
class Policy:
    """One seed's trained team."""

    params: ActorCritic
    sharing: Sharing
    shape: NetworkShape
    agents: Agents | None = None
    """Names and spaces; None in policies that were saved without."""

    @property
    def num_params(self) -> int:
        """Trainable numbers of actor and critic."""
        return count_params(self.params)

    def act(
        self,
        obs: Float[Array, "*batch agent obs"] | Float[np.ndarray, "*batch agent obs"],
        key: Key[Array, ""] | None = None,
        legal: Bool[Array, "*batch agent action"]
        | Bool[np.ndarray, "*batch agent action"]
        | None = None,
    ) -> Int[Array, "*batch agent"]:
        """Actions of all agents: the most likely ones, or drawn where a ``key`` is given.

        Args:
            obs: observations of all agents, in the environment's order, with any leading axes.
            key: JAX key to draw with.
            legal: which actions may be taken; all where it is not given.

        Raises:
            UserError: the observations have another shape than the policy was trained on.
        """
        obs = jnp.asarray(obs, jnp.float32)
        expected = (self.shape.num_agents, self.shape.obs_size)
        if obs.shape[-2:] != expected:
            raise UserError(
                f"observations must end in (agents, numbers) = {expected}, not {tuple(obs.shape)}"
            )
        if legal is None:
            legal = jnp.ones((*obs.shape[:-1], self.shape.num_actions), bool)
        if key is None:
            return _act_greedy(self.params, self.sharing, obs, legal)
        return _act_sampled(self.params, self.sharing, key, obs, legal)

    def act_by_name(
        self,
        obs: Mapping[str, Any],
        key: Key[Array, ""] | None = None,
        legal: Mapping[str, Any] | None = None,
    ) -> dict[str, int]:
        """Actions of the agents that are there, in the environment's own names and numbers.

        Args:
            obs: what each agent sees, as its environment gives it, action mask included.
            key: JAX key to draw with.
            legal: further masks of actions by agent; all actions where it is not given.

        Raises:
            UserError: an agent that the policy is not for, or an observation of another space.
        """
        if self.agents is None:
            raise UserError("this policy was saved without its agents' names: use act")
        seen = as_arrays(self.agents, obs, legal)
        actions = np.asarray(self.act(seen.obs, key, seen.legal))
        each = zip(self.agents.names, self.agents.spaces, actions, strict=True)
        return {name: int(a) + space.first_action for name, space, a in each if name in obs}


@jax.jit
def _act_greedy(params, sharing, obs, legal):
    return greedy_action(actor_logits(params, sharing, obs, legal))


@jax.jit
def _act_sampled(params, sharing, key, obs, legal):
    return sample_action(key, actor_logits(params, sharing, obs, legal))


def load(folder: str | Path, seed: int | None = None) -> Policy:
    """The policy that a run's folder holds, of its first seed unless named.

    Raises:
        UserError: not a run's folder, no such seed, or a damaged file.
    """
    folder = Path(folder)
    seeds: Sequence[int] = saved_seeds(folder)
    if not seeds:
        raise UserError(f"{folder} holds no trained policy")
    return Policy(*load_policy(folder, seeds[0] if seed is None else seed))
