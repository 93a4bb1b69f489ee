"""identity.json of ``adaps identify``: who is alike, and what speaks for it. Stage: files."""

import sys
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float
from msgspec import Meta, Struct

from adaps.files.schema.fields import (
    ROUNDING,
    Codes,
    File,
    Finite,
    Share,
    Whole,
    check_codes,
    check_length,
    check_shape,
    labels,
)

T = TypeVar("T")

Deviation = Annotated[float, Meta(ge=0, le=sys.float_info.max)]
Error = tuple[Finite | None, Deviation | None]
"""A mean and its standard error."""


class Gathered(Struct):
    """The transitions that agents were told apart by."""

    env_steps: Whole | None = None
    rows_per_agent: Whole | None = None
    rare_reward_share: Share | None = None
    """Share of the rows whose reward is rare; None where no reward is."""
    rare_rewards: list[Whole] | None = None
    """How many rare rewards were gathered, agent by agent."""


class Advice(Struct):
    """What to do about sharing."""

    verdict: Literal["share by kind", "share all", "do not share", "not sure", "nothing to compare"]
    sentence: str
    reasons: list[str]
    parameters: dict[str, Whole | None] | None
    """Trainable parameters of each sharing method."""


class Confidence(Struct):
    """How far the grouping holds when it is found anew from other parts of the data."""

    num_clusters: dict[int, Share | None] | None
    """Share of resamples by the number of kinds that they find; empty where there were none."""
    agreement: Finite | None
    """Adjusted Rand index between the groupings found from either half of the data."""
    coassignment: Float[np.ndarray, "_agent _agent"] | None
    """Share of resamples in which two agents are of one kind."""

    @property
    def shares(self) -> dict[int, float]:
        """:attr:`num_clusters` by rising number, without those that are not known."""
        return _rising(self.num_clusters)


class Estimate(NamedTuple):
    """A mean and its standard error."""

    mean: float
    error: float | None


class Prediction(Struct):
    """Held-out error with one code per kind, minus that with one per agent, by number of kinds."""

    reward: dict[int, Error | None] | None = None
    dynamics: dict[int, Error | None] | None = None
    """The same of the prediction of the next observation."""

    @property
    def curves(self) -> dict[str, dict[int, Estimate]]:
        """By rising number of kinds, where there is a mean; without curves of no point."""
        found = {}
        for name, errors in (("reward", self.reward), ("dynamics", self.dynamics)):
            each = _rising(errors).items()
            curve = {k: Estimate(mean, error) for k, (mean, error) in each if mean is not None}
            if curve:
                found[name] = curve
        return found


class Pair(Struct):
    """What grows when agents of either of two clusters are decoded with the other's code."""

    clusters: tuple[Whole, Whole]
    reward: Finite | None
    dynamics: Finite | None
    observation: list[tuple[str, Finite | None]]
    """The greatest entries."""

    @property
    def distance(self) -> float:
        """How unlike the two are."""
        return (self.reward or 0.0) + (self.dynamics or 0.0)


