"""The categorical distribution, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adaps.networks.distributions import Categorical, head_of, uniform_logits
from adaps.types import Box, Discrete, Distribution

SHARES = jnp.array([[[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]], [[0.2, 0.4, 0.4], [0.1, 0.1, 0.8]]])
LEAST = jnp.finfo(jnp.float32).min
LOGITS = jnp.maximum(jnp.log(SHARES), LEAST) + jnp.array([3.0, -2.0])[:, None, None]
DISTRIBUTION = Categorical(LOGITS)


def test_it_is_a_distribution_and_a_tree_of_arrays():
    assert isinstance(DISTRIBUTION, Distribution)
    (leaf,) = jax.tree.leaves(DISTRIBUTION)
    assert leaf is LOGITS
    first = jax.tree.map(lambda x: x[0], DISTRIBUTION)
    np.testing.assert_array_equal(first.mode(), [0, 1])


def test_log_probabilities_are_those_of_the_actions():
    action = jnp.array([[1, 1], [0, 2]])
    expected = np.log([[0.25, 1.0], [0.2, 0.8]])
    np.testing.assert_allclose(DISTRIBUTION.log_prob(action), expected, rtol=1e-5, atol=1e-6)


def test_entropy_is_in_nats_and_impossible_actions_add_none():
    expected = [
        [1.5 * np.log(2), 0.0],
        [-0.2 * np.log(0.2) - 0.8 * np.log(0.4), -0.2 * np.log(0.1) - 0.8 * np.log(0.8)],
    ]
    np.testing.assert_allclose(DISTRIBUTION.entropy(), expected, rtol=1e-5, atol=1e-6)


def test_distance_is_the_total_variation():
    one, _, two, three = map(Categorical, LOGITS.reshape(4, 1, 3))
    np.testing.assert_allclose(one.distance(two), 0.3, rtol=1e-5)
    np.testing.assert_allclose(two.distance(three), 0.4, rtol=1e-5)
    np.testing.assert_allclose(two.distance(two), 0.0)
    ends = Categorical(jnp.array([[0.0, LEAST], [LEAST, 0.0]]))
    np.testing.assert_allclose(ends.distance(jax.tree.map(lambda x: x[::-1], ends)), 1.0)


def test_distances_of_all_pairs_by_broadcasting():
    one, other = Categorical(LOGITS[:, :, None]), Categorical(LOGITS[:, None])
    expected = np.abs(SHARES[:, :, None] - SHARES[:, None]).sum(-1) / 2
    np.testing.assert_allclose(one.distance(other), expected, rtol=1e-5, atol=1e-6)


def test_the_mode_is_the_most_likely_action_and_of_equals_the_first():
    np.testing.assert_array_equal(DISTRIBUTION.mode(), [[0, 1], [1, 2]])


def test_draws_come_as_often_as_they_are_likely():
    many = Categorical(jnp.broadcast_to(LOGITS, (20_000, *LOGITS.shape)))
    drawn = np.asarray(many.sample(jax.random.key(0)))
    shares = (drawn[..., None] == np.arange(3)).mean(axis=0)
    np.testing.assert_allclose(shares, SHARES, atol=0.02)
    assert (shares[SHARES == 0] == 0).all()


def test_gradients_are_finite_beside_impossible_actions():
    def through_both(logits):
        distribution = Categorical(logits)
        return (distribution.log_prob(jnp.array([0])) + distribution.entropy()).sum()

    assert np.isfinite(jax.grad(through_both)(jnp.array([[0.0, 1.0, LEAST]]))).all()


def test_a_head_of_discrete_actions_masks_what_is_illegal():
    head = head_of(Discrete(3))
    assert head.num_outputs == 3
    legal = jnp.array([[True, False, True]])
    distribution = head.build(jnp.array([[0.0, 9.0, 1.0]]), legal)
    assert distribution.mode() == 2
    assert distribution.log_prob(jnp.array([1])) < -1e30
    np.testing.assert_allclose(distribution.log_prob(jnp.array([0])), -np.log(1 + np.e), rtol=1e-5)
    assert head.build(jnp.array([[0.0, 9.0, 1.0]]), None).mode() == 1


def test_uniform_logits_are_equal_where_legal():
    legal = jnp.array([[True, False, True]])
    np.testing.assert_array_equal(jax.nn.softmax(uniform_logits(legal)), [[0.5, 0.0, 0.5]])


def test_spaces_without_a_distribution_are_refused():
    with pytest.raises(NotImplementedError, match="Box"):
        head_of(Box(2, -1.0, 1.0))
