"""What a run is told to do: the Python options, the command line and the saved file are one."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, cast

import jax
import tyro

from adaps.algos import ALGORITHMS
from adaps.config.groups import FOUND, as_identity, given_groups, regroup, saved_identity
from adaps.config.limits import (
    RANGES,
    check_at_least,
    check_count,
    check_hidden,
    check_ranges,
    check_step_timeout,
    check_within,
)
from adaps.errors import UserError, unknown
from adaps.extensions import dotted_name, is_dotted, load_options
from adaps.files.plain_files import read_json
from adaps.files.saved_options import fits, with_saved
from adaps.identity import gathering
from adaps.identity.clusters import CLUSTERER_NAMES, CRITERION_NAMES, Clustering
from adaps.identity.encoders import ENCODERS, VAE
from adaps.identity.gathering import GATHER_POLICIES
from adaps.identity.samples import BLOCKS
from adaps.identity.space_groups import space_groups_of
from adaps.networks import MLP, NETWORKS
from adaps.sharing import METHODS, AdaPS, Grouped, SharingMethod
from adaps.types import (
    STEP_TIMEOUT,
    AnyEnvironment,
    HostEnvironment,
    Identity,
    Network,
    NetworkShape,
    action_space_of,
)

S = TypeVar("S")
A = TypeVar("A")
E = TypeVar("E")
N = TypeVar("N")

NOT_FINITE = ("stop", "skip")


def parse_count(text: str) -> int:
    """A whole number, written ``1000000``, ``1_000_000`` or ``1e6``.

    >>> parse_count("1e6"), parse_count("1_000")
    (1000000, 1000)
    """
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"'{text}' is not a number") from None
    if not math.isfinite(number) or number != int(number):
        raise ValueError(f"'{text}' is not a whole number")
    return int(number)


Count = Annotated[
    int,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=lambda words: parse_count(words[0]),
        is_instance=lambda value: isinstance(value, int),
        str_from_instance=lambda value: [str(value)],
    ),
]


@dataclass(frozen=True)
class TrainConfig(Generic[S, A, E, N]):
    """Train a team and write what was found and learnt into a folder."""

    env: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="ENV")]
    """Environment, such as bps-1 (see: adaps list)."""
    sharing: S
    """The sharing method's options."""
    algo: A
    """The algorithm's options."""
    encoder: E = field(default_factory=lambda: cast(Any, VAE()))
    """The identity encoder's options."""
    network: N = field(default_factory=lambda: cast(Any, MLP()))
    """The network's options."""
    steps: Count = 1_000_000
    """Environment steps per seed, those of gathering included; 1e6 and 1_000_000 both work."""
    seeds: Count = 4
    """How many seeds to train."""
    seed: Count = 0
    """The first seed."""
    task_seed: Count = 0
    """Draws what the environment fixes for good, whatever the seed: the coloured warehouse's
    orders of the observation. Other environments have none."""
    num_envs: Count = 8
    """Copies of the environment that run side by side."""
    rollout_length: Count = 5
    """Steps in each copy between two updates."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of actor and critic."""
    normalise_obs: bool = False
    """Subtract each kind's running mean from observations, and divide by its deviation."""
    scale_rewards: bool = False
    """Divide rewards by the running deviation of their discounted sums, kind by kind."""
    gather_steps: Count | None = None
    """Environment steps of the initial policy that identities are learnt from; None: 25,600, or
    4,000,000 where rewards are rare, but no more than a tenth of all steps."""
    gather_policy: Annotated[str, tyro.conf.arg(metavar="|".join(GATHER_POLICIES))] = "current"
    """What acts meanwhile: the shared policy as it is, random actions, or half and half."""
    looks: Count = 1
    """How often to find out who is alike: before training, and again at even distances in it."""
    identity: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """An identity.json of adaps identify: train with the kinds it found, look for none."""
    clusterer: Annotated[str, tyro.conf.arg(metavar="|".join(CLUSTERER_NAMES))] = "prediction"
    """What groups the agents: what their codes predict, or a clusterer of the codes."""
    criterion: Annotated[str, tyro.conf.arg(metavar="|".join(CRITERION_NAMES))] = "prediction"
    """What chooses the number of groups, unless --sharing.clusters does."""
    evaluations: Count = 20
    """Points of the learning curve."""
    eval_episodes: Count | None = None
    """Episodes of the final evaluation; None: 1,000, or 100 where the environment runs in Python. A
    curve's point takes at most 100 of them, or 8."""
    workers: Count | None = None
    """Seeds trained at the same time; None: one per core, or all of them on a GPU. Where the
    environment runs in Python: each seed's processes that step it, 0 for none."""
    step_timeout: float = STEP_TIMEOUT
    """Seconds that a step of an environment that runs in Python may take, unless --workers 0."""
    checkpoint_every: Count | None = None
    """Environment steps of a seed between two checkpoints; None: once a minute, or less often
    where that would take more than a two-hundredth of the time."""
    not_finite: Annotated[str, tyro.conf.arg(metavar="|".join(NOT_FINITE))] = "stop"
    """What to do when a loss or gradient is not finite: stop with the batch that led to it saved,
    or skip that update and count it."""

    @property
    def steps_per_update(self) -> int:
        return self.num_envs * self.rollout_length


