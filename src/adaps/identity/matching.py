"""How alike two groupings are, and which old kinds continue in new ones. Stage: identity."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from adaps.types import Identity


class Move(NamedTuple):
    """An agent that is of another kind than before."""

    agent: int
    before: int
    """Its kind among the old ones."""
    after: int
    """Its kind among the new ones."""


class Match(NamedTuple):
    """New kinds, which keep the numbers and the centres of the old kinds they continue."""

    identity: Identity
    moved: list[Move]
    """Who is not in the kind that continues its old one."""
    predecessors: Int[np.ndarray, " agent"]
    """An agent that was of the old kind which each agent's new kind continues; -1 where none is."""


def adjusted_rand_index(labels: Any, others: Any) -> float:
    """Agreement of two groupings of the same agents: 1 if they are equal, 0 if as by chance."""
    from sklearn.metrics import adjusted_rand_score  # noqa: PLC0415

    return float(adjusted_rand_score(labels, others))


def match(old: Identity, new: Identity) -> Match:
    """Pair new kinds with old ones so that as many agents as possible stay where they are.

    Old kinds keep their order; those that nobody is of any more fall out, and kinds that continue
    none come last. Source: the Hungarian method (Kuhn, 1955).
    """
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415

    together = np.zeros((len(old.centres), len(new.centres)), int)
    np.add.at(together, (old.clusters, new.clusters), 1)
    pairs = [
        (int(before), int(after))
        for before, after in zip(*linear_sum_assignment(together, maximize=True), strict=True)
        if together[before, after]
    ]
    order = [after for _, after in sorted(pairs)]
    order += [after for after in range(len(new.centres)) if after not in order]
    number = np.argsort(order)
    continues = {int(number[after]): before for before, after in pairs}
    centres = np.stack(
        [
            old.centres[continues[kind]] if kind in continues else new.centres[after]
            for kind, after in enumerate(order)
        ]
    )
    clusters = number[new.clusters]
    pair = zip(old.clusters.tolist(), clusters.tolist(), strict=True)
    return Match(
        new._replace(clusters=clusters, centres=centres),
        [Move(i, *both) for i, both in enumerate(pair) if continues.get(both[1]) != both[0]],
        np.array(
            [
                int((old.clusters == continues[kind]).argmax()) if kind in continues else -1
                for kind in clusters.tolist()
            ]
        ),
    )
