"""Transitions that agents are told apart by: thinned out, standardised. Stage: identity.

Where rewards are rare, nothing else may tell agents apart, and a million steps hold a few hundred
of them. So two samples are kept of whatever comes: one of all transitions, and one of those whose
reward is not the usual one, which are then drawn more often than they came.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, Shaped

from adaps.types import Discrete, Rollout, Space

BLOCKS = 32
"""Parts that hold different copies, or stretches of time: the first half is learnt from, the
second is held out to ask whether what was learnt is true."""
MAX_ROWS = 400_000
"""Transitions that are kept, over all agents; and as many with rare rewards."""
RARE_OF_ROUND = 1024
"""Transitions with rare rewards that are kept of a round, at most."""
LARGE_TEAM = 100
"""Agents from which on each has a share of its own of the blocks to learn from."""
RARE = 0.1
"""Rewards are rare where fewer than this share of transitions has another than the usual one."""
OFTEN = 8.0
"""How many times as often as another a transition with a rare reward is drawn."""
MOST_RARE = 0.5
"""Share of draws that rare rewards make up, at most."""
CLIP = 5.0
"""Standard deviations that a standardised number may be away from its mean."""


class Steps(NamedTuple):
    """Transitions as they come."""

    obs: Float[Array, "time env agent obs"]
    action: Float[Array, "time env agent action"]
    """One-hot where actions are discrete."""
    last_obs: Float[Array, "time env agent obs"]
    """The observation that followed, before any reset."""
    reward: Float[Array, "time env agent"]
    here: Bool[Array, "time env agent"] | None = None
    """Who acted; None where all did."""


class Rows(NamedTuple):
    """Inputs and targets of a regression."""

    given: Float[Array, "*batch input"]
    """Observation and one-hot action."""
    target: Float[Array, "*batch output"]
    """The observation that followed, and the reward."""


class Gathered(NamedTuple):
    """What was kept so far."""

    common: Rows
    """Some of each round, evenly spaced."""
    rare: Rows
    """The first transitions with another than the usual reward, in the order they came."""
    num_kept: Int[Array, "block agent"]
    """How many of these there are."""
    num_rare: Int[Array, "block agent"]
    """How many came by, kept or not."""
    num_seen: Int[Array, ""] | Int[Array, "block agent"]
    """How many transitions of each block and agent came by."""
    num_rounds: Int[Array, ""]
    usual: Float[Array, ""]
    """The usual reward: the median of the first round."""
    here: Bool[Array, "block agent row"] | None = None
    """Which of the common rows are of agents that acted; None where all did."""


class Samples(NamedTuple):
    """Standardised rows to draw from."""

    common: Rows
    rare: Rows
    num_rare: Int[Array, "block agent"]
    """Rare rows that are kept; they come first."""
    rare_share: Float[Array, "block agent"]
    """Share of draws that are of the rare rows."""
    mean: Float[Array, " output"]
    """What was subtracted from observations and reward."""
    scale: Float[Array, " output"]
    """What they were divided by then."""


class Thinning(NamedTuple):
    """Which of the transitions that come by are kept, per block and agent."""

    rows: int
    """Rows of a round, evenly spaced."""
    every: int = 1
    """Rounds of which the last is kept."""

    def in_all(self, num_rounds: int) -> int:
        """Rows that are kept of so many rounds."""
        return self.rows * (num_rounds // self.every)


def thinning(num_agents: int, num_rounds: int, rows: int) -> Thinning:
    """What there is room for, where ``rows`` come by in each round, block and agent."""
    most = max(4, MAX_ROWS // (BLOCKS * num_agents))
    kept = min(rows, max(1, most // num_rounds))
    return Thinning(kept, math.ceil(num_rounds * kept / most))


def evenly_spaced(num_rows: int, rows_kept: int) -> Int[np.ndarray, " row"]:
    """Which rows to keep; by NumPy, since products of such numbers may need more than 32 bits."""
    return (np.arange(rows_kept, dtype=np.int64) * num_rows // rows_kept).astype(np.int32)


def nothing_yet(num_agents: int, num_inputs: int, num_outputs: int, rows: int) -> Gathered:
    """Room for so many rows per block and agent, and as many rare ones."""
    shape = (BLOCKS, num_agents, rows)
    empty = Rows(jnp.zeros((*shape, num_inputs)), jnp.zeros((*shape, num_outputs)))
    none = jnp.zeros((BLOCKS, num_agents), jnp.int32)
    zero = jnp.int32(0)
    return Gathered(empty, empty, none, none, zero, zero, jnp.float32(0))


def where_agents_come_and_go(nothing: Gathered) -> Gathered:
    """The same, with a note of which rows are of agents that acted."""
    absent = jnp.zeros(nothing.common.target.shape[:3], bool)
    return nothing._replace(here=absent, num_seen=jnp.zeros_like(nothing.num_rare))


def action_size(space: Space) -> int:
    """Numbers that an action is written as: one for each of some choices, or its own."""
    return space.num_actions if isinstance(space, Discrete) else space.size


def as_steps(rollout: Rollout, space: Space) -> Steps:
    """What was recorded, discrete actions one-hot."""
    action = rollout.action
    if isinstance(space, Discrete):
        action = jax.nn.one_hot(action, space.num_actions)
    seen = rollout.observation
    return Steps(seen.obs, action, rollout.final.obs, rollout.reward, seen.here)


def take_in(
    gathered: Gathered, steps: Steps, thinning: Thinning, most_rare: int = RARE_OF_ROUND
) -> Gathered:
    """Keep some of a round's rows, and the rare ones as long as there is room.

    A block holds all steps of some copies, one after the other; a remainder is left out.
    """
    reward = _in_blocks(steps.reward)
    num_rows = reward.shape[-1]
    here = None if steps.here is None else _in_blocks(steps.here)
    usual = jax.lax.cond(
        gathered.num_rounds == 0, lambda: _usual(reward, here), lambda: gathered.usual
    )
    is_rare = reward != usual if here is None else (reward != usual) & here
    rare, num_kept = _appended(gathered, steps, is_rare, most_rare)
    return Gathered(
        common=_with_some(gathered, steps, num_rows, thinning),
        rare=rare,
        num_kept=num_kept,
        num_rare=gathered.num_rare + is_rare.sum(-1),
        num_seen=gathered.num_seen + (num_rows if here is None else here.sum(-1)),
        num_rounds=gathered.num_rounds + 1,
        usual=usual,
        here=None if here is None else _with_some_presence(gathered, here, thinning),
    )


def _usual(
    reward: Float[Array, "block agent row"], here: Bool[Array, "block agent row"] | None
) -> Float[Array, ""]:
    """The median reward of those who acted."""
    return jnp.median(reward) if here is None else jnp.nanmedian(jnp.where(here, reward, jnp.nan))


def _with_some(gathered: Gathered, steps: Steps, num_rows: int, thinning: Thinning) -> Rows:
    """Evenly spaced rows of a round in the place that is its own."""
    num_agents, capacity = gathered.common.target.shape[1:3]
    some = jnp.asarray(evenly_spaced(num_rows, thinning.rows))
    block, agent = jnp.arange(BLOCKS)[:, None, None], jnp.arange(num_agents)[:, None]
    new = _rows_at(steps, num_rows, *jnp.broadcast_arrays(block, agent, some))
    place = _place(gathered, thinning, capacity)
    return jax.tree.map(
        lambda kept, rows: jax.lax.dynamic_update_slice_in_dim(kept, rows, place, 2),
        gathered.common,
        new,
    )


def _with_some_presence(
    gathered: Gathered, here: Bool[Array, "block agent row"], thinning: Thinning
) -> Bool[Array, "block agent kept"]:
    """Whether those rows are of agents that acted."""
    kept = cast(Array, gathered.here)
    new = here[..., evenly_spaced(here.shape[-1], thinning.rows)]
    place = _place(gathered, thinning, kept.shape[-1])
    return jax.lax.dynamic_update_slice_in_dim(kept, new, place, 2)


def _place(gathered: Gathered, thinning: Thinning, capacity: int) -> Int[Array, ""]:
    return gathered.num_rounds // thinning.every * thinning.rows % capacity


def _appended(
    gathered: Gathered, steps: Steps, is_rare: Bool[Array, "block agent row"], most: int
) -> tuple[Rows, Int[Array, "block agent"]]:
    """The rare rows, as far as there is room, behind those that are kept; and how many there are.

    No more than ``most`` of a round are looked at, since to move few rows is quick: the first
    ones of every block and agent, so that none goes without.
    """
    num_rows, capacity = is_rare.shape[-1], gathered.rare.target.shape[2]
    by_row = jnp.moveaxis(is_rare, -1, 0)
    is_first = jnp.moveaxis(jnp.cumsum(by_row.ravel()).reshape(by_row.shape), 0, -1) <= most
    is_wanted = is_rare & is_first
    block, agent, row = jnp.nonzero(is_wanted, size=most, fill_value=-1)
    rank = (jnp.cumsum(is_wanted, axis=-1) - 1)[block, agent, row]
    place = jnp.where(row < 0, capacity, gathered.num_kept[block, agent] + rank)
    new = _rows_at(steps, num_rows, block, agent, row)
    rare = jax.tree.map(
        lambda kept, rows: kept.at[block, agent, place].set(rows, mode="drop"), gathered.rare, new
    )
    return rare, jnp.minimum(gathered.num_kept + is_wanted.sum(-1), capacity)


def _rows_at(
    steps: Steps,
    num_rows: int,
    block: Int[Array, "*n"],
    agent: Int[Array, "*n"],
    row: Int[Array, "*n"],
) -> Rows:
    env, time = jnp.divmod(block * num_rows + row, steps.reward.shape[0])
    return regression(Steps(*(x[time, env, agent] for x in steps[:4])))


def regression(steps: Steps) -> Rows:
    """What is given, and what is to be predicted, with any leading axes."""
    given = jnp.concatenate([steps.obs, steps.action], axis=-1)
    return Rows(given, jnp.concatenate([steps.last_obs, steps.reward[..., None]], axis=-1))


def rare_share(gathered: Gathered) -> Float[Array, ""]:
    """Share of transitions whose reward is not the usual one."""
    return (gathered.num_rare / jnp.maximum(gathered.num_seen, 1)).mean()


def as_samples(gathered: Gathered) -> Samples:
    """Every number standardised over all agents, and how often rare rewards are to be drawn.

    A large team's copies are few, since each is large, and what is learnt of them may not hold in
    others. So every agent is given other blocks to learn from, and is asked about settings that
    were learnt from others' transitions.
    """
    gathered = _without_absent(gathered)
    num_rare = gathered.num_kept
    share = _share_of_draws(gathered, num_rare.sum())
    mean, std = _mean_and_std(gathered, num_rare, share)
    scale = jnp.where(std > 1e-6, std, 1.0)
    samples = Samples(
        common=standardised(gathered.common, mean, scale),
        rare=standardised(gathered.rare, mean, scale),
        num_rare=num_rare,
        rare_share=share,
        mean=mean,
        scale=scale,
    )
    if num_rare.shape[1] < LARGE_TEAM:
        return samples
    order = _orders_of_blocks(num_rare.shape[1])
    return _with_blocks(samples, lambda x: jnp.take_along_axis(x, _like(order, x), axis=0))


def _without_absent(gathered: Gathered) -> Gathered:
    """Rows of agents that did not act replaced by rows of the same block where they did.

    Where an agent did not act in a block at all, by those of another block, if possible in the same
    half. One that never acted gets those of the agent that acted most, and so goes with it.
    """
    here = gathered.here
    if here is None:
        return gathered
    count = here.sum(-1)
    half = jnp.arange(BLOCKS) < BLOCKS // 2
    same_half = jnp.where(half[:, None, None] == half[None, :, None], count[None], 0)
    best_of_half, best = same_half.argmax(1), count.argmax(0)
    block = jnp.where(same_half.max(1) > 0, best_of_half, best)
    block = jnp.where(count > 0, jnp.arange(BLOCKS)[:, None], block)
    total = count.sum(0)
    agent = jnp.where(total > 0, jnp.arange(len(total)), total.argmax())
    block = block[:, agent]

    those_who_acted_first = jnp.argsort(~here, axis=-1, stable=True)
    turn = jnp.arange(here.shape[-1]) % jnp.maximum(count[block, agent], 1)[..., None]
    row = jnp.take_along_axis(those_who_acted_first[block, agent], turn, axis=-1)
    common = jax.tree.map(lambda x: x[block[..., None], agent[:, None], row], gathered.common)
    return gathered._replace(common=common)


def _orders_of_blocks(num_agents: int) -> Int[np.ndarray, "block agent"]:
    """A random order for each agent: the blocks that it learns from come first."""
    blocks = np.tile(np.arange(BLOCKS)[:, None], (1, num_agents))
    return np.random.default_rng(0).permuted(blocks, axis=0)


def _like(order: Int[np.ndarray, "block agent"], x: Array) -> Int[np.ndarray, "block agent *ones"]:
    return order.reshape(order.shape + (1,) * (x.ndim - 2))


def _with_blocks(samples: Samples, change: Callable[[Array], Array]) -> Samples:
    """Everything that has blocks, changed."""
    blocks = (samples.common, samples.rare, samples.num_rare, samples.rare_share)
    common, rare, num_rare, rare_share = jax.tree.map(change, blocks)
    return samples._replace(common=common, rare=rare, num_rare=num_rare, rare_share=rare_share)


def other_half(samples: Samples) -> Samples:
    """The same, with what is learnt from and what is held out exchanged."""
    return _with_blocks(samples, lambda x: jnp.flip(x, axis=0))


def standardised(rows: Rows, mean: Float[Array, " output"], scale: Float[Array, " output"]) -> Rows:
    """Rows in standard deviations, clipped at :data:`CLIP`; actions stay as they are."""
    num_obs = mean.shape[0] - 1
    obs = (rows.given[..., :num_obs] - mean[:-1]) / scale[:-1]
    given = jnp.concatenate([jnp.clip(obs, -CLIP, CLIP), rows.given[..., num_obs:]], axis=-1)
    return Rows(given, jnp.clip((rows.target - mean) / scale, -CLIP, CLIP))


def draw(
    key: Key[Array, ""],
    samples: Samples,
    block: Int[Array, " group"],
    agent: Int[Array, " group"],
    num_rows: int,
) -> tuple[Float[Array, "group row input"], Float[Array, "group row output"]]:
    """``num_rows`` random rows of each block and agent, inputs and targets."""
    common_key, rare_key, which_key = jax.random.split(key, 3)
    shape = (block.shape[0], num_rows)
    block, agent = block[:, None], agent[:, None]
    common = jax.random.randint(common_key, shape, 0, samples.common.given.shape[2])
    num_rare = samples.num_rare[block, agent]
    rare = (jax.random.uniform(rare_key, shape) * num_rare).astype(jnp.int32)
    is_rare = jax.random.uniform(which_key, shape) < samples.rare_share[block, agent]

    def pick(common_rows: Array, rare_rows: Array) -> Array:
        return jnp.where(
            is_rare[..., None], rare_rows[block, agent, rare], common_rows[block, agent, common]
        )

    return (
        pick(samples.common.given, samples.rare.given),
        pick(samples.common.target, samples.rare.target),
    )


def _in_blocks(x: Shaped[Array, "time env agent"]) -> Shaped[Array, "block agent row"]:
    num_agents = x.shape[2]
    rows = x.transpose(2, 1, 0).reshape(num_agents, -1)
    size = rows.shape[1] // BLOCKS
    return rows[:, : size * BLOCKS].reshape(num_agents, BLOCKS, size).transpose(1, 0, 2)


def _share_of_draws(gathered: Gathered, num_kept: Int[Array, ""]) -> Float[Array, "block agent"]:
    """Which share of each block's and agent's draws is of rare rows: none if they are common.

    All are weighted alike, so that who is rewarded more often also shows.
    """
    overall = rare_share(gathered)
    wanted = OFTEN * num_kept / (gathered.common.target[..., 0].size + OFTEN * num_kept)
    weight = jnp.minimum(wanted, MOST_RARE) / jnp.maximum(overall, jnp.finfo(jnp.float32).tiny)
    seen = jnp.maximum(gathered.num_seen, 1)
    own = jnp.where(gathered.num_kept > 0, gathered.num_rare / seen, 0.0)
    share = own * weight / (1 - own + own * weight)
    return jnp.where(overall < RARE, share, 0.0)


def _mean_and_std(
    gathered: Gathered, num_rare: Int[Array, "block agent"], share: Float[Array, "block agent"]
) -> tuple[Float[Array, " output"], Float[Array, " output"]]:
    """Of observations as they come; of rewards as they are to be drawn."""
    target = gathered.common.target
    obs_mean, obs_std = (f(target[..., :-1], axis=(0, 1, 2)) for f in (jnp.mean, jnp.std))
    reward = jnp.concatenate([target[..., -1], gathered.rare.target[..., -1]], axis=-1)
    num_rows = target.shape[2]
    is_kept = jnp.arange(num_rows) < num_rare[..., None]
    rare = is_kept * (share / jnp.maximum(num_rare, 1))[..., None]
    common = jnp.broadcast_to((1 - share[..., None]) / num_rows, target.shape[:3])
    weight = jnp.concatenate([common, rare], axis=-1)
    weight /= weight.sum()
    mean = (weight * reward).sum()
    std = jnp.sqrt((weight * jnp.square(reward - mean)).sum())
    return jnp.append(obs_mean, mean), jnp.append(obs_std, std)
