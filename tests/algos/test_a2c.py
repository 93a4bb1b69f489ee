"""A2C: returns, clipping, and what must not leak between parameter sets."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adaps.algos.a2c import A2C
from adaps.algos.optim import clip_by_norm_per_set
from adaps.algos.returns import n_step_returns
from adaps.types import Params
from cores import agent_of, full, network_of, params_of, rollout_of, with_obs

NETWORK = network_of(num_agents=3, obs_size=2, num_actions=4)
KEY = jax.random.key(0)


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


def clipped(gradients, max_norm=1.0):
    clip = clip_by_norm_per_set(max_norm)
    return clip.update(gradients, clip.init(gradients))[0]


def test_each_set_is_clipped_by_its_own_norm():
    sets = {"w": jnp.array([[3.0, 0.0], [0.3, 0.0]]), "b": jnp.array([4.0, 0.4])}
    found = clipped(Params(sets)).sets
    np.testing.assert_allclose(found["w"], [[0.6, 0.0], [0.3, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(found["b"], [0.8, 0.4], rtol=1e-6)
    zeros = jax.tree.map(jnp.zeros_like, Params(sets))
    assert all((x == 0).all() for x in jax.tree.leaves(clipped(zeros)))


@pytest.mark.parametrize("own", [(), {"a": jnp.array(0.0)}], ids=["none", "zero"])
def test_what_is_within_the_limit_stays_as_it_is(own):
    gradients = Params({"w": jnp.array([[0.3, 0.4], [0.0, 0.9]])}, own)
    jax.tree.map(np.testing.assert_array_equal, clipped(gradients), gradients)


def test_a_methods_own_parameters_count_with_the_only_set():
    own = (jnp.array([2.0, 4.0]), jnp.array([[4.0]]))
    found = clipped(Params({"w": jnp.array([[8.0, 0.0]])}, own))  # 64 + 4 + 16 + 16 = 10²
    np.testing.assert_allclose(found.sets["w"], [[0.8, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(found.own[0], [0.2, 0.4], rtol=1e-6)
    np.testing.assert_allclose(found.own[1], [[0.4]], rtol=1e-6)


def test_a_methods_own_parameters_are_a_set_of_their_own_beside_several():
    sets, own = {"w": jnp.array([[8.0, 6.0], [0.3, 0.4]])}, {"a": jnp.array([3.0, 4.0])}
    found = clipped(Params(sets, own))
    np.testing.assert_allclose(found.sets["w"], [[0.8, 0.6], [0.3, 0.4]], rtol=1e-6)
    np.testing.assert_allclose(found.own["a"], [0.6, 0.8], rtol=1e-6)
    noisy = clipped(Params(sets, {"a": 1e6 * own["a"]}))
    np.testing.assert_array_equal(noisy.sets["w"], found.sets["w"])


def made_up(key):
    """With one truncation and one termination in the middle."""
    rollout = rollout_of(key, NETWORK.shape)
    return rollout._replace(
        terminated=rollout.terminated.at[3, 1].set(True),
        truncated=rollout.truncated.at[1, 0].set(True),
    )


def updated(algo, network, params, sharing, rollout):
    agent = agent_of(network)
    learner = algo.init(KEY, agent, params)
    return jax.jit(partial(algo.update, KEY, agent))(learner, sharing, rollout)[0].params.sets


def with_a_set_each():
    sharing = full(NETWORK)._replace(param_set=jnp.arange(3))
    return params_of(NETWORK, sharing, seed=1), sharing


def test_with_a_network_each_one_agents_noise_changes_no_other():
    rollout = made_up(KEY)
    noisy = with_obs(rollout, lambda obs: obs.at[:, :, 1].add(100.0))
    noisy = noisy._replace(reward=rollout.reward.at[:, :, 1].multiply(1e4))
    before, after = (updated(A2C(), NETWORK, *with_a_set_each(), r) for r in (rollout, noisy))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[::2], b[::2]), before, after)
    assert any(
        (a[1] != b[1]).any() for a, b in zip(*map(jax.tree.leaves, (before, after)), strict=True)
    )


def test_a_lone_agents_update_does_not_shrink_with_the_team():
    rollout, algo = made_up(KEY), A2C(max_grad_norm=None)
    params, sharing = with_a_set_each()
    team = updated(algo, NETWORK, params, sharing, rollout)
    own = jax.tree.map(lambda leaf: leaf[:1], params)
    first = rollout._replace(
        **{
            name: jax.tree.map(lambda x: x[:, :, :1], getattr(rollout, name))
            for name in ("observation", "first", "action", "reward", "final")
        }
    )
    network = network_of(num_agents=1, obs_size=2, num_actions=4)
    alone = updated(algo, network, own, full(network), first)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[0], b[0], rtol=1e-5, atol=1e-7), team, alone
    )
