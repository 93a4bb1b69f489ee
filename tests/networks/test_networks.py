"""The shared network: masks, sets, sampling."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adaps.networks.mlp import (
    ActorCritic,
    Layer,
    actor_logits,
    count_params,
    critic_value,
    init_params,
    num_params,
    sample_action,
)
from adaps.sharing import FuPS
from adaps.types import Masks, NetworkShape

SHAPE = NetworkShape(num_agents=4, obs_size=3, num_actions=5, hidden=(8, 6))
OBS = jax.random.normal(jax.random.key(7), (2, 3, 4, 3))
LEGAL = jnp.ones((2, 3, 4, 5), bool)


def full_sharing():
    return FuPS().build(jax.random.key(0), SHAPE, None)


def random_masks(key):
    def layers(key):
        return tuple(
            jax.random.bernoulli(k, shape=(4, width)).astype(jnp.float32)
            for k, width in zip(jax.random.split(key), SHAPE.hidden, strict=True)
        )

    actor_key, critic_key = jax.random.split(key)
    return Masks(layers(actor_key), layers(critic_key))


def outputs(params, sharing):
    return actor_logits(params, sharing, OBS, LEGAL), critic_value(params, sharing, OBS)


def test_parameters_of_bps_1_are_counted_as_published():
    assert num_params(NetworkShape(15, 10, 5, (64, 64))) == 10_118
    assert num_params(NetworkShape(15, 10, 5, (64, 64)), num_tags=15) == 12_038
    assert num_params(NetworkShape(15, 10, 5, (64, 64)), num_sets=15) == 151_770


def test_a_masked_network_is_the_smaller_one():
    params = init_params(jax.random.key(0), SHAPE)
    sharing = full_sharing()._replace(masks=random_masks(jax.random.key(1)))
    logits, values = outputs(params, sharing)
    for agent in range(4):
        actor = pruned(params.actor, [m[agent] for m in sharing.masks.actor])
        critic = pruned(params.critic, [m[agent] for m in sharing.masks.critic])
        np.testing.assert_allclose(
            logits[:, :, agent], plain(actor, OBS[:, :, agent]), rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(
            values[:, :, agent], plain(critic, OBS[:, :, agent])[..., 0], rtol=1e-5, atol=1e-6
        )


def pruned(layers, masks):
    """The physically smaller network: rows and columns of dropped neurons taken out."""
    kept = [np.arange(SHAPE.obs_size), *(np.flatnonzero(m) for m in masks)]
    kept.append(np.arange(layers[-1].bias.shape[-1]))
    return [
        (np.asarray(layer.weight[0])[np.ix_(rows, columns)], np.asarray(layer.bias[0])[columns])
        for layer, rows, columns in zip(layers, kept[:-1], kept[1:], strict=True)
    ]


def plain(layers, x):
    for weight, bias in layers[:-1]:
        x = np.maximum(np.asarray(x) @ weight + bias, 0)
    return x @ layers[-1][0] + layers[-1][1]


def test_a_neuron_that_no_one_owns_has_no_gradient():
    params = init_params(jax.random.key(0), SHAPE)
    masks = jax.tree.map(lambda m: m.at[:, 2].set(0.0), random_masks(jax.random.key(1)))
    sharing = full_sharing()._replace(masks=masks)

    def loss(params):
        logits, values = outputs(params, sharing)
        return jnp.square(logits).sum() + jnp.square(values).sum()

    for layers in jax.grad(loss)(params):
        for hidden, following in itertools.pairwise(layers):
            assert (hidden.weight[0, :, 2] == 0).all()
            assert hidden.bias[0, 2] == 0
            assert (following.weight[0, 2] == 0).all()
            assert (hidden.weight[0] != 0).any()


def test_equal_sets_give_what_one_set_gives():
    params = init_params(jax.random.key(0), SHAPE)
    copies = jax.tree.map(lambda leaf: jnp.repeat(leaf, 3, axis=0), params)
    sharing = full_sharing()._replace(
        group=jnp.array([2, 0, 1, 0], jnp.int32), masks=random_masks(jax.random.key(1))
    )
    for one, several in zip(outputs(params, sharing), outputs(copies, sharing), strict=True):
        np.testing.assert_allclose(one, several, rtol=1e-5, atol=1e-6)


def test_an_agents_output_depends_on_its_own_set_alone():
    params = init_params(jax.random.key(0), SHAPE, num_sets=2)
    sharing = full_sharing()._replace(group=jnp.array([0, 1, 0, 1], jnp.int32))
    other = jax.tree.map(lambda leaf: leaf.at[1].add(1.0), params)
    for before, after in zip(outputs(params, sharing), outputs(other, sharing), strict=True):
        np.testing.assert_array_equal(before[:, :, ::2], after[:, :, ::2])
        assert (before[:, :, 1::2] != after[:, :, 1::2]).all()


def test_a_set_does_not_depend_on_how_many_there_are():
    one, three = (init_params(jax.random.key(5), SHAPE, num_sets=n) for n in (1, 3))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[0], b[0]), one, three)
    assert num_params(SHAPE, 3, num_tags=2) == count_params(
        init_params(jax.random.key(5), SHAPE, 3, num_tags=2)
    )
    assert count_params(three) == 3 * count_params(one)


def test_gradients_are_those_of_the_plain_formula():
    params = init_params(jax.random.key(0), SHAPE)
    sharing = full_sharing()

    def through_network(params):
        return jnp.sin(actor_logits(params, sharing, OBS, LEGAL)).sum()

    def through_formula(params: ActorCritic):
        x = OBS
        for layer in params.actor[:-1]:
            x = jax.nn.relu(x @ layer.weight[0] + layer.bias[0])
        return jnp.sin(x @ params.actor[-1].weight[0] + params.actor[-1].bias[0]).sum()

    ours, plain = jax.grad(through_network)(params), jax.grad(through_formula)(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), ours, plain)
    assert isinstance(ours.actor[0], Layer)


def test_actions_are_drawn_with_their_probabilities():
    logits = jnp.log(jnp.array([0.5, 0.2, 0.0, 0.3]))
    logits = jnp.maximum(logits, jnp.finfo(jnp.float32).min)
    draws = sample_action(jax.random.key(0), jnp.broadcast_to(logits, (40_000, 4)))
    shares = np.bincount(draws, minlength=4) / 40_000
    np.testing.assert_allclose(shares, [0.5, 0.2, 0.0, 0.3], atol=0.01)


@pytest.mark.parametrize("only", range(5))
def test_an_illegal_action_is_never_taken(only):
    params = init_params(jax.random.key(0), SHAPE)
    legal = jnp.zeros((2, 3, 4, 5), bool).at[..., only].set(True)
    logits = actor_logits(params, full_sharing(), OBS, legal)
    assert (logits.argmax(-1) == only).all()
    assert (sample_action(jax.random.key(0), logits) == only).all()
    assert (jax.nn.softmax(logits)[..., [a for a in range(5) if a != only]] == 0).all()
