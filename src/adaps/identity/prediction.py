"""How many clusters there are, by the prediction of held-out transitions. Stage: identity.

Agents are of one cluster where one code for all of them predicts transitions that nothing was
learnt from as well as their own codes do. So where a code lies does not matter, only what it
predicts, and both *one cluster* and *as many clusters as agents* are possible answers.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy  # its parts are imported when they are first used
from jaxtyping import Float, Int

from adaps.identity.samples import LARGE_TEAM

ALPHA = 1e-3
"""Chance to separate two agents of one type, at most, for each question asked of the data;"""
ALPHA_OF_ALL = 0.03
"""and for all questions together, of which there is about one per agent."""
LEAST_EFFECT = 0.005
"""Growth of the error, in variances of the output, that never separates agents."""
BETTER_CODE = 0.001
"""Fall of the error from which one agent's code represents a node instead of the mean code."""
MOST_REPORTED = 40
"""Numbers of clusters whose errors are reported, at most."""

PairErrors = Callable[
    [Int[np.ndarray, " pair"], Float[np.ndarray, "pair latent"]],
    Float[np.ndarray, "pair block output"],
]
"""Agents and codes → held-out squared errors; see ``cluster_agents.pair_errors``."""
CHANNELS = ("reward", "dynamics")
"""Compared separately: the last output, and the sum over all others."""
GrowthByNumber = dict[str, dict[int, tuple[float, float]]]
"""By channel and number of clusters: mean and standard error of the error's growth."""


class Evidence(NamedTuple):
    """A tree of agents, and how well one code predicts all agents of each of its nodes.

    Nodes have SciPy's numbers: agents first, then unions in the order in which they are made.
    """

    linkage: Float[np.ndarray, "union 4"]
    """SciPy's linkage matrix."""
    members: list[list[int]]
    """Each node's agents; a union's are its first child's, then its second's."""
    codes: Float[np.ndarray, "node latent"]
    """The code that represents each node."""
    errors: list[Float[np.ndarray, "member block channel"]]
    """Errors of each node's members under the node's code, in variances of the output."""

    @property
    def num_agents(self) -> int:
        return len(self.linkage) + 1


def gather_evidence(codes: Float[np.ndarray, "agent latent"], pair_errors: PairErrors) -> Evidence:
    """A tree that joins agents who are predicted well by each other's codes, and its errors.

    Two codes may mean the same to the decoder and still be far apart, so the tree is not built from
    distances between codes, except in large teams, where it is Ward's. A node's code is the
    mean of its members' codes, or one of these where that predicts better.
    """
    num_agents = len(codes)
    crossed = _cross_errors(codes, pair_errors) if num_agents < LARGE_TEAM else None
    if num_agents == 1:
        tree = np.zeros((0, 4))
    elif crossed is None:
        tree = scipy.cluster.hierarchy.linkage(codes, "ward")
    else:
        tree = scipy.cluster.hierarchy.linkage(_distances(crossed), "average")
    members = [[agent] for agent in range(num_agents)]
    for first, second in tree[:, :2].astype(int):
        members.append(members[first] + members[second])
    of_node = np.stack([codes[m].mean(axis=0) for m in members])
    sizes = [len(m) for m in members]
    all_errors = pair_errors(np.concatenate(members), np.repeat(of_node, sizes, axis=0))
    errors = np.split(by_channel(all_errors), np.cumsum(sizes)[:-1])
    if crossed is not None:
        for node in range(num_agents, len(members)):
            of_members = crossed[np.ix_(members[node], members[node])]
            best = of_members.sum(axis=(1, 2, 3)).argmin()
            gain = (errors[node] - of_members[best]).mean(axis=(0, 1))
            if gain.max() > BETTER_CODE:
                of_node[node], errors[node] = codes[members[node][best]], of_members[best]
    return Evidence(tree, members, of_node, errors)


def _cross_errors(
    codes: Float[np.ndarray, "agent latent"], pair_errors: PairErrors
) -> Float[np.ndarray, "code agent block channel"]:
    """Errors of every agent under every agent's code."""
    num_agents = len(codes)
    agent = np.tile(np.arange(num_agents), num_agents)
    errors = by_channel(pair_errors(agent, np.repeat(codes, num_agents, axis=0)))
    return errors.reshape(num_agents, num_agents, *errors.shape[1:])


