"""What a run's folder holds, read and checked. Stage: report."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adaps.errors import UserError
from adaps.files.plain_files import parsed, read_text
from adaps.files.run_folder import CONFIG, IDENTITY, METRICS, RESULT, SHARING
from adaps.report.reading import T, as_codes, as_labels, as_number, as_text, as_whole, checked, read
from adaps.types import MOST_SEEDS

NETWORKS = ("actor", "critic")
NAMED_GROUPS = ("discovered", "oracle", "shuffled")


class Settings(NamedTuple):
    """``config.json``."""

    config: dict[str, Any]
    versions: dict[str, Any]
    env: str
    sharing: str
    algo: str
    steps: int
    seeds: range
    """Every seed that the run is to train."""


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


class Identities(NamedTuple):
    """``identity.json``."""

    groups: str
    """Where the groups come from: discovered, oracle, shuffled, or given in some other way."""
    agent_types: list[int] | list[str] | None
    by_seed: dict[int, Kinds]
    """Without seeds that are not so far, or that look for no kinds."""
    agent_names: list[str] | None = None
    """None where agents have numbers alone."""
    parts: list[list[int]] | None = None
    """Agents whose spaces are alike; None where all agents' are."""


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


class Point(NamedTuple):
    """One evaluation of one seed."""

    seed: int
    env_steps: int
    greedy: float
    sampled: float
    per_type: list[float] | None
    seconds: float | None = None
    """Since the run began; None where it was not noted."""
    snd: float | None = None
    """System Neural Diversity; None where it was not measured."""


class Totals(NamedTuple):
    """``result.json``."""

    parameters: int
    fups: int
    """Parameters of one network for all."""
    nops: int
    """Parameters of one network for each agent."""
    best: float | None
    episodes: int
    steps_per_second: float
    wall_seconds: float
    returns: dict[int, float]
    regrets: dict[int, float | None]


@dataclass(frozen=True)
class Run:
    """All that is known of a run; parts are missing while it is not finished."""

    folder: Path
    settings: Settings
    identities: Identities
    shared: dict[int, Shared]
    points: list[Point]
    totals: Totals | None

    @property
    def seeds(self) -> list[int]:
        """Seeds of which anything is known, in rising order."""
        known = {point.seed for point in self.points} | set(self.shared) | set(self.kinds)
        return sorted(known | (set(self.totals.returns) if self.totals else set()))

    @property
    def kinds(self) -> dict[int, Kinds]:
        """What each seed found out."""
        return self.identities.by_seed

    @property
    def num_agents(self) -> int | None:
        """None while no seed is so far that it is known."""
        counts = [len(kinds.clusters) for kinds in self.kinds.values()]
        counts += [len(shared.group) for shared in self.shared.values()]
        return counts[0] if counts else None

    @property
    def latest(self) -> dict[int, Point]:
        """Each seed's last evaluation."""
        by_steps = sorted(self.points, key=lambda point: point.env_steps)
        return {point.seed: point for point in by_steps}

    @property
    def finished(self) -> bool:
        """Whether every planned seed came to its end."""
        if self.totals is None:
            return False
        done = set(self.totals.returns) & set(self.shared)
        return all(seed in done for seed in self.settings.seeds)


def read_run(folder: Path) -> Run:
    """Everything that a run's folder holds so far.

    Raises:
        UserError: there is no configuration, or a file is damaged; the message names the file.
    """
    settings = read(folder, CONFIG, _settings)
    identities = _read_if_there(folder, IDENTITY, _identities, Identities("discovered", None, {}))
    shared = _read_if_there(folder, SHARING, _shared, {})
    counts = {len(kinds.clusters) for kinds in identities.by_seed.values()}
    if len(counts | {len(one.group) for one in shared.values()}) > 1:
        raise UserError(f"{folder / SHARING} is damaged: the number of agents is not one")
    return Run(
        folder=folder,
        settings=settings,
        identities=identities,
        shared=shared,
        points=_points(folder),
        totals=_read_if_there(folder, RESULT, _totals, None),
    )


def _read_if_there(folder: Path, name: str, build: Callable[[Any], T], otherwise: T) -> T:
    return read(folder, name, build) if (folder / name).exists() else otherwise


def _settings(data: Any) -> Settings:
    config = data["config"]
    first, count = as_whole(config["seed"]), as_whole(config["seeds"])
    if not 1 <= count <= MOST_SEEDS:
        raise ValueError(f"{count} is no number of seeds")
    return Settings(
        config=config,
        versions=dict(data.get("versions", {})),
        env=as_text(config["env"]),
        sharing=as_text(config["sharing"]["name"]),
        algo=as_text(config["algo"]["name"]),
        steps=as_whole(config["steps"]),
        seeds=range(first, first + count),
    )


def _identities(data: Any) -> Identities:
    types = data["agent_types"]
    columns = ("seeds", "clusters", "latent", "adjusted_rand_index", "silhouette")
    by_seed = {}
    for seed, clusters, latent, index, scores in _rows(data, columns):
        if clusters is not None:
            by_seed[as_whole(seed)] = _kinds(clusters, latent, index, scores)
    for kinds in by_seed.values():
        if types is not None and len(types) != len(kinds.clusters):
            raise ValueError("as many agent_types as agents are needed")
    groups = data.get("groups", "discovered")
    named = groups if groups in NAMED_GROUPS else "given"
    counts = {len(kinds.clusters) for kinds in by_seed.values()}
    names, parts = _names(data.get("agent_names"), counts), _parts(data.get("parts"), counts)
    return Identities(named, None if types is None else as_labels(types), by_seed, names, parts)


