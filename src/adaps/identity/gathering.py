"""Gathering what agents are told apart by, in rounds that fit into memory. Stage: identity."""

import itertools
import math
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from adaps.collect.jax import Collector, JaxCollector, uniform
from adaps.envs.agent_io import agents_of
from adaps.errors import NotFiniteError
from adaps.identity import samples
from adaps.identity.samples import Gathered
from adaps.networks.agent import Policy
from adaps.types import (
    AnyEnvironment,
    Environment,
    HostEnvironment,
    Memory,
    NetworkShape,
    Rollout,
    action_space_of,
)

Accumulate = Callable[[Gathered, Rollout], Gathered]

DENSE_STEPS = 25_600
"""Environment steps that do where rewards are common."""
RARE_STEPS = 4_000_000
"""Environment steps where rewards are rare: random play hardly ever meets them."""
TRAIN_SHARE = 0.1
"""Share of a training run's steps that gathering takes, at most, unless it is told how many."""
MAX_COPIES, ROUND_LENGTH = 256, 50
"""Copies side by side, and steps in each between two choices of what to keep."""
HOST_COPIES = 8
"""Copies of an environment that runs in Python."""
LEAST_TRANSITIONS, LEAST_RARE = 1_000, samples.BLOCKS
"""Steps of an agent, and rare rewards of some agent, that any sure answer needs: about 30, and one,
for each part that the data is divided into."""
ROUND_NUMBERS = 100_000_000
"""Numbers that one round's transitions may hold."""


class Plan(NamedTuple):
    """How so many steps are taken."""

    copies: int
    length: int
    """Steps in each copy per round."""
    rounds: int

    @property
    def num_steps(self) -> int:
        """Environment steps in all."""
        return self.rounds * self.steps_per_round

    @property
    def steps_per_round(self) -> int:
        return self.copies * self.length


class GatherState(NamedTuple):
    """Where gathering continues."""

    position: Any
    """Of a collector."""
    gathered: Gathered


