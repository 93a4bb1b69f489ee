"""Codes → clusters."""

import numpy as np
import pytest

from adaps.identity.clusters import cluster, rand_index


def codes(sizes, spread=0.05, seed=0):
    rng = np.random.default_rng(seed)
    centres = 2 * np.eye(10)[: len(sizes)]
    kinds = np.repeat(np.arange(len(sizes)), sizes)
    return centres[kinds] + spread * rng.normal(size=(len(kinds), 10)), tuple(kinds.tolist())


@pytest.mark.parametrize("sizes", [(5, 5, 5), (6,) * 5, (3, 3, 3, 12, 9), (2, 2)])
def test_the_number_of_kinds_is_found(sizes):
    latent, kinds = codes(sizes)
    identity = cluster(latent, None, seed=0)
    assert rand_index(kinds, identity) == 1.0
    assert identity.centres.shape == (len(sizes), 10)


def test_alike_agents_are_one_kind():
    identity = cluster(np.random.default_rng(0).normal(size=(12, 10)), None, seed=0)
    assert len(identity.centres) == 1
    assert (identity.clusters == 0).all()


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_a_given_number_is_kept(k):
    latent, _ = codes((2, 2), spread=0.5)
    assert len(cluster(latent, k, seed=0).centres) == k


def test_clusters_are_numbered_by_their_first_agents():
    latent, kinds = codes((2, 2, 2))
    order = [4, 5, 0, 2, 1, 3]
    identity = cluster(latent[order], 3, seed=1)
    assert identity.clusters.tolist() == [0, 0, 1, 2, 1, 2]
    np.testing.assert_allclose(identity.centres[0], latent[4:6].mean(axis=0))
    assert kinds[4] == 2


@pytest.mark.parametrize("num_agents", [1, 2, 5])
@pytest.mark.parametrize("k", [None, 1])
def test_equal_codes_and_tiny_teams_have_an_answer(num_agents, k):
    identity = cluster(np.zeros((num_agents, 10)), k, seed=0)
    assert len(identity.centres) == 1


def test_index_is_none_without_types():
    assert rand_index(None, cluster(np.zeros((2, 10)), 1, seed=0)) is None
    assert rand_index((0, 1), None) is None
