"""Learned masks on weights: values, gradients, renewal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adaps
from adaps.networks.weights import count_params
from adaps.sharing.kaleidoscope import mask_difference, matrices
from adaps.sharing.learned_masks import difference, masked_weight, renew, used
from cores import agent_of, full, network_of, outputs, params_of

NETWORK = network_of(num_agents=3, obs_size=2, num_actions=4)
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


def renewed(threshold, share):
    """Weights and thresholds, fresh ones in the places that are chosen."""
    chosen, *fresh = renew(KEY, WEIGHT, threshold, jnp.array([-10.0, -5.0]), share)
    return (jnp.where(chosen, *pair) for pair in zip(fresh, (WEIGHT, threshold), strict=True))


def test_only_unused_weights_are_renewed():
    threshold = THRESHOLD.at[:, 1].set(5.0)
    weight, fresh = renewed(threshold, 1.0)
    np.testing.assert_array_equal(weight[0], WEIGHT[0])
    np.testing.assert_array_equal(fresh[:, 0], threshold[:, 0])
    assert (weight[1] != WEIGHT[1]).all()
    assert ((fresh[:, 1] >= -10) & (fresh[:, 1] <= -5)).all()
    same, _ = renewed(threshold, 0.0)
    np.testing.assert_array_equal(same, WEIGHT)


def kaleidoscope(**options):
    method = adaps.Kaleidoscope(**options)
    sharing = method.build(KEY, NETWORK, None)
    return method, sharing, params_of(NETWORK, sharing, method)


def test_parameters_are_the_shared_ones_and_a_threshold_per_agent_and_weight():
    method, _, params = kaleidoscope()
    shared = params_of(NETWORK)
    jax.tree.map(np.testing.assert_array_equal, params.sets, shared.sets)
    weights = sum(layer.weight.size for layers in shared.sets for layer in layers)
    assert count_params(params) == count_params(shared) + 3 * weights
    assert method.num_own_params(NETWORK) == 3 * weights
    low, high = method.initial
    assert all(((low <= own) & (own <= high)).all() for own in params.own)


def after_renewal(method, params, updates=1):
    """Parameters after so many updates by gradients of zero."""
    transform = method.transform()
    state, nothing = transform.init(params), jax.tree.map(jnp.zeros_like, params)
    for _ in range(updates):
        change, state = transform.update(nothing, state, params, key=KEY)
    return jax.tree.map(jnp.add, params, change)


def test_thresholds_that_let_everything_pass_are_full_sharing():
    method, sharing, params = kaleidoscope(initial=(-30.0, -30.0), renew_every=1, renew_share=1.0)
    shared = params_of(NETWORK)
    obs = jax.random.normal(KEY, (5, 3, 2))
    legal = jnp.ones((5, 3, 4), bool)
    ours = outputs(agent_of(NETWORK, method), params, sharing, obs, legal)
    theirs = outputs(agent_of(NETWORK), shared, full(NETWORK), obs, legal)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert mask_difference(params) == 0
    np.testing.assert_array_equal(
        after_renewal(method, params).sets.actor[0].weight, params.sets.actor[0].weight
    )


def test_weights_that_nobody_uses_are_renewed_when_it_is_time():
    method, _, params = kaleidoscope(renew_every=3, renew_share=1.0)
    shut = params._replace(own=(jnp.full_like(params.own[0], 9.0), *params.own[1:]))
    for updates in (1, 2, 4):
        jax.tree.map(np.testing.assert_array_equal, after_renewal(method, shut, updates), shut)
    fresh = after_renewal(method, shut, 3)
    low, high = method.initial
    assert used(matrices(shut)[0], shut.own[0]).mean() < 0.5
    pairs = zip(matrices(fresh), matrices(shut), fresh.own, shut.own, strict=True)
    for weight, before, own, threshold in pairs:
        kept = used(before, threshold).any(axis=0)
        assert kept.any()
        np.testing.assert_array_equal(weight[kept], before[kept])
        np.testing.assert_array_equal(own[:, kept], threshold[:, kept])
        assert (weight[~kept] != before[~kept]).all()
        assert (jnp.abs(weight[~kept]) <= len(weight) ** -0.5 + 1e-6).all()
        assert ((low <= own[:, ~kept]) & (own[:, ~kept] <= high)).all()
    for layers, before in zip(fresh.sets, shut.sets, strict=True):
        for layer, was in zip(layers, before, strict=True):
            np.testing.assert_array_equal(layer.bias, was.bias)


def test_fixed_parameters_have_no_learned_masks():
    with pytest.raises(ValueError, match="shorter"):
        mask_difference(params_of(NETWORK))


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
