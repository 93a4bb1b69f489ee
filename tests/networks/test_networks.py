"""The shared network: masks, sets, sampling."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adaps.networks.dense import Layer
from adaps.networks.distributions import Categorical
from adaps.networks.mlp import ActorCritic, num_params
from adaps.networks.weights import count_params, first_set
from adaps.types import Discrete, NetworkShape
from cores import agent_of, full, network_of, params_of
from cores import outputs as outputs_of

NETWORK = network_of(num_agents=4, obs_size=3, num_actions=5, hidden=(8, 6))
OBS = jax.random.normal(jax.random.key(7), (2, 3, 4, 3))
LEGAL = jnp.ones((2, 3, 4, 5), bool)


def random_masks(key):
    keys = jax.random.split(key, len(NETWORK.units))
    return {
        name: jax.random.bernoulli(k, shape=(4, width)).astype(jnp.float32)
        for k, (name, width) in zip(keys, NETWORK.units.items(), strict=True)
    }


def outputs(params, sharing, legal=LEGAL):
    return outputs_of(agent_of(NETWORK), params, sharing, OBS, legal)


def test_parameters_of_bps_1_are_counted_as_published():
    shape = NetworkShape(15, 10, Discrete(5), (64, 64))
    assert num_params(shape) == 10_118
    assert num_params(shape, num_tags=15) == 12_038
    assert num_params(shape, num_sets=15) == 151_770


def test_a_masked_network_is_the_smaller_one():
    params = params_of(NETWORK)
    sharing = full(NETWORK)._replace(masks=random_masks(jax.random.key(1)))
    logits, values = outputs(params, sharing)
    for agent in range(4):
        actor, critic = (
            pruned(layers, [sharing.masks[f"{part}/{i}"][agent] for i in range(2)])
            for part, layers in first_set(params)._asdict().items()
        )
        np.testing.assert_allclose(
            logits[:, :, agent], plain(actor, OBS[:, :, agent]), rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(
            values[:, :, agent], plain(critic, OBS[:, :, agent])[..., 0], rtol=1e-5, atol=1e-6
        )


def pruned(layers, masks):
    """The physically smaller network: rows and columns of dropped neurons taken out."""
    kept = [np.arange(OBS.shape[-1]), *(np.flatnonzero(m) for m in masks)]
    kept.append(np.arange(layers[-1].bias.shape[-1]))
    return [
        (np.asarray(layer.weight)[np.ix_(rows, columns)], np.asarray(layer.bias)[columns])
        for layer, rows, columns in zip(layers, kept[:-1], kept[1:], strict=True)
    ]


def plain(layers, x):
    for weight, bias in layers[:-1]:
        x = np.maximum(np.asarray(x) @ weight + bias, 0)
    return x @ layers[-1][0] + layers[-1][1]


def test_a_neuron_that_no_one_owns_has_no_gradient():
    params = params_of(NETWORK)
    masks = jax.tree.map(lambda m: m.at[:, 2].set(0.0), random_masks(jax.random.key(1)))
    sharing = full(NETWORK)._replace(masks=masks)

    def loss(params):
        logits, values = outputs(params, sharing)
        return jnp.square(logits).sum() + jnp.square(values).sum()

    for layers in first_set(jax.grad(loss)(params)):
        for hidden, following in itertools.pairwise(layers):
            assert (hidden.weight[:, 2] == 0).all()
            assert hidden.bias[2] == 0
            assert (following.weight[2] == 0).all()
            assert (hidden.weight != 0).any()


def test_equal_sets_give_what_one_set_gives():
    params = params_of(NETWORK)
    copies = jax.tree.map(lambda leaf: jnp.repeat(leaf, 3, axis=0), params)
    sharing = full(NETWORK)._replace(
        param_set=jnp.array([2, 0, 1, 0], jnp.int32), masks=random_masks(jax.random.key(1))
    )
    for one, several in zip(outputs(params, sharing), outputs(copies, sharing), strict=True):
        np.testing.assert_allclose(one, several, rtol=1e-5, atol=1e-6)


def test_an_agents_output_depends_on_its_own_set_alone():
    sharing = full(NETWORK)._replace(param_set=jnp.array([0, 1, 0, 1], jnp.int32))
    params = params_of(NETWORK, sharing)
    other = jax.tree.map(lambda leaf: leaf.at[1].add(1.0), params)
    for before, after in zip(outputs(params, sharing), outputs(other, sharing), strict=True):
        np.testing.assert_array_equal(before[:, :, ::2], after[:, :, ::2])
        assert (before[:, :, 1::2] != after[:, :, 1::2]).all()


def test_a_set_does_not_depend_on_how_many_there_are():
    one, three = (params_of(NETWORK, seed=5, num_sets=n) for n in (1, 3))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[0], b[0]), one, three)
    tagged = full(NETWORK)._replace(tags=jnp.zeros((4, 2)))
    assert num_params(NETWORK.shape, 3, num_tags=2) == count_params(
        params_of(NETWORK, tagged, seed=5, num_sets=3)
    )
    assert count_params(three) == 3 * count_params(one)


def test_gradients_are_those_of_the_plain_formula():
    params = params_of(NETWORK)
    sharing = full(NETWORK)

    def through_network(params):
        return jnp.sin(outputs(params, sharing)[0]).sum()

    def through_formula(params):
        x, layers = OBS, first_set(params).actor
        for layer in layers[:-1]:
            x = jax.nn.relu(x @ layer.weight + layer.bias)
        return jnp.sin(x @ layers[-1].weight + layers[-1].bias).sum()

    ours, plain = jax.grad(through_network)(params), jax.grad(through_formula)(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), ours, plain)
    assert isinstance(ours.sets, ActorCritic)
    assert isinstance(ours.sets.actor[0], Layer)


def test_actions_are_drawn_with_their_probabilities():
    logits = jnp.log(jnp.array([0.5, 0.2, 0.0, 0.3]))
    logits = jnp.maximum(logits, jnp.finfo(jnp.float32).min)
    draws = Categorical(jnp.broadcast_to(logits, (40_000, 4))).sample(jax.random.key(0))
    shares = np.bincount(draws, minlength=4) / 40_000
    np.testing.assert_allclose(shares, [0.5, 0.2, 0.0, 0.3], atol=0.01)


@pytest.mark.parametrize("only", range(5))
def test_an_illegal_action_is_never_taken(only):
    legal = jnp.zeros((2, 3, 4, 5), bool).at[..., only].set(True)
    logits, _ = outputs(params_of(NETWORK), full(NETWORK), legal)
    distribution = Categorical(logits)
    assert (distribution.mode() == only).all()
    assert (distribution.sample(jax.random.key(0)) == only).all()
    assert (jax.nn.softmax(logits)[..., [a for a in range(5) if a != only]] == 0).all()
