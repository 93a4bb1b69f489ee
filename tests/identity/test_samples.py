"""What is kept of a round, and how it is drawn again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adaps.identity import samples
from adaps.identity.encoders import learnt_from
from adaps.identity.samples import BLOCKS, CLIP, Steps, Thinning
from adaps.types import AgentEnds, Discrete, NetworkShape
from cores import rollout_of

AGENTS = 2
HALF = BLOCKS // 2
TIME = 200


def in_numpy(function, **options):
    """Compiled at once, and fetched, which is quicker than one operation after the other."""
    compiled = jax.jit(function, **options)
    return lambda *args: jax.device_get(compiled(*args))


accumulate = in_numpy(samples.accumulate, static_argnums=(2, 3))
as_samples = in_numpy(samples.as_samples)
other_half = in_numpy(samples.other_half)
rare_share = in_numpy(samples.rare_share)
draw = in_numpy(samples.draw, static_argnums=4)
as_steps = in_numpy(samples.as_steps, static_argnums=1)
empty = in_numpy(samples.empty, static_argnums=(0, 1, 2, 3))


def tagged(time, env, reward=None, first=0):
    """Every transition's number is its observation; copies are numbered in the second entry."""
    shape = (time, env, AGENTS)
    number = first + np.arange(time * env * AGENTS, dtype=np.float32).reshape(shape)
    copy = np.broadcast_to(np.arange(env, dtype=np.float32)[None, :, None], shape)
    obs = np.stack([number, copy], axis=-1)
    reward = number if reward is None else np.asarray(reward, np.float32)
    action = np.eye(3, dtype=np.float32)[number.astype(int) % 3]
    return Steps(obs, action, obs + 0.5, np.asarray(reward, np.float32))


def test_what_follows_a_pause_is_what_is_seen_after_it():
    """One agent pauses twice and dies, one is out at the end, and one is always there."""
    rows = lambda *columns: jnp.array(columns).T[:, None]  # noqa: E731
    acted = rows([1, 0, 0, 1, 1, 0], [1, 1, 0, 0, 0, 0], [1] * 6) == 1
    given = rows([0, 0, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0], [1] * 6) == 1
    ended = rows([0, 0, 0, 0, 0, 1], [0] * 6, [0, 1, 0, 0, 0, 0]) == 1
    seen = rollout_of(jax.random.key(0), NetworkShape(3, 1, Discrete(2), ()), time=6, copies=1)
    seen = seen._replace(
        observation=seen.observation._replace(here=acted),
        final=seen.final._replace(here=given),
        reward=jnp.broadcast_to(2.0 ** jnp.arange(6)[:, None, None], (6, 1, 3)),
        agent_ends=AgentEnds(ended, ended & False),
    )
    steps = as_steps(seen, Discrete(2))
    obs, final = (np.asarray(x.obs)[:, 0, :, 0] for x in (seen.observation, seen.final))
    expected = final.copy()
    expected[0, 0], expected[4, 0], expected[1, 1] = final[2, 0], obs[4, 0], obs[1, 1]
    paid = np.repeat(2.0 ** np.arange(6)[:, None], 3, axis=1)
    paid[0, 0], paid[4, 0], paid[1, 1] = 1 + 2 + 4, 16 + 32, 2 + 4 + 8 + 16 + 32
    here = np.asarray(acted)[:, 0]
    np.testing.assert_array_equal(steps.last_obs[:, 0, :, 0][here], expected[here])
    np.testing.assert_array_equal(steps.reward[:, 0][here], paid[here])
    everyone = seen._replace(observation=seen.observation._replace(here=None))
    everyone = everyone._replace(final=seen.final._replace(here=None))
    np.testing.assert_array_equal(as_steps(everyone, Discrete(2)).last_obs, seen.final.obs)


def nothing(rows):
    return empty(AGENTS, 5, 3, rows)


def whole(steps):
    """All of one round, which has ``TIME`` steps in 32 copies."""
    return accumulate(nothing(TIME), steps, Thinning(TIME))


