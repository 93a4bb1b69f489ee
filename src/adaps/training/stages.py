"""The steps of training as compiled functions over a leading seed axis. Stage: train."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt

from adaps.collect.diversity import behaviour_distance
from adaps.collect.evaluate import Episodes, evaluate
from adaps.collect.jax import RolloutState, rollout, start
from adaps.config.training import TrainConfig, gathering_steps, network_shape
from adaps.identity import autoencoder, gathering
from adaps.identity.autoencoder import CoderState
from adaps.identity.gathering import GatherState
from adaps.identity.samples import Gathered, Samples, as_samples
from adaps.identity.space_groups import SpaceGroup, gathered_of_group, space_groups_of
from adaps.networks import normalise
from adaps.networks.mlp import (
    actor_logits,
    greedy_action,
    init_params,
    num_sets_of,
    renew_unused,
    sample_action,
    sampled,
)
from adaps.networks.normalise import Normaliser, scaled
from adaps.training.device_placement import over_seeds, stack, unstack
from adaps.types import (
    AnyEnvironment,
    Environment,
    Learner,
    Metrics,
    NetworkShape,
    Params,
    Sharing,
    Transition,
)


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
    rollout: Any
    """A :class:`RolloutState`, or where copies that run in Python stand."""
    metrics: Metrics
    """Sums over the updates since the last evaluation."""
    num_updates: Int[Array, "*seed"]
    """How many those are."""
    total_updates: Int[Array, "*seed"]
    """Updates since the beginning."""
    normaliser: Normaliser
    """What observations and rewards are scaled by."""
    skipped: Int[Array, "*seed"]
    """Updates since the beginning that were skipped, since a loss or gradient was not finite."""

    def mean_metrics(self) -> Metrics:
        """Means over the updates since the last evaluation."""
        num_updates = jnp.maximum(self.num_updates, 1)
        return jax.tree.map(lambda total: total / num_updates, self.metrics)

    def evaluated(self) -> "TrainState":
        """Begin new sums."""
        zeros = jax.tree.map(jnp.zeros_like, self.metrics)
        return self._replace(metrics=zeros, num_updates=jnp.zeros_like(self.num_updates))


class Culprit(NamedTuple):
    """An update after which not all numbers were finite."""

    before: TrainState
    transitions: Transition
    """What it learnt from."""
    after: TrainState
    number: int
    """Updates that were made before it."""


class Stages(NamedTuple):
    """What ``train.py`` calls in order. Arguments and results have a leading seed axis."""

    shape: NetworkShape
    keys: Callable[[UInt[Array, " seed"]], SeedKeys]
    fresh_keys: Callable[[SeedKeys, Int[Array, ""]], SeedKeys]
    """Keys for another look at who is who."""
    begin_gathering: Callable[[SeedKeys], GatherState]
    gather: Callable[[GatherState, Params, Sharing, Int[Array, ""]], GatherState]
    samples: Callable[[Gathered], list[Samples]]
    """Of each part of the team whose spaces are alike."""
    train_encoder: Callable[
        [CoderState, Samples, Int[Array, ""]], tuple[CoderState, Float[Array, " seed"]]
    ]
    begin: Callable[[SeedKeys, Params, Sharing], TrainState]
    advance: Callable[[TrainState, Sharing, Int[Array, ""]], TrainState]
    evaluate: Callable[[Params, Sharing, Int[Array, " episode"]], tuple[Episodes, Episodes]]
    scaled: Callable[[Sharing, Normaliser], Sharing]
    """Sharing with observations scaled as they are now."""
    distances: Callable[[TrainState, Sharing], Float[Array, "seed agent agent"]]
    """How differently agents act on the observations that training has come to."""
    is_finite: Callable[[Metrics, Params], Bool[Array, " seed"]]
    """Whether all of them are finite numbers."""
    culprit: Callable[[TrainState, Sharing, int], Culprit]
    """Of at most so many updates from here, the first after which not all is finite."""

    @contextmanager
    def opened(self, stop: threading.Event) -> Iterator["Stages"]:
        """These stages, ready for one program; each of their steps returns by itself."""
        del stop
        yield self


def make_stages(env: Environment, config: TrainConfig, num_seeds: int) -> Stages:
    """Everything compiled for ``num_seeds`` in one program, on first use."""
    each = partial(over_seeds, num_seeds=num_seeds)
    advance = each(partial(_advance, env, config), shared=(2,))
    others = without_steps(env, config, num_seeds)
    next_batch = each(partial(_next_batch, env, config))
    return Stages(
        **others,
        begin_gathering=each(partial(_begin_gathering, env, config)),
        gather=each(partial(_gather, env, config), shared=(3,)),
        begin=each(partial(_begin, env, config)),
        advance=advance,
        evaluate=each(partial(_evaluate, env), shared=(2,)),
        distances=each(_distances),
        culprit=partial(_culprit, advance, others["is_finite"], next_batch),
    )


def without_steps(env: AnyEnvironment, config: TrainConfig, num_seeds: int) -> dict[str, Any]:
    """Those of the stages that do not step the environment, by name."""
    each = partial(over_seeds, num_seeds=num_seeds)
    return {
        "shape": network_shape(env, config),
        "keys": each(_keys),
        "fresh_keys": each(_fresh_keys, shared=(1,)),
        "samples": each(partial(samples_of, space_groups_of(env))),
        "scaled": each(scaled),
        "is_finite": each(_is_finite),
        "train_encoder": each(partial(autoencoder.train, config.encoder), shared=(2,)),
    }


def initial_params(shape: NetworkShape, keys: SeedKeys, sharings: Sequence[Sharing]) -> Params:
    """Each seed's parameters before training, in as many sets as the most that one of them uses."""
    num_sets = max(map(num_sets_of, sharings))
    each = zip(unstack(keys.params, len(sharings)), sharings, strict=True)
    return stack([init_params(k, shape, num_sets, s.tags.shape[-1], s.learned) for k, s in each])


