"""Masks that cannot do their work, told in plain English. Stage: sharing."""

from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from adaps.types import Sharing

NEARLY_EQUAL = 0.9
"""Two clusters with more than this share of what they keep in common are hardly told apart."""
NEARLY_EMPTY = 0.05
"""An agent that keeps less than this share of a layer has little to learn with."""
NEARLY_DEAD = 0.9
"""A layer of which more than this share is kept by nobody is mostly wasted."""
ADVISED = ("threshold", "keep", "keep_ratio")
"""Options that change how much masks keep, of methods that have them."""


def mask_warnings(
    sharing: Sharing, clusters: Int[np.ndarray, " agent"] | None, method: Any
) -> list[str]:
    """What is wrong with masks and what to do about it, one line each; nothing where all is well.

    A line begins with a short form and a colon, as every warning of a result does.

    Args:
        sharing: one seed's.
        clusters: cluster of each agent; None where none were looked for.
        method: the sharing method's options, of which some are advised.
    """
    layers = {_name_of(unit): np.asarray(mask) > 0 for unit, mask in sharing.masks.items()}
    found = [_nearly_dead(layers), _nearly_empty(layers)]
    if clusters is not None:
        found.append(_nearly_equal(sharing, np.hstack(list(layers.values())), clusters))
    return [f"{what}; try {_advice(method)}" for what in found if what]


def _name_of(unit: str) -> str:
    """In words, such as ``actor's hidden layer 1`` for ``actor/0``."""
    part, _, layer = unit.partition("/")
    return f"{part}'s hidden layer {int(layer) + 1}" if layer.isdigit() else f"{part}'s {layer}"


def _nearly_equal(
    sharing: Sharing, kept: Bool[np.ndarray, "agent neuron"], clusters: Int[np.ndarray, " agent"]
) -> str:
    """Clusters that nothing but their masks tells apart, and these hardly."""
    param_set, tags = np.asarray(sharing.param_set), np.asarray(sharing.tags)
    alike = {}
    firsts = np.unique(clusters, return_index=True)[1]
    for a, b in combinations(firsts, 2):
        mean_kept = (kept[a].sum() + kept[b].sum()) / 2
        in_common = (kept[a] & kept[b]).sum() / max(mean_kept, 1)
        told_apart = param_set[a] != param_set[b] or (tags[a] != tags[b]).any()
        if in_common > NEARLY_EQUAL and not told_apart:
            alike[clusters[a], clusters[b]] = in_common
    if not alike:
        return ""
    a, b = most = max(alike, key=alike.__getitem__)
    return (
        f"nearly equal masks: clusters {a} and {b} have {_percent(alike[most])} of what they keep "
        f"in common{_more(len(alike) - 1, 'pair')}, so they can hardly learn different things"
    )


def _nearly_empty(layers: dict[str, Bool[np.ndarray, "agent _hidden"]]) -> str:
    """Agents that keep next to nothing of a layer."""
    kept = {name: mask.mean(axis=1) for name, mask in layers.items()}
    least = np.min(list(kept.values()), axis=0)
    poor = np.flatnonzero(least < NEARLY_EMPTY)
    if not poor.size:
        return ""
    agent = least.argmin()
    layer = min(kept, key=lambda name: kept[name][agent])
    return (
        f"nearly empty masks: agent {agent} keeps {_percent(least[agent])} of the {layer}"
        f"{_more(len(poor) - 1, 'agent')}, too little to learn with"
    )


def _nearly_dead(layers: dict[str, Bool[np.ndarray, "agent _hidden"]]) -> str:
    """Layers that nobody uses much of."""
    unused = {name: float((~mask.any(axis=0)).mean()) for name, mask in layers.items()}
    poor = [name for name, share in unused.items() if share > NEARLY_DEAD]
    if not poor:
        return ""
    layer = max(poor, key=unused.__getitem__)
    return (
        f"nearly unused layers: no agent uses {_percent(unused[layer])} of the {layer}"
        f"{_more(len(poor) - 1, 'layer')}"
    )


def _advice(method: Any) -> str:
    """Options of the method that may help."""
    others = [f"another {_flag(name)}" for name in ADVISED if hasattr(method, name)]
    unset = [] if getattr(method, "standardise", True) else [_flag("standardise")]
    return " or ".join(unset + others) or "other options of the sharing method"


def _flag(name: str) -> str:
    return f"--sharing.{name.replace('_', '-')}"


def _more(count: int, thing: str) -> str:
    return f", and {count} more {thing}{'s' if count > 1 else ''} likewise" if count else ""


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
