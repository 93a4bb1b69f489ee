"""Rollouts: what is recorded is what happened."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adaps
from adaps.collect.episodes import (
    EVAL_SEED,
    Episodes,
    best_return,
    mean_return,
    opposed,
    regret,
    returns_per_type,
)
from adaps.collect.evaluate import in_batches
from adaps.collect.jax import JaxCollector, first_of
from adaps.envs import auto_reset
from adaps.types import AgentEnds, Observation, Timestep

COLLECTOR = JaxCollector(adaps.make("bps:2-1"))


def always(action):
    return lambda key, memory, observation, first: (memory, jnp.full(first.shape, action))


def test_transitions_follow_each_other():
    position = COLLECTOR.start(jax.random.key(0), num_envs=4)
    after, t = COLLECTOR.collect(always(1), position, 60)
    obs, final = t.observation.obs, t.final.obs
    assert obs.shape == (60, 4, 3, 8)
    assert t.reward.shape == t.action.shape == (60, 4, 3)
    ended = t.truncated
    assert ended.sum(0).tolist() == [1, 1, 1, 1]
    same = np.asarray(obs[1:] == final[:-1]).all(axis=(2, 3))
    np.testing.assert_array_equal(same, ~np.asarray(ended[:-1]))
    np.testing.assert_array_equal(position.timestep.obs, obs[0])
    np.testing.assert_array_equal(after.timestep.obs, final[-1])


def test_memories_are_empty_at_the_first_step_of_each_episode():
    position = COLLECTOR.start(jax.random.key(0), num_envs=4)
    after, t = COLLECTOR.collect(always(1), position, 60)
    assert t.first[0].all()
    follows = np.broadcast_to(np.asarray(t.truncated)[:-1, :, None], t.first[1:].shape)
    np.testing.assert_array_equal(t.first[1:], follows)
    assert not after.first.any()


def test_agents_that_join_have_nothing_to_remember_and_those_that_pause_have():
    """They act or not, one has acted before, and the part of the last one ends by the rules."""
    first = jnp.array([[True, True, False, False, False]] * 2)
    here = jnp.array([[True, False, True, False, True]] * 2)
    over = jnp.array([[False, False, False, False, True]] * 2)
    before = Observation(jnp.zeros((2, 5, 1)), here=here)
    new = Timestep(
        observation=before,
        reward=jnp.zeros((2, 5)),
        terminated=jnp.array([False, True]),
        truncated=jnp.zeros(2, bool),
        final=before,
        agent_ends=AgentEnds(over, ~here & False),
    )
    expected = [False, True, False, False, True]
    assert first_of(first, before, new).tolist() == [expected, [True] * 5]


@pytest.mark.parametrize("batched", [False, True])
def test_after_an_episode_obs_and_legal_are_those_of_the_next(batched):
    def timestep(time):
        """What is seen and allowed says how late it is."""
        obs = jnp.full((1, 1), time, jnp.float32)
        legal = jnp.arange(3)[None] == time
        seen = Observation(obs, legal)
        return Timestep(seen, jnp.zeros(1), time >= 2, jnp.zeros((), bool), seen)

    def step(time):
        reset = lambda key: (jnp.int32(0), timestep(jnp.int32(0)))  # noqa: E731
        return auto_reset(reset, jax.random.key(0), time + 1, timestep(time + 1))

    if batched:
        state, new = jax.vmap(step)(jnp.array([0, 1]))
    else:
        state, new = jax.tree.map(lambda *x: jnp.stack(x), step(jnp.int32(0)), step(jnp.int32(1)))
    assert state.tolist() == [1, 0]
    assert new.obs[:, 0, 0].tolist() == [1.0, 0.0]
    assert new.final.obs[:, 0, 0].tolist() == [1.0, 2.0]
    assert new.observation.legal[:, 0].tolist() == [[False, True, False], [True, False, False]]
    assert new.terminated.tolist() == [False, True]


def test_a_rollout_in_two_parts_is_one():
    def policy(key, memory, observation, first):
        return memory, jax.random.randint(key, first.shape, 0, 5)

    position = COLLECTOR.start(jax.random.key(0), num_envs=4)
    middle, first = COLLECTOR.collect(policy, position, 10)
    _, second = COLLECTOR.collect(policy, middle, 10)
    assert (first.action != second.action).any()
    np.testing.assert_array_equal(second.observation.obs[0], first.final.obs[-1])


def test_evaluation_sums_one_whole_episode():
    env = COLLECTOR.env
    episodes = COLLECTOR.play(always(0), jnp.arange(5))
    assert episodes.returns.shape == (5, 3)
    # Who never moves gets the same reward 50 times.
    key, _ = jax.random.split(jax.random.key(EVAL_SEED))
    state, _ = jax.vmap(lambda n: env.reset(jax.random.fold_in(key, n)))(jnp.arange(5))
    still = -0.5 * 50 * np.linalg.norm(jax.vmap(env._to_own_landmark)(state), axis=-1)
    np.testing.assert_allclose(episodes.returns, still, rtol=1e-5)
    assert (episodes.best >= still.sum(1)).all()


def test_resets_are_the_same_for_every_policy():
    a = COLLECTOR.play(always(0), jnp.arange(5))
    b = COLLECTOR.play(always(3), jnp.arange(3, 5))
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


@pytest.mark.parametrize("own", [[-3.0, -4.0], [5.0, 1.0], [10.0, -1.0], [0.0, 0.0]])
def test_returns_of_a_team_are_summed(own):
    assert opposed(own) is None


@pytest.mark.parametrize("own", [[10.0, -10.0], [3.0, 3.0, 3.0, -40.0], [-5.0, 0.6]])
def test_returns_of_opponents_cancel_out(own):
    assert opposed(own).startswith("returns cancel out: ")
