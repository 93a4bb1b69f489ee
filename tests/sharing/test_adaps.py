"""AdaPS: from identities to masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adaps.identity.clusters import cluster
from adaps.sharing import AdaPS, FuPS
from adaps.sharing.masks import dead, keep_ratio, overlap, rescale, summary
from adaps.types import NetworkShape

SHAPE = NetworkShape(num_agents=6, obs_size=3, num_actions=5, hidden=(64, 32))
KEY = jax.random.key(0)


def identity(kinds=3, seed=0):
    codes = np.random.default_rng(seed).normal(size=(kinds, 10))
    return cluster(np.repeat(codes, 6 // kinds, axis=0), kinds, seed=0)


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("options", [{"threshold": 1e-9}, {"clusters": 1}])
def test_keeping_every_neuron_is_full_sharing(options):
    found = identity(options.get("clusters", 3))
    assert_equal(AdaPS(**options).build(KEY, SHAPE, found), FuPS().build(KEY, SHAPE, None))


def test_agents_of_a_cluster_have_one_mask_and_clusters_differ():
    sharing = AdaPS().build(KEY, SHAPE, identity())
    for mask in (*sharing.masks.actor, *sharing.masks.critic):
        np.testing.assert_array_equal(mask[::2], mask[1::2])
        assert len(np.unique(mask, axis=0)) == 3
    assert (sharing.masks.actor[0] != sharing.masks.critic[0]).any()
    assert (sharing.group == 0).all()


def test_masks_repeat_from_the_key():
    assert_equal(AdaPS().build(KEY, SHAPE, identity()), AdaPS().build(KEY, SHAPE, identity()))
    other = AdaPS().build(jax.random.key(1), SHAPE, identity())
    assert (other.masks.actor[0] != AdaPS().build(KEY, SHAPE, identity()).masks.actor[0]).any()


def test_a_higher_threshold_keeps_a_subset():
    low = AdaPS(threshold=0.4).build(KEY, SHAPE, identity()).masks.actor[0]
    high = AdaPS(threshold=0.6).build(KEY, SHAPE, identity()).masks.actor[0]
    assert keep_ratio(high) < keep_ratio(low)
    assert ((np.asarray(high) > 0) <= (np.asarray(low) > 0)).all()


def test_kept_neurons_are_divided_by_the_share_kept():
    for mask in AdaPS().build(KEY, SHAPE, identity()).masks.actor:
        np.testing.assert_allclose(np.asarray(mask).mean(axis=1), 1.0, rtol=1e-6)


def test_the_paper_multiplies_by_zero_or_one():
    sharing = AdaPS(standardise=False, rescale=False).build(KEY, SHAPE, identity())
    assert set(np.unique(sharing.masks.actor[0])) == {0.0, 1.0}


def test_close_centres_need_standardising():
    codes = 5.0 + 0.01 * np.random.default_rng(0).normal(size=(3, 10))
    close = cluster(np.repeat(codes, 2, axis=0), 3, seed=0)

    def mean_overlap(standardise):
        masks = AdaPS(standardise=standardise).build(KEY, SHAPE, close).masks
        return overlap(masks.actor[0]) or 1.0

    assert mean_overlap(standardise=True) < 0.35 < mean_overlap(standardise=False)


def test_rescale_survives_an_empty_mask():
    assert (rescale(jnp.zeros((2, 8))) == 0).all()


def test_descriptions_by_hand():
    mask = jnp.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 2, 2, 0]], jnp.float32)
    assert keep_ratio(mask) == 0.5
    assert overlap(mask) == 0.25
    assert dead(mask) == 0.25
    assert overlap(mask[:2]) is None
    assert summary(FuPS().build(KEY, SHAPE, None).masks)["actor"][1] == {
        "keep": 1.0,
        "overlap": None,
        "dead": 0.0,
    }