LEAST_GATHERING = 3_200
"""Environment steps that are gathered even in a short run, unless it is told how many."""

EPISODES, HOST_EPISODES = 1_000, 100
"""Episodes of the final evaluation; there are fewer where the environment runs in Python."""

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "default": {},
    # As published: every measured improvement taken back, and the authors' learning rate.
    "paper": {
        "adaps": {"standardise": False, "rescale": False},
        "a2c": {"learning_rate": 3e-4},
        "run": {"clusterer": "kmeans"},
    },
}


def run_options(preset: str) -> dict[str, Any]:
    """Fields of :class:`TrainConfig` as the preset has them.

    Raises:
        UserError: no such preset.
    """
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    return PRESETS[preset].get("run", {})


def sharing_options(name: str, preset: str = "default") -> Any:
    """Options of a sharing method by name, as the preset has them.

    Raises:
        UserError: no such name or preset.
    """
    return _options("sharing method", METHODS, ("needs_identity", "build"), name, preset)


def network_options(name: str, preset: str = "default") -> Any:
    """Options of a network by name, as the preset has them.

    Raises:
        UserError: no such name or preset.
    """
    return _options("network", NETWORKS, ("build",), name, preset)


def algo_options(name: str, preset: str = "default") -> Any:
    """Options of an algorithm by name, as the preset has them.

    Raises:
        UserError: no such name or preset.
    """
    return _options("algorithm", ALGORITHMS, ("init", "update", "discount"), name, preset)


def encoder_options(name: str, preset: str = "default") -> Any:
    """Options of an identity encoder by name, as the preset has them.

    Raises:
        UserError: no such name or preset.
    """
    return _options("encoder", ENCODERS, ("init", "encode"), name, preset)


def _options(
    kind: str, registry: dict[str, Any], needed: tuple[str, ...], name: str, preset: str
) -> Any:
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    if is_dotted(name):
        return load_options(kind, name, ("name", *needed))
    if name.lower() not in registry:
        raise unknown(kind, name, registry)
    return registry[name.lower()](**PRESETS[preset].get(name.lower(), {}))


def check(config: TrainConfig, env: AnyEnvironment) -> None:
    """Refuse what cannot be trained, before anything is written.

    Raises:
        UserError: one line that names the option, its value and what is allowed.
    """
    for name in ("steps", "seeds", "num_envs", "rollout_length", "evaluations"):
        check_count(name, getattr(config, name))
    if config.gather_steps is not None:
        check_count("gather_steps", config.gather_steps, BLOCKS)
    if config.gather_policy not in GATHER_POLICIES:
        raise unknown("gather policy", config.gather_policy, GATHER_POLICIES)
    check_clustering(config.clusterer, config.criterion)
    if config.not_finite not in NOT_FINITE:
        raise unknown("answer to --not-finite", config.not_finite, NOT_FINITE)
    if config.checkpoint_every is not None:
        check_count("checkpoint_every", config.checkpoint_every)
    check_count("eval_episodes", eval_episodes(config, env))
    check_within("seed", config.seed, 0, 2**32 - config.seeds)
    if config.workers is not None:
        check_at_least("workers", config.workers, 0 if isinstance(env, HostEnvironment) else 1)
    check_step_timeout(config.step_timeout)
    _check_parts(config, env)
    check_hidden(config.hidden)
    for prefix in RANGES:
        check_ranges(prefix, getattr(config, prefix))
    _check_threshold(config.sharing)
    _check_groups(grouping(config), env)
    _check_identity(config, env)
    _check_looks(config)
    least = config.steps_per_update + _least_gathering(config, env)
    if config.steps < least:
        raise UserError(
            f"--steps {config.steps} is fewer than one rollout: {config.num_envs} copies × "
            f"{config.rollout_length} steps and gathering need at least {least}"
        )
    if not looks_for_identity(config):
        # What the method refuses, it refuses now.
        known = known_identity(config, env, config.seed)
        config.sharing.build(jax.random.key(0), network_of(env, config), known)


