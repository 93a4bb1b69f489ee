"""How agents look in pictures: colour is what was found, shape is what is true. Stage: report."""

from collections.abc import Sequence
from typing import NamedTuple

from adaps.report.palette import MARKERS, PALETTE, kind_colours

GREYS = ("#4b5563", "#9ca3af")


class Appearance(NamedTuple):
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


def appearance(clusters: Sequence[int], agent_types: Sequence[int] | None) -> Appearance:
    """Colours by cluster and shapes by true type.

    Args:
        clusters: cluster of each agent, numbered from 0.
        agent_types: true type of each agent; None where it is not known.
    """
    colours = kind_colours(max(clusters) + 1)
    names = sorted(set(agent_types or [0]))
    types = [names.index(t) for t in agent_types or [0] * len(clusters)]
    num_types = len(names)
    markers = list(MARKERS)
    shapes = tuple(markers[t % len(markers)] for t in range(num_types))
    pairs = set(zip(clusters, types, strict=True))
    of_type: dict[int, str] = {}
    for t in range(num_types):
        own = {c for c, other in pairs if other == t}
        if len(own) == 1 and {other for c, other in pairs if c in own} == {t}:
            of_type[t] = colours[own.pop()]
    others = [t for t in range(num_types) if t not in of_type]
    spare = [colour for colour in PALETTE if colour not in colours]
    spare = spare if len(spare) >= len(others) else list(GREYS)
    of_type |= {t: spare[i % len(spare)] for i, t in enumerate(others)}
    return Appearance(
        agent_colours=tuple(colours[c] for c in clusters),
        agent_shapes=tuple(shapes[t] for t in types),
        type_colours=tuple(of_type[t] for t in range(num_types)),
        type_shapes=shapes,
    )
