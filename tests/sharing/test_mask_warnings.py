"""Masks that cannot do their work are told, others are not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adaps.config.choices import PRESETS
from adaps.identity.clusters import Clustering, cluster
from adaps.sharing import METHODS, SNPPS, AdaPS, FuPSGroupId, FuPSMask, Kaleidoscope, SePS
from adaps.sharing.mask_warnings import mask_warnings
from adaps.types import Sharing
from cores import network_of

NETWORK = network_of(num_agents=15, obs_size=10, num_actions=5, hidden=(64, 64))
WIDTH = 40


def found_in_bps_1(seed):
    """Fifteen codes about three centres that are as far apart as those of bps-1."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.normal(size=(3, 10)), 5, axis=0)
    return cluster(
        centres + 0.02 * rng.normal(size=(15, 10)), Clustering("kmeans", clusters=3), None, seed
    )


def warnings_of(method, seed=0):
    found = found_in_bps_1(seed)
    assert len(found.centres) == 3
    sharing = method.build(jax.random.key(seed), NETWORK, found)
    return mask_warnings(sharing, found.clusters if method.needs_identity else None, method)


def sharing_of(*rows, param_set=None, tags=None):
    """One layer that says who keeps what, below one that everyone keeps."""
    mask = jnp.asarray(rows, jnp.float32)
    layers = {"0": mask, "1": jnp.ones_like(mask)}
    masks = {f"{part}/{i}": m for part in ("actor", "critic") for i, m in layers.items()}
    sets = jnp.zeros(len(rows), jnp.int32) if param_set is None else jnp.asarray(param_set)
    return Sharing(sets, masks, jnp.zeros((len(rows), 0)) if tags is None else tags)


def first(count, start=0):
    return [start <= neuron < start + count for neuron in range(WIDTH)]


@pytest.mark.parametrize("seed", range(10))
def test_no_warnings_for_adaps_as_it_is(seed):
    assert warnings_of(AdaPS(), seed) == []


@pytest.mark.parametrize("name", METHODS)
def test_no_warnings_for_defaults(name):
    assert warnings_of(METHODS[name]()) == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("options", [{"keep": 0.3}, {"keep": 0.7}, {"overlap": 0.3}])
def test_no_warnings_for_reasonable_shares(options, seed):
    assert warnings_of(AdaPS(**options), seed) == []


def test_a_threshold_that_keeps_next_to_nothing():
    dead, empty = warnings_of(AdaPS(threshold=0.999))
    assert dead.startswith("nearly unused layers: no agent uses ")
    assert empty.startswith("nearly empty masks: agent ")
    for text in (dead, empty):
        assert text.endswith("; try another --sharing.threshold or another --sharing.keep")
        assert "\n" not in text


def test_a_threshold_that_keeps_everything():
    (equal,) = warnings_of(AdaPS(threshold=1e-9))
    assert equal == (
        "nearly equal masks: clusters 0 and 1 have 100.0 % of what they keep in common, and 2 more "
        "pairs likewise, so they can hardly learn different things; try another "
        "--sharing.threshold or another --sharing.keep"
    )


def test_centres_that_are_not_standardised():
    found = found_in_bps_1(0)
    close = found._replace(centres=5 + 0.01 * found.centres)
    method = AdaPS(**PRESETS["paper"]["adaps"])
    sharing = method.build(jax.random.key(0), NETWORK, close)
    (equal,) = mask_warnings(sharing, close.clusters, method)
    assert "; try --sharing.standardise or another --sharing.threshold or" in equal


def test_nearly_equal_by_hand():
    clusters = np.array([0, 0, 1, 2])

    def about(mask, **others):
        rows = (first(20), first(20), mask, first(20, start=20))
        return mask_warnings(sharing_of(*rows, **others), clusters, Kaleidoscope())

    # With the other layer's 40 of 40: 2 * (15 + 40) of (20 + 15 + 80), and 2 * (0 + 40) of 120.
    (equal,) = about(first(15))
    assert equal.startswith("nearly equal masks: clusters 0 and 1 have 95.7 % of what they keep in")
    assert equal.endswith("; try other options of the sharing method")
    assert about(first(20, start=12)) == []
    assert about(first(15), param_set=[0, 0, 1, 1]) == []
    assert about(first(15), tags=jnp.eye(4)) == []
    rows = sharing_of(first(20), first(20))
    assert mask_warnings(rows, np.array([0, 0]), AdaPS()) == []
    assert mask_warnings(rows, None, AdaPS()) == []


def test_nearly_empty_by_hand():
    def about(*rows):
        return mask_warnings(sharing_of(*rows), None, FuPSMask())

    assert about(first(2), first(40)) == []  # 5 %
    assert about(first(1), first(40), first(0)) == [
        "nearly empty masks: agent 2 keeps 0.0 % of the actor's hidden layer 1, and 1 more agent "
        "likewise, too little to learn with; try another --sharing.keep-ratio"
    ]


def test_nearly_dead_by_hand():
    def about(*rows):
        return mask_warnings(sharing_of(*rows), None, SNPPS())

    assert about(first(2), first(2, start=2)) == []  # 90 %
    assert about(first(2), first(2, start=1)) == [
        "nearly unused layers: no agent uses 92.5 % of the actor's hidden layer 1, and 1 more "
        "layer likewise; try another --sharing.keep-ratio"
    ]


@pytest.mark.parametrize("method", [SePS(), FuPSGroupId()])
def test_clusters_that_are_told_apart_without_masks(method):
    assert warnings_of(method) == []
