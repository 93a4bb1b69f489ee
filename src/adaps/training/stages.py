"""The steps of training over a leading seed axis, compiled once for each setting. Stage: train.

Compiled functions stand at the top level and take what they depend on as static arguments, so that
a second run of the same setting compiles nothing.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt

from adaps.collect.diversity import behaviour_distance
from adaps.collect.episodes import Episodes
from adaps.collect.jax import JaxCollector, Static, step_of, uniform
from adaps.config.training import TrainConfig, gathering_steps, network_of
from adaps.identity import autoencoder, gathering
from adaps.identity.autoencoder import CoderState
from adaps.identity.gathering import GatherState, Plan
from adaps.identity.samples import Gathered, Samples, as_samples
from adaps.identity.space_groups import gathered_of_group
from adaps.networks import normalise
from adaps.networks.agent import Agent, Policy, both_ways
from adaps.networks.normalise import Normaliser
from adaps.networks.weights import num_sets_used
from adaps.sharing.method import SharingMethod, hooks_of
from adaps.training.device_placement import over_seeds, stack, unstack
from adaps.types import (
    AnyEnvironment,
    Box,
    Environment,
    Learner,
    Metrics,
    Network,
    Params,
    Rollout,
    Sharing,
    Timestep,
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
    position: Any
    """Of a collector."""
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


class NonFiniteUpdate(Exception):  # noqa: N818
    """An update after which not all numbers were finite.

    Args:
        before: the state that it was made from.
        rollout: what it learned from.
        after: the state that it came to.
        number: updates that were made before it.
    """

    def __init__(
        self, before: TrainState, rollout: Rollout, after: TrainState, number: int
    ) -> None:
        super().__init__(number)
        self.before, self.rollout, self.after, self.number = before, rollout, after, number


@dataclass(frozen=True, eq=False)
class Setting(Static):
    """All that updates depend on besides arrays."""

    agent: Agent
    algo: Any
    rollout_length: int
    normalise_obs: bool
    scale_rewards: bool
    not_finite: str


@dataclass(frozen=True, eq=False)
class EncoderOptions(Static):
    """An identity encoder's options, as a static argument."""

    options: Any


def setting_of(env: AnyEnvironment, config: TrainConfig) -> Setting:
    """What a configuration says of updates in an environment."""
    agent = Agent(network_of(env, config), hooks_of(config.sharing))
    flags = (config.normalise_obs, config.scale_rewards, config.not_finite)
    return Setting(agent, config.algo, config.rollout_length, *flags)


@runtime_checkable
class Stages(Protocol):
    """What ``train.py`` calls in order. Arguments and results have a leading seed axis."""

    @property
    def env(self) -> AnyEnvironment: ...
    @property
    def config(self) -> TrainConfig: ...
    @property
    def setting(self) -> Setting: ...
    @property
    def plan(self) -> Plan: ...
    def begin_gathering(self, keys: SeedKeys) -> GatherState: ...
    def gather(
        self, state: GatherState, params: Params, sharing: Sharing, rounds: int
    ) -> GatherState:
        """So many rounds under a policy that is not trained meanwhile."""
        ...

    def begin(self, keys: SeedKeys, params: Params, sharing: Sharing) -> TrainState:
        """A learner and copies of the environment at their start."""
        ...

    def advance(self, state: TrainState, sharing: Sharing, updates: int) -> TrainState:
        """Collect and update so many times.

        Raises:
            NonFiniteUpdate: not all numbers are finite after one of them.
        """
        ...

    def evaluate(
        self, params: Params, sharing: Sharing, numbers: Int[Array, " episode"]
    ) -> tuple[Episodes, Episodes]:
        """Greedy and sampled episodes from the same resets, side by side."""
        ...

    def distances(self, state: TrainState, sharing: Sharing) -> Float[Array, "seed agent agent"]:
        """How differently agents act on the observations that training has come to."""
        ...


