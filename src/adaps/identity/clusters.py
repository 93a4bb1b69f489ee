"""Latent codes → clusters: how many, and which agents are in each. Stage: identity."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Float, Int
from threadpoolctl import threadpool_limits

from adaps.identity.prediction import Evidence, cluster_nodes, cut, labels_of
from adaps.types import Identity

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

Codes = Float[np.ndarray, "agent latent"]
Labels = Int[np.ndarray, " agent"]
Scores = dict[int, float]
"""By number of clusters."""

PREDICTION = "prediction"
"""The clusterer and the criterion that use held-out transitions instead of the codes."""
SPLIT_SILHOUETTE = 0.5
"""Below this silhouette no split is convincing, and all agents are one cluster."""
SPLIT_STABILITY = 0.9
"""Below this agreement between resamples, a number of clusters is not stable."""
MOST_CANDIDATES = 40
"""Numbers of clusters that the other criteria try, at most."""
REFERENCES = 10
"""Random data sets that the gap statistic compares with, and resamples for stability."""


@dataclass(frozen=True)
class Clustering:
    """How codes become clusters."""

    clusterer: str = PREDICTION
    """One of :data:`CLUSTERER_NAMES`."""
    criterion: str = PREDICTION
    """What chooses the number of clusters: one of :data:`CRITERION_NAMES`."""
    clusters: int | None = None
    """The number of clusters; None chooses it."""

    @property
    def needs_evidence(self) -> bool:
        """Whether held-out transitions are used."""
        chosen_by_prediction = self.clusters is None and self.criterion == PREDICTION
        return self.clusterer == PREDICTION or chosen_by_prediction


def cluster(codes: Codes, how: Clustering, evidence: Evidence | None, seed: int) -> Identity:
    """Group agents by their codes.

    Args:
        codes: one code per agent.
        how: which clusterer, and what chooses the number of clusters.
        evidence: of the held-out transitions; None where ``how`` needs none.
        seed: of whatever the clusterer draws.
    """
    codes = np.asarray(codes, np.float64)
    with _quietly():
        scores, number = silhouettes(codes, seed), how.clusters
        if number is None and how.criterion != PREDICTION:
            number = CRITERIA[how.criterion](codes, seed)[1]
        if how.needs_evidence:
            known = cast(Evidence, evidence)
            nodes = cluster_nodes(known) if number is None else cut(known.linkage, number)
            labels, centres = labels_of(known, nodes), known.codes[nodes]
        else:
            labels, centres = best_of_starts(codes, cast(int, number), seed), None
        if how.clusterer != PREDICTION and len(codes) > 1:
            labels, centres = CLUSTERERS[how.clusterer](codes, labels, seed), None
        return as_identity(codes, labels, scores, centres)


@contextmanager
def _quietly() -> Iterator[None]:
    """On one thread, and without warnings that equal codes give fewer clusters than asked for.

    Seeds run side by side already, and for so few codes more threads take many times as long.
    """
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415

    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def best_of_starts(codes: Codes, num_clusters: int, seed: int, starts: int = 10) -> Labels:
    """K-means, the best of several random starts."""
    return _kmeans(codes, num_clusters, seed, n_init=starts)


def _kmeans(codes: Codes, num_clusters: int, seed: int, **options: Any) -> Labels:
    from sklearn.cluster import KMeans  # noqa: PLC0415

    return KMeans(num_clusters, random_state=seed, **options).fit_predict(codes)


def _kmeans_from(codes: Codes, start: Labels, seed: int) -> Labels:
    centres = _means(codes, start)
    return _kmeans(codes, len(centres), seed, init=centres, n_init=1)


def _mixture(codes: Codes, start: Labels, seed: int) -> Labels:
    return _fitted_mixture(codes, start, seed).predict(codes)


def _agglomerative(codes: Codes, start: Labels, _seed: int) -> Labels:
    from sklearn.cluster import AgglomerativeClustering  # noqa: PLC0415

    return AgglomerativeClustering(len(np.unique(start))).fit_predict(codes)


def _hdbscan(codes: Codes, _start: Labels, _seed: int) -> Labels:
    """Chooses the number of clusters by itself; an agent outside all is a cluster of its own."""
    from sklearn.cluster import HDBSCAN  # noqa: PLC0415

    # scikit-learn documents copy as bool, and annotates it as str
    options: Any = {"min_cluster_size": 2, "allow_single_cluster": True, "copy": True}
    labels = HDBSCAN(**options).fit_predict(codes)
    outside = labels < 0
    labels[outside] = labels.max() + 1 + np.arange(outside.sum())
    return labels


CLUSTERERS: dict[str, Callable[[Codes, Labels, int], Labels]] = {
    "kmeans": _kmeans_from,
    "gmm": _mixture,
    "agglomerative": _agglomerative,
    "hdbscan": _hdbscan,
}
"""``clusterer(codes, start, seed) → labels`` of two agents or more, in as many clusters as the
start has."""
CLUSTERER_NAMES = (PREDICTION, *CLUSTERERS)


def silhouettes(codes: Codes, seed: int) -> Scores:
    """Mean silhouette by number of clusters, from 2; the greatest is the best."""
    from sklearn.metrics import silhouette_score  # noqa: PLC0415

    return _scored(silhouette_score, codes, seed)


def _scored(score: Callable[[Codes, Labels], Any], codes: Codes, seed: int) -> Scores:
    """A score of K-means by number of clusters, from 2, where none of them is empty."""
    candidates = {k: best_of_starts(codes, k, seed) for k in _numbers(codes, 2)}
    return {
        k: float(score(codes, labels)) for k, labels in candidates.items() if len(set(labels)) == k
    }


def _by_silhouette(codes: Codes, seed: int) -> tuple[Scores, int]:
    scores = silhouettes(codes, seed)
    best = max(scores, key=scores.__getitem__, default=1)
    return scores, best if scores.get(best, 0.0) >= SPLIT_SILHOUETTE else 1


def _by_davies_bouldin(codes: Codes, seed: int) -> tuple[Scores, int]:
    from sklearn.metrics import davies_bouldin_score  # noqa: PLC0415

    return _least(_scored(davies_bouldin_score, codes, seed))


def _by_bic(codes: Codes, seed: int) -> tuple[Scores, int]:
    candidates = {k: best_of_starts(codes, k, seed) for k in _numbers(codes, 1)}
    return _least(
        {
            k: float(_fitted_mixture(codes, labels, seed).bic(codes))
            for k, labels in candidates.items()
        }
    )


def _least(scores: Scores) -> tuple[Scores, int]:
    return scores, min(scores, key=scores.__getitem__, default=1)


def _by_gap(codes: Codes, seed: int) -> tuple[Scores, int]:
    """The gap statistic (Tibshirani, Walther and Hastie, 2001): the first K within one error."""
    rng = np.random.default_rng(seed)
    low, high = codes.min(axis=0), codes.max(axis=0)
    references = [rng.uniform(low, high, codes.shape) for _ in range(REFERENCES)]
    gaps, errors = {}, {}
    for k in _numbers(codes, 1):
        own = _log_inertia(codes, k, seed, starts=10)
        others = np.array([_log_inertia(reference, k, seed, starts=1) for reference in references])
        gaps[k] = float(others.mean() - own)
        errors[k] = float(others.std() * (1 + 1 / REFERENCES) ** 0.5)
    enough = (k for k in gaps if k + 1 in gaps and gaps[k] >= gaps[k + 1] - errors[k + 1])
    return gaps, next(enough, max(gaps, default=1))


def _by_stability(codes: Codes, seed: int) -> tuple[Scores, int]:
    """Agreement of the clusters with those of resampled agents: the most that are still stable."""
    from sklearn.metrics import adjusted_rand_score  # noqa: PLC0415

    rng = np.random.default_rng(seed)
    scores = {}
    for k in _numbers(codes, 2):
        of_all = best_of_starts(codes, k, seed)
        agreement = []
        for _ in range(REFERENCES):
            some = np.unique(rng.integers(len(codes), size=len(codes)))
            if len(some) > k:
                labels = best_of_starts(codes[some], k, seed, starts=1)
                agreement.append(adjusted_rand_score(of_all[some], labels))
        if agreement:
            scores[k] = float(np.mean(agreement))
    stable = [k for k, score in scores.items() if score >= SPLIT_STABILITY]
    return scores, max(stable, key=lambda k: (round(scores[k], 2), k), default=1)


CRITERIA: dict[str, Callable[[Codes, int], tuple[Scores, int]]] = {
    "silhouette": _by_silhouette,
    "davies-bouldin": _by_davies_bouldin,
    "bic": _by_bic,
    "gap": _by_gap,
    "stability": _by_stability,
}
"""``criterion(codes, seed) → value by number of clusters, number chosen``."""
CRITERION_NAMES = (PREDICTION, *CRITERIA)


def weigh(criterion: str, codes: Codes, seed: int) -> tuple[Scores, int]:
    """What one of :data:`CRITERIA` says: its value by number of clusters, and its choice."""
    with _quietly():
        return CRITERIA[criterion](codes, seed)


def rand_index(types: tuple[int, ...] | None, identity: Identity | None) -> float | None:
    """Adjusted Rand index of clusters and agent types: 1 is perfect, 0 is chance."""
    if types is None or identity is None:
        return None
    from sklearn.metrics import adjusted_rand_score  # noqa: PLC0415

    return float(adjusted_rand_score(types, identity.clusters))


def as_identity(
    codes: Codes,
    labels: Labels,
    scores: Scores,
    centres: Float[np.ndarray, "cluster latent"] | None = None,
) -> Identity:
    """Number clusters in the order of their first agents, so that equal groupings look equal.

    Args:
        codes: one code per agent.
        labels: each agent's cluster.
        scores: silhouette by number of clusters.
        centres: the code of each cluster, in the order of the labels; None: the mean.
    """
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(first)
    centres = _means(codes, labels) if centres is None else centres
    return Identity(codes, np.argsort(order)[inverse], centres[order], scores)


def _means(codes: Codes, labels: Labels) -> Float[np.ndarray, "cluster latent"]:
    return np.stack([codes[labels == label].mean(axis=0) for label in np.unique(labels)])


def _numbers(codes: Codes, lowest: int) -> range:
    """Numbers of clusters to try: fewer than there are agents."""
    return range(lowest, min(len(codes) - 1, MOST_CANDIDATES) + 1)


def _fitted_mixture(codes: Codes, start: Labels, seed: int) -> "GaussianMixture":
    from sklearn.mixture import GaussianMixture  # noqa: PLC0415

    means = _means(codes, start)
    floor = max(1e-6, 1e-3 * float(codes.var(axis=0).mean()))
    options: Any = {"covariance_type": "spherical", "means_init": means, "reg_covar": floor}
    return GaussianMixture(len(means), random_state=seed, **options).fit(codes)


def _log_inertia(codes: Codes, num_clusters: int, seed: int, starts: int) -> float:
    labels = best_of_starts(codes, num_clusters, seed, starts)
    _, which = np.unique(labels, return_inverse=True)
    return float(np.log(max(np.square(codes - _means(codes, labels)[which]).sum(), 1e-12)))
