"""A2C: returns, clipping, and what must not leak between parameter sets."""

import jax
import jax.numpy as jnp
import numpy as np

from adaps.algos.a2c import A2C, clip_by_norm_per_set, n_step_returns
from adaps.networks.mlp import init_params
from adaps.sharing import FuPS
from adaps.types import NetworkShape, Transition

SHAPE = NetworkShape(num_agents=3, obs_size=2, num_actions=4, hidden=(8,))


def test_returns_by_hand():
    reward = jnp.array([1.0, 2.0, 3.0]).reshape(3, 1, 1)
    next_value = jnp.array([10.0, 20.0, 30.0]).reshape(3, 1, 1)
    no, yes = jnp.zeros((3, 1), bool), jnp.array([[False], [True], [False]])

    def returns(terminated, truncated):
        return n_step_returns(reward, next_value, terminated, truncated, 0.5)[:, 0, 0]

    np.testing.assert_allclose(returns(no, no), [1 + 0.5 * (2 + 0.5 * 18), 2 + 0.5 * 18, 18])
    np.testing.assert_allclose(returns(yes, no), [1 + 0.5 * 2, 2, 18])
    np.testing.assert_allclose(returns(no, yes), [1 + 0.5 * 12, 2 + 0.5 * 20, 18])
    np.testing.assert_allclose(returns(yes, yes), [1 + 0.5 * 2, 2, 18])


def test_each_set_is_clipped_by_its_own_norm():
    gradients = {"w": jnp.array([[3.0, 0.0], [0.3, 0.0]]), "b": jnp.array([4.0, 0.4])}
    clip = clip_by_norm_per_set(1.0)
    clipped, _ = clip.update(gradients, clip.init(gradients))
    np.testing.assert_allclose(clipped["w"], [[0.6, 0.0], [0.3, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(clipped["b"], [0.8, 0.4], rtol=1e-6)
    zeros = jax.tree.map(jnp.zeros_like, gradients)
    assert all((x == 0).all() for x in jax.tree.leaves(clip.update(zeros, clip.init(zeros))[0]))


def transitions(key):
    """Made up, with one truncation and one termination in the middle."""
    obs_key, action_key, reward_key, last_key = jax.random.split(key, 4)
    return Transition(
        obs=jax.random.normal(obs_key, (5, 2, 3, 2)),
        legal=jnp.ones((5, 2, 3, 4), bool),
        action=jax.random.randint(action_key, (5, 2, 3), 0, 4),
        reward=jax.random.normal(reward_key, (5, 2, 3)),
        terminated=jnp.zeros((5, 2), bool).at[3, 1].set(True),
        truncated=jnp.zeros((5, 2), bool).at[1, 0].set(True),
        last_obs=jax.random.normal(last_key, (5, 2, 3, 2)),
    )


def updated(data, num_sets):
    sharing = FuPS().build(jax.random.key(0), SHAPE, None)
    sharing = sharing._replace(group=jnp.minimum(jnp.arange(3), num_sets - 1))
    algorithm = A2C().build()
    learner = algorithm.init(init_params(jax.random.key(1), SHAPE, num_sets))
    return jax.jit(algorithm.update)(learner, sharing, data)[0].params


def test_with_a_network_each_one_agents_noise_changes_no_other():
    data = transitions(jax.random.key(0))
    noisy = data._replace(
        reward=data.reward.at[:, :, 1].multiply(1e4), obs=data.obs.at[:, :, 1].add(100.0)
    )
    before, after = updated(data, num_sets=3), updated(noisy, num_sets=3)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[::2], b[::2]), before, after)
    assert any(
        (a[1] != b[1]).any() for a, b in zip(*map(jax.tree.leaves, (before, after)), strict=True)
    )


def test_a_lone_agents_update_does_not_shrink_with_the_team():
    data = transitions(jax.random.key(0))
    alone_shape = SHAPE._replace(num_agents=1)
    algorithm = A2C(max_grad_norm=None).build()
    params = init_params(jax.random.key(1), SHAPE, num_sets=3)
    sharing = FuPS().build(jax.random.key(0), SHAPE, None)._replace(group=jnp.arange(3))
    team, _ = jax.jit(algorithm.update)(algorithm.init(params), sharing, data)
    own = jax.tree.map(lambda leaf: leaf[:1], params)
    first = data._replace(
        **{
            name: getattr(data, name)[:, :, :1]
            for name in ("obs", "legal", "action", "reward", "last_obs")
        }
    )
    sharing = FuPS().build(jax.random.key(0), alone_shape, None)
    alone, _ = jax.jit(algorithm.update)(algorithm.init(own), sharing, first)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[0], b[0], rtol=1e-5, atol=1e-7),
        team.params,
        alone.params,
    )
