"""Learned masks on weights: values, gradients, renewal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from adaps.networks.learned_masks import difference, masked_weight, renew, used

import adaps
from adaps.networks.mlp import (
    actor_logits,
    count_params,
    critic_value,
    init_params,
    mask_difference,
    renew_unused,
)
from adaps.types import NetworkShape

SHAPE = NetworkShape(num_agents=3, obs_size=2, num_actions=4, hidden=(8,))
KEY = jax.random.key(0)
WEIGHT = jnp.array([[0.5, -0.3], [0.1, 0.0]])
# sigmoid(0) = 0.5, sigmoid(-1) = 0.269, sigmoid(-10) = 0.00005
THRESHOLD = jnp.array([[[-1.0, -1.0], [-1.0, -1.0]], [[-10.0, 0.0], [-10.0, -10.0]]])


def test_weights_by_hand():
    kept = masked_weight(WEIGHT, THRESHOLD)
    np.testing.assert_allclose(kept[0], [[0.231, -0.031], [0, 0]], atol=1e-3)
    np.testing.assert_allclose(kept[1], [[0.5, 0], [0.1, 0]], atol=1e-3)
    np.testing.assert_array_equal(used(WEIGHT, THRESHOLD), np.asarray(kept) != 0)


def test_difference_is_the_mean_over_pairs():
    def plainly(weight, threshold):
        masks = np.asarray(used(weight, threshold), float)
        pairs = [(i, j) for i in range(len(masks)) for j in range(i)]
        sums = [(np.abs(weight) * np.abs(masks[i] - masks[j])).sum() for i, j in pairs]
        return np.mean(sums)

    np.testing.assert_allclose(difference(WEIGHT, THRESHOLD), 0.4, rtol=1e-6)
    for seed in range(3):
        weight_key, threshold_key = jax.random.split(jax.random.key(seed))
        weight = 0.1 * jax.random.normal(weight_key, (5, 4))
        threshold = jax.random.uniform(threshold_key, (6, 5, 4), minval=-4, maxval=-1)
        np.testing.assert_allclose(
            difference(weight, threshold), plainly(weight, threshold), rtol=1e-5
        )


def test_difference_pushes_masks_apart_and_leaves_weights_alone():
    weight_gradient, gradient = jax.grad(difference, argnums=(0, 1))(WEIGHT, THRESHOLD)
    assert (weight_gradient == 0).all()
    # Only the second agent masks weight [0, 1] out: its threshold is to rise, the other's to fall.
    assert gradient[1, 0, 1] > 0 > gradient[0, 0, 1]
    assert (gradient[:, 0, 0] == 0).all()  # both keep it: no reason to differ


def test_only_unused_weights_are_renewed():
    threshold = THRESHOLD.at[:, 1].set(5.0)
    weight, fresh = renew(KEY, WEIGHT, threshold, jnp.array([-10.0, -5.0]), jnp.float32(1.0))
    np.testing.assert_array_equal(weight[0], WEIGHT[0])
    np.testing.assert_array_equal(fresh[:, 0], threshold[:, 0])
    assert (weight[1] != WEIGHT[1]).all()
    assert ((fresh[:, 1] >= -10) & (fresh[:, 1] <= -5)).all()
    same, _ = renew(KEY, WEIGHT, threshold, jnp.array([-10.0, -5.0]), jnp.float32(0.0))
    np.testing.assert_array_equal(same, WEIGHT)


def kaleidoscope(**options):
    sharing = adaps.Kaleidoscope(**options).build(KEY, SHAPE, None)
    return sharing, init_params(KEY, SHAPE, learned=sharing.learned)


def test_parameters_are_the_shared_ones_and_a_threshold_per_agent_and_weight():
    _, params = kaleidoscope()
    shared = init_params(KEY, SHAPE)
    weights = sum(layer.weight.size for layer in (*shared.actor, *shared.critic))
    assert count_params(params) == count_params(shared) + 3 * weights


def test_thresholds_that_let_everything_pass_are_full_sharing():
    sharing, params = kaleidoscope(initial=(-30.0, -30.0))
    shared = init_params(KEY, SHAPE)
    fups = adaps.FuPS().build(KEY, SHAPE, None)
    obs = jax.random.normal(KEY, (5, 3, 2))
    legal = jnp.ones((5, 3, 4), bool)
    for forward, inputs in ((actor_logits, (obs, legal)), (critic_value, (obs,))):
        ours, theirs = forward(params, sharing, *inputs), forward(shared, fups, *inputs)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert mask_difference(params) == 0
    np.testing.assert_array_equal(
        renew_unused(KEY, params, sharing.learned).actor[0].weight, params.actor[0].weight
    )


def test_fixed_parameters_have_no_learned_masks():
    with pytest.raises(ValueError, match="no learned masks"):
        mask_difference(init_params(KEY, SHAPE))


def test_a_run_saves_and_loads_what_it_learnt(tmp_path):
    out = tmp_path / "run"
    method = adaps.Kaleidoscope(renew_every=10, renew_share=1.0)
    result = adaps.train(
        "bps:2-1", method, steps=2_000, seeds=1, evaluations=1, eval_episodes=8, out=out
    )
    loaded, own = adaps.load(out), result.policies[0]
    jax.tree.map(np.testing.assert_array_equal, loaded.params, own.params)
    jax.tree.map(np.testing.assert_array_equal, loaded.sharing, own.sharing)
    obs = jax.random.normal(KEY, (4, 3, 8))
    np.testing.assert_array_equal(loaded.act(obs), own.act(obs))