@runtime_checkable
class PreparedStages(Protocol):
    """Stages of which nothing is open yet, but the shapes of what they begin with are known."""

    @property
    def env(self) -> AnyEnvironment: ...
    @property
    def setting(self) -> Setting: ...
    def begun_shapes(self, keys: SeedKeys, params: Params, sharing: Sharing) -> TrainState:
        """What a checkpoint of training holds before the first update, by its shapes."""
        ...

    def gathering_shapes(self, keys: SeedKeys) -> GatherState:
        """What a checkpoint of gathering holds before the first round, likewise."""
        ...


@dataclass(frozen=True)
class JaxStages:
    """Of an environment in JAX: collecting and updating are one program."""

    env: Environment
    config: TrainConfig
    setting: Setting
    plan: Plan

    @property
    def collector(self) -> JaxCollector:
        return JaxCollector(self.env)

    def begin_gathering(self, keys: SeedKeys) -> GatherState:
        return _begin_gathering(self.collector, self.setting.agent, self.plan, keys)

    def gather(
        self, state: GatherState, params: Params, sharing: Sharing, rounds: int
    ) -> GatherState:
        static = (self.collector, self.setting.agent, self.plan, self.config.gather_policy)
        return _gather(*static, state, params, sharing, jnp.int32(rounds))

    def begin(self, keys: SeedKeys, params: Params, sharing: Sharing) -> TrainState:
        num_envs = self.config.num_envs
        return _begin(self.collector, self.setting, num_envs, keys, params, sharing)

    def advance(self, state: TrainState, sharing: Sharing, updates: int) -> TrainState:
        more = partial(_advance, self.collector, self.setting)
        new = jax.block_until_ready(more(state, sharing, jnp.int32(updates)))
        if updates and not is_finite(new.metrics, new.learner.params).all():
            self._find_non_finite(state, sharing, updates)
        return new

    def evaluate(
        self, params: Params, sharing: Sharing, numbers: Int[Array, " episode"]
    ) -> tuple[Episodes, Episodes]:
        return _evaluate(self.collector, self.setting.agent, params, sharing, numbers)

    def distances(self, state: TrainState, sharing: Sharing) -> Float[Array, "seed agent agent"]:
        now, params = state.position, state.learner.params
        seen = now.timestep.observation
        return distances_at(self.setting.agent, params, sharing, seen, now.memory)

    def opened(self, stop: Any) -> AbstractContextManager["JaxStages"]:
        """As they are: each of their steps returns by itself."""
        del stop
        return nullcontext(self)

    def begun_shapes(self, keys: SeedKeys, params: Params, sharing: Sharing) -> TrainState:
        """What :meth:`begin` returns, by its shapes alone."""
        return jax.eval_shape(self.begin, keys, params, sharing)

    def gathering_shapes(self, keys: SeedKeys) -> GatherState:
        """What :meth:`begin_gathering` returns, likewise."""
        return jax.eval_shape(self.begin_gathering, keys)

    def _find_non_finite(self, state: TrainState, sharing: Sharing, most: int) -> None:
        """Make the updates again, one by one: they come to the same, bit for bit."""
        before = after = state
        for number in range(most):
            before, after = (
                after,
                _advance(self.collector, self.setting, after, sharing, jnp.int32(1)),
            )
            finite = is_finite(after.metrics, after.learner.params).all()
            if not finite or number == most - 1:
                rollout = _next_rollout(self.collector, self.setting, before, sharing)
                raise NonFiniteUpdate(before, rollout, after, number)


def make_jax_stages(env: Environment, config: TrainConfig) -> JaxStages:
    """The stages of a configuration; what they compile is kept for others like it."""
    return JaxStages(env, config, setting_of(env, config), gathering_plan(env, config))


def gathering_plan(env: AnyEnvironment, config: TrainConfig) -> Plan:
    """How a configuration's steps of gathering are taken."""
    return gathering.plan(env, max(1, gathering_steps(config)))


def initial_params(
    network: Network, method: SharingMethod, keys: SeedKeys, sharings: Sequence[Sharing]
) -> Params:
    """Each seed's parameters before training, in as many sets as the most that one of them uses."""
    count = max(map(num_sets_used, sharings))
    each = zip(unstack(keys.params, len(sharings)), sharings, strict=True)
    return stack([method.init(key, network, sharing, count) for key, sharing in each])


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


