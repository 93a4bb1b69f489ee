"""How many kinds there are, by what held-out transitions say. Stage: identity.

Agents are alike where one code for all of them predicts transitions that nothing was learnt from
as well as their own codes do. So two agents that are the same count as one kind however their
codes came to lie, and one that differs from all others is a kind of its own.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from adaps.identity.samples import LARGE_TEAM

ALPHA = 1e-3
"""Chance to part two kinds that are one, at most, for each question that is asked of the data;"""
ALPHA_OF_ALL = 0.03
"""and for all questions together, of which there is about one per agent."""
LEAST_EFFECT = 0.005
"""Growth of the error, in variances of the output, below which agents count as alike anyway."""
BETTER_CODE = 0.001
"""Fall of the error from which on one agent's code stands for all instead of their mean."""
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
    """A tree of agents, and how well one code predicts all agents of each of its nodes.

    Nodes have SciPy's numbers: agents first, then unions in the order in which they are made.
    """

    linkage: Float[np.ndarray, "union 4"]
    """SciPy's linkage matrix."""
    members: list[list[int]]
    """Each node's agents; a union's are its first child's, then its second's."""
    codes: Float[np.ndarray, "node latent"]
    """The code that stands for each node."""
    errors: list[Float[np.ndarray, "member block channel"]]
    """Each node's members' errors when they are decoded with its code."""


def gather_evidence(codes: Float[np.ndarray, "agent latent"], pair_errors: PairErrors) -> Evidence:
    """A tree that joins agents who are predicted well by each other's codes, and its errors.

    Codes that mean the same to the decoder may lie apart, which is why the tree is not made of
    distances between them; but of large teams it is, by Ward's method. A node's code is the mean
    of its members' codes, or one of these where that predicts better.
    """
    from scipy.cluster.hierarchy import linkage  # noqa: PLC0415

    num_agents = len(codes)
    crossed = _crossed(codes, pair_errors) if num_agents < LARGE_TEAM else None
    if num_agents == 1:
        tree = np.zeros((0, 4))
    elif crossed is None:
        tree = linkage(codes, "ward")
    else:
        tree = linkage(_apart(crossed), "average")
    members = [[agent] for agent in range(num_agents)]
    for first, second, *_ in tree:
        members.append(members[int(first)] + members[int(second)])
    means = np.stack([codes[m].mean(axis=0) for m in members])
    agent = np.concatenate(members)
    code = np.repeat(means, [len(m) for m in members], axis=0)
    ends = np.cumsum([len(m) for m in members])[:-1]
    errors = np.split(by_channel(pair_errors(agent, code)), ends)
    if crossed is not None:
        for node in range(num_agents, len(members)):
            of_members = crossed[np.ix_(members[node], members[node])]
            best = of_members.sum(axis=(1, 2, 3)).argmin()
            gain = (errors[node] - of_members[best]).mean(axis=(0, 1))
            if gain.max() > BETTER_CODE:
                means[node], errors[node] = codes[members[node][best]], of_members[best]
    return Evidence(tree, members, means, errors)


def _crossed(
    codes: Float[np.ndarray, "agent latent"], pair_errors: PairErrors
) -> Float[np.ndarray, "code agent block channel"]:
    """Errors of every agent under every agent's code."""
    num_agents = len(codes)
    agent = np.tile(np.arange(num_agents), num_agents)
    errors = by_channel(pair_errors(agent, np.repeat(codes, num_agents, axis=0)))
    return errors.reshape(num_agents, num_agents, *errors.shape[1:])


def _apart(
    crossed: Float[np.ndarray, "code agent block channel"],
) -> Float[np.ndarray, " pair"]:
    """How much worse two agents are predicted by each other's codes, in SciPy's order of pairs."""
    num_agents = len(crossed)
    own = crossed[np.arange(num_agents), np.arange(num_agents)]
    growth = crossed - own
    one, other = np.triu_indices(num_agents, 1)
    pairs = (growth[one, other] + growth[other, one]) / 2
    return np.array([max(_excess(growth, ALPHA), 0.0) for growth in pairs])


def by_channel(errors: Float[np.ndarray, "*batch output"]) -> Float[np.ndarray, "*batch channel"]:
    """Errors of reward and of dynamics."""
    return np.stack([errors[..., -1], errors[..., :-1].sum(axis=-1)], axis=-1)


def kinds(
    evidence: Evidence, blocks: Int[np.ndarray, " chosen"] | None = None
) -> Int[np.ndarray, " agent"]:
    """Which of the :func:`nodes_of_kinds` each agent is of."""
    return labels_of(evidence, nodes_of_kinds(evidence, blocks))


def labels_of(evidence: Evidence, nodes: list[int]) -> Int[np.ndarray, " agent"]:
    """Each agent's place in a list of nodes that share the agents out."""
    labels = np.zeros(len(evidence.linkage) + 1, int)
    for label, node in enumerate(nodes):
        labels[evidence.members[node]] = label
    return labels


def nodes_of_kinds(
    evidence: Evidence, blocks: Int[np.ndarray, " chosen"] | None = None
) -> list[int]:
    """The fewest kinds that predict as well as any finer ones, as nodes of the tree.

    From the bottom of the tree upwards, two nodes are made one unless that makes the prediction
    of their members worse, in reward or dynamics, by more than :data:`LEAST_EFFECT` and with a
    t-statistic over blocks that chance exceeds with probability :data:`ALPHA`, or less where
    there are many agents.

    Args:
        evidence: tree and errors.
        blocks: the held-out blocks to ask, with repetitions if so wished; None: each once.
    """
    num_agents = len(evidence.linkage) + 1
    alpha = min(ALPHA, ALPHA_OF_ALL / num_agents)
    chosen = slice(None) if blocks is None else blocks
    best = [errors[:, chosen] for errors in evidence.errors[:num_agents]]
    nodes = [[agent] for agent in range(num_agents)]
    for number, (first, second) in enumerate(evidence.linkage[:, :2].astype(int), num_agents):
        alone = evidence.errors[number][:, chosen]
        apart = np.concatenate([best[first], best[second]])
        growth = np.split(alone - apart, [len(best[first])])
        # Either part counts alike, however many its members.
        if _excess(np.mean([part.mean(axis=0) for part in growth], axis=0), alpha) > 1:
            best.append(apart)
            nodes.append(nodes[first] + nodes[second])
        else:
            best.append(alone)
            nodes.append([number])
    return nodes[-1]


def _excess(growth: Float[np.ndarray, "block channel"], alpha: float) -> float:
    """Growth of the error in multiples of what is allowed: above 1, the prediction is worse."""
    from scipy.stats import t as student  # noqa: PLC0415

    mean, deviation = growth.mean(axis=0), growth.std(axis=0, ddof=1)
    limit = student.ppf(1 - alpha, len(growth) - 1) * deviation / len(growth) ** 0.5
    return float((mean / np.maximum(LEAST_EFFECT, limit)).max())


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
