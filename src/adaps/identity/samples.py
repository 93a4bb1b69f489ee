"""Transitions to identify agents by: thinned, standardised, drawn in batches. Stage: identity.

Where rewards are rare, nothing else may distinguish agents, and a million steps hold a few hundred
of them. So two samples are kept: one of all transitions, and one of those whose reward is not the
usual one. The latter are drawn more often than they occurred.
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
"""Parts of the data with different copies, or stretches of time. The first half is learnt from,
the second is held out."""
MAX_ROWS = 400_000
"""Transitions that are kept, over all agents; and as many with rare rewards."""
RARE_OF_ROUND = 1024
"""Transitions with rare rewards that are kept of a round, at most."""
LARGE_TEAM = 100
"""From so many agents on, each learns from blocks of its own."""
RARE = 0.1
"""Rewards are rare where less than this share of transitions has an unusual reward."""
OFTEN = 8.0
"""How many times as often as others a transition with a rare reward is drawn."""
MOST_RARE = 0.5
"""Share of draws with rare rewards, at most."""
LARGEST = 1e15
"""Of greater numbers, a few hundred million squares add up to more than a float32 can hold."""
CLIP = 5.0
"""Standardised numbers are clipped at so many standard deviations."""


class Steps(NamedTuple):
    """Transitions as they come."""

    obs: Float[Array, "time env agent obs"]
    action: Float[Array, "time env agent action"]
    """One-hot where actions are discrete."""
    last_obs: Float[Array, "time env agent obs"]
    """The observation that followed, before any reset."""
    reward: Float[Array, "time env agent"]
    """Until then."""
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
    """Some transitions of each round, evenly spaced."""
    rare: Rows
    """The first transitions with an unusual reward, in the order in which they came."""
    num_kept: Int[Array, "block agent"]
    """How many of these are kept."""
    num_rare: Int[Array, "block agent"]
    """How many there were, kept or not."""
    num_seen: Int[Array, ""] | Int[Array, "block agent"]
    """How many transitions of each block and agent there were."""
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
    """How many rare rows are valid; they come first."""
    rare_share: Float[Array, "block agent"]
    """Share of draws that are of the rare rows."""
    mean: Float[Array, " output"]
    """What was subtracted from observations and reward."""
    scale: Float[Array, " output"]
    """What they were divided by then."""


class Thinning(NamedTuple):
    """Which transitions are kept, per block and agent."""

    rows: int
    """Rows of a round, evenly spaced."""
    every: int = 1
    """The last of so many rounds is kept."""

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


def empty(num_agents: int, num_inputs: int, num_outputs: int, rows: int) -> Gathered:
    """Room for so many rows per block and agent, and as many rare ones."""
    shape = (BLOCKS, num_agents, rows)
    rows_of_zeros = Rows(jnp.zeros((*shape, num_inputs)), jnp.zeros((*shape, num_outputs)))
    none = jnp.zeros((BLOCKS, num_agents), jnp.int32)
    zero = jnp.int32(0)
    return Gathered(rows_of_zeros, rows_of_zeros, none, none, zero, zero, jnp.float32(0))


def with_presence(gathered: Gathered) -> Gathered:
    """The same for agents that may leave or join: records which rows are of agents that acted."""
    absent = jnp.zeros(gathered.common.target.shape[:3], bool)
    return gathered._replace(here=absent, num_seen=jnp.zeros_like(gathered.num_rare))


def action_size(space: Space) -> int:
    """Numbers that an action is written as: one for each of some choices, or its own."""
    return space.num_actions if isinstance(space, Discrete) else space.size


def as_steps(rollout: Rollout, space: Space) -> Steps:
    """What was recorded, discrete actions one-hot."""
    action = rollout.action
    if isinstance(space, Discrete):
        action = jax.nn.one_hot(action, space.num_actions)
    seen, following = rollout.observation, (rollout.final.obs, rollout.reward)
    if rollout.final.here is not None:
        following = _after_pauses(rollout)
    return Steps(seen.obs, action, *following, seen.here)


def _after_pauses(
    rollout: Rollout,
) -> tuple[Float[Array, "time env agent obs"], Float[Array, "time env agent"]]:
    """What an agent saw next, and was paid until then, where it may pause after a step.

    If it sees nothing more in the rollout or in its part of the episode, what it acted on stands
    in for that.
    """
    given, ends = cast(Array, rollout.final.here), rollout.ends
    ended = ends.terminated | ends.truncated
    ended = jnp.broadcast_to(ended if ended.ndim == 3 else ended[..., None], given.shape)

    def step_back(later, x):
        """Later: the next observation, whether there is one, and the rewards until then."""
        obs, is_known, paid = later
        final, reward, given, ended = x
        obs = jnp.where(given[..., None], final, obs)
        is_known = given | (is_known & ~ended)
        paid = jnp.where(given | ended, reward, reward + paid)
        return (obs, is_known, paid), (obs, is_known, paid)

    nothing = jax.tree.map(jnp.zeros_like, (rollout.final.obs[-1], given[-1], rollout.reward[-1]))
    steps = (rollout.final.obs, rollout.reward, given, ended)
    _, (obs, is_known, paid) = jax.lax.scan(step_back, nothing, steps, reverse=True)
    return jnp.where(is_known[..., None], obs, rollout.observation.obs), paid


def accumulate(
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
    """The common rows with evenly spaced rows of a round at the round's own place."""
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
    """The rare rows and those of a round, as far as there is room; and how many there are.

    At most ``most`` rows of a round are used, since moving few rows is quick: the first ones of
    every block and agent, so that each has some.
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
    """Inputs and targets, with any leading axes."""
    given = jnp.concatenate([steps.obs, steps.action], axis=-1)
    return Rows(given, jnp.concatenate([steps.last_obs, steps.reward[..., None]], axis=-1))


def rare_share(gathered: Gathered) -> Float[Array, ""]:
    """Share of transitions with an unusual reward."""
    return (gathered.num_rare / jnp.maximum(gathered.num_seen, 1)).mean()


def as_samples(gathered: Gathered) -> Samples:
    """Every number standardised over all agents, and how often rare rewards are to be drawn.

    A large team is gathered in few copies, and what is learnt in these may not hold in others. So
    each of its agents learns from other blocks, and is then tested in blocks that others learnt
    from.
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
    blocks = np.tile(np.arange(BLOCKS)[:, None], (1, num_rare.shape[1]))
    order = np.random.default_rng(0).permuted(blocks, axis=0)

    def reorder(x: Array) -> Array:
        return jnp.take_along_axis(x, order.reshape(*order.shape, *[1] * (x.ndim - 2)), axis=0)

    return _with_blocks(samples, reorder)


