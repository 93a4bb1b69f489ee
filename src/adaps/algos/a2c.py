"""Advantage actor-critic with n-step returns. Stage: update.

As the SePS authors ran it (arXiv 2102.07475), with the couplings between parameter sets removed:
the loss is summed over agents, and gradients are clipped for each set by its own norm.
"""

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from adaps.algos.optim import clip_by_norm_per_set
from adaps.algos.returns import n_step_returns
from adaps.extensions import POSITIVE, Range
from adaps.networks.agent import Agent
from adaps.types import Metrics, Params, Rollout, Sharing


class A2CLearner(NamedTuple):
    params: Params
    opt_state: optax.OptState


@dataclass(frozen=True)
class A2C:
    """Options of A2C."""

    learning_rate: Annotated[float, POSITIVE] = 1e-3
    """Step size of Adam."""
    discount: Annotated[float, Range(0, 1)] = 0.99
    """Weight of a reward one step later."""
    entropy: Annotated[float, Range(0)] = 0.01
    """Weight of the entropy bonus, which keeps the policy exploring."""
    value_loss: Annotated[float, Range(0)] = 0.5
    """Weight of the critic's squared error."""
    max_grad_norm: Annotated[float | None, POSITIVE] = 0.5
    """Clip each parameter set's gradient to this norm; None does not clip."""
    adam_epsilon: Annotated[float, POSITIVE] = 1e-5
    """Adam's guard against division by zero."""

    name = "a2c"

    def init(self, key: Key[Array, ""], agent: Agent, params: Params) -> A2CLearner:
        """No update made yet."""
        del key
        return A2CLearner(params, self._optimiser(agent).init(cast(Any, params)))

    def update(
        self,
        key: Key[Array, ""],
        agent: Agent,
        learner: A2CLearner,
        sharing: Sharing,
        rollout: Rollout,
    ) -> tuple[A2CLearner, Metrics]:
        """One step of Adam down the loss of one rollout."""
        gradients, metrics = jax.grad(self._loss, has_aux=True)(
            learner.params, agent, sharing, rollout
        )
        params: Any = learner.params
        updates, opt_state = self._optimiser(agent).update(
            gradients, learner.opt_state, params, key=key
        )
        return A2CLearner(cast(Any, optax.apply_updates(params, updates)), opt_state), metrics

    def _loss(
        self, params: Params, agent: Agent, sharing: Sharing, rollout: Rollout
    ) -> tuple[Float[Array, ""], Metrics]:
        distribution, value = agent.unroll(params, sharing, rollout)
        next_value = agent.next_values(params, sharing, rollout)
        ends = rollout.ends
        returns = jax.lax.stop_gradient(
            n_step_returns(
                rollout.reward, next_value, ends.terminated, ends.truncated, self.discount
            )
        )
        advantage = jax.lax.stop_gradient(returns - value)

        terms = {
            "policy_loss": _over_agents(
                -distribution.log_prob(rollout.action) * advantage, rollout
            ),
            "value_loss": _over_agents(jnp.square(returns - value), rollout),
            "entropy": _over_agents(distribution.entropy(), rollout),
        }
        loss = (
            terms["policy_loss"]
            + self.value_loss * terms["value_loss"]
            - self.entropy * terms["entropy"]
        )
        penalty, more = agent.method.penalty(params, sharing, loss)
        return loss + penalty, terms | more

    def _optimiser(self, agent: Agent) -> optax.GradientTransformationExtraArgs:
        adam = optax.adam(self.learning_rate, eps=self.adam_epsilon)
        clip = [] if self.max_grad_norm is None else [clip_by_norm_per_set(self.max_grad_norm)]
        return optax.chain(*clip, adam, agent.method.transform())


def _over_agents(x: Float[Array, "time env agent"], rollout: Rollout) -> Float[Array, ""]:
    """Sum over agents that take part, mean over time and copies: no share shrinks with the team."""
    if rollout.observation.here is not None:
        x = jnp.where(rollout.observation.here, x, 0.0)
    return x.sum(axis=-1).mean()
