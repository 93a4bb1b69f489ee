"""The evidence behind an answer of ``adaps identify``, for ``identity.json``. Stage: identity."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from adaps.identity import cluster_agents, gathering, samples
from adaps.identity.advice import (
    Comparable,
    IdentityConfidence,
    advise,
    advise_space_groups,
)
from adaps.identity.autoencoder import CoderState
from adaps.identity.clusters import CRITERIA, rand_index, weigh
from adaps.identity.prediction import (
    CHANNELS,
    Evidence,
    GrowthByNumber,
    by_channel,
    cluster_nodes,
    growth_by_number,
    resampled,
)
from adaps.identity.samples import LARGE_TEAM, Gathered, Samples
from adaps.identity.space_groups import SpaceGroup, gathered_of_group
from adaps.types import SCHEMA, Discrete, Identity, NetworkShape

RESAMPLES = 200
MOST_AGENTS = 200
"""Teams larger than this get no agent × agent tables, fewer resamples and one criterion."""
PREDICTED = 0.95
"""Share of the variance that the error must be below for anything to be called predicted."""
CLOSEST_OUTPUTS = 5
"""Observation entries that are named for a pair of clusters."""


class GatheredTeam(NamedTuple):
    """Agents to identify, and what was gathered about them."""

    name: str
    shape: NetworkShape
    agent_types: tuple[int, ...] | None
    agent_names: list[str]
    obs_names: list[str]
    space_groups: tuple[SpaceGroup, ...]
    gathered: Gathered
    num_steps: int
    """Environment steps, over all copies."""

    def only(self, group: SpaceGroup) -> "GatheredTeam":
        """One space group as a team of its own."""
        agents, space, types = group.agents, group.space, self.agent_types
        return self._replace(
            shape=self.shape._replace(
                num_agents=len(agents),
                obs_size=space.obs_size,
                action_space=Discrete(space.num_actions),
            ),
            agent_types=None if types is None else tuple(types[i] for i in agents),
            agent_names=[self.agent_names[i] for i in agents],
            obs_names=self.obs_names[: space.obs_size],
            space_groups=(group,),
            gathered=gathered_of_group(self.gathered, group),
        )


class IdentityFit(NamedTuple):
    """What one training of encoder and decoder comes to."""

    coder: CoderState
    samples: Samples
    evidence: Evidence
    identity: Identity


class Settings(NamedTuple):
    """How a team is identified."""

    encoder: str
    clusterer: str
    criterion: str
    seed: int


def findings_of_group(
    settings: Settings, team: GatheredTeam, fit: IdentityFit, again: IdentityFit
) -> dict[str, Any]:
    """Of a team of one space group: two fits, the second with the data's halves exchanged."""
    identity, evidence, num_agents = fit.identity, fit.evidence, team.shape.num_agents
    small = num_agents <= MOST_AGENTS
    labels = resampled(evidence, RESAMPLES if small else RESAMPLES // 10, settings.seed)
    counts = Counter(len(set(label.tolist())) for label in labels)
    shares = {k: counts[k] / len(labels) for k in sorted(counts)}
    agreement = rand_index(tuple(identity.clusters.tolist()), again.identity)
    confidence = IdentityConfidence(shares, agreement)
    growth = growth_by_number(evidence)
    by_prediction = len(cluster_nodes(evidence))
    return {
        **_answer(settings, team, identity),
        "advice": advise(identity.clusters, confidence, growth, team.shape, too_little(team, fit)),
        "confidence": _confidence_json(confidence, _coassignment(labels) if small else None),
        **_criteria_json(cast(np.ndarray, identity.latent), by_prediction, growth, settings.seed),
        "prediction": {c: {str(k): list(v) for k, v in growth[c].items()} for c in CHANNELS},
        "tree": evidence.linkage.round(6).tolist() if num_agents < LARGE_TEAM else None,
        **_pairs_json(fit, team.obs_names),
    }


def findings_of_one_agent(
    settings: Settings, team: GatheredTeam, identity: Identity
) -> dict[str, Any]:
    """Of a team of one agent, for which nothing is trained."""
    certain = IdentityConfidence({}, None)
    return {
        **_answer(settings, team, identity),
        "advice": advise(identity.clusters, certain, {}, team.shape),
        "confidence": _confidence_json(certain, [[1.0]]),
        "criteria": {"prediction": {"1": 0.0}},
        "choices": {"prediction": 1},
        "prediction": {channel: {"1": [0.0, 0.0]} for channel in CHANNELS},
        "tree": [],
        "pairs": [],
        "replace": [[0.0]],
    }


def findings_of_team(
    settings: Settings, team: GatheredTeam, identity: Identity, of_groups: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Of a team of several space groups: each group's own findings, and what they come to."""
    own = [found["confidence"] for found in of_groups]
    agreements = [each["agreement"] for each in own if each["agreement"] is not None]
    known = [each["num_clusters"] for each in own if each["num_clusters"]]
    of_one = [{"1": 1.0}] * (len(own) - len(known))
    shares = _distribution_of_sum([*known, *of_one]) if known else {}
    confidence = IdentityConfidence(shares, min(agreements, default=None))
    groups = [_comparable(team, group) for group in team.space_groups]
    few = gathering.too_little(team.agent_names, team.gathered) if known else []
    doubts = _sentences(few) + [
        f"Of {group}: {found['advice']['sentence']}"
        for group, found in zip(groups, of_groups, strict=True)
        if found["advice"]["verdict"] == "not sure"
    ]
    return {
        **_answer(settings, team, identity),
        "advice": advise_space_groups(identity.clusters, confidence, groups, team.shape, doubts),
        "confidence": _confidence_json(confidence, None),
        # Only agents of one group can be compared by these.
        **dict.fromkeys(("criteria", "choices", "prediction", "tree", "pairs", "replace")),
        "parts": [
            {"space": group.space.label, "agents": list(group.agents), **found}
            for group, found in zip(team.space_groups, of_groups, strict=True)
        ],
    }


def _comparable(team: GatheredTeam, group: SpaceGroup) -> Comparable:
    space = group.space
    label = space.label or f"{space.obs_size} numbers, {space.num_actions} actions"
    names = [team.agent_names[agent] for agent in group.agents]
    return Comparable(names, label, space.obs_size, space.num_actions)


def too_little(team: GatheredTeam, fit: IdentityFit) -> list[str]:
    """Why nothing that was found can be sure, one sentence each; nothing where it can."""
    found = _sentences(gathering.too_little(team.agent_names, team.gathered))
    dynamics = np.ptp(fit.samples.common.target[..., :-1], axis=(0, 1, 2)) > 0
    reward = any(np.ptp(rows.target[..., -1]) > 0 for rows in fit.samples[:2])
    num_outputs = np.array([reward, dynamics.sum()])
    own = np.mean(fit.evidence.errors[: fit.evidence.num_agents], axis=(0, 1, 2))
    if not (own < PREDICTED * num_outputs).any():
        found.append(
            "Neither rewards nor next observations are predicted better than by their mean, so "
            "nothing tells agents apart: gather more, or train the encoder longer "
            "(--encoder.updates)."
        )
    return found


def _sentences(texts: list[str]) -> list[str]:
    return [f"{text[:1].upper()}{text[1:]}." for text in texts]


def _answer(settings: Settings, team: GatheredTeam, identity: Identity) -> dict[str, Any]:
    """Which agent is in which cluster."""
    types = team.agent_types
    return {
        "schema": SCHEMA,
        "env": team.name,
        "num_agents": team.shape.num_agents,
        "agent_names": team.agent_names,
        "clusters": identity.clusters.tolist(),
        "num_clusters": len(identity.centres),
        "adjusted_rand_index": rand_index(types, identity),
        "agent_types": None if types is None else list(types),
        **settings._asdict(),
        "gathered": _gathered_json(team),
        "latent": np.round(cast(np.ndarray, identity.latent), 5).tolist(),
        "centres": np.round(identity.centres, 5).tolist(),
    }


def _confidence_json(
    confidence: IdentityConfidence, coassignment: list[list[float]] | None
) -> dict[str, Any]:
    return {
        "num_clusters": {str(k): share for k, share in confidence.num_clusters.items()},
        "agreement": confidence.agreement,
        "coassignment": coassignment,
    }


def _distribution_of_sum(distributions: Sequence[dict[str, float]]) -> dict[int, float]:
    """Of the sum of independent numbers, from the distribution of each."""
    total = {0: 1.0}
    for own in distributions:
        longer: defaultdict[int, float] = defaultdict(float)
        for known, share in total.items():
            for more, other in own.items():
                longer[known + int(more)] += share * other
        total = dict(sorted(longer.items()))
    return total


def _gathered_json(team: GatheredTeam) -> dict[str, Any]:
    share = float(samples.rare_share(team.gathered))
    rare = share < samples.RARE
    counts = np.asarray(team.gathered.num_rare.sum(axis=0)).tolist()
    return {
        "env_steps": team.num_steps,
        "rows_per_agent": samples.BLOCKS * team.gathered.common.target.shape[2],
        "rare_reward_share": share if rare else None,
        "rare_rewards": counts if rare else None,
    }


def _coassignment(labels: list[np.ndarray]) -> list[list[float]]:
    """Share of the resamples in which two agents are in one cluster."""
    return np.mean([label[:, None] == label for label in labels], axis=0).round(4).tolist()


def _criteria_json(
    codes: np.ndarray, by_prediction: int, growth: GrowthByNumber, seed: int
) -> dict[str, Any]:
    total = {str(k): sum(growth[c][k][0] for c in CHANNELS) for k in growth[CHANNELS[0]]}
    values, choices = {"prediction": total}, {"prediction": by_prediction}
    if 2 < len(codes) <= MOST_AGENTS:
        for name in CRITERIA:
            scores, choices[name] = weigh(name, codes, seed)
            values[name] = {str(k): score for k, score in scores.items()}
    return {"criteria": values, "choices": choices}


def _pairs_json(fit: IdentityFit, obs_names: list[str]) -> dict[str, Any]:
    """How much the error grows when a cluster's agents are decoded with another's code."""
    coder, clusters, centres = fit.coder, fit.identity.clusters, fit.identity.centres
    agent = np.repeat(np.arange(len(clusters)), len(centres))
    code = np.tile(centres, (len(clusters), 1))
    errors = cluster_agents.pair_errors(coder.params, fit.samples, coder.key, agent, code)
    of_agent = errors.mean(axis=1).reshape(len(clusters), len(centres), -1)
    numbers = np.arange(len(centres))
    of_cluster = np.stack([of_agent[clusters == k].mean(axis=0) for k in numbers])
    growth = of_cluster - of_cluster[numbers, numbers][:, None]
    pairs = [
        _pair_json(int(one), int(other), (growth[one, other] + growth[other, one]) / 2, obs_names)
        for one, other in zip(*np.triu_indices(len(centres), 1), strict=True)
    ]
    return {"pairs": pairs, "replace": growth.sum(axis=-1).round(6).tolist()}


def _pair_json(one: int, other: int, growth: np.ndarray, obs_names: list[str]) -> dict[str, Any]:
    reward, dynamics = by_channel(growth)
    greatest = np.argsort(-growth[:-1])[:CLOSEST_OUTPUTS]
    return {
        "clusters": [one, other],
        "reward": float(reward),
        "dynamics": float(dynamics),
        "observation": [[obs_names[i], float(growth[i])] for i in greatest if growth[i] > 0],
    }
