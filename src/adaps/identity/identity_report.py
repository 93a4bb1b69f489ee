"""What speaks for an answer of ``adaps identify``, for ``identity.json``. Stage: identify."""

from collections import Counter, defaultdict
from typing import Any, NamedTuple, cast

import numpy as np

from adaps.identity import cluster_agents, samples
from adaps.identity.advice import Confidence, advise, advise_parts
from adaps.identity.autoencoder import CoderState
from adaps.identity.clusters import CRITERIA, weigh
from adaps.identity.matching import adjusted_rand_index
from adaps.identity.prediction import (
    CHANNELS,
    Evidence,
    by_channel,
    nodes_of_kinds,
    path,
    resampled,
)
from adaps.identity.samples import LARGE_TEAM, Gathered, Samples
from adaps.identity.space_groups import Part
from adaps.types import SCHEMA, Identity, NetworkShape

RESAMPLES = 200
MOST_AGENTS = 200
"""Teams larger than this get no agent × agent tables, fewer resamples and one criterion."""
CLOSEST_OUTPUTS = 5
"""Observation entries that are named for a pair of kinds."""


class Team(NamedTuple):
    """Who is looked at, and what was gathered about them."""

    name: str
    shape: NetworkShape
    agent_types: tuple[int, ...] | None
    agent_names: list[str]
    obs_names: list[str]
    gathered: Gathered
    num_steps: int


class Found(NamedTuple):
    """What one fit of encoder and decoder comes to."""

    coder: CoderState
    samples: Samples
    evidence: Evidence
    identity: Identity


class Asked(NamedTuple):
    """How it was looked for."""

    encoder: str
    clusterer: str
    criterion: str
    seed: int


