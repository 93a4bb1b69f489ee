"""What a run's folder holds, read and checked. Stage: report."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from msgspec import Struct, field

from adaps.errors import UserError
from adaps.files.plain_files import parsed, read_text
from adaps.files.run_folder import CONFIG, IDENTITY, METRICS, RESULT, SHARING
from adaps.files.schema import (
    ConfigFile,
    MetricsLine,
    Result,
    RunIdentity,
    RunSharing,
    decoded,
    read,
)
from adaps.files.schema.fields import NumSeeds, Whole, known
from adaps.types import SCHEMA

T = TypeVar("T")

NOTHING_FOUND = RunIdentity(
    schema=SCHEMA,
    seeds=[],
    clusters=[],
    num_clusters=[],
    adjusted_rand_index=[],
    agent_types=None,
    silhouette=[],
    latent=[],
)
NOTHING_SHARED = RunSharing(schema=SCHEMA, seeds=[], group=[], summary=[], masks=[])
"""What stands for files that are not there yet."""


class Selected(Struct):
    """Something that is selected by its name, and options of it."""

    name: str
    clusters: Any = None
    """As many as a sharing method was told to find; None where it was not told."""


class Settings(Struct):
    """What the pages say about a configuration, besides listing it."""

    env: str
    sharing: Selected
    algo: Selected
    steps: Whole
    seed: Whole
    """The first."""
    num_seeds: NumSeeds = field(name="seeds")
    task_seed: Any = None
    max_steps: Any = None
    agent_types: list[int] | None = None

    @property
    def seeds(self) -> range:
        """Every seed that the run is to train."""
        return range(self.seed, self.seed + self.num_seeds)


class Kinds(NamedTuple):
    """What one seed found out about who is alike."""

    clusters: list[int]
    """Cluster of each agent."""
    latent: np.ndarray | None
    """One row per agent; None where the groups were given."""
    rand_index: float | None
    silhouette: float | None
    """Of the number of clusters that was chosen; None where no choice was made."""

    @property
    def num_kinds(self) -> int:
        """How many kinds."""
        return len(set(self.clusters))


class LayerShares(NamedTuple):
    """One hidden layer's masks in numbers; shares from 0 to 1."""

    name: str
    keep: float
    overlap: float | None
    dead: float


class Shared(NamedTuple):
    """How one seed shared out its network."""

    group: list[int]
    """Parameter set of each agent."""
    masks: dict[str, np.ndarray]
    """By layer's name, ``bool[agent, neuron]``: who keeps which."""
    layers: list[LayerShares]
    warnings: tuple[str, ...] = ()
    """What is wrong with the masks."""

    @property
    def everything(self) -> bool:
        """Whether every agent keeps every neuron."""
        return all(mask.all() for mask in self.masks.values())


