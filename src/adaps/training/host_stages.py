"""The steps of training where the environment runs in Python. Stage: train.

The same updates, samples and network as in ``stages.py``, compiled; only collecting is a loop in
Python, over copies of the environment that step in processes of their own.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from adaps.collect.cores import cores
from adaps.collect.episodes import Episodes, limit_of
from adaps.collect.host import HostCollector
from adaps.config.training import TrainConfig
from adaps.identity import gathering, samples
from adaps.identity.gathering import GatherState, Plan
from adaps.identity.samples import Gathered
from adaps.networks.agent import Agent, both_ways, sampled
from adaps.training.device_placement import (
    over_seeds,
    seeds_at_a_time,
    with_seed,
    without_seed,
)
from adaps.training.stages import (
    NonFiniteUpdate,
    SeedKeys,
    Setting,
    Stages,
    TrainState,
    before_training,
    distances_at,
    gather_policy,
    gathering_plan,
    is_finite,
    learned,
    scaled,
    setting_of,
)
from adaps.types import (
    AgentEnds,
    Copies,
    Discrete,
    HostEnvironment,
    NetworkShape,
    Observation,
    Params,
    Rollout,
    Sharing,
    Timestep,
)


@dataclass(frozen=True)
class HostStages:
    """Of an environment that runs in Python; open before use, one seed at a time."""

    env: HostEnvironment
    config: TrainConfig
    setting: Setting
    plan: Plan

    @contextmanager
    def opened(self, stop: threading.Event) -> Iterator[Stages]:
        """Stages for one group of seeds, with copies of their own that ``stop`` frees of a hang."""
        with ExitStack() as stack:
            yield OpenHostStages(self, stack, stop)

    def begun_shapes(self, keys: SeedKeys, params: Params, sharing: Sharing) -> TrainState:
        """A checkpoint of training at its start, without an environment being opened."""
        first = _timestep_shapes(self.config.num_envs, self.setting.agent.network.shape)
        state = jax.eval_shape(partial(begin_training, self.setting), params, sharing, first)
        return state._replace(position=keys.rollout[0])

    def gathering_shapes(self, keys: SeedKeys) -> GatherState:
        """The same of gathering."""
        nothing = samples.with_presence(gathering.empty(self.env, self.plan))
        return GatherState(keys.gather[0], with_seed(nothing))


def _timestep_shapes(num_copies: int, shape: NetworkShape) -> Timestep:
    """The sizes of what copies in Python give, with an axis for the seed."""
    each = (1, num_copies, shape.num_agents)
    number: Any = partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
    flag: Any = partial(jax.ShapeDtypeStruct, dtype=jnp.bool_)
    obs, ended = number((*each, shape.obs_size)), flag(each[:2])
    space = shape.action_space
    legal = flag((*each, space.num_actions)) if isinstance(space, Discrete) else None
    observation, ends = Observation(obs, legal, here=flag(each)), AgentEnds(flag(each), flag(each))
    return Timestep(observation, number(each), ended, ended, Observation(obs), ends)


def make_host_stages(env: HostEnvironment, config: TrainConfig) -> HostStages:
    """The stages of a configuration; what they compile is kept for others like it."""
    return HostStages(env, config, setting_of(env, config), gathering_plan(env, config))


class OpenHostStages:
    """With copies of the environment; arguments and results have a leading seed axis of one."""

    def __init__(self, made: HostStages, stack: ExitStack, stop: threading.Event) -> None:
        self.env, self.config, self.setting, self.plan = (
            made.env,
            made.config,
            made.setting,
            made.plan,
        )
        each = max(1, cores() // seeds_at_a_time(made.config.seeds))
        workers = each if made.config.workers is None else made.config.workers

        def opened(number: int) -> Copies:
            copies = made.env.open(number, workers, made.config.step_timeout, stop)
            return stack.enter_context(closing(copies))

        limit = limit_of(made.env, made.config.max_steps)
        collector = partial(HostCollector, opened, limit, stop.is_set)
        self._gathers, self._trains, self._evaluates = collector(), collector(), collector()

    def begin_gathering(self, keys: SeedKeys) -> GatherState:
        plan, memory = self.plan, self._agent.memory(self.plan.copies)
        state = gathering.begin(self._gathers, self.env, plan, keys.gather[0], memory)
        return state._replace(gathered=with_seed(state.gathered))

    def gather(
        self, state: GatherState, params: Params, sharing: Sharing, rounds: int
    ) -> GatherState:
        policy = partial(_act_gathering, self._agent, self.config.gather_policy, params, sharing)
        add = partial(_accumulated, self.plan, self._agent.network.shape)
        for _ in range(rounds):
            state = gathering.one_round(self._gathers, add, self.plan, policy, state)
        return state

    def begin(self, keys: SeedKeys, params: Params, sharing: Sharing) -> TrainState:
        num_envs = self.config.num_envs
        memory = self._agent.memory(num_envs)
        position = self._trains.start(keys.rollout[0], num_envs, memory)
        timestep = with_seed(position.timestep)
        state = begin_training(self.setting, params, sharing, timestep)
        return state._replace(position=position)

    def advance(self, state: TrainState, sharing: Sharing, updates: int) -> TrainState:
        for number in range(updates):
            before, length = state, self.setting.rollout_length
            now = scaled(sharing, state.normaliser)
            policy = partial(_act, self._agent, sampled, state.learner.params, now)
            position, rollout = self._trains.collect(policy, state.position, length)
            batch = with_seed(rollout)
            state = state._replace(position=None)
            state = learn(self.setting, state, sharing, batch, position.key)
            state = state._replace(position=position)
            finite = is_finite(state.metrics, state.learner.params, state.normaliser)
            if not np.asarray(finite).all():
                before = before._replace(position=position)
                raise NonFiniteUpdate(before, batch, state, number)
        return state

    def evaluate(
        self, params: Params, sharing: Sharing, numbers: Int[Array, " episode"]
    ) -> tuple[Episodes, Episodes]:
        half = len(numbers)
        policy = partial(_act, self._agent, both_ways, params, sharing)
        twice = np.tile(np.asarray(numbers), 2)
        both = self._evaluates.play(policy, twice, self._agent.memory(2 * half))
        greedy, drawn = (
            with_seed(jax.tree.map(lambda x, part=part: x[part], both))
            for part in (slice(half), slice(half, None))
        )
        return greedy, drawn

    def distances(self, state: TrainState, sharing: Sharing) -> Float[Array, "1 agent agent"]:
        seen = with_seed((state.position.timestep.observation, state.position.memory))
        return distances_at(self._agent, state.learner.params, sharing, *seen)

    @property
    def _agent(self) -> Agent:
        return self.setting.agent


@partial(jax.jit, static_argnums=(0, 1))
def _act(agent, choose, params, sharing, key, memory, observation, first):
    """Parameters have a seed axis of one; what the environment gives has none."""
    own = without_seed((params, sharing))
    return agent.policy(*own, choose)(key, memory, observation, first)


@partial(jax.jit, static_argnums=(0, 1))
def _act_gathering(agent, name, params, sharing, key, memory, observation, first):
    policy = gather_policy(agent, name, *without_seed((params, sharing)))
    return policy(key, memory, observation, first)


@partial(jax.jit, static_argnums=(0, 1))
def _accumulated(plan: Plan, shape: NetworkShape, gathered: Gathered, rollout: Rollout) -> Gathered:
    add = gathering.accumulating(shape, plan)
    return with_seed(add(without_seed(gathered), rollout))


begin_training = over_seeds(static=1)(before_training)
learn = over_seeds(static=1, shared=(4,))(learned)  # a key costs much to give a seed axis