class IdentityReport(File, kw_only=True):
    """``identity.json`` of ``adaps identify``; null stands for what was not computed."""

    env: str
    num_agents: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    agent_names: list[str]
    clusters: list[Whole]
    """Of each agent, numbered from 0, none empty."""
    num_clusters: Whole
    adjusted_rand_index: Finite | None
    agent_types: list[int | str] | None
    encoder: str
    clusterer: str
    criterion: str | None
    seed: Whole | None
    gathered: Gathered | None
    latent: Codes
    centres: Float[np.ndarray, "_cluster _code"]
    advice: Advice
    confidence: Confidence
    criteria: dict[str, dict[int, Finite | None] | None] | None
    """Value by number of kinds, of each criterion that was computed."""
    choices: dict[str, Whole | None] | None
    """Number of kinds that each criterion would choose."""
    prediction: Prediction | None
    tree: Float[np.ndarray, "_merge _four"] | None
    """SciPy's linkage matrix of the agents; one row less than agents."""
    pairs: list[Pair] | None
    replace: Float[np.ndarray, "_cluster _cluster"] | None
    """Growth of the error of the row's agents with the column's code; NaN where not known."""
    seconds: Finite | None
    environment: dict[str, Any] | None = None
    """What the environment was, as in a run's ``config.json``; None where there was none."""
    parts: list[dict[str, Any]] | None = None
    """The same of each group of agents that can be compared, where not all agents can."""

    def __post_init__(self) -> None:
        self._check_agents()
        self._check_counts()
        self._check_tables()
        for pair in self.pairs or ():
            first, second = pair.clusters
            if first == second or not all(0 <= one < self.num_clusters for one in pair.clusters):
                raise ValueError(
                    f"{first} and {second} are no pair of {self.num_clusters} clusters"
                )

    def _check_agents(self) -> None:
        check_codes(self.latent, self.num_agents)
        check_shape("centres", self.centres, self.num_clusters, self.latent.shape[1])
        if not np.isfinite(self.centres).all():
            raise ValueError("centres must be finite numbers")
        for name in ("agent_names", "clusters", "agent_types"):
            check_length(name, getattr(self, name), self.num_agents)
        if set(self.clusters) != set(range(self.num_clusters)):
            last = self.num_clusters - 1
            raise ValueError(f"clusters must be numbered from 0 to {last}, none empty")
        if self.gathered is not None:
            check_length("rare_rewards", self.gathered.rare_rewards, self.num_agents)

    def _check_counts(self) -> None:
        prediction = self.prediction or Prediction()
        tables = [self.confidence.num_clusters, prediction.reward, prediction.dynamics]
        for table in (*tables, *(self.criteria or {}).values()):
            for count in table or ():
                self._check_count(count, "a number of kinds")
        for name, count in (self.choices or {}).items():
            if count is not None:
                self._check_count(count, f"what {name!r} chooses")

    def _check_count(self, count: int, what: str) -> None:
        if not 1 <= count <= self.num_agents:
            most = f"{self.num_agents}, the number of agents"
            raise ValueError(f"{what} must be from 1 to {most}: {count}")

    def _check_tables(self) -> None:
        together = self.confidence.coassignment
        if together is not None:
            check_shape("coassignment", together, self.num_agents, self.num_agents)
            if not (abs(together - 0.5) <= 0.5 + ROUNDING).all():
                raise ValueError("coassignment must be shares from 0 to 1")
        if self.replace is not None:
            check_shape("replace", self.replace, self.num_clusters, self.num_clusters)
            if np.isinf(self.replace).any():
                raise ValueError("replace must be finite numbers")
        if self.tree is not None:
            self.tree = _linkage(self.tree, self.num_agents)

    @property
    def types(self) -> list[int] | list[str] | None:
        """True type of each agent, whole numbers or texts; None where they are not known."""
        return labels(self.agent_types)

    @property
    def members(self) -> list[list[int]]:
        """Agents of each kind, in rising order."""
        groups: list[list[int]] = [[] for _ in range(self.num_clusters)]
        for agent, kind in enumerate(self.clusters):
            groups[kind].append(agent)
        return groups


def _rising(by_count: dict[int, T | None] | None) -> dict[int, T]:
    return {k: value for k, value in sorted((by_count or {}).items()) if value is not None}


def _linkage(tree: np.ndarray, num_agents: int) -> Float[np.ndarray, "_merge 4"]:
    """A linkage matrix that SciPy can draw."""
    if num_agents == 1 and not tree.size:
        return np.zeros((0, 4))
    check_shape("tree", tree, num_agents - 1, 4)
    if not np.isfinite(tree).all() or (tree[:, :2] % 1).any():
        raise ValueError("tree must be finite numbers, and its nodes whole ones")
    # Only readers of this file need SciPy, and a run imports this module.
    from scipy.cluster import hierarchy  # noqa: PLC0415

    hierarchy.is_valid_linkage(tree, throw=True, name="tree")
    return tree