@over_seeds()
def seed_keys(seed: UInt[Array, ""]) -> SeedKeys:
    """All that is drawn for a seed."""
    return SeedKeys(*jax.random.split(jax.random.key(seed), len(SeedKeys._fields)))


@over_seeds(shared=(1,))
def fresh_keys(keys: SeedKeys, number: Int[Array, ""]) -> SeedKeys:
    """Keys for another identification."""
    gather, encoder = (jax.random.fold_in(key, number) for key in (keys.gather, keys.encoder))
    return keys._replace(gather=gather, encoder=encoder)


@over_seeds(static=1)
def samples_of(groups: tuple[Any, ...], gathered: Gathered) -> list[Samples]:
    """What the agents of each space group are told apart by."""
    return [as_samples(gathered_of_group(gathered, group)) for group in groups]


@over_seeds(static=1, shared=(3,))
def train_encoder(
    encoder: EncoderOptions, state: CoderState, samples: Samples, num_updates: Int[Array, ""]
) -> tuple[CoderState, Float[Array, ""]]:
    """So many updates, and the mean loss over them."""
    return autoencoder.train(encoder.options, state, samples, num_updates)


scaled = over_seeds()(normalise.scaled)


@over_seeds()
def is_finite(metrics: Metrics, params: Params) -> Bool[Array, ""]:
    """Whether all of them are finite numbers."""
    return all_finite(metrics, params)


def all_finite(*trees: Any) -> Bool[Array, ""]:
    """Whether every number is finite."""
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(trees)]).all()


def before_training(
    setting: Setting, params: Params, sharing: Sharing, timestep: Timestep
) -> TrainState:
    """No update made and no position yet; of the timestep ``[env, …]``, only shapes matter."""
    num_envs, num_agents = timestep.reward.shape
    space = setting.agent.network.shape.action_space
    size = (space.size,) if isinstance(space, Box) else ()
    action = jnp.zeros((num_envs, num_agents, *size), jnp.float32 if size else jnp.int32)
    first, memory = jnp.ones((num_envs, num_agents), bool), setting.agent.memory(num_envs)
    step = step_of(timestep.observation, first, action, timestep)
    rollout = jax.tree.map(lambda x: jnp.stack([x] * setting.rollout_length), step)
    learner = setting.algo.init(jax.random.key(0), setting.agent, params)
    update = partial(_updated, setting.algo, setting.agent, jax.random.key(0))
    _, metrics = jax.eval_shape(update, learner, sharing, rollout._replace(memory=memory))
    zeros = jax.tree.map(lambda metric: jnp.zeros(metric.shape, metric.dtype), metrics)
    scaling = (setting.normalise_obs, setting.scale_rewards)
    normaliser = normalise.begin(sharing, num_envs, *scaling)
    zero = jnp.int32(0)
    return TrainState(learner, None, zeros, zero, zero, normaliser, zero)


@partial(jax.jit, static_argnums=(0, 1), inline=True)
def _updated(
    algo: Any,
    agent: Agent,
    key: Key[Array, ""],
    learner: Learner,
    sharing: Sharing,
    rollout: Rollout,
) -> tuple[Learner, Metrics]:
    """What an algorithm learns of a rollout; traced once, for shapes and for use."""
    return algo.update(key, agent, learner, sharing, rollout)


def learned(
    setting: Setting, state: TrainState, sharing: Sharing, rollout: Rollout, key: Key[Array, ""]
) -> TrainState:
    """One update by a rollout; what it is scaled by is known before it."""
    normaliser, learned_from = normalise.with_rewards(
        state.normaliser, sharing, rollout, setting.algo.discount
    )
    as_acted = normalise.scaled(sharing, state.normaliser)
    learner, metrics = _updated(
        setting.algo, setting.agent, key, state.learner, as_acted, learned_from
    )
    new = state._replace(
        normaliser=normalise.with_observations(normaliser, sharing, rollout),
        learner=learner,
        metrics=jax.tree.map(jnp.add, state.metrics, metrics),
        num_updates=state.num_updates + 1,
    )
    if setting.not_finite == "skip":
        new = _unless_not_finite(state, new)
    return new._replace(total_updates=state.total_updates + 1)