def check_clustering(clusterer: str, criterion: str) -> None:
    """Refuse names that nothing has.

    Raises:
        UserError: with the nearest right one.
    """
    for kind, name, known in (
        ("clusterer", clusterer, CLUSTERER_NAMES),
        ("criterion", criterion, CRITERION_NAMES),
    ):
        if name not in known:
            raise unknown(kind, name, known)


def network_of(env: AnyEnvironment, config: TrainConfig) -> Network:
    """The network that ``config`` asks for in ``env``."""
    shape = NetworkShape(env.num_agents, env.obs_size, action_space_of(env), tuple(config.hidden))
    return config.network.build(shape)


def grouping(config: TrainConfig) -> Grouped:
    """Where the method's groups come from; as discovered, where it has no such option."""
    return config.sharing if isinstance(config.sharing, Grouped) else Grouped()


def _check_threshold(sharing: Any) -> None:
    if isinstance(sharing, AdaPS) and sharing.keep is not None and sharing.overlap is not None:
        raise UserError(
            f"--sharing.keep {sharing.keep} and --sharing.overlap {sharing.overlap} each choose "
            "the threshold: give one of them"
        )


def looks_for_identity(config: TrainConfig) -> bool:
    """Whether a run gathers and learns who is who."""
    return config.sharing.needs_identity and config.identity is None


def known_identity(config: TrainConfig, env: AnyEnvironment, seed: int) -> Identity | None:
    """What a seed need not find out: groups that are given, or found before; None otherwise.

    Raises:
        UserError: a file that cannot be used.
    """
    if config.identity is not None:
        found = saved_identity(Path(config.identity), env.num_agents)
        return regroup(grouping(config).groups, found, seed)
    groups = given_groups(grouping(config).groups, env)
    if groups is None:
        return None
    return as_identity(groups, config.encoder.latent_size, seed)


def _check_parts(config: TrainConfig, env: AnyEnvironment) -> None:
    """A number of groups says nothing where parts of the team are grouped apart."""
    clusters, num_parts = grouping(config).clusters, len(space_groups_of(env))
    if clusters is not None and num_parts > 1 and looks_for_identity(config):
        raise UserError(
            f"--sharing.clusters {clusters} cannot be had in {env.name}: its agents' spaces differ "
            f"in {num_parts} ways, and each is grouped by itself; leave it out, or give the groups "
            "with --sharing.groups"
        )


def _check_looks(config: TrainConfig) -> None:
    if config.looks == 1:
        return
    check_within("looks", config.looks, 1, config.evaluations)
    finds_kinds = looks_for_identity(config) and grouping(config).groups == "discovered"
    if not (finds_kinds and isinstance(config.sharing, AdaPS)):
        raise UserError(
            f"--looks {config.looks} goes with --sharing adaps whose kinds are discovered: only "
            "then can agents change their part of the network while it trains"
        )


def _check_identity(config: TrainConfig, env: AnyEnvironment) -> None:
    if config.identity is None:
        return
    if not isinstance(config.sharing, Grouped):
        raise UserError(f"--identity is of no use to {config.sharing.name}, which has no groups")
    if config.sharing.clusters is not None or config.sharing.groups not in FOUND:
        raise UserError(
            "--identity says who belongs together; leave out --sharing.clusters and "
            "--sharing.groups"
        )
    known_identity(config, env, config.seed)


def _check_groups(how: Grouped, env: AnyEnvironment) -> None:
    if how.clusters is None:
        given_groups(how.groups, env)
    elif how.groups not in FOUND:
        raise UserError(
            f"--sharing.clusters {how.clusters} cannot be had with --sharing.groups "
            f"{how.groups}, which says how many there are"
        )
    elif not 1 <= how.clusters <= env.num_agents:
        raise UserError(
            f"--sharing.clusters must be from 1 to the number of agents, {env.num_agents} "
            f"in {env.name}, not {how.clusters}"
        )


def _least_gathering(config: TrainConfig, env: AnyEnvironment) -> int:
    if not looks_for_identity(config):
        return 0
    return config.looks * gathering.plan(env, config.gather_steps or LEAST_GATHERING).num_steps


def resolved(config: TrainConfig, env: AnyEnvironment) -> TrainConfig:
    """The configuration with what is left to choose chosen: how long to gather, in whole rounds."""
    config = dataclasses.replace(config, eval_episodes=eval_episodes(config, env))
    if not looks_for_identity(config):
        return config
    wanted = config.gather_steps
    if wanted is None:
        most = max(LEAST_GATHERING, round(gathering.TRAIN_SHARE * config.steps / config.looks))
        wanted = min(gathering.steps_needed(env), most)
    return dataclasses.replace(config, gather_steps=gathering.plan(env, wanted).num_steps)


