"""The steps of training where the environment runs in Python. Stage: train.

The same updates, samples and network as in ``stages.py``, compiled; only acting is a loop in
Python, over copies of the environment that step in processes of their own.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from adaps.collect.cores import cores
from adaps.collect.diversity import behaviour_distance
from adaps.collect.evaluate import Act, Episodes, evaluate_on_host
from adaps.collect.jax import Policy, presence_of_step, uniform
from adaps.config.training import TrainConfig, gathering_steps
from adaps.identity import gathering, samples
from adaps.identity.gathering import GatherState, Plan
from adaps.identity.samples import Gathered
from adaps.networks.mlp import actor_logits, greedy_action, sample_action, sampled
from adaps.training import stages
from adaps.training.device_placement import over_seeds, seeds_at_a_time
from adaps.training.stages import Culprit, SeedKeys, Stages, TrainState
from adaps.types import Copies, HostEnvironment, Params, Sharing, Timestep, Transition


class HostRollout(NamedTuple):
    """Where a rollout in Python goes on."""

    copies: Copies
    timestep: Timestep
    """Of NumPy arrays, ``[copy, agent, …]``."""
    key: Key[Array, ""]


def kept(tree: Any) -> Any:
    """A tree without environments in Python, of whose rollouts only the key can be kept."""
    return _where_in_python(lambda rollout: rollout.key, tree)


def revived(begun: Any, kept: Any) -> Any:
    """What was kept, in the place of what was begun; copies in Python begin new episodes."""
    return _where_in_python(lambda rollout, key: start(rollout.copies, key), begun, kept)


def _where_in_python(change: Callable, tree: Any, *others: Any) -> Any:
    """A tree with its rollouts in Python changed, and all else that of the last tree."""

    def is_rollout(x: Any) -> bool:
        return isinstance(x, HostRollout)

    def each(*nodes: Any) -> Any:
        return change(*nodes) if is_rollout(nodes[0]) else nodes[-1]

    return jax.tree.map(each, tree, *others, is_leaf=is_rollout)


def start(copies: Copies, key: Key[Array, ""]) -> HostRollout:
    """The first episode of each copy."""
    key, now = jax.random.split(key)
    seeds = jax.random.randint(now, (copies.num_copies,), 0, jnp.iinfo(jnp.int32).max)
    return HostRollout(copies, copies.reset(np.asarray(seeds).tolist()), key)


def rollout(act: Act, state: HostRollout, num_steps: int) -> tuple[HostRollout, Transition]:
    """Act ``num_steps`` times in every copy, as ``adaps.collect.jax.rollout`` does."""
    next_key, *keys = _keys(state.key, 1 + num_steps)
    timestep, recorded = state.timestep, []
    for key in keys:
        action: Any = act(key, timestep)
        new = state.copies.step(action)
        recorded.append(
            Transition(
                timestep.obs,
                timestep.legal,
                action,
                new.reward,
                new.terminated,
                new.truncated,
                new.last_obs,
                presence_of_step(timestep, new),
            )
        )
        timestep = new
    transitions: Any = jax.tree.map(lambda *steps: np.stack(steps), *recorded)
    return state._replace(timestep=timestep, key=next_key), transitions


@partial(jax.jit, static_argnums=1)
def _keys(key: Key[Array, ""], number: int) -> tuple[Key[Array, ""], ...]:
    """Keys as arrays of their own: to take them out of one array costs as much as to act."""
    return tuple(jax.random.split(key, number))


def gather_on_host(
    env: HostEnvironment, plan: Plan, key: Key[Array, ""], timeout: float
) -> Iterator[tuple[int, Gathered]]:
    """Round by round under random actions: how many rounds, and all that was gathered so far."""
    choose, accumulate = jax.jit(uniform), _accumulate(env, plan)
    with closing(env.open(plan.copies, cores(), timeout)) as copies:
        state, kept = start(copies, key), empty(env, plan)
        for _ in range(plan.rounds):
            state, transitions = rollout(
                lambda key, now: np.asarray(choose(key, now.obs, now.legal)), state, plan.length
            )
            kept = accumulate(kept, transitions)
            yield 1, kept


def empty(env: HostEnvironment, plan: Plan) -> Gathered:
    """Room for what is to be kept of agents that may come and go."""
    return samples.with_presence(gathering.empty(env, plan))


def _accumulate(env: HostEnvironment, plan: Plan) -> Callable[[Gathered, Transition], Gathered]:
    thinning = gathering.thinning(env, plan)
    return jax.jit(lambda kept, t: samples.accumulate(kept, samples.as_steps(t), thinning))


class Fleet:
    """Copies of one environment that a program has open, each set opened when first needed."""

    def __init__(
        self, env: HostEnvironment, config: TrainConfig, stack: ExitStack, stop: threading.Event
    ) -> None:
        self._env, self._stack = env, stack
        self._timeout, self._stop = config.step_timeout, stop
        each = max(1, cores() // seeds_at_a_time(config.seeds))
        self._workers = each if config.workers is None else config.workers
        self._open: dict[tuple[str, int], Copies] = {}

    def copies(self, purpose: str, number: int) -> Copies:
        """So many copies for a purpose; the same ones every time."""
        key = (purpose, number)
        if key not in self._open:
            copies = self._env.open(number, self._workers, self._timeout, self._stop)
            self._open[key] = self._stack.enter_context(closing(copies))
        return self._open[key]

    def stopping(self) -> bool:
        """Whether to stop."""
        return self._stop.is_set()

    @property
    def seconds(self) -> float:
        """Processor time spent in the environment's own code so far."""
        return sum(copies.seconds for copies in self._open.values())