@dataclass(frozen=True)
class Run:
    """All that is known of a run; parts are missing while it is not finished."""

    folder: Path
    config: ConfigFile
    settings: Settings
    identity: RunIdentity
    sharing: RunSharing
    points: list[MetricsLine]
    result: Result | None

    @property
    def seeds(self) -> list[int]:
        """Seeds of which anything is known, in rising order."""
        known = {point.seed for point in self.points} | set(self.shared) | set(self.kinds)
        return sorted(known | (set(self.result.returns) if self.result else set()))

    @cached_property
    def kinds(self) -> dict[int, Kinds]:
        """What each seed found, without seeds that have not identified agents."""
        file = self.identity
        columns = file.seeds, file.clusters, file.latent, file.adjusted_rand_index, file.silhouette
        return {
            seed: Kinds(clusters, latent, known(index), known(scores.get(len(set(clusters)))))
            for seed, clusters, latent, index, scores in zip(*columns, strict=True)
            if clusters is not None and scores is not None
        }

    @cached_property
    def shared(self) -> dict[int, Shared]:
        """How each seed shared out its network; without seeds that are not so far."""
        file = self.sharing
        warnings = file.warnings or [None] * len(file.seeds)
        columns = file.seeds, file.group, file.masks, file.summary, warnings
        return {
            seed: _shared(group, masks, summary, told or [])
            for seed, group, masks, summary, told in zip(*columns, strict=True)
            if group is not None and masks is not None and summary is not None
        }

    @cached_property
    def warnings(self) -> dict[int, list[str]]:
        """What each seed's numbers should not be read without; those of masks in old runs."""
        file = self.result
        if file is not None and file.warnings is not None:
            return {seed: file.warnings_of(seed) for seed in file.seeds}
        return {seed: list(shared.warnings) for seed, shared in self.shared.items()}

    @property
    def num_agents(self) -> int | None:
        """None while no seed is so far that it is known."""
        return next(iter(_team_sizes(self.identity.clusters, self.sharing.group)), None)

    @property
    def latest(self) -> dict[int, MetricsLine]:
        """Each seed's last evaluation."""
        by_steps = sorted(self.points, key=lambda point: point.env_steps)
        return {point.seed: point for point in by_steps}

    @property
    def finished(self) -> bool:
        """Whether every planned seed came to its end."""
        if self.result is None:
            return False
        done = set(self.result.returns) & set(self.shared)
        return all(seed in done for seed in self.settings.seeds)


def read_run(folder: Path) -> Run:
    """Everything that a run's folder holds so far.

    Raises:
        UserError: there is no configuration, or a file is damaged; the message names the file.
    """
    config = read(folder / CONFIG, ConfigFile)
    settings = decoded(folder / CONFIG, config.config, Settings, "config: ")
    identity = _read_if_there(folder / IDENTITY, RunIdentity, NOTHING_FOUND)
    sharing = _read_if_there(folder / SHARING, RunSharing, NOTHING_SHARED)
    if len(_team_sizes(identity.clusters, sharing.group)) > 1:
        raise UserError(f"{folder / SHARING} is damaged: the number of agents is not one")
    points = _points(folder / METRICS)
    result = _read_if_there(folder / RESULT, Result, None)
    return Run(folder, config, settings, identity, sharing, points, result)


def _read_if_there(path: Path, kind: type[T], otherwise: T) -> T:
    return read(path, kind) if path.exists() else otherwise


def _team_sizes(*columns: list[list[int] | None]) -> set[int]:
    """Numbers of agents that lists with one entry for each have."""
    return {len(agents) for column in columns for agents in column if agents is not None}


def _shared(group: list[int], masks: Any, summary: Any, warnings: list[str]) -> Shared:
    named, layers = {}, []
    for network in ("actor", "critic"):
        both = zip(getattr(masks, network), getattr(summary, network), strict=True)
        for number, (rows, shares) in enumerate(both, start=1):
            name = f"{network}, hidden layer {number}"
            named[name] = np.array([list(row) for row in rows]) == "1"
            layers.append(LayerShares(name, shares.keep, known(shares.overlap), shares.dead))
    return Shared(group, named, layers, tuple(warnings))


def _points(path: Path) -> list[MetricsLine]:
    """``metrics.jsonl``; a last line that was cut off while it was written does not count."""
    if not path.exists():
        return []
    try:
        *whole, _ = read_text(path).split("\n")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    points = [_point(path, i, line) for i, line in enumerate(whole, start=1) if line.strip()]
    if len({len(point.returns_per_type or ()) for point in points}) > 1:
        raise UserError(f"{path} is damaged: returns_per_type differ in length")
    return points


def _point(path: Path, number: int, line: str) -> MetricsLine:
    try:
        data = parsed(line)
    except ValueError as error:
        raise UserError(f"{path} is damaged: line {number}: {error}") from None
    point = decoded(path, data, MetricsLine, f"line {number}: ")
    point.seconds, point.snd = known(point.seconds), known(point.snd)
    return point
