"""Codes → clusters."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from adaps.identity.clusters import CLUSTERERS, CRITERIA, Clustering, cluster, rand_index, weigh
from adaps.identity.prediction import gather_evidence

SILHOUETTE = Clustering("kmeans", "silhouette")


def codes(sizes, spread=0.05, seed=0):
    """Blobs around random centres, far apart, and which blob each code is of."""
    rng = np.random.default_rng(seed)
    centres = 2 * rng.normal(size=(len(sizes), 10))
    kinds = np.repeat(np.arange(len(sizes)), sizes)
    return centres[kinds] + spread * rng.normal(size=(len(kinds), 10)), kinds


@pytest.mark.parametrize("clusterer", CLUSTERERS)
@pytest.mark.parametrize("sizes", [(5, 5, 5), (3, 3, 3, 12, 9), (2, 2)], ids=str)
def test_every_clusterer_keeps_the_truth_it_is_started_with(clusterer, sizes):
    latent, kinds = codes(sizes)
    assert adjusted_rand_score(CLUSTERERS[clusterer](latent, kinds, 0), kinds) == 1.0


@pytest.mark.parametrize("clusterer", ["kmeans", "gmm"])
def test_a_start_with_one_agent_astray_is_put_right(clusterer):
    latent, kinds = codes((5, 5, 5))
    start = kinds.copy()
    start[0] = 1
    assert adjusted_rand_score(CLUSTERERS[clusterer](latent, start, 0), kinds) == 1.0


def test_hdbscan_makes_who_fits_nowhere_a_cluster_of_its_own():
    latent, kinds = codes((6, 6))
    alone = np.concatenate([latent, 40 * np.eye(10)[:2]])
    found = CLUSTERERS["hdbscan"](alone, np.zeros(14, int), 0)
    assert adjusted_rand_score(found, [*kinds, 2, 3]) == 1.0


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_finds_the_number_of_blobs(criterion):
    latent, kinds = codes((5, 5, 5, 5))
    scores, chosen = weigh(criterion, latent, 0)
    assert chosen == 4
    assert set(scores) <= set(range(1, 20))
    assert np.isfinite(list(scores.values())).all()
    identity = cluster(latent, Clustering("kmeans", criterion), None, seed=0)
    assert rand_index(tuple(kinds.tolist()), identity) == 1.0
    assert identity.centres.shape == (4, 10)


@pytest.mark.parametrize("criterion", ["silhouette", "gap"])
def test_one_blob_is_one_kind(criterion):
    latent = np.random.default_rng(0).normal(size=(12, 10))
    identity = cluster(latent, Clustering("kmeans", criterion), None, seed=0)
    assert identity.clusters.tolist() == [0] * 12
    np.testing.assert_allclose(identity.centres, latent.mean(axis=0, keepdims=True))


def test_prediction_has_the_last_word_where_it_is_asked():
    """Two blobs of codes, of which the held-out errors say that they are no different."""
    latent, _ = codes((3, 3))

    def no_difference(agent, code):
        return np.ones((len(agent), 16, 3))

    evidence = gather_evidence(latent, no_difference)
    assert len(cluster(latent, Clustering(), evidence, seed=0).centres) == 1
    assert len(cluster(latent, SILHOUETTE, evidence, seed=0).centres) == 2
    assert len(cluster(latent, Clustering("kmeans"), evidence, seed=0).centres) == 1
    assert len(cluster(latent, Clustering(clusters=2), evidence, seed=0).centres) == 2
    assert len(cluster(latent, Clustering(criterion="silhouette"), evidence, seed=0).centres) == 2


@pytest.mark.parametrize("clusterer", ["kmeans", "gmm", "agglomerative"])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_a_given_number_is_kept(clusterer, k):
    latent, _ = codes((2, 2), spread=0.5)
    identity = cluster(latent, Clustering(clusterer, clusters=k), None, seed=0)
    assert len(identity.centres) == k
    assert set(identity.clusters.tolist()) == set(range(k))


def test_clusters_are_numbered_by_their_first_agents():
    latent, kinds = codes((2, 2, 2))
    order = [4, 5, 0, 2, 1, 3]
    identity = cluster(latent[order], Clustering("kmeans", clusters=3), None, seed=1)
    assert identity.clusters.tolist() == [0, 0, 1, 2, 1, 2]
    np.testing.assert_allclose(identity.centres[0], latent[4:6].mean(axis=0))
    assert kinds[4] == 2


@pytest.mark.parametrize("num_agents", [1, 2, 5])
@pytest.mark.parametrize("clusterer", CLUSTERERS)
@pytest.mark.parametrize("how", ["silhouette", "bic", "gap", "stability", 1])
def test_equal_codes_and_tiny_teams_have_an_answer(num_agents, clusterer, how):
    chosen = {"clusters": how} if isinstance(how, int) else {"criterion": how}
    same = cluster(np.zeros((num_agents, 10)), Clustering(clusterer, **chosen), None, seed=0)
    assert same.clusters.tolist() == [0] * num_agents
    assert same.centres.tolist() == [[0.0] * 10]


@pytest.mark.parametrize("num_agents", [1, 2, 3])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_criteria_weigh_few_and_equal_codes_without_a_warning(num_agents, criterion):
    unlike, _ = codes((1,) * num_agents)
    for latent in (unlike, np.zeros((num_agents, 10))):
        scores, chosen = weigh(criterion, latent, 0)
        assert 1 <= chosen <= num_agents
        assert np.isfinite(list(scores.values())).all()


def test_more_clusters_than_different_codes_are_not_made():
    latent, _ = codes((3, 3), spread=0)
    assert len(cluster(latent, Clustering("kmeans", clusters=4), None, seed=0).centres) == 2


def test_the_same_seed_clusters_the_same():
    latent = np.random.default_rng(0).normal(size=(12, 10))
    one, other = (cluster(latent, Clustering("kmeans", clusters=4), None, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.clusters, other.clusters)
    np.testing.assert_array_equal(one.centres, other.centres)
    assert one.scores == other.scores


def test_index_is_none_without_types():
    nobody = cluster(np.zeros((2, 10)), Clustering("kmeans", clusters=1), None, seed=0)
    assert rand_index(None, nobody) is None
    assert rand_index((0, 1), None) is None
    assert rand_index((0, 0), nobody) == 1.0
