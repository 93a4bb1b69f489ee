"""Running statistics are those of all that was seen, and change what they should."""

import jax.numpy as jnp
import numpy as np
import pytest

import adaps
from adaps.networks import normalise
from adaps.types import AgentEnds, Observation, Rollout, Sharing
from cores import with_obs

KIND = jnp.array([0, 1, 0])


def sharing(size=2):
    return Sharing(jnp.zeros(3, int), {}, jnp.zeros((3, 0)), scaling=normalise.unscaled(KIND, size))


def rollout(rng, time=4, here=None, reward=None, ended=False):
    shape = (time, 5, 3)
    obs = jnp.asarray(rng.normal(3, 2, (*shape, 2)), jnp.float32)
    reward = rng.normal(0, 7, shape) if reward is None else reward
    ends = jnp.full(shape[:2], ended)
    no = jnp.zeros(shape, bool)
    legal = jnp.ones((*shape, 2), bool)
    return Rollout(
        observation=Observation(obs, legal, here=here),
        first=no,
        action=jnp.zeros(shape, jnp.int32),
        reward=jnp.asarray(reward, jnp.float32),
        terminated=ends & False,
        truncated=ends,
        final=Observation(obs),
        agent_ends=None if here is None else AgentEnds(no, no | ends[..., None]),
        memory=(),
    )


def test_moments_are_those_of_all_that_was_seen():
    rng, now = np.random.default_rng(0), normalise.begin(sharing(), 5, True, False)
    seen = [rollout(rng, time) for time in (1, 4, 2)]
    for one in seen:
        now = normalise.with_observations(now, sharing(), one)
    for kind, agents in ((0, [0, 2]), (1, [1])):
        obs = [np.asarray(s.observation.obs)[:, :, agents] for s in seen]
        rows = np.concatenate([x.reshape(-1, 2) for x in obs])
        assert now.obs.num[kind] == len(rows)
        np.testing.assert_allclose(now.obs.mean[kind], rows.mean(0), rtol=1e-5)
        np.testing.assert_allclose(now.obs.squares[kind] / len(rows), rows.var(0), rtol=1e-4)
    scaling = normalise.scaled(sharing(), now).scaling
    np.testing.assert_allclose(scaling.scale[1], 1 / rows.std(0), rtol=1e-4)


def test_agents_that_are_away_are_not_counted():
    rng = np.random.default_rng(1)
    here = jnp.asarray(rng.random((4, 5, 3)) < 0.5)
    seen = rollout(rng, here=here)
    now = normalise.begin(sharing(), 5, True, False)
    now = normalise.with_observations(now, sharing(), seen)
    rows = np.asarray(seen.observation.obs)[:, :, 1][np.asarray(here)[:, :, 1]]
    np.testing.assert_allclose(now.obs.mean[1], rows.mean(0), rtol=1e-5)


def test_nothing_changes_before_anything_was_seen():
    scaling = normalise.scaled(sharing(), normalise.begin(sharing(), 5, True, True)).scaling
    np.testing.assert_array_equal(scaling.mean, 0)
    np.testing.assert_array_equal(scaling.scale, 1)


def test_entries_that_never_change_are_not_blown_up():
    seen = rollout(np.random.default_rng(2))
    seen = with_obs(seen, lambda obs: obs.at[..., 1].set(5.0))
    now = normalise.begin(sharing(), 5, True, False)
    now = normalise.with_observations(now, sharing(), seen)
    assert normalise.scaled(sharing(), now).scaling.scale[0, 1] == 1


def test_rewards_are_divided_by_the_deviation_of_discounted_sums():
    rng = np.random.default_rng(3)
    now, sums = normalise.begin(sharing(), 5, False, True), {0: [], 1: []}
    running = np.zeros((5, 3))
    for _ in range(3):
        seen = rollout(rng)
        now, learnt = normalise.with_rewards(now, sharing(), seen, 0.9)
        for reward in np.asarray(seen.reward):
            running = 0.9 * running + reward
            sums[0].append(running[:, [0, 2]].ravel())
            sums[1].append(running[:, 1])
    for kind, agent in ((0, 2), (1, 1)):
        expected = np.asarray(seen.reward)[:, :, agent] / np.concatenate(sums[kind]).std()
        np.testing.assert_allclose(learnt.reward[:, :, agent], expected, rtol=1e-3)
    assert normalise.scaled(sharing(), now).scaling.mean.sum() == 0


def test_sums_begin_anew_with_each_episode():
    seen = rollout(np.random.default_rng(4), ended=True)
    now, _ = normalise.with_rewards(
        normalise.begin(sharing(), 5, False, True), sharing(), seen, 1.0
    )
    np.testing.assert_array_equal(now.rewards.running, 0)


def test_sums_begin_anew_with_each_agents_own_part_and_not_with_a_pause():
    here = jnp.ones((4, 5, 3), bool).at[2].set(False)
    seen = rollout(np.random.default_rng(4), here=here, reward=np.ones((4, 5, 3)))
    ended = seen.agent_ends.terminated.at[1, :, 0].set(True)
    seen = seen._replace(agent_ends=AgentEnds(ended, ended & False))
    now, _ = normalise.with_rewards(
        normalise.begin(sharing(), 5, False, True), sharing(), seen, 1.0
    )
    np.testing.assert_array_equal(now.rewards.running, [[2, 4, 4]] * 5)


@pytest.mark.parametrize("sharing_method", ["fups", "seps"])
def test_statistics_are_saved_with_the_policy(tmp_path, sharing_method):
    result = adaps.train(
        "bps:2-1",
        sharing_method,
        steps=6_000,
        seeds=1,
        evaluations=1,
        eval_episodes=2,
        encoder=adaps.VAE(updates=100),
        normalise_obs=True,
        scale_rewards=True,
        out=tmp_path / "run",
    )
    policy = adaps.load(tmp_path / "run")
    assert policy.sharing.scaling is not None
    np.testing.assert_array_equal(
        policy.sharing.scaling.mean, result.policies[0].sharing.scaling.mean
    )
    assert np.abs(policy.sharing.scaling.mean).max() > 0
    obs = jnp.asarray(np.random.default_rng(5).normal(size=(20, 3, policy.shape.obs_size)))
    np.testing.assert_array_equal(policy.act(obs), result.policies[0].act(obs))
