"""Where codes come from, and what the autoencoder makes of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adaps.identity import autoencoder, cluster_agents, samples
from adaps.identity.clusters import Clustering
from adaps.identity.encoders import ENCODERS, VAE, Behaviour, RandomCodes, learnt_from
from adaps.identity.samples import BLOCKS, Steps

AGENTS, ROWS = 4, 20
KINDS = np.array([0, 1, 0, 1])
OPTIONS = {name: encoder(updates=300) for name, encoder in ENCODERS.items()}


@pytest.fixture(scope="module")
def noise():
    """Whoever is of kind 1 is rewarded for the opposite."""
    rng = np.random.default_rng(0)
    obs = rng.normal(size=(ROWS, BLOCKS, AGENTS, 2)).astype(np.float32)
    action = np.ones((*obs.shape[:3], 1), np.float32)
    steps = Steps(obs, action, obs, obs[..., 0] * (1 - 2 * KINDS).astype(np.float32))
    nothing = samples.empty(AGENTS, 3, 3, ROWS)
    gathered = jax.jit(samples.accumulate, static_argnums=2)(nothing, steps, samples.Thinning(ROWS))
    return jax.jit(samples.as_samples)(gathered)


@pytest.fixture(scope="module")
def trained(noise):
    """Encoder by name: its state and mean loss after 300 updates."""
    train = jax.jit(autoencoder.train, static_argnums=0)
    return {
        name: train(options, autoencoder.init(options, jax.random.key(0), noise), noise,
                    jnp.int32(options.updates))
        for name, options in OPTIONS.items()
    }  # fmt: skip


def test_blocks_are_halved():
    assert (learnt_from(), learnt_from(8)) == (BLOCKS // 2, 4)


@pytest.mark.parametrize("name", ENCODERS)
def test_codes_have_their_size_and_are_finite(noise, trained, name):
    state, loss = trained[name]
    codes = cluster_agents.codes_of(OPTIONS[name], state.params, noise, state.key)
    assert codes.shape == (AGENTS, OPTIONS[name].latent_size)
    assert np.isfinite(codes).all()
    assert float(loss) < 3  # what predicting the mean of three outputs would leave


@pytest.mark.parametrize("name", ["vae", "behaviour"])
def test_learnt_codes_are_like_those_of_the_same_kind(noise, trained, name):
    state, _ = trained[name]
    how = Clustering(criterion="prediction")
    found, agreeing = cluster_agents.find(
        OPTIONS[name], how, state.params, noise, state.key, seed=0
    )
    assert found.clusters.tolist() == KINDS.tolist()
    assert agreeing >= 0.8


def test_all_numbers_start_at_one_code(noise):
    for options, alike in ((VAE(), True), (RandomCodes(), False)):
        state = autoencoder.init(options, jax.random.key(1), noise)
        codes = cluster_agents.codes_of(options, state.params, noise, state.key)
        assert (codes == codes[0]).all() == alike


def test_random_codes_stay_as_they_were_drawn(noise, trained):
    before = autoencoder.init(OPTIONS["random"], jax.random.key(0), noise)
    after, _ = trained["random"]
    np.testing.assert_array_equal(before.params.encoder, after.params.encoder)
    assert (before.params.decoder.first[0][0] != after.params.decoder.first[0][0]).any()


def test_behaviour_reads_nothing_off_an_agents_number(noise, trained):
    """The same transitions under other numbers: the same codes, exchanged."""
    order = np.array([1, 0, 3, 2])
    swapped = noise._replace(
        common=jax.tree.map(lambda x: x[:, order], noise.common),
        rare=jax.tree.map(lambda x: x[:, order], noise.rare),
    )
    state, _ = trained["behaviour"]
    one, other = (
        cluster_agents.codes_of(Behaviour(updates=300), state.params, data, state.key)
        for data in (noise, swapped)
    )
    np.testing.assert_allclose(one[order], other, atol=0.5)
    assert np.abs(one[0] - one[1]).max() > 0.5


def test_nothing_held_out_is_learnt_from(noise, trained):
    """Other held-out transitions: the same parameters and codes, to the last bit."""
    half = learnt_from()
    changed = noise._replace(common=jax.tree.map(lambda x: x.at[half:].add(9.0), noise.common))
    train = jax.jit(autoencoder.train, static_argnums=0)
    for name, options in OPTIONS.items():
        state = autoencoder.init(options, jax.random.key(0), changed)
        again, _ = train(options, state, changed, jnp.int32(options.updates))
        first, _ = trained[name]
        jax.tree.map(np.testing.assert_array_equal, first.params, again.params)
        codes = [
            cluster_agents.codes_of(options, first.params, data, first.key)
            for data in (noise, changed)
        ]
        np.testing.assert_array_equal(*codes)


def test_errors_are_those_of_held_out_transitions_alone(noise, trained):
    state, _ = trained["vae"]
    agent, code = np.array([0, 1, 0]), np.zeros((3, 10))
    half = learnt_from()
    one = cluster_agents.pair_errors(state.params, noise, state.key, agent, code)
    assert one.shape == (3, BLOCKS - half, 3)
    np.testing.assert_allclose(one[0], one[2], rtol=1e-5)
    other = noise._replace(common=jax.tree.map(lambda x: x.at[:half].add(9.0), noise.common))
    np.testing.assert_array_equal(
        one, cluster_agents.pair_errors(state.params, other, state.key, agent, code)
    )


def test_an_agent_is_predicted_better_with_its_own_kinds_code(noise, trained):
    state, _ = trained["vae"]
    codes = cluster_agents.codes_of(OPTIONS["vae"], state.params, noise, state.key)
    agent, other = (x.ravel() for x in np.indices((AGENTS, AGENTS)))
    errors = cluster_agents.pair_errors(state.params, noise, state.key, agent, codes[other])
    reward = errors.mean(axis=1)[:, -1].reshape(AGENTS, AGENTS)
    same = KINDS[:, None] == KINDS
    assert reward[same].max() < 0.2 * reward[~same].min()
