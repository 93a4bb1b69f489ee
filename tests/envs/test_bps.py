"""Blind-Particle Spread: parity with the original, and its rules."""

import random
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import adaps
from adaps.envs.builtin import bps

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="the recorded transitions are not beside the project"
)


@needs_reference
@pytest.mark.parametrize("variant", [1, 3, 4, 5, 6])
def test_every_recorded_transition_agrees(variant):
    data = np.load(REFERENCE / f"bps-{variant}.npz")
    env = adaps.make(f"bps-{variant}")
    assert env.agent_types == tuple(data["group"])
    state = bps.State(
        position=jnp.asarray(data["position"], jnp.float32),
        velocity=jnp.asarray(data["velocity"], jnp.float32),
        landmark=jnp.asarray(data["landmark"], jnp.float32),
        time=jnp.zeros(len(data["action"]), jnp.int32),
    )
    keys = jax.random.split(jax.random.key(0), len(data["action"]))
    new, timestep = jax.jit(jax.vmap(env.step))(keys, state, jnp.asarray(data["action"]))
    np.testing.assert_allclose(new.position, data["next_position"], atol=1e-6)
    np.testing.assert_allclose(new.velocity, data["next_velocity"], atol=1e-6)
    np.testing.assert_allclose(timestep.obs, data["next_obs"], atol=1e-6)
    np.testing.assert_allclose(timestep.reward, data["reward"], atol=1e-6)
    np.testing.assert_allclose(jax.vmap(env._observe)(state), data["obs"], atol=1e-6)


def test_constants_are_those_of_mpe2():
    from mpe2._mpe_utils.core import World  # noqa: PLC0415

    world = World()
    assert world.damping == bps.DAMPING
    assert world.dt == bps.STEP_SECONDS


@pytest.mark.parametrize(
    ("name", "groups", "shuffled"),
    [
        ("bps-1", (5, 5, 5), False),
        ("bps-2", (10, 10, 10), False),
        ("BPS-3", (6,) * 5, False),
        ("bps-4", (3, 3, 3, 12, 9), False),
        ("bps-5", (5, 5, 5), True),
        ("bps-6", (6,) * 5, True),
        ("bps:9", (9,), False),
        ("bps:1", (1,), False),
        ("bps:2-7-1-shuffled", (2, 7, 1), True),
    ],
)
def test_names(name, groups, shuffled):
    env = adaps.make(name)
    assert (env.groups, env.shuffled) == (groups, shuffled)
    assert env.num_agents == len(env.agent_types) == sum(groups)
    assert env.obs_size == 4 + 2 * len(groups)


@pytest.mark.parametrize(
    "name", ["bps-7", "bps-0", "bps", "bps:", "bps:0", "bps:5-", "bps:5--5", "bps:-5", "bps:a", ""]
)
def test_names_that_are_not(name):
    with pytest.raises(adaps.UserError, match="environment"):
        adaps.make(name)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31), groups=st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_reset_is_as_stated(seed, groups):
    env = adaps.make("bps:" + "-".join(map(str, groups)))
    state, timestep = env.reset(jax.random.key(seed))
    assert (np.abs(state.position) <= 1).all()
    assert (np.abs(state.landmark) <= 3).all()
    assert (state.velocity == 0).all()
    assert timestep.obs.shape == (env.num_agents, env.obs_size)
    assert timestep.obs.dtype == timestep.reward.dtype == jnp.float32


def test_an_episode_is_truncated_after_50_steps_and_the_next_begins():
    env = adaps.make("bps-1")
    step = jax.jit(env.step)
    state, timestep = env.reset(jax.random.key(0))
    for t in range(1, 51):
        before = state
        state, timestep = step(jax.random.key(t), state, jnp.full(15, t % 5))
        assert bool(timestep.truncated) == (t == 50)
        assert not timestep.terminated
    assert state.time == 0
    assert not np.allclose(timestep.obs, timestep.final.obs)
    expected_state, expected = env.reset(jax.random.key(50))
    np.testing.assert_array_equal(timestep.obs, expected.obs)
    np.testing.assert_array_equal(state.landmark, expected_state.landmark)
    np.testing.assert_allclose(timestep.final.obs[:, 2:4], before.position, atol=0.3)


def test_many_copies_step_as_each_alone():
    env = adaps.make("bps:2-1")
    keys = jax.random.split(jax.random.key(3), 6)
    states, _ = jax.vmap(env.reset)(keys)
    states = states._replace(time=jnp.array([0, 49, 10, 49, 48, 1], jnp.int32))
    actions = jax.random.randint(jax.random.key(4), (6, 3), 0, 5)
    together = jax.vmap(env.step)(keys, states, actions)
    for i in range(6):
        alone = jax.jit(env.step)(keys[i], jax.tree.map(lambda x, i=i: x[i], states), actions[i])
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, atol=1e-6), together, alone
        )


def test_shuffled_groups_read_in_the_order_of_pythons_shuffle():
    plain, shuffled = adaps.make("bps:2-2"), adaps.make("bps:2-2-shuffled")
    _state, timestep = plain.reset(jax.random.key(0))
    _, other = shuffled.reset(jax.random.key(0))
    for agent, group in enumerate(plain.agent_types):
        order = list(range(8))
        random.Random(group).shuffle(order)
        np.testing.assert_array_equal(other.obs[agent], np.asarray(timestep.obs[agent])[order])


def test_nobody_beats_the_bound():
    env = adaps.make("bps-1")
    state, timestep = env.reset(jax.random.key(1))
    best = float(env.best_return(state))
    total = 0.0
    for t in range(50):
        to_own = np.asarray(env._to_own_landmark(state))
        axis = np.abs(to_own).argmax(axis=1)
        sign = np.take_along_axis(to_own, axis[:, None], axis=1)[:, 0] > 0
        state, timestep = env.step(jax.random.key(t), state, jnp.array(1 + 2 * axis + sign))
        total += float(timestep.reward.sum())
    assert total < best < 0.8 * total
