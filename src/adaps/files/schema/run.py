"""Files of a run, from config.json to result.json. Stage: files.

Lists of identity.json, sharing.json and result.json have one entry per seed; null stands where a
seed has not come so far.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Generic, TypeVar

from msgspec import Meta, Struct, field

from adaps.files.schema.fields import Codes, File, Whole, check_codes, check_length, known, labels

T = TypeVar("T")

MaskRow = Annotated[str, Meta(pattern=r"^[01]+\Z")]
"""Which neurons of a layer an agent keeps: 1 for each that it does."""


class ConfigFile(File, kw_only=True):
    """``config.json``."""

    config: dict[str, Any]
    """Every setting, as :func:`adaps.config.saved.from_json` reads it."""
    versions: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    """As :func:`adaps.envs.description.described` puts it: sizes, ``max_steps``, ``agent_types``;
    ``agents``, with names and spaces where they are stated; and ``made_with`` (of PettingZoo's:
    ``maker``, ``options``, and names of those that are not saved, ``lost``), or else ``fields``."""
    arithmetic: dict[str, Any] = field(default_factory=dict)
    """What decides last bits: :func:`adaps.files.provenance.arithmetic`."""


class MetricsLine(Struct, kw_only=True):
    """A line of ``metrics.jsonl``: one evaluation of one seed.

    The file has more keys: the means of the updates, and distances between groups' behaviour.
    """

    seed: Whole
    env_steps: Whole
    return_greedy: float
    return_sampled: float
    returns_per_type: list[float] | None
    """Greedy; None where true types are not known."""
    regret: float | None = None
    seconds: float | None = None
    """Since the run began."""
    snd: float | None = None
    """System Neural Diversity."""


class SpaceGroup(Struct, kw_only=True):
    """Agents with as many actions, and observations of the same layout."""

    space: str = ""
    agents: list[Whole]


class Identification(Struct):
    """What looking for kinds again, later in the run, came to."""

    look: Whole
    num_clusters: Whole
    adjusted_rand_index: float | None
    moved: list[list[Whole]]
    """Agent, old cluster and new cluster of each agent that moved."""


class RunIdentity(File, kw_only=True):
    """``identity.json`` of a run."""

    seeds: list[Whole]
    agent_names: list[str] | None = None
    """None where agents have numbers alone."""
    parts: list[SpaceGroup] | None = None
    """None where all agents can be compared."""
    clusters: list[list[Whole] | None]
    """Of each agent; None also for methods that identify no agents."""
    num_clusters: list[Whole | None]
    adjusted_rand_index: list[float | None]
    agent_types: list[int | str] | None
    silhouette: list[dict[int, float | None] | None]
    """By number of clusters, where several were tried."""
    groups: str | list[Any] = "discovered"
    """Where the clusters come from: discovered, oracle, shuffled, or given in some other way."""
    latent: list[Codes | None]
    """None where the clusters were given."""
    looks: list[list[Identification]] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_per_seed(self, "clusters", "adjusted_rand_index", "silhouette", "latent")
        agents = sorted(agent for part in self.parts or () for agent in part.agents)
        counts = {len(clusters) for clusters in self.clusters if clusters is not None}
        if self.parts is not None:
            counts.add(len(agents))
            if len(counts) > 1 or agents != list(range(len(agents))):
                raise ValueError("every agent must be in one of the parts")
        for clusters, scores, latent in zip(
            self.clusters, self.silhouette, self.latent, strict=True
        ):
            if clusters is not None:
                self._check_seed(clusters, scores, latent)

    def _check_seed(self, clusters: list[int], scores: Any, latent: Any) -> None:
        if not all(0 <= cluster < len(clusters) for cluster in clusters):
            raise ValueError("clusters must be numbered from 0")
        if scores is None:
            raise ValueError("a seed with clusters must have silhouettes")
        if latent is not None:
            check_codes(latent, len(clusters))
        check_length("agent_types", self.agent_types, len(clusters))
        check_length("agent_names", self.agent_names, len(clusters))

    @property
    def types(self) -> list[int] | list[str] | None:
        """True type of each agent, whole numbers or texts; None where they are not known."""
        return labels(self.agent_types)


class LayerSummary(Struct):
    """One hidden layer's masks in numbers; shares from 0 to 1."""

    keep: float
    overlap: float | None
    dead: float


class OfNetworks(Struct, Generic[T]):
    """Something of each network's hidden layers."""

    actor: list[T]
    critic: list[T]


