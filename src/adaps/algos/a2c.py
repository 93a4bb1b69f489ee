"""Advantage actor-critic with n-step returns. Stage: update.

As the SePS authors ran it (arXiv 2102.07475), with the couplings between parameter sets removed:
the loss is summed over agents, and gradients are clipped for each set by its own norm.
"""

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from adaps.extensions import POSITIVE, Range
from adaps.networks.mlp import ActorCritic, actor_logits, critic_value, mask_difference
from adaps.types import Algorithm, LearnedMasks, Metrics, Params, Sharing, Transition


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

    def build(self) -> Algorithm:
        """The learner's start and its update."""
        optimiser = _optimiser(self)

        def init(params: Params) -> A2CLearner:
            return A2CLearner(params, optimiser.init(params))

        def update(
            learner: A2CLearner, sharing: Sharing, transitions: Transition
        ) -> tuple[A2CLearner, Metrics]:
            gradients, metrics = jax.grad(_loss, argnums=1, has_aux=True)(
                self, learner.params, sharing, transitions
            )
            updates, opt_state = optimiser.update(gradients, learner.opt_state)
            params: Any = optax.apply_updates(cast(Any, learner.params), updates)
            return A2CLearner(params, opt_state), metrics

        return Algorithm(init, update)


class A2CLearner(NamedTuple):
    params: ActorCritic
    opt_state: optax.OptState


def clip_by_norm_per_set(max_norm: float) -> optax.GradientTransformation:
    """Scale each parameter set's gradient to at most ``max_norm``, apart from the other sets.

    One norm over all sets would let an agent's noise change every other network's update.
    """

    def init(params: optax.Params) -> optax.OptState:
        del params
        return optax.EmptyState()

    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        del params
        norm = jnp.sqrt(sum(_per_set(leaf) for leaf in jax.tree.leaves(updates)))
        scale = jnp.minimum(1.0, max_norm / jnp.maximum(norm, jnp.finfo(norm.dtype).tiny))
        return jax.tree.map(lambda leaf: (leaf.T * scale).T, updates), state

    def _per_set(leaf: Float[Array, "set *shape"]) -> Float[Array, " set"]:
        return jnp.square(leaf).reshape(leaf.shape[0], -1).sum(axis=1)

    return optax.GradientTransformation(init, update)


def n_step_returns(
    reward: Float[Array, "time env agent"],
    next_value: Float[Array, "time env agent"],
    terminated: Bool[Array, "time env"] | Bool[Array, "time env agent"],
    truncated: Bool[Array, "time env"] | Bool[Array, "time env agent"],
    discount: float,
) -> Float[Array, "time env agent"]:
    """Discounted rewards up to the rollout's end, then the critic's word for the rest.

    ``G_t = r_t + γ·(0 if terminated, V(o'_t) if truncated or last, else G_{t+1})``, where
    ``next_value`` is ``V(o'_t)`` of the observation that followed, before any reset. The ends are
    those of episodes, or of each agent's own part in them.
    """
    terminated, truncated = (x if x.ndim == 3 else x[..., None] for x in (terminated, truncated))

    def step_back(later, x):
        reward, next_value, terminated, truncated = x
        rest = jnp.where(truncated, next_value, later)
        rest = jnp.where(terminated, 0.0, rest)
        now = reward + discount * rest
        return now, now

    inputs = (reward, next_value, terminated, truncated)
    return jax.lax.scan(step_back, next_value[-1], inputs, reverse=True)[1]


def _loss(
    options: A2C, params: ActorCritic, sharing: Sharing, transitions: Transition
) -> tuple[Float[Array, ""], Metrics]:
    log_probs = jax.nn.log_softmax(
        actor_logits(params, sharing, transitions.obs, transitions.legal)
    )
    values = critic_value(params, sharing, transitions.obs)
    returns = jax.lax.stop_gradient(_returns(options, params, sharing, transitions))
    advantage = jax.lax.stop_gradient(returns - values)

    taken = jnp.take_along_axis(log_probs, transitions.action[..., None], axis=-1)[..., 0]
    entropy = -(jnp.exp(log_probs) * log_probs).sum(-1)
    terms = {
        "policy_loss": _over_agents(-taken * advantage, transitions),
        "value_loss": _over_agents(jnp.square(returns - values), transitions),
        "entropy": _over_agents(entropy, transitions),
    }
    loss = (
        terms["policy_loss"]
        + options.value_loss * terms["value_loss"]
        - options.entropy * terms["entropy"]
    )
    if sharing.learned is not None:
        terms["mask_difference"] = mask_difference(params)
        loss = loss - _diversity_bonus(sharing.learned, loss, terms["mask_difference"])
    return loss, terms


def _diversity_bonus(
    learned: LearnedMasks, loss: Float[Array, ""], difference: Float[Array, ""]
) -> Float[Array, ""]:
    """Kaleidoscope's reward for unlike masks, worth a fixed share of the loss itself."""
    size = jnp.abs(loss) / jnp.where(difference > 0, difference, 1.0)
    return learned.diversity * jax.lax.stop_gradient(size) * difference


def _over_agents(x: Float[Array, "time env agent"], transitions: Transition) -> Float[Array, ""]:
    """Sum over agents that take part, mean over time and copies: no share shrinks with the team."""
    if transitions.presence is not None:
        x = jnp.where(transitions.presence.here, x, 0.0)
    return x.sum(axis=-1).mean()


def _returns(
    options: A2C, params: ActorCritic, sharing: Sharing, transitions: Transition
) -> Float[Array, "time env agent"]:
    next_value = _next_values(params, sharing, transitions)
    ends = transitions if transitions.presence is None else transitions.presence
    return n_step_returns(
        transitions.reward, next_value, ends.terminated, ends.truncated, options.discount
    )


def _next_values(
    params: ActorCritic, sharing: Sharing, transitions: Transition
) -> Float[Array, "time env agent"]:
    """``V(o'_t)`` where :func:`n_step_returns` reads it: the last row, and where truncated.

    Only the last row is computed when no copy was truncated, which is most of the time.
    """
    last = critic_value(params, sharing, transitions.last_obs[-1])
    if len(transitions.reward) == 1:
        return last[None]

    def everywhere():
        earlier = critic_value(params, sharing, transitions.last_obs[:-1])
        return jnp.concatenate([earlier, last[None]])

    def only_last():
        return jnp.zeros_like(transitions.reward).at[-1].set(last)

    ends = transitions if transitions.presence is None else transitions.presence
    return jax.lax.cond(ends.truncated[:-1].any(), everywhere, only_last)


def _optimiser(options: A2C) -> optax.GradientTransformation:
    adam = optax.adam(options.learning_rate, eps=options.adam_epsilon)
    if options.max_grad_norm is None:
        return adam
    return optax.chain(clip_by_norm_per_set(options.max_grad_norm), adam)