def _without_absent(gathered: Gathered) -> Gathered:
    """Replace rows in which an agent did not act by rows of the same block in which it did.

    Where an agent did not act in a block at all, rows of another block are used, of the same half
    if possible. An agent that never acted gets the rows of the one that acted most.
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

    acted_first = jnp.argsort(~here, axis=-1, stable=True)
    turn = jnp.arange(here.shape[-1]) % jnp.maximum(count[block, agent], 1)[..., None]
    row = jnp.take_along_axis(acted_first[block, agent], turn, axis=-1)
    common = jax.tree.map(lambda x: x[block[..., None], agent[:, None], row], gathered.common)
    return gathered._replace(common=common)


def _with_blocks(samples: Samples, change: Callable[[Array], Array]) -> Samples:
    """The same change of everything that has blocks."""
    blocks = (samples.common, samples.rare, samples.num_rare, samples.rare_share)
    common, rare, num_rare, rare_share = jax.tree.map(change, blocks)
    return samples._replace(common=common, rare=rare, num_rare=num_rare, rare_share=rare_share)


def other_half(samples: Samples) -> Samples:
    """The same samples, with the learnt and the held-out half exchanged."""
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
    """Share of each block's and agent's draws that is of rare rows; zero if rewards are not rare.

    All agents have the same weight, so that differences in how often they are rewarded remain.
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
    """Of observations as they occurred; of rewards as they are drawn."""
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