class RunSharing(File, kw_only=True):
    """``sharing.json``."""

    seeds: list[Whole]
    group: list[list[Whole] | None]
    """Parameter set of each agent."""
    threshold: list[float | None] | None = None
    summary: list[OfNetworks[LayerSummary] | None]
    warnings: list[list[str] | None] | None = None
    """What is wrong with the masks."""
    masks: list[OfNetworks[list[MaskRow]] | None]

    def __post_init__(self) -> None:
        check_per_seed(self, "group", "summary", "masks")
        check_length("warnings", self.warnings, len(self.seeds))
        depths = set()
        for group, summary, masks in zip(self.group, self.summary, self.masks, strict=True):
            if group is not None:
                if summary is None or masks is None:
                    raise ValueError("a seed with a group must have a summary and masks")
                self._check_layers(len(group), summary.actor, masks.actor)
                self._check_layers(len(group), summary.critic, masks.critic)
                depths.add(len(masks.actor) + len(masks.critic))
        if len(depths) > 1:
            raise ValueError("every seed must have the same layers")

    @staticmethod
    def _check_layers(num_agents: int, summary: list[Any], masks: list[list[str]]) -> None:
        check_length("summary", summary, len(masks))
        for rows in masks:
            if len(rows) != num_agents:
                raise ValueError("a mask must be one string of 0 and 1 per agent")
            if len({len(row) for row in rows}) != 1:
                raise ValueError("the strings of a mask must be of one length")


class Result(File, kw_only=True):
    """``result.json``; what has a default is for people and other programs."""

    env: str = ""
    sharing: str = ""
    algo: str = ""
    seeds: list[Whole]
    env_steps: Whole = 0
    parameters: Whole
    """Trainable numbers of actor and critic."""
    parameters_fups: Whole
    """Of one network for all agents."""
    parameters_nops: Whole
    """Of one network for each agent."""
    return_mean: float | None = None
    return_per_seed: list[float | None]
    """Summed over all agents."""
    return_per_agent: list[list[float | None]] | None = None
    """Of each seed's agents."""
    regret_mean: float | None = None
    regret_per_seed: list[float | None]
    best_return_mean: float | None
    episodes: Whole
    """Of each seed."""
    episodes_cut: Whole = 0
    """Of all seeds, those that were cut off before they were over."""
    env_steps_per_second: float
    compile_seconds: float = 0.0
    wall_seconds: float
    saving_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    adjusted_rand_index: list[float | None] = field(default_factory=list)
    warnings: list[list[str]] | None = None
    """Of each seed, what its numbers should not be read without; see :func:`short_form`."""

    def __post_init__(self) -> None:
        check_per_seed(self, "return_per_seed", "regret_per_seed")
        check_length("warnings", self.warnings, len(self.seeds))
        check_length("return_per_agent", self.return_per_agent, len(self.seeds))
        if all(value is None for value in self.return_per_seed):
            raise ValueError("no seed has a return")

    def warnings_of(self, seed: int) -> list[str]:
        """What this seed's numbers should not be read without."""
        return dict(zip(self.seeds, self.warnings or (), strict=False)).get(seed, [])

    @property
    def best(self) -> float | None:
        """The best possible return; None where it is not known."""
        return known(self.best_return_mean)

    @property
    def returns(self) -> dict[int, float]:
        """Greedy return at the end, by seed."""
        both = zip(self.seeds, self.return_per_seed, strict=True)
        return {seed: value for seed, value in both if value is not None}

    @property
    def regrets(self) -> dict[int, float | None]:
        """By seed; None where the best possible return is not known."""
        both = zip(self.seeds, self.regret_per_seed, strict=True)
        return {seed: known(value) for seed, value in both}


def short_form(warning: str) -> str:
    """What a warning is about: all before its first colon, the same for every run.

    >>> short_form("updates skipped: 3 of 100 were not finite")
    'updates skipped'
    """
    return warning.partition(": ")[0]


def warnings_by_seed(warnings: Mapping[int, Sequence[str]]) -> list[str]:
    """Each different warning once, with the seeds that it is of.

    >>> warnings_by_seed({0: ["a: b"], 1: ["a: b", "c: d"]})
    ['seeds 0, 1: a: b', 'seed 1: c: d']
    """
    seeds_of: dict[str, list[int]] = {}
    for seed, texts in sorted(warnings.items()):
        for text in texts:
            seeds_of.setdefault(text, []).append(seed)
    return [
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}: {text}"
        for text, seeds in seeds_of.items()
    ]


def check_per_seed(file: Any, *columns: str) -> None:
    """Raises ValueError where a column has not one entry per seed."""
    for column in columns:
        if len(getattr(file, column)) != len(file.seeds):
            raise ValueError(f"{column} must have one entry per seed: {len(file.seeds)}")
