"""How many kinds there are, by what held-out transitions say. Stage: identity.

Agents are alike where one code for all of them predicts transitions that nothing was learnt from
as well as their own codes do. So two agents that are the same count as one kind however their
codes came to lie, and one that differs from all others is a kind of its own.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import linkage
from scipy.stats import t as student

ALPHA = 1e-3
"""Chance to part two kinds that are one, for each question that is asked of the data."""
LEAST_EFFECT = 0.005
"""Growth of the error, in variances of the output, below which agents count as alike anyway."""
LONGEST_PATH = 40
"""Numbers of kinds whose errors are reported, at most."""

PairErrors = Callable[
    [Int[np.ndarray, " pair"], Float[np.ndarray, "pair latent"]],
    Float[np.ndarray, "pair block output"],
]
"""Agents and codes → held-out squared errors; see ``autoencoder.held_out_errors``."""
CHANNELS = ("reward", "dynamics")
"""What is asked about apart: the last output, and the sum over all others."""


class Evidence(NamedTuple):
    """A tree of agents by their codes, and how well each of its nodes' codes predicts.

    Nodes have SciPy's numbers: agents first, then unions in the order in which they are made.
    """

    linkage: Float[np.ndarray, "union 4"]
    """SciPy's linkage matrix."""
    members: list[list[int]]
    """Each node's agents; a union's are its first child's, then its second's."""
    errors: list[Float[np.ndarray, "member block channel"]]
    """Each node's members' errors when they are decoded with the mean of the members' codes."""


def gather_evidence(codes: Float[np.ndarray, "agent latent"], pair_errors: PairErrors) -> Evidence:
    """Ward's tree of the codes, and the held-out errors of each of its nodes."""
    num_agents = len(codes)
    tree = linkage(codes, "ward") if num_agents > 1 else np.zeros((0, 4))
    members = [[agent] for agent in range(num_agents)]
    for first, second, *_ in tree:
        members.append(members[int(first)] + members[int(second)])
    agent = np.concatenate(members)
    code = np.concatenate([np.tile(codes[m].mean(axis=0), (len(m), 1)) for m in members])
    errors = by_channel(pair_errors(agent, code))
    ends = np.cumsum([len(m) for m in members])[:-1]
    return Evidence(tree, members, np.split(errors, ends))


def by_channel(errors: Float[np.ndarray, "*batch output"]) -> Float[np.ndarray, "*batch channel"]:
    """Errors of reward and of dynamics."""
    return np.stack([errors[..., -1], errors[..., :-1].sum(axis=-1)], axis=-1)


def kinds(
    evidence: Evidence, blocks: Int[np.ndarray, " chosen"] | None = None
) -> Int[np.ndarray, " agent"]:
    """The fewest kinds that predict as well as any finer ones.

    From the bottom of the tree upwards, two nodes are made one unless that makes the prediction
    of their members worse, in reward or dynamics, by more than :data:`LEAST_EFFECT` and with a
    t-statistic over blocks that chance exceeds with probability :data:`ALPHA`.

    Args:
        evidence: tree and errors.
        blocks: the held-out blocks to ask, with repetitions if so wished; None: each once.
    """
    num_agents = len(evidence.linkage) + 1
    chosen = slice(None) if blocks is None else blocks
    best = [errors[:, chosen] for errors in evidence.errors[:num_agents]]
    groups = [[members] for members in evidence.members[:num_agents]]
    for number, (first, second) in enumerate(evidence.linkage[:, :2].astype(int), num_agents):
        alone = evidence.errors[number][:, chosen]
        apart = np.concatenate([best[first], best[second]])
        growth = np.split(alone - apart, [len(best[first])])
        # Either part counts alike, however many its members.
        if _is_worse(np.mean([part.mean(axis=0) for part in growth], axis=0)):
            best.append(apart)
            groups.append(groups[first] + groups[second])
        else:
            best.append(alone)
            groups.append([evidence.members[number]])
    labels = np.zeros(num_agents, int)
    for label, members in enumerate(groups[-1]):
        labels[members] = label
    return labels


def _is_worse(growth: Float[np.ndarray, "block channel"]) -> bool:
    mean, deviation = growth.mean(axis=0), growth.std(axis=0, ddof=1)
    limit = student.ppf(1 - ALPHA, len(growth) - 1) * deviation / len(growth) ** 0.5
    return bool(((mean > LEAST_EFFECT) & (mean > limit)).any())


def path(evidence: Evidence) -> dict[str, dict[int, tuple[float, float]]]:
    """Per channel and number of kinds, growth of the error over own codes: mean, standard error."""
    num_agents = len(evidence.linkage) + 1
    own = np.stack([errors[0] for errors in evidence.errors[:num_agents]])
    found: dict[str, dict[int, tuple[float, float]]] = {name: {} for name in CHANNELS}
    for num_kinds in range(1, min(num_agents, LONGEST_PATH) + 1):
        errors = np.zeros_like(own)
        for node in cut(evidence.linkage, num_kinds):
            errors[evidence.members[node]] = evidence.errors[node]
        growth = (errors - own).mean(axis=0)
        mean, error = growth.mean(axis=0), growth.std(axis=0, ddof=1) / len(growth) ** 0.5
        for channel, name in enumerate(CHANNELS):
            found[name][num_kinds] = (float(mean[channel]), float(error[channel]))
    return found


def cut(tree: Float[np.ndarray, "union 4"], num_kinds: int) -> list[int]:
    """The nodes that stand when so many are left."""
    num_agents = len(tree) + 1
    num_unions = num_agents - num_kinds
    gone = set(tree[:num_unions, :2].astype(int).ravel().tolist())
    return [node for node in range(num_agents + num_unions) if node not in gone]


def resampled(evidence: Evidence, num: int, seed: int) -> list[Int[np.ndarray, " agent"]]:
    """The kinds that bootstrap samples of the held-out blocks find."""
    rng = np.random.default_rng(seed)
    num_blocks = evidence.errors[0].shape[1]
    return [kinds(evidence, rng.integers(num_blocks, size=num_blocks)) for _ in range(num)]
