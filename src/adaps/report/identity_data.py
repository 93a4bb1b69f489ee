"""What ``adaps identify`` found out, read from its file and checked. Stage: report."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float
from scipy.cluster import hierarchy

from adaps.files.run_folder import IDENTITY
from adaps.report.reading import as_codes, as_labels, as_number, as_text, as_whole, read

T = TypeVar("T")

VERDICTS = ("share by kind", "share all", "do not share", "not sure")
METHODS = ("fups", "adaps", "seps", "nops")
ROUNDING = 1e-6
"""Shares may be this far below 0 or above 1."""


class Gathered(NamedTuple):
    """The transitions that agents were told apart by."""

    env_steps: int | None
    rows_per_agent: int | None
    rare_share: float | None
    """Share of the rows whose reward is rare; None where no reward is."""
    rare_rewards: list[int] | None
    """How many rare rewards were gathered, agent by agent."""


class Advice(NamedTuple):
    """What to do about sharing."""

    verdict: str
    sentence: str
    reasons: list[str]
    parameters: dict[str, int]
    """Trainable parameters of each sharing method that they are known of."""


@dataclass(frozen=True)
class Confidence:
    """How far the grouping holds when it is found anew from other parts of the data."""

    num_clusters: dict[int, float]
    """Share of resamples by the number of kinds that they find; empty where there were none."""
    agreement: float | None
    """Adjusted Rand index between the groupings found from either half of the data."""
    coassignment: Float[np.ndarray, "agent agent"] | None
    """Share of resamples in which two agents are of one kind."""


class Estimate(NamedTuple):
    """A mean and its standard error."""

    mean: float
    error: float | None


class Pair(NamedTuple):
    """What grows when agents of either of two clusters are decoded with the other's code."""

    clusters: tuple[int, int]
    reward: float | None
    dynamics: float | None
    observation: list[tuple[str, float]]
    """The greatest entries."""

    @property
    def distance(self) -> float:
        """How unlike the two are."""
        return (self.reward or 0.0) + (self.dynamics or 0.0)


@dataclass(frozen=True)
class Found:
    """``identity.json`` of ``adaps identify``."""

    env: str
    agent_names: list[str]
    clusters: list[int]
    """Cluster of each agent, numbered from 0, none empty."""
    rand_index: float | None
    agent_types: list[int] | list[str] | None
    encoder: str
    clusterer: str
    criterion: str | None
    seed: int | None
    gathered: Gathered
    latent: Float[np.ndarray, "agent code"]
    centres: Float[np.ndarray, "cluster code"]
    advice: Advice
    confidence: Confidence
    criteria: dict[str, dict[int, float]]
    """Value by number of kinds, of each criterion that was computed."""
    choices: dict[str, int]
    """Number of kinds that each criterion would choose."""
    reward: dict[int, Estimate]
    """Held-out error with one code per kind, minus that with one per agent, by number of kinds."""
    dynamics: dict[int, Estimate]
    """The same of the prediction of the next observation."""
    tree: Float[np.ndarray, "merge 4"] | None
    """SciPy's linkage matrix of the agents; one row less than agents."""
    pairs: list[Pair]
    replace: Float[np.ndarray, "cluster cluster"] | None
    """Growth of the error of the row's agents with the column's code; NaN where not known."""
    seconds: float | None

    @property
    def num_agents(self) -> int:
        """How many agents."""
        return len(self.clusters)

    @property
    def num_kinds(self) -> int:
        """How many kinds."""
        return len(self.centres)

    @property
    def members(self) -> list[list[int]]:
        """Agents of each kind, in rising order."""
        groups: list[list[int]] = [[] for _ in range(self.num_kinds)]
        for agent, kind in enumerate(self.clusters):
            groups[kind].append(agent)
        return groups


def read_found(folder: Path) -> Found:
    """What ``adaps identify`` wrote into a folder.

    Raises:
        UserError: the file is missing, damaged or contradicts itself; one line that names it.
    """
    return read(folder, IDENTITY, _found)