def plan(env: AnyEnvironment, num_steps: int) -> Plan:
    """Rounds that come to ``num_steps``, or a little more."""
    numbers = (
        env.num_agents * 2 * (2 * env.obs_size + samples.action_size(action_space_of(env)) + 1)
    )
    most = max(samples.BLOCKS, ROUND_NUMBERS // numbers)
    length = max(1, min(ROUND_LENGTH, most // samples.BLOCKS, num_steps))
    copies = HOST_COPIES if isinstance(env, HostEnvironment) else MAX_COPIES
    rounds = math.ceil(num_steps / (length * min(copies, max(1, most // length))))
    return Plan(math.ceil(num_steps / (length * rounds)), length, rounds)


def begin(
    collector: Collector, env: AnyEnvironment, plan: Plan, key: Key[Array, ""], memory: Memory = ()
) -> GatherState:
    """Fresh copies, and nothing gathered."""
    position, nothing = collector.start(key, plan.copies, memory), empty(env, plan)
    if position.timestep.observation.here is not None:
        nothing = samples.with_presence(nothing)
    return GatherState(position, nothing)


def empty(env: AnyEnvironment, plan: Plan) -> Gathered:
    """Room for what is to be kept."""
    rows = thinning(env.num_agents, plan).in_all(plan.rounds)
    sizes = (env.obs_size + samples.action_size(action_space_of(env)), env.obs_size + 1)
    return samples.empty(env.num_agents, *sizes, rows)


def thinning(num_agents: int, plan: Plan) -> samples.Thinning:
    """Which transitions of each block and agent are kept."""
    rows = plan.steps_per_round // samples.BLOCKS
    return samples.thinning(num_agents, plan.rounds, rows)


def one_round(
    collector: Collector, accumulate: Accumulate, plan: Plan, policy: Policy, state: GatherState
) -> GatherState:
    """A round under a policy that is not trained meanwhile."""
    position, rollout = collector.collect(policy, state.position, plan.length)
    return GatherState(position, accumulate(state.gathered, rollout))


def accumulating(shape: NetworkShape, plan: Plan) -> Accumulate:
    """What adds a rollout to what was gathered of agents and actions of these numbers."""
    space, which = shape.action_space, thinning(shape.num_agents, plan)
    return lambda gathered, rollout: samples.accumulate(
        gathered, samples.as_steps(rollout, space), which
    )


def shape_of(env: AnyEnvironment) -> NetworkShape:
    """Numbers of agents, observations and actions, without hidden layers."""
    return NetworkShape(env.num_agents, env.obs_size, action_space_of(env), ())


def gather(
    collector: JaxCollector, plan: Plan, policy: Policy, state: GatherState, rounds: Int[Array, ""]
) -> GatherState:
    """So many rounds in an environment in JAX, to be compiled."""
    accumulate = accumulating(shape_of(collector.env), plan)

    def one(_, state: GatherState) -> GatherState:
        return one_round(collector, accumulate, plan, policy, state)

    return jax.lax.fori_loop(0, rounds, one, state)


def in_pieces(total: int, pieces: int) -> list[int]:
    """A number as a sum of about equal ones, so that progress can be shown between."""
    ends = [round(total * piece / pieces) for piece in range(pieces + 1)]
    return [end - begin for begin, end in itertools.pairwise(ends) if end > begin]


def check_finite(env: AnyEnvironment, gathered: Gathered) -> None:
    """Refuse what nothing can be learnt from.

    Raises:
        NotFiniteError: an observation or reward is not finite, or too great to be standardised;
            names the first such agent.
    """
    rows = np.concatenate(gathered.common, axis=-1)
    wrong = ~np.isfinite(rows).all(axis=(0, 2, 3))
    if wrong.any():
        agent = int(np.flatnonzero(wrong)[0])
        place = np.argwhere(~np.isfinite(rows[:, agent]))[0]
        raise NotFiniteError(
            f"{env.name}: an observation or reward of agent {agent} is not finite (kept step "
            f"{place[1]} of block {place[0]})"
        )
    each = [np.abs(np.concatenate(of, axis=-1)) for of in (gathered.common, gathered.rare)]
    greatest = np.max([rows.max(axis=(0, 2, 3), initial=0) for rows in each], axis=0)
    if greatest.max() > samples.LARGEST:
        name = agents_of(env).names[int(greatest.argmax())]
        raise NotFiniteError(
            f"{env.name}: an observation or reward of agent {name} is as great as "
            f"{greatest.max():.1e}, and above {samples.LARGEST:.0e} nothing can be learnt from it: "
            "scale it in the environment"
        )


def too_little(names: Sequence[str], gathered: Gathered) -> list[str]:
    """Why agents cannot be said to be alike or not for sure, one line each."""
    found = []
    seen = np.broadcast_to(np.asarray(gathered.num_seen), gathered.num_rare.shape).sum(axis=0)
    if seen.min() < LEAST_TRANSITIONS:
        found.append(
            f"too little gathered: {names[int(seen.argmin())]} acted in {seen.min():,} steps, and "
            f"at least {LEAST_TRANSITIONS:,} are needed (see --gather-steps)"
        )
    rare = np.asarray(gathered.num_rare).sum(axis=0)
    if samples.rare_share(gathered) < samples.RARE and rare.max() < LEAST_RARE:
        found.append(
            f"too few rewards gathered: no agent met more than {rare.max():,} that were not the "
            f"usual one, and at least {LEAST_RARE} are needed (see --gather-steps)"
        )
    return found


def half_and_half(one: Policy, other: Policy) -> Policy:
    """Every agent follows either policy, drawn anew at every step."""

    def policy(key, memory, observation, first):
        which_key, one_key, other_key = jax.random.split(key, 3)
        is_one = jax.random.bernoulli(which_key, shape=first.shape)
        memory, action = one(one_key, memory, observation, first)
        _, instead = other(other_key, memory, observation, first)
        which = is_one.reshape(is_one.shape + (1,) * (action.ndim - is_one.ndim))
        return memory, jnp.where(which, action, instead)

    return policy


GATHER_POLICIES: dict[str, Callable[[Policy, Policy], Policy]] = {
    "current": lambda current, random: current,
    "random": lambda current, random: random,
    "mixed": half_and_half,
}
"""What acts while transitions are gathered, given the policy as it is so far and random play."""


def rewards_are_rare(env: Environment) -> bool:
    """Whether random play of :data:`DENSE_STEPS` steps meets few rewards but the usual one."""
    short = plan(env, DENSE_STEPS)._replace(rounds=1)
    collector, policy = JaxCollector(env), uniform(action_space_of(env))

    @jax.jit
    def share(key: Key[Array, ""], rounds: Int[Array, ""]) -> Float[Array, ""]:
        begun = begin(collector, env, short, key)
        return samples.rare_share(gather(collector, short, policy, begun, rounds).gathered)

    return bool(share(jax.random.key(0), jnp.int32(1)) < samples.RARE)


def steps_needed(env: AnyEnvironment) -> int:
    """Environment steps to gather in an environment, as its rewards are rare or not.

    One that runs in Python is too slow for the many steps that rare rewards ask for.
    """
    if isinstance(env, HostEnvironment):
        return plan(env, DENSE_STEPS).num_steps
    find = _steps_needed_known if isinstance(env, Hashable) else _steps_needed
    return find(env)


def _steps_needed(env: Environment) -> int:
    return plan(env, RARE_STEPS if rewards_are_rare(env) else DENSE_STEPS).num_steps


_steps_needed_known = lru_cache(_steps_needed)