class Compiled(NamedTuple):
    """What does not depend on the environment's own code; one seed each, on a leading axis."""

    act: Callable
    act_while_gathering: Callable
    act_both_ways: Callable
    accumulate: Callable
    learn: Callable
    renew: Callable
    before_training: Callable
    distances: Callable


@dataclass(frozen=True)
class HostStages:
    """The stages of an environment that runs in Python; open before use, one seed at a time."""

    env: HostEnvironment
    config: TrainConfig
    plan: Plan
    compiled: Compiled
    others: dict[str, Any]
    """Stages that do not step the environment."""

    @contextmanager
    def opened(self, stop: threading.Event) -> Iterator[Stages]:
        """Stages for one program, with copies of their own, which ``stop`` can free of a hang."""
        with ExitStack() as stack:
            own = Program(self, Fleet(self.env, self.config, stack, stop))
            yield Stages(
                **self.others,
                begin_gathering=own.begin_gathering,
                gather=own.gather,
                begin=own.begin,
                advance=own.advance,
                evaluate=own.evaluate,
                distances=own.distances,
                culprit=own.culprit,
            )


def make_host_stages(env: HostEnvironment, config: TrainConfig) -> HostStages:
    """Everything compiled that does not depend on the environment's own code."""
    each = partial(over_seeds, num_seeds=1)
    plan = gathering.plan(env, max(1, gathering_steps(config)))
    gather_policy = gathering.GATHER_POLICIES[config.gather_policy]
    compiled = Compiled(
        act=_compiled(sampled),
        act_while_gathering=_compiled(lambda p, s: gather_policy(sampled(p, s))),
        act_both_ways=_compiled(_both_ways),
        accumulate=_accumulate(env, plan),
        learn=each(partial(stages.updated, config)),
        renew=each(stages.renewed, shared=(2,)),
        before_training=each(_before_training(config)),
        distances=each(behaviour_distance),
    )
    return HostStages(env, config, plan, compiled, stages.without_steps(env, config, 1))


