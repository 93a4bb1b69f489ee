"""A learner of your own: REINFORCE, for every environment and every way of sharing.

    adaps train bps:4-4 --algo examples.reinforce:Reinforce --rollout-length 50

An algorithm is a frozen dataclass whose fields are its options, with a name, a discount, and two
functions: ``init`` makes what it carries from update to update, ``update`` learns from a rollout.
All that it knows of networks and sharing is the agent.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

import adaps
from adaps.algos.returns import n_step_returns


class Learner(NamedTuple):
    params: adaps.Params
    opt_state: Any


@dataclass(frozen=True)
class Reinforce:
    """Options of REINFORCE."""

    learning_rate: float = 3e-3
    """Step size of Adam."""
    discount: float = 0.99
    """Weight of a reward one step later."""

    name = "reinforce"

    def init(self, key, agent, params):
        """No update made yet."""
        return Learner(params, optax.adam(self.learning_rate).init(params))

    def update(self, key, agent, learner, sharing, rollout):
        """One step up the likelihood of actions, weighted by how much more than usual followed."""
        ends, nothing = rollout.ends, jnp.zeros_like(rollout.reward)
        returns = n_step_returns(
            rollout.reward, nothing, ends.terminated, ends.truncated, self.discount
        )
        better = returns - returns.mean(axis=(0, 1))  # each agent's own mean, over time and copies

        def loss(params):
            taken = agent.unroll(params, sharing, rollout).distribution.log_prob(rollout.action)
            each = jnp.where(rollout.acted, taken * better, 0.0)  # agents may pause, or be out
            return -each.sum(axis=-1).mean()

        value, gradients = jax.value_and_grad(loss)(learner.params)
        optimiser = optax.adam(self.learning_rate)
        updates, opt_state = optimiser.update(gradients, learner.opt_state)
        params = optax.apply_updates(learner.params, updates)
        return Learner(params, opt_state), {"policy_loss": value}