def alike_in_size(sharings: Sequence[Sharing]) -> list[Sharing]:
    """Tags filled up with zeros, so that seeds with more and with fewer groups fit together."""
    most = max(sharing.tags.shape[-1] for sharing in sharings)
    return [
        s._replace(tags=jnp.pad(s.tags, ((0, 0), (0, most - s.tags.shape[-1])))) for s in sharings
    ]


def initial_encoder(config: TrainConfig, keys: SeedKeys, samples: Samples) -> CoderState:
    """Each seed's encoder and decoder before training."""
    num_seeds = len(samples.num_rare)
    each = zip(unstack(keys.encoder, num_seeds), unstack(samples, num_seeds), strict=True)
    return stack([autoencoder.init(config.encoder, key, own) for key, own in each])


def _keys(seed: UInt[Array, ""]) -> SeedKeys:
    return SeedKeys(*jax.random.split(jax.random.key(seed), len(SeedKeys._fields)))


def _fresh_keys(keys: SeedKeys, number: Int[Array, ""]) -> SeedKeys:
    gather, encoder = (jax.random.fold_in(key, number) for key in (keys.gather, keys.encoder))
    return keys._replace(gather=gather, encoder=encoder)


def samples_of(parts: Sequence[SpaceGroup], gathered: Gathered) -> list[Samples]:
    """What the agents of each part are told apart by."""
    return [as_samples(gathered_of_group(gathered, part)) for part in parts]


def _begin_gathering(env: Environment, config: TrainConfig, keys: SeedKeys) -> GatherState:
    return gathering.begin(env, gathering.plan(env, gathering_steps(config)), keys.gather)


def _gather(
    env: Environment,
    config: TrainConfig,
    state: GatherState,
    params: Params,
    sharing: Sharing,
    num_rounds: Int[Array, ""],
) -> GatherState:
    """So many rounds under a policy that is not trained meanwhile."""
    plan = gathering.plan(env, gathering_steps(config))
    policy = gathering.GATHER_POLICIES[config.gather_policy](sampled(params, sharing))
    return gathering.gather(env, plan, policy, state, num_rounds)


def _begin(
    env: Environment, config: TrainConfig, keys: SeedKeys, params: Params, sharing: Sharing
) -> TrainState:
    """A learner and copies of the environment at their start."""
    learner = config.algo.build().init(params)
    rollout_state = start(env, keys.rollout, config.num_envs)
    one = partial(rollout, env, sampled(params, sharing), num_steps=config.rollout_length)
    _, transitions = jax.eval_shape(one, rollout_state)
    return before_training(config, learner, sharing, transitions)._replace(rollout=rollout_state)


def before_training(
    config: TrainConfig, learner: Learner, sharing: Sharing, transitions: Transition
) -> TrainState:
    """No update made, and no rollout begun; of transitions, only the shapes matter."""
    _, metrics = jax.eval_shape(config.algo.build().update, learner, sharing, transitions)
    zeros = jax.tree.map(lambda metric: jnp.zeros(metric.shape, metric.dtype), metrics)
    normaliser = normalise.begin(
        sharing, config.num_envs, config.normalise_obs, config.scale_rewards
    )
    zero = jnp.int32(0)
    return TrainState(learner, None, zeros, zero, zero, normaliser, zero)


