"""Clusters that were found again → which of the old clusters they continue. Stage: identity."""

from typing import NamedTuple

import numpy as np
import scipy  # its parts are imported when they are first used
from jaxtyping import Int

from adaps.types import Identity


class Move(NamedTuple):
    """An agent that changed its cluster."""

    agent: int
    before: int
    """Its cluster among the old ones."""
    after: int
    """Its cluster among the new ones."""


class Match(NamedTuple):
    """New clusters, numbered and centred like the old clusters that they continue."""

    identity: Identity
    moved: list[Move]
    """Agents whose new cluster does not continue their old one."""
    predecessors: Int[np.ndarray, " agent"]
    """An agent of the old cluster that each agent's new cluster continues; -1 where none is."""


def match(old: Identity, new: Identity) -> Match:
    """Pair new clusters with old ones so that as many agents as possible keep their cluster.

    Old clusters keep their order. Those without any agents left are dropped, and clusters that
    continue none come last. Source: the Hungarian method (Kuhn, 1955).
    """
    overlap = np.zeros((len(old.centres), len(new.centres)), int)
    np.add.at(overlap, (old.clusters, new.clusters), 1)
    pairs = zip(*scipy.optimize.linear_sum_assignment(overlap, maximize=True), strict=True)
    continued = {after: before for before, after in pairs if overlap[before, after]}
    order = sorted(range(len(new.centres)), key=lambda c: (continued.get(c, len(overlap)), c))
    before = np.array([continued.get(cluster, -1) for cluster in order])
    first_member = np.array([(old.clusters == b).argmax() if b >= 0 else -1 for b in before])
    clusters = np.argsort(order)[new.clusters]
    centres = np.where(before[:, None] >= 0, old.centres[before], new.centres[order])
    moved = [
        Move(int(agent), int(old.clusters[agent]), int(clusters[agent]))
        for agent in np.flatnonzero(before[clusters] != old.clusters)
    ]
    return Match(new._replace(clusters=clusters, centres=centres), moved, first_member[clusters])
