"""Latent codes → clusters, with k-means. Stage: identity."""

import warnings

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, silhouette_score
from threadpoolctl import threadpool_limits

from adaps.types import Identity

SPLIT_SILHOUETTE = 0.5
"""Below this silhouette no split is convincing and all agents count as alike."""


def cluster(latent: np.ndarray, num_clusters: int | None, seed: int) -> Identity:
    """Group agents by their codes, into ``num_clusters`` or as many as the silhouette says.

    Args:
        latent: ``float[agent, latent]``.
        num_clusters: K, or None to choose it.
        seed: of k-means' ten starts.
    """
    latent = np.asarray(latent, np.float64)
    if num_clusters is not None:
        return _as_identity(latent, _kmeans(latent, num_clusters, seed), {})
    candidates = {k: _kmeans(latent, k, seed) for k in range(2, len(latent))}
    scores = {
        k: float(silhouette_score(latent, labels))
        for k, labels in candidates.items()
        if len(set(labels)) == k
    }
    best = max(scores, key=scores.__getitem__, default=1)
    alike = best == 1 or scores[best] < SPLIT_SILHOUETTE
    labels = np.zeros(len(latent), int) if alike else candidates[best]
    return _as_identity(latent, labels, scores)


def rand_index(types: tuple[int, ...] | None, identity: Identity | None) -> float | None:
    """Adjusted Rand index of found clusters and true types: 1 is perfect, 0 is chance."""
    if types is None or identity is None:
        return None
    return float(adjusted_rand_score(types, identity.clusters))


def _kmeans(latent: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
    # One thread: seeds run side by side already. Equal codes give fewer clusters than K: no matter.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # scikit-learn annotates n_init by its default alone
        kmeans = KMeans(num_clusters, n_init=10, random_state=seed)  # pyright: ignore[reportArgumentType]
        return kmeans.fit_predict(latent)


def _as_identity(latent: np.ndarray, labels: np.ndarray, scores: dict[int, float]) -> Identity:
    """Number clusters in the order of their first agents, so equal groupings look equal."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    clusters = order[inverse]
    centres = np.stack([latent[clusters == c].mean(axis=0) for c in range(len(first))])
    return Identity(latent, clusters, centres, scores)