def eval_episodes(config: TrainConfig, env: AnyEnvironment) -> int:
    """Episodes of the final evaluation."""
    if config.eval_episodes is not None:
        return config.eval_episodes
    return HOST_EPISODES if isinstance(env, HostEnvironment) else EPISODES


def gathering_steps(config: TrainConfig) -> int:
    """Environment steps of one look in a resolved configuration: none if not needed."""
    return config.gather_steps or 0 if looks_for_identity(config) else 0


def clustering(config: TrainConfig) -> Clustering:
    """How codes become clusters."""
    return Clustering(config.clusterer, config.criterion, grouping(config).clusters)


def num_updates(config: TrainConfig) -> int:
    """Updates that fit into the steps left after gathering."""
    return (config.steps - config.looks * gathering_steps(config)) // config.steps_per_update


def steps_taken(config: TrainConfig, updates: int, looks: int) -> int:
    """Environment steps after so many updates and looks."""
    return looks * gathering_steps(config) + updates * config.steps_per_update


def to_json(config: TrainConfig) -> dict[str, Any]:
    """The configuration as plain data, with the names that select method and algorithm."""
    data = dataclasses.asdict(config)
    for part, registry in REGISTRIES.items():
        data[part] = options_to_json(getattr(config, part), registry)
    return data


REGISTRIES: dict[str, dict[str, Any]] = {
    "sharing": METHODS,
    "algo": ALGORITHMS,
    "encoder": ENCODERS,
    "network": NETWORKS,
}
"""What may be chosen by name, for each part of a configuration."""


def options_to_json(options: Any, registry: dict[str, Any]) -> dict[str, Any]:
    """Options as plain data, with the name that selects them."""
    return {**dataclasses.asdict(options), "name": _name_of(options, registry)}


def network_from_json(data: dict[str, Any], shape: NetworkShape) -> Network:
    """A network whose options :func:`options_to_json` wrote.

    Raises:
        KeyError, TypeError, ValueError: something else was written.
    """
    return _saved_part({"network": _with_tuples(data)}, "network", network_options).build(shape)


def hooks_from_json(data: dict[str, Any]) -> SharingMethod:
    """A sharing method that learns something of its own, likewise."""
    return _saved_part({"sharing": _with_tuples(data)}, "sharing", sharing_options)


def _name_of(options: Any, registry: dict[str, Any]) -> str:
    own = registry.get(options.name) is type(options)
    return options.name if own else dotted_name(type(options))


def from_json(path: Path) -> TrainConfig:
    """The configuration that a ``config.json`` holds.

    Raises:
        UserError: the file cannot be read, or says something else than a configuration.
    """
    data = _saved(path)
    try:
        parts = {
            "sharing": _saved_part(data, "sharing", sharing_options),
            "algo": _saved_part(data, "algo", algo_options),
            "encoder": _saved_part(data, "encoder", encoder_options),
            "network": _saved_part(data, "network", network_options),
        }
        start = TrainConfig("", **parts)
        return with_saved(start, {"env": data["env"], **data, **parts})
    except KeyError as error:
        raise UserError(f"{path} is not a run's configuration: it lacks {error}") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not a run's configuration: {error}") from None


def _saved_part(data: dict[str, Any], part: str, options: Callable[[str], Any]) -> Any:
    saved = dict(data[part])
    name = saved.pop("name")
    if not isinstance(name, str):
        raise TypeError(f"{part}'s name is {name!r:.40}")
    return with_saved(options(name), saved, f"{part}.")


def saved_env(path: Path) -> tuple[str, int]:
    """The environment's name and its task seed in a ``config.json``, as ``make`` takes them.

    Raises:
        UserError: the file cannot be read, or says something else than a configuration.
    """
    data = _saved(path)
    name, task_seed = data.get("env"), data.get("task_seed", 0)
    if not isinstance(name, str):
        raise UserError(f"{path} is not a run's configuration: env is {name!r}")
    if not fits(int, task_seed):
        raise UserError(f"{path} is not a run's configuration: task_seed is {task_seed!r}")
    return name, task_seed


def _saved(path: Path) -> dict[str, Any]:
    """What a ``config.json`` says, with tuples for lists."""
    try:
        data = read_json(path)["config"]
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not a run's configuration: {error}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path} is not a run's configuration: {data!r}")
    return _with_tuples(data)


def _with_tuples(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _with_tuples(value) for name, value in data.items()}
    return tuple(map(_with_tuples, data)) if isinstance(data, list) else data