def rewards(time, env, at, value=7.0):
    """Zero, but for some ``(time, env, agent)``."""
    reward = np.zeros((time, env, AGENTS))
    for place in at:
        reward[place] = value
    return reward


def rare_places(time, env, share, seed=0):
    rng = np.random.default_rng(seed)
    return [tuple(p) for p in np.argwhere(rng.random((time, env, AGENTS)) < share).tolist()]


def rare_rows(gathered):
    """Observation numbers of the rare rows that are kept, by block and agent."""
    numbers = np.asarray(gathered.rare.given[..., 0])
    kept = np.asarray(gathered.num_kept)
    return [
        [numbers[block, agent, : kept[block, agent]].tolist() for agent in range(AGENTS)]
        for block in range(BLOCKS)
    ]


def test_blocks_hold_different_copies():
    gathered = accumulate(nothing(10), tagged(10, 64), Thinning(10))
    copies = np.asarray(gathered.common.given[..., 1])
    learnt, held_out = (set(part.ravel().tolist()) for part in np.split(copies, [HALF]))
    assert learnt == set(range(32))
    assert held_out == set(range(32, 64))
    assert learnt_from() == HALF


def test_with_few_copies_no_row_is_both_learnt_from_and_held_out():
    gathered = accumulate(nothing(20), tagged(200, 3), Thinning(18))
    numbers = np.asarray(gathered.common.given[:, :, :18, 0])
    assert len(np.unique(numbers)) == numbers.size


def test_a_round_that_fits_is_kept_whole_and_in_order():
    steps = tagged(TIME, 32)
    gathered = whole(steps)
    by_copy = np.asarray(steps.obs[..., 0]).transpose(1, 2, 0)
    np.testing.assert_array_equal(gathered.common.given[..., 0], by_copy)
    np.testing.assert_array_equal(gathered.common.target[..., 0], by_copy + 0.5)
    np.testing.assert_array_equal(gathered.common.target[..., -1], by_copy)
    action = np.asarray(gathered.common.given[..., 2:])
    np.testing.assert_array_equal(action.argmax(-1), by_copy % 3)
    assert (gathered.num_seen, gathered.num_rounds) == (TIME, 1)


def test_rows_are_evenly_spaced_and_every_round_has_its_place():
    gathered = accumulate(nothing(16), tagged(32, 32), Thinning(8))
    gathered = accumulate(gathered, tagged(32, 32, first=10_000), Thinning(8))
    numbers = np.asarray(gathered.common.given[..., 0]).reshape(BLOCKS, AGENTS, 2, 8)
    assert (np.diff(numbers, axis=-1) == 4 * 32 * AGENTS).all()
    np.testing.assert_array_equal(numbers[:, :, 1] - numbers[:, :, 0], 10_000)
    assert (gathered.num_seen, gathered.num_rounds) == (64, 2)


def test_rows_of_very_long_logs_are_evenly_spaced_too():
    """Products of numbers of rows that 32 bits cannot hold."""
    kept, every = samples.thinning(1, 1, 1_000_000)
    assert every == 1
    assert kept * 1_000_000 > 2**31
    some = samples.evenly_spaced(1_000_000, kept)
    assert (some[0], some[-1]) == (0, 1_000_000 - 80)
    assert (np.diff(some) == 80).all()
    assert samples.evenly_spaced(7, 7).tolist() == list(range(7))
    assert samples.evenly_spaced(10, 4).tolist() == [0, 2, 5, 7]


@pytest.mark.parametrize("num_agents", [1, 15, 200, 20_000])
@pytest.mark.parametrize("num_rounds", [1, 7, 400])
def test_rows_of_a_round_fit_into_the_room(num_agents, num_rounds):
    thinning = samples.thinning(num_agents, num_rounds, 400)
    assert 1 <= thinning.rows <= 400
    assert 1 <= thinning.every <= num_rounds
    in_all = thinning.in_all(num_rounds)
    assert in_all >= 1
    assert in_all * num_agents * BLOCKS <= max(samples.MAX_ROWS, 4 * BLOCKS * num_agents)