def findings(asked: Asked, team: Team, found: Found, again: Found) -> dict[str, Any]:
    """Of a team whose spaces are alike: two fits, the second with the data's halves exchanged."""
    identity, clusters = found.identity, found.identity.clusters
    num_agents = team.shape.num_agents
    small = num_agents <= MOST_AGENTS
    labels = resampled(found.evidence, RESAMPLES if small else RESAMPLES // 10, asked.seed)
    counts = Counter(len(set(label.tolist())) for label in labels)
    confidence = Confidence(
        {k: counts[k] / len(labels) for k in sorted(counts)},
        adjusted_rand_index(clusters, again.identity.clusters),
    )
    growth = path(found.evidence)
    by_prediction = len(nodes_of_kinds(found.evidence))
    return {
        **_answer(asked, team, identity),
        "advice": advise(clusters, confidence, growth, team.shape),
        "confidence": {
            "num_clusters": {str(k): share for k, share in confidence.num_clusters.items()},
            "agreement": confidence.agreement,
            "coassignment": _together(labels) if small else None,
        },
        **_criteria_json(identity.latent, by_prediction, growth, asked.seed),
        "prediction": {c: {str(k): list(v) for k, v in growth[c].items()} for c in CHANNELS},
        "tree": found.evidence.linkage.round(6).tolist() if num_agents < LARGE_TEAM else None,
        **_pairs_json(found, team.obs_names),
    }


def findings_of_one(asked: Asked, team: Team, identity: Identity) -> dict[str, Any]:
    """Of a team of one agent, about which there is nothing to find out."""
    certain = Confidence({1: 1.0}, None)
    return {
        **_answer(asked, team, identity),
        "advice": advise(identity.clusters, certain, {}, team.shape),
        **_evidence_of_none(certain, [[1.0]]),
        "criteria": {"prediction": {"1": 0.0}},
        "choices": {"prediction": 1},
        "prediction": {channel: {"1": [0.0, 0.0]} for channel in CHANNELS},
        "tree": [],
        "pairs": [],
        "replace": [[0.0]],
    }


def joined(
    asked: Asked,
    team: Team,
    identity: Identity,
    parts: tuple[Part, ...],
    own: list[dict[str, Any]],
) -> dict[str, Any]:
    """Of a team whose spaces differ: each part's own findings, and what they come to together."""
    confidence = Confidence(
        _sums([found["confidence"]["num_clusters"] for found in own]),
        min((x for f in own if (x := f["confidence"]["agreement"]) is not None), default=None),
    )
    names = [[team.agent_names[agent] for agent in part.agents] for part in parts]
    return {
        **_answer(asked, team, identity),
        "advice": advise_parts(identity.clusters, confidence, names, team.shape),
        **_evidence_of_none(confidence),
        "parts": [
            {"space": part.space.label, "agents": list(part.agents), **found}
            for part, found in zip(parts, own, strict=True)
        ],
    }


def _answer(asked: Asked, team: Team, identity: Identity) -> dict[str, Any]:
    """Who belongs where."""
    types, clusters = team.agent_types, identity.clusters
    return {
        "schema": SCHEMA,
        "env": team.name,
        "num_agents": team.shape.num_agents,
        "agent_names": team.agent_names,
        "clusters": clusters.tolist(),
        "num_clusters": len(identity.centres),
        "adjusted_rand_index": None if types is None else adjusted_rand_index(types, clusters),
        "agent_types": None if types is None else list(types),
        **asked._asdict(),
        "gathered": _gathered_json(team),
        "latent": np.round(cast(np.ndarray, identity.latent), 5).tolist(),
        "centres": np.round(identity.centres, 5).tolist(),
    }


def _evidence_of_none(
    confidence: Confidence, together: list[list[float]] | None = None
) -> dict[str, Any]:
    """How sure it is, without what only agents of alike spaces can be compared by."""
    return {
        "confidence": {
            "num_clusters": {str(k): share for k, share in confidence.num_clusters.items()},
            "agreement": confidence.agreement,
            "coassignment": together,
        },
        **dict.fromkeys(("criteria", "choices", "prediction", "tree", "pairs", "replace")),
    }


def _sums(shares: list[dict[str, float]]) -> dict[int, float]:
    """Distribution of the sum of numbers that each have one."""
    total = {0: 1.0}
    for own in shares:
        longer: defaultdict[int, float] = defaultdict(float)
        for known, share in total.items():
            for more, other in own.items():
                longer[known + int(more)] += share * other
        total = dict(sorted(longer.items()))
    return total


def _gathered_json(team: Team) -> dict[str, Any]:
    share = float(samples.rare_share(team.gathered))
    rare = share < samples.RARE
    counts = np.asarray(team.gathered.num_rare.sum(axis=0)).tolist()
    return {
        "env_steps": team.num_steps,
        "rows_per_agent": samples.BLOCKS * team.gathered.common.target.shape[2],
        "rare_reward_share": share if rare else None,
        "rare_rewards": counts if rare else None,
    }


def _together(labels: list[np.ndarray]) -> list[list[float]]:
    """Share of the groupings in which two agents are together."""
    return np.mean([label[:, None] == label for label in labels], axis=0).round(4).tolist()


def _criteria_json(
    codes: Any, by_prediction: int, growth: dict[str, dict[int, tuple[float, float]]], seed: int
) -> dict[str, Any]:
    total = {str(k): sum(growth[c][k][0] for c in CHANNELS) for k in growth[CHANNELS[0]]}
    values, choices = {"prediction": total}, {"prediction": by_prediction}
    if 2 < len(codes) <= MOST_AGENTS:
        for name in CRITERIA:
            scores, choices[name] = weigh(name, codes, seed)
            values[name] = {str(k): score for k, score in scores.items()}
    return {"criteria": values, "choices": choices}


def _pairs_json(found: Found, obs_names: list[str]) -> dict[str, Any]:
    """What grows in the error when agents of one kind are decoded with another's code."""
    identity = found.identity
    num_kinds, num_agents = len(identity.centres), len(identity.clusters)
    agent = np.repeat(np.arange(num_agents), num_kinds)
    code = np.tile(identity.centres, (num_agents, 1))
    coder = found.coder
    errors = cluster_agents.pair_errors(coder.params, found.samples, coder.key, agent, code).mean(
        axis=1
    )
    errors = errors.reshape(num_agents, num_kinds, -1)
    by_kind = np.stack([errors[identity.clusters == k].mean(axis=0) for k in range(num_kinds)])
    own = by_kind[np.arange(num_kinds), np.arange(num_kinds)]
    growth = by_kind - own[:, None]
    pairs = [
        _pair_json(one, other, (growth[one, other] + growth[other, one]) / 2, obs_names)
        for one in range(num_kinds)
        for other in range(one + 1, num_kinds)
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