def _names(data: Any, counts: set[int]) -> list[str] | None:
    if data is not None and counts - {len(data)}:
        raise ValueError("as many agent_names as agents are needed")
    return None if data is None else [as_text(name) for name in data]


def _parts(data: Any, counts: set[int]) -> list[list[int]] | None:
    parts = None if data is None else [[as_whole(a) for a in part["agents"]] for part in data]
    agents = sorted(agent for part in parts or () for agent in part)
    if parts is not None and (agents != list(range(len(agents))) or counts - {len(agents)}):
        raise ValueError("every agent must be in one of the parts")
    return parts


def _kinds(clusters: Any, latent: Any, index: Any, scores: Any) -> Kinds:
    clusters = [as_whole(cluster) for cluster in clusters]
    if not all(0 <= cluster < len(clusters) for cluster in clusters):
        raise ValueError("clusters must be numbered from 0")
    silhouette = scores.get(str(len(set(clusters))))
    codes = None if latent is None else as_codes(latent, len(clusters))
    return Kinds(clusters, codes, as_number(index), as_number(silhouette))


def _shared(data: Any) -> dict[int, Shared]:
    columns = ("seeds", "group", "masks", "summary", "warnings")
    rows = _rows({"warnings": [[] for _ in data["seeds"]], **data}, columns)
    shared = {
        as_whole(seed): _shared_out([as_whole(g) for g in group], masks, summary, warnings)
        for seed, group, masks, summary, warnings in rows
        if group is not None
    }
    if len({len(one.layers) for one in shared.values()}) > 1:
        raise ValueError("every seed must have the same layers")
    return shared


def _shared_out(group: list[int], masks: Any, summary: Any, warnings: Any) -> Shared:
    named, layers = {}, []
    for network in NETWORKS:
        both = zip(masks[network], summary[network], strict=True)
        for number, (rows, numbers) in enumerate(both, start=1):
            name = f"{network}, hidden layer {number}"
            named[name] = _mask(rows, len(group))
            overlap = as_number(numbers["overlap"])
            layers.append(
                LayerShares(name, float(numbers["keep"]), overlap, float(numbers["dead"]))
            )
    return Shared(group, named, layers, tuple(map(as_text, warnings)))


def _mask(rows: list[str], num_agents: int) -> np.ndarray:
    """Strings of 0 and 1 → ``bool[agent, neuron]``."""
    if len(rows) != num_agents or not all(rows) or set("".join(rows)) - {"0", "1"}:
        raise ValueError("a mask must be one string of 0 and 1 per agent")
    if len({len(row) for row in rows}) != 1:
        raise ValueError("the strings of a mask must be of one length")
    return np.array([list(row) for row in rows]) == "1"


def _totals(data: Any) -> Totals:
    rows = list(_rows(data, ("seeds", "return_per_seed", "regret_per_seed")))
    returns = {as_whole(seed): float(value) for seed, value, _ in rows if value is not None}
    if not returns:
        raise ValueError("no seed has a return")
    return Totals(
        parameters=as_whole(data["parameters"]),
        fups=as_whole(data["parameters_fups"]),
        nops=as_whole(data["parameters_nops"]),
        best=as_number(data["best_return_mean"]),
        episodes=as_whole(data["episodes"]),
        steps_per_second=float(data["env_steps_per_second"]),
        wall_seconds=float(data["wall_seconds"]),
        returns=returns,
        regrets={as_whole(seed): as_number(regret) for seed, _, regret in rows},
    )


def _points(folder: Path) -> list[Point]:
    """``metrics.jsonl``; a last line that was cut off while it was written does not count."""
    path = folder / METRICS
    if not path.exists():
        return []
    try:
        text = read_text(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    *whole, _ = text.split("\n")
    lines = [(number, line) for number, line in enumerate(whole, start=1) if line.strip()]
    points = [checked(path, lambda n=n, line=line: _point(n, line)) for n, line in lines]
    if len({len(point.per_type or ()) for point in points}) > 1:
        raise UserError(f"{path} is damaged: returns_per_type differ in length")
    return points


def _point(number: int, line: str) -> Point:
    try:
        data = parsed(line)
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None
    per_type = data["returns_per_type"]
    return Point(
        seed=as_whole(data["seed"]),
        env_steps=as_whole(data["env_steps"]),
        greedy=float(data["return_greedy"]),
        sampled=float(data["return_sampled"]),
        per_type=None if per_type is None else [float(value) for value in per_type],
        seconds=as_number(data.get("seconds")),
        snd=as_number(data.get("snd")),
    )


def _rows(data: Any, columns: tuple[str, ...]) -> Any:
    """Lists with one entry per seed, side by side."""
    lists = [data[column] for column in columns]
    if not all(isinstance(entries, list) for entries in lists):
        raise ValueError(f"{', '.join(columns)} must be lists")
    return zip(*lists, strict=True)
