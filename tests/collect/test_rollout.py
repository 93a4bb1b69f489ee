"""Rollouts: what is recorded is what happened."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adaps
from adaps.collect.evaluate import (
    EVAL_SEED,
    Episodes,
    best_return,
    evaluate,
    in_batches,
    mean_return,
    regret,
    returns_per_type,
)
from adaps.collect.jax import rollout, start
from adaps.envs import auto_reset
from adaps.types import Timestep


def always(action):
    return lambda key, obs, legal: jnp.full(obs.shape[:-1], action)


def test_transitions_follow_each_other():
    env = adaps.make("bps:2-1")
    state = start(env, jax.random.key(0), num_envs=4)
    final, t = rollout(env, always(1), state, 60)
    assert t.obs.shape == (60, 4, 3, 8)
    assert t.reward.shape == t.action.shape == (60, 4, 3)
    ended = t.truncated
    assert ended.sum(0).tolist() == [1, 1, 1, 1]
    same = np.asarray(t.obs[1:] == t.last_obs[:-1]).all(axis=(2, 3))
    np.testing.assert_array_equal(same, ~np.asarray(ended[:-1]))
    np.testing.assert_array_equal(state.timestep.obs, t.obs[0])
    np.testing.assert_array_equal(final.timestep.obs, t.last_obs[-1])


@pytest.mark.parametrize("batched", [False, True])
def test_after_an_episode_obs_and_legal_are_those_of_the_next(batched):
    def timestep(time):
        """What is seen and allowed says how late it is."""
        obs = jnp.full((1, 1), time, jnp.float32)
        legal = jnp.arange(3)[None] == time
        return Timestep(obs, legal, jnp.zeros(1), time >= 2, jnp.zeros((), bool), obs)

    def step(time):
        reset = lambda key: (jnp.int32(0), timestep(jnp.int32(0)))  # noqa: E731
        return auto_reset(reset, jax.random.key(0), time + 1, timestep(time + 1))

    if batched:
        state, new = jax.vmap(step)(jnp.array([0, 1]))
    else:
        state, new = jax.tree.map(lambda *x: jnp.stack(x), step(jnp.int32(0)), step(jnp.int32(1)))
    assert state.tolist() == [1, 0]
    assert new.obs[:, 0, 0].tolist() == [1.0, 0.0]
    assert new.last_obs[:, 0, 0].tolist() == [1.0, 2.0]
    assert new.legal[:, 0].tolist() == [[False, True, False], [True, False, False]]
    assert new.terminated.tolist() == [False, True]


def test_a_rollout_in_two_parts_is_one():
    env = adaps.make("bps:2-1")

    def policy(key, obs, legal):
        return jax.random.randint(key, obs.shape[:-1], 0, 5)

    state = start(env, jax.random.key(0), num_envs=4)
    middle, first = rollout(env, policy, state, 10)
    _, second = rollout(env, policy, middle, 10)
    assert (first.action != second.action).any()
    np.testing.assert_array_equal(second.obs[0], first.last_obs[-1])


def test_evaluation_sums_one_whole_episode():
    env = adaps.make("bps:2-1")
    episodes = evaluate(env, always(0), jnp.arange(5))
    assert episodes.returns.shape == (5, 3)
    # Who never moves gets the same reward 50 times.
    key, _ = jax.random.split(jax.random.key(EVAL_SEED))
    state, _ = jax.vmap(lambda n: env.reset(jax.random.fold_in(key, n)))(jnp.arange(5))
    still = -0.5 * 50 * np.linalg.norm(jax.vmap(env._to_own_landmark)(state), axis=-1)
    np.testing.assert_allclose(episodes.returns, still, rtol=1e-5)
    assert (episodes.best >= still.sum(1)).all()


def test_resets_are_the_same_for_every_policy():
    env = adaps.make("bps:2-1")
    a = evaluate(env, always(0), jnp.arange(5))
    b = evaluate(env, always(3), jnp.arange(3, 5))
    np.testing.assert_array_equal(a.best[3:], b.best)
    assert (a.returns[3:] != b.returns).all()


@pytest.mark.parametrize("count", [1, 99, 100, 101, 250])
def test_batches_join_to_the_number_asked_for(count):
    def play(numbers):
        return Episodes(numbers[:, None] * jnp.ones(2), None)

    np.testing.assert_array_equal(in_batches(play, count).returns[:, 0], np.arange(count))


def test_numbers_by_hand():
    episodes = Episodes(np.array([[-1.0, -2.0, -4.0], [-3.0, -2.0, -4.0]]), np.array([-6.0, -4.0]))
    assert mean_return(episodes) == -8.0
    assert best_return(episodes) == -5.0
    assert regret(episodes) == 0.6
    assert returns_per_type(episodes, (0, 1, 0)) == [-6.0, -2.0]
    assert returns_per_type(episodes, None) is None
    assert regret(episodes._replace(best=None)) is None
    assert regret(episodes._replace(best=np.zeros(2))) is None


def test_batches_end_with_the_wish_to_stop():
    played = []

    def play(numbers):
        played.append(int(numbers[0]))
        return Episodes(numbers[:, None] * jnp.ones(2), None)

    found = in_batches(play, 450, stopping=lambda: len(played) == 2)
    assert played == [0, 100]
    np.testing.assert_array_equal(found.returns[:, 0], np.arange(200))
