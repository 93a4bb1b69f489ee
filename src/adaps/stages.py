"""The steps of training as compiled functions over a leading seed axis. Stage: train."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from adaps.config import TrainConfig, gathering_steps
from adaps.evaluate import Episodes, evaluate
from adaps.identity import vae
from adaps.networks import init_params
from adaps.placement import over_seeds
from adaps.policy import greedy, sampled
from adaps.rollout import RolloutState, rollout, start
from adaps.sharing import FuPS
from adaps.types import Environment, Learner, Metrics, NetworkShape, Params, Sharing

CURVE_EPISODES = 100
"""Episodes of one point of the learning curve, at most."""


class SeedKeys(NamedTuple):
    """One key per use, so that a method that skips a stage shares the other stages' chance."""

    params: Key[Array, "*seed"]
    gather: Key[Array, "*seed"]
    encoder: Key[Array, "*seed"]
    masks: Key[Array, "*seed"]
    rollout: Key[Array, "*seed"]


class TrainState(NamedTuple):
    """Everything that changes while a seed trains."""

    learner: Learner
    rollout: RolloutState
    metrics: Metrics
    """Sums over the updates since the last evaluation."""
    num_updates: Int[Array, "*seed"]
    """How many those are."""

    def mean_metrics(self) -> Metrics:
        """Means over the updates since the last evaluation."""
        return jax.tree.map(lambda total: total / self.num_updates, self.metrics)

    def evaluated(self) -> "TrainState":
        """Begin new sums."""
        zeros = jax.tree.map(jnp.zeros_like, self.metrics)
        return self._replace(metrics=zeros, num_updates=jnp.zeros_like(self.num_updates))


class Stages(NamedTuple):
    """What ``train.py`` calls in order. Arguments and results have a leading seed axis."""

    shape: NetworkShape
    keys: Callable[[Int[Array, " seed"]], SeedKeys]
    gather: Callable[[SeedKeys], vae.Samples]
    begin_encoder: Callable[[SeedKeys, vae.Samples], vae.VAEState]
    encoder_epoch: Callable[[vae.VAEState, vae.Samples], tuple[vae.VAEState, Float[Array, " seed"]]]
    codes: Callable[[vae.VAEState], Float[Array, "seed agent latent"]]
    begin: Callable[[SeedKeys, Sharing], TrainState]
    advance: Callable[[TrainState, Sharing, Int[Array, ""]], TrainState]
    evaluate: Callable[[Params, Sharing], tuple[Episodes, Episodes]]
    evaluate_finally: Callable[[Params, Sharing], Episodes]


def network_shape(env: Environment, config: TrainConfig) -> NetworkShape:
    """Sizes of the network that ``config`` asks for in ``env``."""
    return NetworkShape(env.num_agents, env.obs_size, env.num_actions, tuple(config.hidden))


def make_stages(env: Environment, config: TrainConfig, num_seeds: int) -> Stages:
    """Everything compiled for ``num_seeds`` in one program, on first use."""
    shape = network_shape(env, config)
    each = partial(over_seeds, num_seeds=num_seeds)
    return Stages(
        shape=shape,
        keys=each(_keys),
        gather=each(partial(_gather, env, config, shape)),
        begin_encoder=each(partial(_begin_encoder, config, shape)),
        encoder_epoch=each(partial(vae.epoch, config.encoder)),
        codes=each(vae.codes),
        begin=each(partial(_begin, env, config, shape)),
        advance=each(partial(_advance, env, config), shared=(2,)),
        evaluate=each(partial(_evaluate, env, min(CURVE_EPISODES, config.eval_episodes))),
        evaluate_finally=each(partial(_evaluate_greedy, env, config.eval_episodes)),
    )


def _keys(seed: Int[Array, ""]) -> SeedKeys:
    return SeedKeys(*jax.random.split(jax.random.key(seed), len(SeedKeys._fields)))


def _gather(
    env: Environment, config: TrainConfig, shape: NetworkShape, keys: SeedKeys
) -> vae.Samples:
    """Transitions of every agent under the initial shared policy: full sharing, no masks."""
    policy = sampled(init_params(keys.params, shape), FuPS().build(keys.masks, shape, None))
    num_steps = gathering_steps(config) // config.num_envs
    _, transitions = rollout(env, policy, start(env, keys.gather, config.num_envs), num_steps)
    return vae.as_samples(transitions)


def _begin_encoder(
    config: TrainConfig, shape: NetworkShape, keys: SeedKeys, samples: vae.Samples
) -> vae.VAEState:
    return vae.init(config.encoder, keys.encoder, shape.num_agents, samples)


def _begin(
    env: Environment, config: TrainConfig, shape: NetworkShape, keys: SeedKeys, sharing: Sharing
) -> TrainState:
    """A fresh learner and fresh copies of the environment."""
    num_tags = sharing.tags.shape[-1]
    learner = config.algo.build().init(init_params(keys.params, shape, num_tags=num_tags))
    rollout_state = start(env, keys.rollout, config.num_envs)
    one = partial(_rollout_and_update, env, config, sharing)
    *_, metrics = jax.eval_shape(one, learner, rollout_state)
    zeros = jax.tree.map(lambda metric: jnp.zeros(metric.shape, metric.dtype), metrics)
    return TrainState(learner, rollout_state, zeros, jnp.int32(0))


def _advance(
    env: Environment,
    config: TrainConfig,
    state: TrainState,
    sharing: Sharing,
    num_updates: Int[Array, ""],
) -> TrainState:
    """So many times: roll out, update. The number is not part of the program."""

    def one(_, state: TrainState) -> TrainState:
        learner, rollout_state, metrics = _rollout_and_update(
            env, config, sharing, state.learner, state.rollout
        )
        sums = jax.tree.map(jnp.add, state.metrics, metrics)
        return TrainState(learner, rollout_state, sums, state.num_updates + 1)

    return jax.lax.fori_loop(0, num_updates, one, state)


def _rollout_and_update(
    env: Environment,
    config: TrainConfig,
    sharing: Sharing,
    learner: Learner,
    rollout_state: RolloutState,
) -> tuple[Learner, RolloutState, Metrics]:
    policy = sampled(learner.params, sharing)
    rollout_state, transitions = rollout(env, policy, rollout_state, config.rollout_length)
    learner, metrics = config.algo.build().update(learner, sharing, transitions)
    return learner, rollout_state, metrics


def _evaluate(
    env: Environment, num_episodes: int, params: Params, sharing: Sharing
) -> tuple[Episodes, Episodes]:
    """Greedy and sampled episodes, from the same resets."""
    return (
        evaluate(env, greedy(params, sharing), num_episodes),
        evaluate(env, sampled(params, sharing), num_episodes),
    )


def _evaluate_greedy(
    env: Environment, num_episodes: int, params: Params, sharing: Sharing
) -> Episodes:
    return evaluate(env, greedy(params, sharing), num_episodes)