class Program:
    """One program's stages; arguments and results have a leading seed axis of one."""

    def __init__(self, made: HostStages, fleet: Fleet) -> None:
        self._made, self._fleet = made, fleet
        self._compiled, self._config, self._env = made.compiled, made.config, made.env

    def begin_gathering(self, keys: SeedKeys) -> GatherState:
        plan = self._made.plan
        state = start(self._fleet.copies("gather", plan.copies), keys.gather[0])
        return GatherState(state, _with_seed(empty(self._env, plan)))

    def gather(
        self, state: GatherState, params: Params, sharing: Sharing, num_rounds: Int[Array, ""]
    ) -> GatherState:
        act = partial(self._compiled.act_while_gathering, params, sharing)
        went_on, kept = state.rollout, _without_seed(state.gathered)
        for _ in range(int(num_rounds)):
            went_on, transitions = rollout(act, went_on, self._made.plan.length)
            kept = self._compiled.accumulate(kept, transitions)
        return GatherState(went_on, _with_seed(kept))

    def begin(self, keys: SeedKeys, params: Params, sharing: Sharing) -> TrainState:
        copies = self._fleet.copies("train", self._config.num_envs)
        first = start(copies, keys.rollout[0])
        state = self._compiled.before_training(params, sharing, _with_seed(first.timestep))
        return state._replace(rollout=first)

    def advance(self, state: TrainState, sharing: Sharing, num_updates: Array) -> TrainState:
        """So many times: roll out, update; no further than to what is not finite."""
        for number in range(int(num_updates)):
            went_on: HostRollout = state.rollout
            state = state._replace(rollout=None)
            if sharing.learned is not None:
                state = self._compiled.renew(state, sharing, went_on.key)
            now = self._made.others["scaled"](sharing, state.normaliser)
            act = partial(self._compiled.act, state.learner.params, now)
            went_on, transitions = rollout(act, went_on, self._config.rollout_length)
            before, batch = state, _with_seed(transitions)
            state = self._compiled.learn(before, sharing, batch)._replace(rollout=went_on)
            finite = self._made.others["is_finite"](state.metrics, state.learner.params)
            if not np.asarray(finite).all():
                before = before._replace(rollout=went_on)
                self._culprit = Culprit(before, batch, state, number)
                break
        return state

    def culprit(self, state: TrainState, sharing: Sharing, most: int) -> Culprit:
        """The update that :meth:`advance` stopped at."""
        del state, sharing, most
        return self._culprit

    def evaluate(
        self, params: Params, sharing: Sharing, numbers: Int[Array, " episode"]
    ) -> tuple[Episodes, Episodes]:
        """Greedy and sampled episodes from the same resets, side by side, unless it is to stop."""
        half = len(numbers)
        act = partial(self._compiled.act_both_ways, params, sharing)
        copies = self._fleet.copies("evaluate", 2 * half)
        twice = np.tile(np.asarray(numbers), 2)
        both = evaluate_on_host(act, copies, twice, self._env.max_steps, self._fleet.stopping)
        greedy, drawn = both.returns[:half], both.returns[half:]
        return Episodes(greedy[None], None), Episodes(drawn[None], None)

    def distances(self, state: TrainState, sharing: Sharing) -> Float[Array, "1 agent agent"]:
        now = state.rollout.timestep
        return self._compiled.distances(
            state.learner.params, sharing, *_with_seed((now.obs, now.legal))
        )


def _compiled(policy_of: Callable[[Params, Sharing], Policy]) -> Callable[..., np.ndarray]:
    """``act(params, sharing, key, timestep)`` with a seed axis on the first two."""

    @jax.jit
    def choose(params, sharing, key, obs, legal):
        return policy_of(*_without_seed((params, sharing)))(key, obs, legal)

    return lambda params, sharing, key, timestep: np.asarray(
        choose(params, sharing, key, timestep.obs, timestep.legal)
    )


def _both_ways(params: Params, sharing: Sharing) -> Policy:
    """The most likely actions in the first half of the copies, drawn ones in the other."""

    def policy(key, obs, legal):
        logits = actor_logits(params, sharing, obs, legal)
        half = obs.shape[0] // 2
        return jnp.concatenate([greedy_action(logits[:half]), sample_action(key, logits[half:])])

    return policy


def _before_training(config: TrainConfig) -> Callable[[Params, Sharing, Timestep], TrainState]:
    def begin(params: Params, sharing: Sharing, timestep: Timestep) -> TrainState:
        first = Transition(
            timestep.obs,
            timestep.legal,
            jnp.zeros(timestep.reward.shape, jnp.int32),
            timestep.reward,
            timestep.terminated,
            timestep.truncated,
            timestep.last_obs,
            timestep.presence,
        )
        transitions = jax.tree.map(lambda x: x[None], first)
        learner = config.algo.build().init(params)
        return stages.before_training(config, learner, sharing, transitions)

    return begin


def _with_seed(tree: Any) -> Any:
    return jax.tree.map(lambda x: x[None], tree)


def _without_seed(tree: Any) -> Any:
    return jax.tree.map(lambda x: x[0], tree)
