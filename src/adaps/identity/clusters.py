"""Latent codes → clusters: how many, and which. Stage: identity.

scikit-learn takes a second to import, and is imported when it is used.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from jaxtyping import Float, Int
from threadpoolctl import threadpool_limits

from adaps.identity.matching import adjusted_rand_index
from adaps.identity.prediction import Evidence, cut, kinds, labels_of, nodes_of_kinds
from adaps.types import Identity

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

Codes = Float[np.ndarray, "agent latent"]
Labels = Int[np.ndarray, " agent"]

PREDICTION = "prediction"
"""The name of what asks held-out transitions instead of the codes."""
SPLIT_SILHOUETTE = 0.5
"""Below this silhouette no split is convincing and all agents count as alike."""
SPLIT_STABILITY = 0.9
"""Below this agreement between resamples, a number of clusters is not stable."""
MOST_CANDIDATES = 40
"""Numbers of clusters that the other criteria try, at most."""
REFERENCES = 10
"""Random data sets that the gap statistic compares with, and resamples for stability."""


@dataclass(frozen=True)
class Clustering:
    """How codes become clusters."""

    clusterer: str = "prediction"
    """One of :data:`CLUSTERER_NAMES`."""
    criterion: str = "prediction"
    """What chooses the number of clusters: one of :data:`CRITERIA`."""
    clusters: int | None = None
    """The number of clusters; None chooses it."""

    @property
    def needs_evidence(self) -> bool:
        """Whether held-out transitions are asked."""
        chosen_by_prediction = self.clusters is None and self.criterion == PREDICTION
        return self.clusterer == PREDICTION or chosen_by_prediction


def cluster(codes: Codes, how: Clustering, evidence: Evidence | None, seed: int) -> Identity:
    """Group agents by their codes.

    Args:
        codes: one code per agent.
        how: which clusterer, and what chooses the number of clusters.
        evidence: of the held-out data; None where nothing asks for it.
        seed: of whatever the clusterer draws.
    """
    codes = np.asarray(codes, np.float64)
    with _quietly():
        scores = silhouettes(codes, seed)
        if how.clusterer == PREDICTION:
            asked = cast(Evidence, evidence)
            nodes = _nodes(codes, how, asked, seed)
            return as_identity(codes, labels_of(asked, nodes), scores, asked.codes[nodes])
        start = _start(codes, how, evidence, seed)
        return as_identity(codes, CLUSTERERS[how.clusterer](codes, start, seed), scores)


@contextmanager
def _quietly() -> Iterator[None]:
    """On one thread, since seeds run side by side already; equal codes may give too few clusters.

    For so few codes, more threads also take many times as long as one.
    """
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415

    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def _nodes(codes: Codes, how: Clustering, evidence: Evidence, seed: int) -> list[int]:
    """As many nodes of the evidence's tree as are wanted, or as predict best."""
    if how.clusters is None and how.criterion == PREDICTION:
        return nodes_of_kinds(evidence)
    return cut(evidence.linkage, how.clusters or CRITERIA[how.criterion](codes, seed)[1])


def _start(codes: Codes, how: Clustering, evidence: Evidence | None, seed: int) -> Labels:
    """A grouping with as many clusters as are wanted, for the clusterer to start from."""
    if how.needs_evidence:
        return kinds(cast(Evidence, evidence))
    num_clusters = how.clusters or CRITERIA[how.criterion](codes, seed)[1]
    return best_of_starts(codes, num_clusters, seed)


def best_of_starts(codes: Codes, num_clusters: int, seed: int, starts: int = 10) -> Labels:
    """K-means from several random starts."""
    from sklearn.cluster import KMeans  # noqa: PLC0415

    # scikit-learn annotates n_init by its default alone
    return KMeans(num_clusters, n_init=starts, random_state=seed).fit_predict(codes)  # pyright: ignore[reportArgumentType]


def _kmeans(codes: Codes, start: Labels, seed: int) -> Labels:
    from sklearn.cluster import KMeans  # noqa: PLC0415

    centres = _means(codes, start)
    return KMeans(len(centres), init=centres, n_init=1, random_state=seed).fit_predict(codes)  # pyright: ignore[reportArgumentType]


def _mixture(codes: Codes, start: Labels, seed: int) -> Labels:
    if len(codes) == 1:
        return start
    return _fitted_mixture(codes, start, seed).predict(codes)


def _agglomerative(codes: Codes, start: Labels, seed: int) -> Labels:
    from sklearn.cluster import AgglomerativeClustering  # noqa: PLC0415

    del seed
    if len(codes) == 1:
        return start
    return AgglomerativeClustering(len(np.unique(start))).fit_predict(codes)


def _hdbscan(codes: Codes, start: Labels, seed: int) -> Labels:
    """Chooses the number of clusters by itself; an agent that fits none is one of its own."""
    from sklearn.cluster import HDBSCAN  # noqa: PLC0415

    del seed
    if len(codes) < 2:
        return start
    # scikit-learn documents copy as bool, and annotates it as str
    found = HDBSCAN(min_cluster_size=2, allow_single_cluster=True, copy=True)  # pyright: ignore[reportArgumentType]
    labels = found.fit_predict(codes)
    outside = labels < 0
    labels[outside] = labels.max() + 1 + np.arange(outside.sum())
    return labels


