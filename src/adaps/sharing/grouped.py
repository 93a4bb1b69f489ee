"""Options that all methods with groups of agents have. Stage: sharing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from jaxtyping import Int

from adaps.sharing.method import SharingMethod
from adaps.types import Identity, NetworkShape

Groups = Annotated[
    str | Path | Sequence | np.ndarray,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="discovered|oracle|shuffled|FILE",
        instance_from_str=lambda words: words[0],
        is_instance=lambda value: isinstance(value, (str, tuple)),
        str_from_instance=lambda value: [str(value)],
    ),
]


@dataclass(frozen=True)
class Grouped(SharingMethod):
    """Where the groups come from; subclasses say what a group shares."""

    clusters: int | None = None
    """Number of clusters K, from 1 (all alike) to the number of agents; None finds it."""
    groups: Groups = "discovered"
    """Who belongs together: as discovered; oracle: the true types; shuffled: as discovered, with
    the members dealt out wrongly; or a JSON file with each agent's group, or each group's agents.
    """

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", _plain(self.groups))

    @property
    def needs_identity(self) -> bool:
        """Not where groups are given, or one cluster holds everyone: there is nothing to find."""
        return self.groups in ("discovered", "shuffled") and self.clusters != 1

    def groups_of(
        self, shape: NetworkShape, identity: Identity | None
    ) -> tuple[Int[np.ndarray, " agent"], int]:
        """Each agent's group and their number: one group where nothing tells agents apart."""
        if identity is None:
            return np.zeros(shape.num_agents, int), 1
        return identity.clusters, len(identity.centres)


def _plain(groups: Any) -> Any:
    """Paths as texts, arrays and lists as tuples: options can be compared and saved."""
    if isinstance(groups, Path):
        return str(groups)
    if isinstance(groups, np.ndarray):
        groups = groups.tolist()
    return tuple(map(_plain, groups)) if isinstance(groups, (list, tuple)) else groups
