"""How agents are told apart in pictures: colour is what was found, shape is what is true.

Stage: report.
"""

from collections.abc import Sequence
from typing import NamedTuple

from adaps.report.palette import MARKERS, PALETTE, kind_colours

GREYS = ("#4b5563", "#9ca3af")


class Looks(NamedTuple):
    """Colours and shapes; a true type is a number from 0 in rising order of the types' names."""

    agent_colours: tuple[str, ...]
    """Colour of each agent's cluster, as on the report's page."""
    agent_shapes: tuple[str, ...]
    """matplotlib's marker of each agent's true type; discs where types are not known."""
    type_colours: tuple[str, ...]
    """Colour of what belongs to each true type, such as a landmark: that of the cluster that holds
    this type's agents and no others, else one that no cluster has."""
    type_shapes: tuple[str, ...]
    """Marker of each true type."""


def looks(clusters: Sequence[int], agent_types: Sequence[int] | None) -> Looks:
    """Colours by cluster and shapes by true type.

    Args:
        clusters: cluster of each agent, numbered from 0.
        agent_types: true type of each agent; None where it is not known.
    """
    cluster_colours = kind_colours(max(clusters) + 1)
    types = [0] * len(clusters) if agent_types is None else _ranks(agent_types)
    num_types = max(types) + 1
    markers = list(MARKERS)
    shapes = tuple(markers[t % len(markers)] for t in range(num_types))
    pairs = set(zip(clusters, types, strict=True))
    holds = {t: [c for c, other in pairs if other == t] for t in range(num_types)}
    held = {c: [t for other, t in pairs if other == c] for c in clusters}
    alone = {t: c[0] for t, c in holds.items() if len(c) == 1 and len(held[c[0]]) == 1}
    spare = [colour for colour in PALETTE if colour not in cluster_colours]
    others = [t for t in range(num_types) if t not in alone]
    spare = spare if len(spare) >= len(others) else list(GREYS)
    of_others = {t: spare[i % len(spare)] for i, t in enumerate(others)}
    return Looks(
        agent_colours=tuple(cluster_colours[c] for c in clusters),
        agent_shapes=tuple(shapes[t] for t in types),
        type_colours=tuple(
            cluster_colours[alone[t]] if t in alone else of_others[t] for t in range(num_types)
        ),
        type_shapes=shapes,
    )


def _ranks(labels: Sequence[int]) -> list[int]:
    names = sorted(set(labels))
    return [names.index(label) for label in labels]