CLUSTERERS: dict[str, Callable[[Codes, Labels, int], Labels]] = {
    "kmeans": _kmeans,
    "gmm": _mixture,
    "agglomerative": _agglomerative,
    "hdbscan": _hdbscan,
}
"""``clusterer(codes, start, seed) → labels``, as many clusters as the start has."""
CLUSTERER_NAMES = (PREDICTION, *CLUSTERERS)


def silhouettes(codes: Codes, seed: int) -> dict[int, float]:
    """Mean silhouette by number of clusters, from 2; the greatest is the best."""
    from sklearn.metrics import silhouette_score  # noqa: PLC0415

    candidates = {k: best_of_starts(codes, k, seed) for k in _numbers(codes, 2)}
    return {
        k: float(silhouette_score(codes, labels))
        for k, labels in candidates.items()
        if len(set(labels)) == k
    }


def _by_silhouette(codes: Codes, seed: int) -> tuple[dict[int, float], int]:
    scores = silhouettes(codes, seed)
    best = max(scores, key=scores.__getitem__, default=1)
    return scores, best if scores.get(best, 0.0) >= SPLIT_SILHOUETTE else 1


def _by_davies_bouldin(codes: Codes, seed: int) -> tuple[dict[int, float], int]:
    from sklearn.metrics import davies_bouldin_score  # noqa: PLC0415

    candidates = {k: best_of_starts(codes, k, seed) for k in _numbers(codes, 2)}
    scores = {
        k: float(davies_bouldin_score(codes, labels))
        for k, labels in candidates.items()
        if len(set(labels)) == k
    }
    return scores, min(scores, key=scores.__getitem__, default=1)


def _by_bic(codes: Codes, seed: int) -> tuple[dict[int, float], int]:
    scores = {}
    for k in _numbers(codes, 1):
        mixture = _fitted_mixture(codes, best_of_starts(codes, k, seed), seed)
        scores[k] = float(mixture.bic(codes))
    return scores, min(scores, key=scores.__getitem__, default=1)


def _by_gap(codes: Codes, seed: int) -> tuple[dict[int, float], int]:
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


def _by_stability(codes: Codes, seed: int) -> tuple[dict[int, float], int]:
    """Agreement of the grouping with those of resampled agents: the most clusters still stable."""
    rng = np.random.default_rng(seed)
    scores = {}
    for k in _numbers(codes, 2):
        whole = best_of_starts(codes, k, seed)
        agreement = []
        for _ in range(REFERENCES):
            part = np.unique(rng.integers(len(codes), size=len(codes)))
            if len(part) > k:
                labels = best_of_starts(codes[part], k, seed, starts=1)
                agreement.append(adjusted_rand_index(whole[part], labels))
        if agreement:
            scores[k] = float(np.mean(agreement))
    stable = [k for k, score in scores.items() if score >= SPLIT_STABILITY]
    return scores, max(stable, key=lambda k: (round(scores[k], 2), k), default=1)


CRITERIA: dict[str, Callable[[Codes, int], tuple[dict[int, float], int]]] = {
    "silhouette": _by_silhouette,
    "davies-bouldin": _by_davies_bouldin,
    "bic": _by_bic,
    "gap": _by_gap,
    "stability": _by_stability,
}
"""``criterion(codes, seed) → value by number of clusters, number chosen``."""
CRITERION_NAMES = (PREDICTION, *CRITERIA)


def weigh(criterion: str, codes: Codes, seed: int) -> tuple[dict[int, float], int]:
    """What one of :data:`CRITERIA` says: its value by number of clusters, and its choice."""
    with _quietly():
        return CRITERIA[criterion](codes, seed)


def rand_index(types: tuple[int, ...] | None, identity: Identity | None) -> float | None:
    """Adjusted Rand index of found clusters and true types: 1 is perfect, 0 is chance."""
    if types is None or identity is None:
        return None
    return adjusted_rand_index(types, identity.clusters)


def as_identity(
    codes: Codes,
    labels: Labels,
    scores: dict[int, float],
    centres: Float[np.ndarray, "cluster latent"] | None = None,
) -> Identity:
    """Number clusters in the order of their first agents, so equal groupings look equal.

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
    mixture = GaussianMixture(
        len(means),
        covariance_type="spherical",
        means_init=means,
        reg_covar=floor,
        random_state=seed,
    )
    return mixture.fit(codes)


def _log_inertia(codes: Codes, num_clusters: int, seed: int, starts: int) -> float:
    labels = best_of_starts(codes, num_clusters, seed, starts)
    centres = _means(codes, labels)
    _, which = np.unique(labels, return_inverse=True)
    return float(np.log(max(np.square(codes - centres[which]).sum(), 1e-12)))