def test_where_rounds_are_too_many_the_last_of_several_is_kept():
    gathered = nothing(2)
    for number in range(7):
        gathered = accumulate(gathered, tagged(8, 32, first=10_000 * number), Thinning(1, 3))
    rounds = np.asarray(gathered.common.given[..., 0]) // 10_000
    assert (rounds == [6, 5]).all()
    assert Thinning(1, 3).in_all(7) == 2


def test_rare_rows_are_those_with_another_reward_than_the_median():
    places = rare_places(TIME, 32, 0.02)
    gathered = whole(tagged(TIME, 32, rewards(TIME, 32, places)))
    expected = [
        [[float((t * 32 + e) * AGENTS + a) for t, e, a in places if (e, a) == (block, agent)]
         for agent in range(AGENTS)]
        for block in range(BLOCKS)
    ]  # fmt: skip
    assert rare_rows(gathered) == expected
    np.testing.assert_array_equal(gathered.num_rare, gathered.num_kept)
    assert gathered.num_rare.sum() == len(places)
    assert float(rare_share(gathered)) == pytest.approx(len(places) / (TIME * 32 * AGENTS))
    rare = np.asarray(gathered.rare.target[..., -1])
    assert (rare != 0).sum() == len(places)


def test_the_usual_reward_is_that_of_the_first_round():
    gathered = accumulate(nothing(8), tagged(8, 32, np.zeros((8, 32, AGENTS))), Thinning(4))
    assert gathered.num_rare.sum() == 0
    gathered = accumulate(gathered, tagged(8, 32, np.ones((8, 32, AGENTS))), Thinning(4))
    assert gathered.usual == 0
    assert (gathered.num_rare == 8).all()


def test_rare_rows_of_later_rounds_follow_until_there_is_no_room():
    gathered = nothing(3)
    for number in range(5):
        reward = rewards(8, 32, [(number, 0, 1)])
        gathered = accumulate(gathered, tagged(8, 32, reward, first=1000 * number), Thinning(1))
    assert rare_rows(gathered)[0] == [[], [1.0, 1065.0, 2129.0]]
    assert gathered.num_kept[0].tolist() == [0, 3]
    assert gathered.num_rare[0].tolist() == [0, 5]
    assert gathered.num_kept[1:].sum() == 0


def test_no_block_goes_without_where_a_round_has_more_rare_rows_than_are_looked_at():
    places = rare_places(1000, 32, 0.06)
    assert len(places) > 2 * samples.RARE_OF_ROUND
    gathered = accumulate(
        nothing(1000), tagged(1000, 32, rewards(1000, 32, places)), Thinning(1000)
    )
    kept = np.asarray(gathered.num_kept)
    assert kept.sum() == samples.RARE_OF_ROUND
    assert kept.min() >= 6
    assert gathered.num_rare.sum() == len(places)
    # The earliest of each.
    assert (
        rare_rows(gathered)[31][1]
        == [float((t * 32 + e) * AGENTS + a) for t, e, a in places if (e, a) == (31, 1)][
            : kept[31, 1]
        ]
    )


def test_more_can_be_asked_for():
    places = rare_places(1000, 32, 0.06)
    steps = tagged(1000, 32, rewards(1000, 32, places))
    gathered = accumulate(nothing(1000), steps, Thinning(1000), 5000)
    assert gathered.num_kept.sum() == len(places)


def test_shares_of_very_many_steps_are_right():
    """Numbers of transitions that 32 bits cannot hold."""
    gathered = nothing(1)._replace(
        num_seen=np.int32(100_000_000), num_rare=np.full((BLOCKS, AGENTS), 50_000_000)
    )
    assert float(rare_share(gathered)) == pytest.approx(0.5)