def _unless_not_finite(old: TrainState, new: TrainState) -> TrainState:
    """The old state where an update is to be skipped, which is counted."""
    fine = all_finite(new.metrics, new.learner.params, new.normaliser)
    changed = ("learner", "normaliser", "metrics", "num_updates")
    parts = {
        name: jax.tree.map(partial(jnp.where, fine), getattr(new, name), getattr(old, name))
        for name in changed
    }
    return new._replace(**parts, skipped=old.skipped + ~fine)


def update_key(key: Key[Array, ""]) -> Key[Array, ""]:
    """What an update is drawn with, by the key of the position that it follows."""
    return jax.random.fold_in(key, 0)


def acting(setting: Setting, state: TrainState, sharing: Sharing) -> Policy:
    """The policy as it is now, drawn from."""
    now = normalise.scaled(sharing, state.normaliser)
    return setting.agent.policy(state.learner.params, now)


@over_seeds(static=3)
def _begin_gathering(
    collector: JaxCollector, agent: Agent, plan: Plan, keys: SeedKeys
) -> GatherState:
    return gathering.begin(collector, collector.env, plan, keys.gather, agent.memory(plan.copies))


def gather_policy(agent: Agent, name: str, params: Params, sharing: Sharing) -> Policy:
    """What acts while transitions are gathered."""
    random = uniform(agent.network.shape.action_space)
    return gathering.GATHER_POLICIES[name](agent.policy(params, sharing), random)


@over_seeds(static=4, shared=(7,))
def _gather(
    collector: JaxCollector,
    agent: Agent,
    plan: Plan,
    name: str,
    state: GatherState,
    params: Params,
    sharing: Sharing,
    rounds: Int[Array, ""],
) -> GatherState:
    policy = gather_policy(agent, name, params, sharing)
    return gathering.gather(collector, plan, policy, state, rounds)


@over_seeds(static=3)
def _begin(
    collector: JaxCollector,
    setting: Setting,
    num_envs: int,
    keys: SeedKeys,
    params: Params,
    sharing: Sharing,
) -> TrainState:
    position = collector.start(keys.rollout, num_envs, setting.agent.memory(num_envs))
    state = before_training(setting, params, sharing, position.timestep)
    return state._replace(position=position)


@over_seeds(static=2, shared=(4,))
def _advance(
    collector: JaxCollector,
    setting: Setting,
    state: TrainState,
    sharing: Sharing,
    num_updates: Int[Array, ""],
) -> TrainState:
    """``num_updates`` is traced: changing it does not recompile."""

    def one(_, state: TrainState) -> TrainState:
        policy = acting(setting, state, sharing)
        position, rollout = collector.collect(policy, state.position, setting.rollout_length)
        new = learned(setting, state, sharing, rollout, update_key(position.key))
        return new._replace(position=position)

    return jax.lax.fori_loop(0, num_updates, one, state)


@over_seeds(static=2)
def _next_rollout(
    collector: JaxCollector, setting: Setting, state: TrainState, sharing: Sharing
) -> Rollout:
    policy = acting(setting, state, sharing)
    return collector.collect(policy, state.position, setting.rollout_length)[1]


@over_seeds(static=2, shared=(4,))
def _evaluate(
    collector: JaxCollector,
    agent: Agent,
    params: Params,
    sharing: Sharing,
    numbers: Int[Array, " episode"],
) -> tuple[Episodes, Episodes]:
    """In one program."""
    half = numbers.shape[0]
    policy = agent.policy(params, sharing, both_ways)
    twice = jnp.concatenate([numbers, numbers])
    both = collector.play(policy, twice, agent.memory(2 * half))
    return jax.tree.map(lambda x: x[:half], both), jax.tree.map(lambda x: x[half:], both)


distances_at = over_seeds(static=1)(behaviour_distance)