def _advance(
    env: Environment,
    config: TrainConfig,
    state: TrainState,
    sharing: Sharing,
    num_updates: Int[Array, ""],
) -> TrainState:
    """So many times: roll out, update. The number is not part of the program."""

    def one(_, state: TrainState) -> TrainState:
        state, went_on, transitions = _rolled_out(env, config, state, sharing)
        return updated(config, state, sharing, transitions)._replace(rollout=went_on)

    return jax.lax.fori_loop(0, num_updates, one, state)


def _rolled_out(
    env: Environment, config: TrainConfig, state: TrainState, sharing: Sharing
) -> tuple[TrainState, RolloutState, Transition]:
    """The state to learn in, where the rollout has come to, and what is to be learnt from."""
    state = renewed(state, sharing, state.rollout.key)
    policy = sampled(state.learner.params, scaled(sharing, state.normaliser))
    return state, *rollout(env, policy, state.rollout, config.rollout_length)


def _next_batch(
    env: Environment, config: TrainConfig, state: TrainState, sharing: Sharing
) -> Transition:
    return _rolled_out(env, config, state, sharing)[-1]


def _is_finite(*trees: Any) -> Bool[Array, ""]:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(trees)]).all()


def _culprit(
    advance: Callable,
    is_finite: Callable,
    next_batch: Callable,
    state: TrainState,
    sharing: Sharing,
    most: int,
) -> Culprit:
    """Makes the updates again, one by one: they come to the same, bit for bit."""
    before = after = state
    for number in range(most):
        before, after = after, advance(after, sharing, jnp.int32(1))
        if not is_finite(after.metrics, after.learner.params).all():
            return Culprit(before, next_batch(before, sharing), after, number)
    return Culprit(before, next_batch(before, sharing), after, most - 1)


def updated(
    config: TrainConfig, state: TrainState, sharing: Sharing, transitions: Transition
) -> TrainState:
    """One update by a rollout's transitions; what they are scaled by is known before them."""
    normaliser, learnt_from = normalise.with_rewards(
        state.normaliser, sharing, transitions, config.algo.discount
    )
    as_acted = scaled(sharing, state.normaliser)
    learner, metrics = config.algo.build().update(state.learner, as_acted, learnt_from)
    new = state._replace(
        normaliser=normalise.with_observations(normaliser, sharing, transitions),
        learner=learner,
    )
    new = new._replace(
        metrics=jax.tree.map(jnp.add, state.metrics, metrics),
        num_updates=state.num_updates + 1,
    )
    if config.not_finite == "skip":
        new = _unless_not_finite(state, new)
    return new._replace(total_updates=state.total_updates + 1)


def _unless_not_finite(old: TrainState, new: TrainState) -> TrainState:
    """The old state where an update is to be skipped, which is counted."""
    fine = _is_finite(new.metrics, new.learner.params, new.normaliser)
    changed = ("learner", "normaliser", "metrics", "num_updates")
    parts = {
        name: jax.tree.map(partial(jnp.where, fine), getattr(new, name), getattr(old, name))
        for name in changed
    }
    return new._replace(**parts, skipped=old.skipped + ~fine)


def renewed(state: TrainState, sharing: Sharing, key: Key[Array, ""]) -> TrainState:
    """Now and then, weights that learned masks have shut out for everyone are drawn anew."""
    learner, learned, total = state.learner, sharing.learned, state.total_updates
    if learned is None:
        return state
    params = jax.lax.cond(
        (total % learned.renew_every == 0) & (total > 0),
        lambda: renew_unused(jax.random.fold_in(key, 0), learner.params, learned),
        lambda: learner.params,
    )
    return state._replace(learner=learner._replace(params=params))


def _evaluate(
    env: Environment, params: Params, sharing: Sharing, numbers: Int[Array, " episode"]
) -> tuple[Episodes, Episodes]:
    """Greedy and sampled episodes from the same resets, side by side in one program."""
    half = numbers.shape[0]

    def policy(key, obs, legal):
        logits = actor_logits(params, sharing, obs, legal)
        best, drawn = greedy_action(logits[:half]), sample_action(key, logits[half:])
        return jnp.concatenate([best, drawn])

    both = evaluate(env, policy, jnp.concatenate([numbers, numbers]))
    return jax.tree.map(lambda x: x[:half], both), jax.tree.map(lambda x: x[half:], both)


def _distances(state: TrainState, sharing: Sharing) -> Float[Array, "agent agent"]:
    now = state.rollout.timestep
    return behaviour_distance(state.learner.params, sharing, now.obs, now.legal)