def drawn(prepared, block, agent, num_rows=4000, seed=0):
    given, target = draw(
        jax.random.key(seed), prepared, np.array([block]), np.array([agent]), num_rows
    )
    return np.asarray(given[0]), np.asarray(target[0])


def test_rare_rows_are_drawn_as_often_as_their_share_says():
    rng = np.random.default_rng(0)
    reward = 7.0 * (rng.random((TIME, 32, AGENTS)) < [0.01, 0.04])
    gathered = whole(tagged(TIME, 32, reward))
    prepared = as_samples(gathered)
    share = np.asarray(prepared.rare_share)
    number = np.asarray(gathered.num_rare)
    assert (share[number == 0] == 0).all()
    assert (share[number > 0] > number[number > 0] / TIME).all()
    usual = np.asarray(prepared.common.target[..., -1]).min()
    for block, agent in ((0, 1), (20, 1), (int(number[:, 0].argmax()), 0)):
        # Common rows hold the rare ones as often as they came.
        of_common = number[block, agent] / TIME
        expected = share[block, agent] + (1 - share[block, agent]) * of_common
        found = (drawn(prepared, block, agent)[1][:, -1] > usual + 1e-3).mean()
        assert found == pytest.approx(expected, abs=0.03)
    # Who is rewarded four times as often still shows.
    assert share[:, 1].mean() > 2.5 * share[:, 0].mean()


def test_a_block_is_not_drawn_from_rows_that_it_does_not_hold():
    """Rare rows came by, and none of them was kept."""
    places = rare_places(TIME, 32, 0.05)
    gathered = whole(tagged(TIME, 32, rewards(TIME, 32, places)))
    num_kept = gathered.num_kept.copy()
    num_kept[3] = 0
    lost = gathered._replace(num_kept=num_kept)
    assert gathered.num_rare[3].min() > 0
    assert (as_samples(lost).rare_share[3] == 0).all()
    assert (as_samples(gathered).rare_share[3] > 0).all()


def test_no_rows_are_preferred_where_rewards_are_dense():
    gathered = whole(tagged(TIME, 32))
    assert float(rare_share(gathered)) > 0.9
    prepared = as_samples(gathered)
    assert (prepared.rare_share == 0).all()
    given, target = drawn(prepared, 5, 1)
    rows = np.asarray(prepared.common.given[5, 1])
    assert all((row == rows).all(axis=1).any() for row in given)
    assert len(np.unique(target[:, -1])) > 30


def test_draws_take_inputs_and_targets_of_the_same_row_and_agent():
    prepared = as_samples(whole(tagged(TIME, 32)))
    given, target = drawn(prepared, 7, 1)
    raw = given[:, 0] * prepared.scale[0] + prepared.mean[0]
    reward = target[:, -1] * prepared.scale[-1] + prepared.mean[-1]
    np.testing.assert_allclose(raw + 0.5, reward + 0.5, atol=0.05)
    assert (np.abs(given[:, 1] - given[0, 1]) < 1e-6).all()
    assert (np.round(raw) % AGENTS == 1).all()


def noise(time, env, seed=0, scale=3.0):
    rng = np.random.default_rng(seed)
    obs = (10 + scale * rng.normal(size=(time, env, AGENTS, 2))).astype(np.float32)
    obs[..., 1] = 4.25
    action = np.eye(3, dtype=np.float32)[rng.integers(3, size=(time, env, AGENTS))]
    reward = rng.normal(size=(time, env, AGENTS)).astype(np.float32)
    return Steps(obs, action, obs, 5 - 2 * reward)