def _found(data: Any) -> Found:
    if "seeds" in data:
        raise ValueError("it belongs to a training run, not to adaps identify")
    num_agents, num_kinds = as_whole(data["num_agents"]), as_whole(data["num_clusters"])
    if num_agents < 1:
        raise ValueError("there is no agent")
    latent, centres = _codes_and_centres(data, num_agents, num_kinds)
    prediction = data["prediction"] or {}
    return Found(
        env=as_text(data["env"]),
        agent_names=_each(as_text, "agent_names", data["agent_names"], num_agents),
        clusters=_clusters(data["clusters"], num_agents, num_kinds),
        rand_index=_optional(_finite, data["adjusted_rand_index"]),
        agent_types=_types(data["agent_types"], num_agents),
        encoder=as_text(data["encoder"]),
        clusterer=as_text(data["clusterer"]),
        criterion=_optional(as_text, data["criterion"]),
        seed=_optional(as_whole, data["seed"]),
        gathered=_gathered(data["gathered"] or {}, num_agents),
        latent=latent,
        centres=centres,
        advice=_advice(data["advice"]),
        confidence=_confidence(data["confidence"], num_agents),
        criteria={
            as_text(name): _by_count(_finite, values or {}, num_agents)
            for name, values in (data["criteria"] or {}).items()
        },
        choices=_choices(data["choices"] or {}, num_agents),
        reward=_by_count(_estimate, prediction.get("reward") or {}, num_agents),
        dynamics=_by_count(_estimate, prediction.get("dynamics") or {}, num_agents),
        tree=_optional(lambda rows: _tree(rows, num_agents), data["tree"]),
        pairs=[_pair(pair, num_kinds) for pair in data["pairs"] or ()],
        replace=_optional(lambda rows: _replace(rows, num_kinds), data["replace"]),
        seconds=_optional(_finite, data["seconds"]),
    )


def _codes_and_centres(data: Any, num_agents: int, num_kinds: int) -> tuple[Any, Any]:
    latent = as_codes(data["latent"], num_agents)
    centres = _matrix("centres", data["centres"], num_kinds, latent.shape[1])
    if not np.isfinite(centres).all():
        raise ValueError("centres must be finite numbers")
    return latent, centres


def _clusters(values: Any, num_agents: int, num_kinds: int) -> list[int]:
    clusters = _each(as_whole, "clusters", values, num_agents)
    if set(clusters) != set(range(num_kinds)):
        raise ValueError(f"clusters must be numbered from 0 to {num_kinds - 1}, none empty")
    return clusters


def _types(values: Any, num_agents: int) -> list[int] | list[str] | None:
    if values is None:
        return None
    return as_labels(_each(lambda value: value, "agent_types", values, num_agents))


def _gathered(data: Any, num_agents: int) -> Gathered:
    rare = data.get("rare_rewards")
    return Gathered(
        env_steps=_optional(as_whole, data.get("env_steps")),
        rows_per_agent=_optional(as_whole, data.get("rows_per_agent")),
        rare_share=_optional(_share, data.get("rare_reward_share")),
        rare_rewards=None if rare is None else _each(as_whole, "rare_rewards", rare, num_agents),
    )


def _advice(data: Any) -> Advice:
    if data["verdict"] not in VERDICTS:
        raise ValueError(f"{data['verdict']!r} is no verdict; one of {', '.join(VERDICTS)} is")
    sizes = data["parameters"] or {}
    return Advice(
        verdict=data["verdict"],
        sentence=as_text(data["sentence"]),
        reasons=[as_text(reason) for reason in data["reasons"]],
        parameters={m: as_whole(sizes[m]) for m in METHODS if sizes.get(m) is not None},
    )