def _distances(
    crossed: Float[np.ndarray, "code agent block channel"],
) -> Float[np.ndarray, " pair"]:
    """How much worse two agents are predicted by each other's codes, in SciPy's order of pairs."""
    agents = np.arange(len(crossed))
    growth = crossed - crossed[agents, agents]
    one, other = np.triu_indices(len(crossed), 1)
    pairs = (growth[one, other] + growth[other, one]) / 2
    return np.array([max(_excess(growth, ALPHA), 0.0) for growth in pairs])


def by_channel(errors: Float[np.ndarray, "*batch output"]) -> Float[np.ndarray, "*batch channel"]:
    """Errors of reward and of dynamics."""
    return np.stack([errors[..., -1], errors[..., :-1].sum(axis=-1)], axis=-1)


def cluster_nodes(
    evidence: Evidence, blocks: Int[np.ndarray, " chosen"] | None = None
) -> list[int]:
    """The fewest clusters that predict as well as any finer ones, as nodes of the tree.

    From the bottom of the tree upwards, two nodes are joined unless that makes the prediction of
    their members worse, in reward or dynamics, by more than :data:`LEAST_EFFECT` and with a
    t-statistic over blocks that chance exceeds with probability :data:`ALPHA`, or less where
    there are many agents.

    Args:
        evidence: tree and errors.
        blocks: the held-out blocks to use, with repetitions for a bootstrap; None: each once.
    """
    num_agents = evidence.num_agents
    alpha = min(ALPHA, ALPHA_OF_ALL / num_agents)
    chosen = slice(None) if blocks is None else blocks
    best = [errors[:, chosen] for errors in evidence.errors[:num_agents]]
    nodes = [[agent] for agent in range(num_agents)]
    for number, (first, second) in enumerate(evidence.linkage[:, :2].astype(int), num_agents):
        joined = evidence.errors[number][:, chosen]
        apart = np.concatenate([best[first], best[second]])
        growth = np.split(joined - apart, [len(best[first])])
        # Both children count the same, however many their members are.
        if _excess(np.mean([child.mean(axis=0) for child in growth], axis=0), alpha) > 1:
            best.append(apart)
            nodes.append(nodes[first] + nodes[second])
        else:
            best.append(joined)
            nodes.append([number])
    return nodes[-1]


def labels_of(evidence: Evidence, nodes: list[int]) -> Int[np.ndarray, " agent"]:
    """Each agent's position in a list of nodes that together hold every agent once."""
    labels = np.zeros(evidence.num_agents, int)
    for label, node in enumerate(nodes):
        labels[evidence.members[node]] = label
    return labels


def _excess(growth: Float[np.ndarray, "block channel"], alpha: float) -> float:
    """Growth of the error in multiples of what is allowed: above 1, the prediction is worse."""
    mean, deviation = growth.mean(axis=0), growth.std(axis=0, ddof=1)
    limit = scipy.special.stdtrit(len(growth) - 1, 1 - alpha) * deviation / len(growth) ** 0.5
    return float((mean / np.maximum(LEAST_EFFECT, limit)).max())


def growth_by_number(evidence: Evidence) -> GrowthByNumber:
    """How much the error grows over that of own codes, for every number of clusters."""
    own = np.stack([errors[0] for errors in evidence.errors[: evidence.num_agents]])
    found: GrowthByNumber = {name: {} for name in CHANNELS}
    for num_clusters in range(1, min(evidence.num_agents, MOST_REPORTED) + 1):
        errors = np.zeros_like(own)
        for node in cut(evidence.linkage, num_clusters):
            errors[evidence.members[node]] = evidence.errors[node]
        growth = (errors - own).mean(axis=0)
        mean, error = growth.mean(axis=0), growth.std(axis=0, ddof=1) / len(growth) ** 0.5
        for channel, name in enumerate(CHANNELS):
            found[name][num_clusters] = (float(mean[channel]), float(error[channel]))
    return found


def cut(tree: Float[np.ndarray, "union 4"], num_clusters: int) -> list[int]:
    """The nodes of a linkage matrix that are left when there are so many clusters."""
    num_agents = len(tree) + 1
    num_unions = num_agents - num_clusters
    joined = set(tree[:num_unions, :2].astype(int).ravel().tolist())
    return [node for node in range(num_agents + num_unions) if node not in joined]


def resampled(evidence: Evidence, num: int, seed: int) -> list[Int[np.ndarray, " agent"]]:
    """The clusters that bootstrap samples of the held-out blocks give, as each agent's label."""
    rng = np.random.default_rng(seed)
    num_blocks = evidence.errors[0].shape[1]
    draws = (rng.integers(num_blocks, size=num_blocks) for _ in range(num))
    return [labels_of(evidence, cluster_nodes(evidence, blocks)) for blocks in draws]
