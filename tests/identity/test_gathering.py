"""Rounds of random play that fit into memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adaps
from adaps.collect.jax import JaxCollector, uniform
from adaps.identity import gathering, samples
from adaps.types import Discrete, Observation
from probes import Probe, constant

ENV = adaps.make("bps:2-2")


class Sized(Probe):
    """As large as it is told."""

    obs_size = 4_000


@pytest.mark.parametrize("env", [ENV, adaps.make("bps:1"), adaps.make("bps:100-100")], ids=str)
@pytest.mark.parametrize("wanted", [32, 33, 60, 100, 6_400, 25_600, 25_601, 4_000_000])
def test_a_plan_takes_what_is_asked_for_or_a_little_more(env, wanted):
    plan = gathering.plan(env, wanted)
    assert wanted <= plan.num_steps < wanted + plan.steps_per_round
    assert plan.copies <= gathering.MAX_COPIES
    assert plan.length <= gathering.ROUND_LENGTH
    numbers = env.num_agents * 2 * (2 * env.obs_size + env.num_actions + 1)
    assert plan.steps_per_round * numbers <= gathering.ROUND_NUMBERS
    assert plan.steps_per_round >= samples.BLOCKS
    thinning = gathering.thinning(env.num_agents, plan)
    assert 1 <= thinning.rows <= plan.steps_per_round // samples.BLOCKS
    assert thinning.rows <= thinning.in_all(plan.rounds) <= thinning.rows * plan.rounds


def test_rounds_of_large_teams_are_short():
    env = Sized("sized", constant, agent_types=(0,) * 40)
    plan = gathering.plan(env, 25_600)
    assert 25_600 <= plan.num_steps < 25_600 + plan.steps_per_round
    assert plan.rounds > 100
    assert plan.steps_per_round * 40 * 2 * 8_003 <= gathering.ROUND_NUMBERS
    assert plan.steps_per_round >= samples.BLOCKS


@pytest.mark.parametrize(("total", "pieces"), [(10, 3), (3, 10), (20, 20), (1, 20), (0, 5)])
def test_pieces_come_to_the_whole(total, pieces):
    found = gathering.in_pieces(total, pieces)
    assert sum(found) == total
    assert len(found) == min(total, pieces)
    assert not found or max(found) - min(found) <= 1


def counts(rare, seen):
    """What counts, block by agent: rare rewards and steps."""
    none = samples.empty(2, 3, 2, 4)
    rare, seen = (np.broadcast_to(x, (samples.BLOCKS, 2)).astype(np.int32) for x in (rare, seen))
    return none._replace(num_rare=jnp.asarray(rare), num_seen=jnp.asarray(seen))


def test_enough_is_enough():
    assert gathering.too_little(["a", "b"], counts(rare=20, seen=100)) == []  # not rare at all
    assert gathering.too_little(["a", "b"], counts(rare=[1, 0], seen=100)) == []


def test_too_few_steps_or_rewards_are_told():
    one = counts(rare=20, seen=[100, 2])
    assert gathering.too_little(["a", "b"], one) == [
        "too little gathered: b acted in 64 steps, and at least 1,000 are needed "
        "(see --gather-steps)"
    ]
    first_block = np.eye(samples.BLOCKS, 2)
    assert gathering.too_little(["a", "b"], counts(rare=first_block, seen=100)) == [
        "too few rewards gathered: no agent met more than 1 that were not the usual one, and at "
        "least 32 are needed (see --gather-steps)"
    ]
    everybody = counts(rare=20, seen=100)._replace(num_seen=jnp.int32(30))
    assert len(gathering.too_little(["a", "b"], everybody)) == 1


def test_half_of_the_actions_are_of_either_policy():
    def always(action):
        return lambda key, memory, observation, first: (memory, jnp.full(first.shape, action))

    policy = gathering.half_and_half(always(1), always(3))
    seen = Observation(jnp.zeros((500, 4, 2)), jnp.ones((500, 4, 5), bool))
    _, actions = policy(jax.random.key(0), (), seen, jnp.zeros((500, 4), bool))
    assert set(np.unique(actions)) == {1, 3}
    np.testing.assert_allclose((np.asarray(actions) == 1).mean(axis=0), 0.5, atol=0.1)


@pytest.fixture(scope="module")
def gathered():
    plan = gathering.plan(ENV, 3_200)._replace(copies=32, rounds=2)
    collector, policy = JaxCollector(ENV), uniform(Discrete(ENV.num_actions))
    state = gathering.begin(collector, ENV, plan, jax.random.key(0))
    run = jax.jit(gathering.gather, static_argnums=(0, 1, 2))
    return jax.device_get(run(collector, plan, policy, state, jnp.int32(2)).gathered)


def test_all_rounds_are_kept_where_there_is_room(gathered):
    rows = gathered.common
    assert rows.given.shape == (samples.BLOCKS, 4, 100, ENV.obs_size + ENV.num_actions)
    assert rows.target.shape == (samples.BLOCKS, 4, 100, ENV.obs_size + 1)
    assert (gathered.num_rounds, gathered.num_seen) == (2, 100)
    assert np.asarray(rows.given[..., ENV.obs_size :]).sum(axis=-1).min() == 1
    # Positions move by a twentieth of a step's velocity; landmarks by as much the other way.
    moved = np.asarray(rows.target[..., 2:4] - rows.given[..., 2:4])
    np.testing.assert_allclose(moved, 0.1 * np.asarray(rows.target[..., :2]), atol=1e-5)
    # Everybody's reward is its distance from the landmark of its own kind.
    for agent, kind in enumerate(ENV.agent_types):
        own = np.asarray(rows.target[:, agent, :, 4 + 2 * kind : 6 + 2 * kind])
        reward = np.asarray(rows.target[:, agent, :, -1])
        np.testing.assert_allclose(reward, -0.5 * np.linalg.norm(own, axis=-1), rtol=1e-4)


def test_every_action_is_drawn_alike(gathered):
    action = np.asarray(gathered.common.given[..., ENV.obs_size :])
    np.testing.assert_allclose(action.mean(axis=(0, 1, 2)), 1 / ENV.num_actions, atol=0.02)


def test_illegal_actions_are_not_drawn():
    legal = jnp.array([[True, False, True], [False, True, False]])
    policy, seen = uniform(Discrete(3)), Observation(jnp.zeros((2, 1)), legal)
    keys = jax.random.split(jax.random.key(0), 20)
    drawn = np.asarray([policy(key, (), seen, jnp.zeros(2, bool))[1] for key in keys])
    assert set(drawn[:, 0]) == {0, 2}
    assert set(drawn[:, 1]) == {1}


@pytest.mark.parametrize("part", ["given", "target"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_told_by_agent(gathered, part, value):
    gathering.check_finite(ENV, gathered)
    broken = getattr(gathered.common, part).copy()
    broken[3, 2, 17, 0] = broken[1, 3, 0, 0] = value
    wrong = gathered._replace(common=gathered.common._replace(**{part: broken}))
    with pytest.raises(adaps.RunError, match=r"bps:2-2: .* agent 2 is not finite .* 17 of block"):
        gathering.check_finite(ENV, wrong)


@pytest.mark.parametrize("part", ["given", "target"])
@pytest.mark.parametrize("sample", ["common", "rare"])
def test_what_is_too_great_is_told_by_agent(gathered, sample, part):
    """Its squares would overflow, and agents that differ in nothing else be taken for alike."""
    rows = getattr(gathered, sample)
    great = np.array(getattr(rows, part))
    great[3, 2, 0, 0] = -1e30
    wrong = gathered._replace(**{sample: rows._replace(**{part: great})})
    with pytest.raises(adaps.RunError, match=r"bps:2-2: .* agent agent_2 is as great as 1.0e\+30"):
        gathering.check_finite(ENV, wrong)


def test_rewards_are_rare_in_foraging_and_dense_in_spread():
    assert gathering.rewards_are_rare(adaps.make("foraging-fixed-10x10-3p-2f"))
    assert not gathering.rewards_are_rare(ENV)
    assert gathering.steps_needed(ENV) == gathering.DENSE_STEPS
