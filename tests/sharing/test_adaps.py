"""AdaPS: from identities to masks."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adaps.identity.clusters import as_identity
from adaps.sharing import AdaPS, FuPS
from adaps.sharing.adaps import threshold_for
from adaps.sharing.masks import dead, keep_ratio, overlap, rescale, summary
from cores import network_of

NETWORK = network_of(num_agents=6, obs_size=3, num_actions=5, hidden=(64, 32))
KEY = jax.random.key(0)


def identity(kinds=3, seed=0):
    codes = np.random.default_rng(seed).normal(size=(kinds, 10))
    return as_identity(
        np.repeat(codes, 6 // kinds, axis=0), np.repeat(np.arange(kinds), 6 // kinds), {}
    )


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("options", [{"threshold": 1e-9}, {"clusters": 1}])
def test_keeping_every_neuron_is_full_sharing(options):
    found = identity(options.get("clusters", 3))
    assert_equal(AdaPS(**options).build(KEY, NETWORK, found), FuPS().build(KEY, NETWORK, None))


def test_agents_of_a_cluster_have_one_mask_and_clusters_differ():
    sharing = AdaPS().build(KEY, NETWORK, identity())
    for mask in sharing.masks.values():
        np.testing.assert_array_equal(mask[::2], mask[1::2])
        assert len(np.unique(mask, axis=0)) == 3
    assert (sharing.masks["actor/0"] != sharing.masks["critic/0"]).any()
    assert (sharing.param_set == 0).all()


def test_masks_repeat_from_the_key():
    assert_equal(AdaPS().build(KEY, NETWORK, identity()), AdaPS().build(KEY, NETWORK, identity()))
    one, other = (AdaPS().build(key, NETWORK, identity()) for key in (KEY, jax.random.key(1)))
    assert (other.masks["actor/0"] != one.masks["actor/0"]).any()


def test_a_higher_threshold_keeps_a_subset():
    low = AdaPS(threshold=0.4).build(KEY, NETWORK, identity()).masks["actor/0"]
    high = AdaPS(threshold=0.6).build(KEY, NETWORK, identity()).masks["actor/0"]
    assert keep_ratio(high) < keep_ratio(low)
    assert ((np.asarray(high) > 0) <= (np.asarray(low) > 0)).all()


SHARES = (0.05, 0.35, 0.8, 1.0)


def kept_by_clusters(method, found):
    """``bool[cluster, neuron]`` over all hidden layers of actor and critic."""
    masks = jax.tree.leaves(method.build(KEY, NETWORK, found).masks)
    return np.hstack([np.asarray(mask) > 0 for mask in masks])[
        np.unique(found.clusters, return_index=True)[1]
    ]


def mean_overlap(kept):
    return np.mean([(a & b).mean() for a, b in itertools.combinations(kept, 2)])


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize(("kinds", "standardise"), [(2, True), (3, True), (6, True), (3, False)])
def test_keep_chooses_the_threshold(share, kinds, standardise):
    kept = kept_by_clusters(AdaPS(keep=share, standardise=standardise), identity(kinds))
    num_layers = len(NETWORK.units)
    assert abs(kept.mean() - share) * kept.shape[1] <= num_layers
    assert abs(kept.mean() - share) <= 0.5 / kept.size + 1e-9  # to the nearest neuron
    assert keep_ratio(jnp.asarray(kept, jnp.float32)) == pytest.approx(kept.mean())


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("kinds", [2, 3, 6])
def test_overlap_chooses_the_threshold(share, kinds):
    found = identity(kinds)
    kept = kept_by_clusters(AdaPS(overlap=share), found)
    reached = mean_overlap(kept)
    importance = AdaPS()._importance(KEY, NETWORK, found)
    others = np.quantile(importance, np.linspace(0, 1, 200))
    misses = [abs(mean_overlap(np.asarray(importance) > t) - share) for t in others]
    assert abs(reached - share) <= min(misses) + 1e-9
    assert overlap(jnp.asarray(kept, jnp.float32)) == (
        pytest.approx(reached) if share < 1 else None
    )


@pytest.mark.parametrize("option", ["keep", "overlap"])
def test_more_wanted_is_a_lower_threshold(option):
    found = identity()
    used = [AdaPS(**{option: s}).used_threshold(KEY, NETWORK, found) for s in SHARES]
    assert used == sorted(used, reverse=True)
    assert len(set(used)) == len(used)
    assert all(0 < threshold < 1 for threshold in used)


def test_the_used_threshold_is_the_given_one_or_none():
    assert AdaPS(threshold=0.6).used_threshold(KEY, NETWORK, identity()) == 0.6
    assert AdaPS(keep=0.5).used_threshold(KEY, NETWORK, identity(1)) is None
    assert AdaPS(keep=0.5).used_threshold(KEY, NETWORK, None) is None
    assert_equal(AdaPS(keep=0.5).build(KEY, NETWORK, None), FuPS().build(KEY, NETWORK, None))


def test_equal_values_are_kept_or_dropped_together():
    values = np.array([0.2, 0.6, 0.6, 0.6])
    assert threshold_for(0.5, values) == 0.4
    assert threshold_for(0.9, values) == 0.1
    assert threshold_for(0.01, values) == 0.4


def test_kept_neurons_are_divided_by_the_root_of_the_share_kept():
    for mask in AdaPS().build(KEY, NETWORK, identity()).masks.values():
        np.testing.assert_allclose(np.square(mask).mean(axis=1), 1.0, rtol=1e-6)


def test_the_paper_multiplies_by_zero_or_one():
    sharing = AdaPS(standardise=False, rescale=False).build(KEY, NETWORK, identity())
    assert set(np.unique(sharing.masks["actor/0"])) == {0.0, 1.0}


def test_close_centres_need_standardising():
    codes = 5.0 + 0.01 * np.random.default_rng(0).normal(size=(3, 10))
    close = as_identity(np.repeat(codes, 2, axis=0), np.repeat(np.arange(3), 2), {})

    def mean_overlap(standardise):
        masks = AdaPS(standardise=standardise).build(KEY, NETWORK, close).masks
        return overlap(masks["actor/0"]) or 1.0

    assert mean_overlap(standardise=True) < 0.35 < mean_overlap(standardise=False)


def test_rescale_survives_an_empty_mask():
    assert (rescale(jnp.zeros((2, 8))) == 0).all()


def test_descriptions_by_hand():
    mask = jnp.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 2, 2, 0]], jnp.float32)
    assert keep_ratio(mask) == 0.5
    assert overlap(mask) == 0.25
    assert dead(mask) == 0.25
    assert overlap(mask[:2]) is None
    assert summary(FuPS().build(KEY, NETWORK, None).masks)["actor"][1] == {
        "keep": 1.0,
        "overlap": None,
        "dead": 0.0,
    }