def test_numbers_are_standardised_and_constant_ones_stay_finite():
    steps = noise(TIME, 32)
    prepared = as_samples(whole(steps))
    target = np.asarray(prepared.common.target).reshape(-1, 3)
    np.testing.assert_allclose(target.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(target.std(axis=0)[[0, 2]], 1, atol=1e-2)
    np.testing.assert_array_equal(target[:, 1], 0)
    np.testing.assert_array_equal(prepared.common.given[..., :2], prepared.common.target[..., :2])
    assert set(np.unique(prepared.common.given[..., 2:])) == {0.0, 1.0}
    assert prepared.scale[1] == 1
    assert float(prepared.mean[2]) == pytest.approx(5, abs=0.1)


def test_far_numbers_are_clipped():
    steps = noise(TIME, 32)
    steps.obs[0, 0, 0, 0], steps.obs[1, 0, 0, 0] = 1e4, -1e4  # which is last_obs, too
    prepared = as_samples(whole(steps))
    for numbers in (prepared.common.target[..., 0], prepared.common.given[..., 0]):
        assert (float(numbers.max()), float(numbers.min())) == (CLIP, -CLIP)


def test_rewards_that_never_change_stay_finite():
    steps = noise(TIME, 32)._replace(reward=np.full((TIME, 32, AGENTS), 3.0, np.float32))
    prepared = as_samples(whole(steps))
    assert (prepared.common.target[..., -1] == 0).all()
    assert (prepared.rare_share == 0).all()
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(prepared))


def test_rewards_are_standardised_as_they_are_drawn():
    places = rare_places(TIME, 32, 0.02)
    gathered = whole(tagged(TIME, 32, rewards(TIME, 32, places)))
    prepared = as_samples(gathered)
    block, agent = (x.ravel() for x in np.indices((BLOCKS, AGENTS)))
    _, target = draw(jax.random.key(0), prepared, block, agent, 500)
    assert float(target[..., -1].mean()) == pytest.approx(0, abs=0.05)
    assert float(target[..., -1].std()) == pytest.approx(1, abs=0.05)


def test_the_other_half_swaps_what_is_held_out():
    places = rare_places(TIME, 32, 0.03)
    gathered = whole(tagged(TIME, 32, rewards(TIME, 32, places)))
    prepared = as_samples(gathered)
    other = other_half(prepared)
    half = learnt_from()
    for name in ("num_rare", "rare_share"):
        one, two = np.asarray(getattr(prepared, name)), np.asarray(getattr(other, name))
        assert sorted(one[:half].ravel().tolist()) == sorted(two[half:].ravel().tolist())
    one, two = (np.split(np.asarray(s.common.given[..., 1]), 2) for s in (prepared, other))
    for learnt, held_out in ((one[0], two[1]), (one[1], two[0])):
        assert set(np.unique(learnt)) == set(np.unique(held_out))
    assert not set(np.unique(one[0])) & set(np.unique(one[1]))
    jax.tree.map(np.testing.assert_array_equal, other_half(other), prepared)


def test_every_agent_of_a_large_team_learns_from_other_blocks():
    rng = np.random.default_rng(0)
    num_agents = samples.LARGE_TEAM
    shape = (4, 32, num_agents)
    copy = np.broadcast_to(np.arange(32.0)[None, :, None], shape)
    obs = np.stack([copy, rng.normal(size=shape)], axis=-1).astype(np.float32)
    steps = Steps(obs, np.ones((*shape, 1), np.float32), obs, obs[..., 1])
    gathered = accumulate(empty(num_agents, 3, 3, 4), steps, Thinning(4))
    dealt = as_samples(gathered)
    copies = np.asarray(dealt.common.given[:, :, 0, 0] * dealt.scale[0] + dealt.mean[0]).round()
    np.testing.assert_array_equal(np.sort(copies, axis=0)[:, 0], np.arange(32))
    assert len({tuple(sorted(own[:16])) for own in copies.T.tolist()}) > 90
    np.testing.assert_array_equal(dealt.common.given[..., 1], dealt.common.target[..., 1])
    few = as_samples(
        accumulate(empty(2, 3, 3, 4), Steps(*(x[:, :, :2] for x in steps[:4])), Thinning(4))
    )
    assert (np.diff(few.common.given[:, 0, 0, 0]) > 0).all()