def _confidence(data: Any, num_agents: int) -> Confidence:
    together = _optional(
        lambda rows: _matrix("coassignment", rows, num_agents, num_agents), data["coassignment"]
    )
    if together is not None and not (abs(together - 0.5) <= 0.5 + ROUNDING).all():
        raise ValueError("coassignment must be shares from 0 to 1")
    return Confidence(
        num_clusters=_by_count(_share, data["num_clusters"] or {}, num_agents),
        agreement=_optional(_finite, data["agreement"]),
        coassignment=together,
    )


def _choices(data: Any, num_agents: int) -> dict[str, int]:
    chosen = {as_text(name): as_whole(count) for name, count in data.items() if count is not None}
    for name, count in chosen.items():
        _check_count(count, num_agents, f"what {name!r} chooses")
    return chosen


def _estimate(value: Any) -> Estimate | None:
    """None where there is no mean."""
    mean, error = value
    mean, error = _optional(_finite, mean), _optional(_finite, error)
    if error is not None and error < 0:
        raise ValueError(f"{error!r} is no standard error")
    return None if mean is None else Estimate(mean, error)


def _tree(rows: Any, num_agents: int) -> Float[np.ndarray, "merge 4"]:
    """A linkage matrix that SciPy can draw."""
    if num_agents == 1 and not rows:
        return np.zeros((0, 4))
    tree = _matrix("tree", rows, num_agents - 1, 4)
    if not np.isfinite(tree).all() or (tree[:, :2] % 1).any():
        raise ValueError("tree must be finite numbers, and its nodes whole ones")
    hierarchy.is_valid_linkage(tree, throw=True, name="tree")
    return tree


def _pair(data: Any, num_kinds: int) -> Pair:
    first, second = (as_whole(cluster) for cluster in data["clusters"])
    if first == second or not all(0 <= cluster < num_kinds for cluster in (first, second)):
        raise ValueError(f"{first} and {second} are no pair of {num_kinds} clusters")
    entries = [(as_text(name), _optional(_finite, value)) for name, value in data["observation"]]
    return Pair(
        (first, second),
        reward=_optional(_finite, data["reward"]),
        dynamics=_optional(_finite, data["dynamics"]),
        observation=[(name, value) for name, value in entries if value is not None],
    )


def _replace(rows: Any, num_kinds: int) -> Float[np.ndarray, "cluster cluster"]:
    growth = _matrix("replace", rows, num_kinds, num_kinds)
    if np.isinf(growth).any():
        raise ValueError("replace must be finite numbers")
    return growth


def _by_count(build: Callable[[Any], T | None], data: Any, num_agents: int) -> dict[int, T]:
    """Values by number of kinds, in rising order and without those that are not known."""
    built = {int(count): _optional(build, value) for count, value in data.items()}
    for count in built:
        _check_count(count, num_agents, "a number of kinds")
    return {count: value for count, value in sorted(built.items()) if value is not None}


def _check_count(count: int, num_agents: int, what: str) -> None:
    if not 1 <= count <= num_agents:
        raise ValueError(f"{what} must be from 1 to {num_agents}, the number of agents: {count}")


def _each(build: Callable[[Any], T], name: str, values: Any, count: int) -> list[T]:
    if not isinstance(values, list) or len(values) != count:
        raise ValueError(f"{name} must be a list of {count}")
    return [build(value) for value in values]


def _matrix(name: str, rows: Any, height: int, width: int) -> np.ndarray:
    """Numbers in rows; what is null becomes NaN."""
    matrix = np.asarray(rows, float)
    if matrix.shape != (height, width):
        raise ValueError(f"{name} must have {height} rows of {width} numbers")
    return matrix


def _optional(build: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else build(value)


def _finite(value: Any) -> float:
    number = as_number(value)
    if number is None:
        raise ValueError(f"{value!r} is not a finite number")
    return number


def _share(value: Any) -> float:
    share = _finite(value)
    if not abs(share - 0.5) <= 0.5 + ROUNDING:
        raise ValueError(f"{value!r} is no share from 0 to 1")
    return share
