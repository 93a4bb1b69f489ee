"""What a run is told to do: the Python options, the command line and the saved file are one."""

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeVar, cast

import tyro

from adaps.extensions import Amount, Length, OneOf, Range, theirs
from adaps.identity.clusters import CLUSTERER_NAMES, CRITERION_NAMES, Clustering
from adaps.identity.encoders import VAE
from adaps.identity.gathering import GATHER_POLICIES
from adaps.identity.samples import BLOCKS
from adaps.networks import MLP
from adaps.sharing.method import Grouped
from adaps.types import (
    MOST_SEEDS,
    STEP_TIMEOUT,
    AnyEnvironment,
    HostEnvironment,
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
MOST_STEPS = 10**15
GatherSteps = Annotated[Count | None, Amount(BLOCKS, MOST_STEPS)]
GatherPolicy = Annotated[
    str,
    OneOf("gather policy", tuple(GATHER_POLICIES)),
    tyro.conf.arg(metavar="|".join(GATHER_POLICIES)),
]
NotFinite = Annotated[
    str, OneOf("answer to --not-finite", NOT_FINITE), tyro.conf.arg(metavar="|".join(NOT_FINITE))
]
Clusterer = Annotated[
    str, OneOf("clusterer", CLUSTERER_NAMES), tyro.conf.arg(metavar="|".join(CLUSTERER_NAMES))
]
Criterion = Annotated[
    str, OneOf("criterion", CRITERION_NAMES), tyro.conf.arg(metavar="|".join(CRITERION_NAMES))
]
Hidden = Annotated[
    tuple[int, ...],
    Length(1, 100, "widths"),
    Range(1, 2**16, says="widths of at least 1 and at most 65,536"),
]
AgentTypes = Annotated[tuple[int, ...] | None, tyro.conf.arg(metavar="INT [INT ...]")]
MaxSteps = Annotated[Count | None, Amount(1, MOST_STEPS)]
StepTimeout = Annotated[float, Range(0, ends="()", says="more than 0 seconds")]


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
    steps: Annotated[Count, Amount(1, MOST_STEPS)] = 1_000_000
    """Environment steps per seed, those of gathering included; 1e6 and 1_000_000 both work."""
    seeds: Annotated[Count, Amount(1, MOST_SEEDS)] = 4
    """How many seeds to train."""
    seed: Count = 0
    """The first seed."""
    task_seed: Count = 0
    """Draws what the environment fixes for good, whatever the seed, such as the coloured
    warehouse's orders of the observation; 0 where it fixes nothing."""
    agent_types: AgentTypes = None
    """True type of each agent as a number, such as 0 0 1, for evaluation only; None: as the
    environment says."""
    num_envs: Annotated[Count, Amount(1, 10**7)] = 8
    """Copies of the environment that run side by side."""
    rollout_length: Annotated[Count, Amount(1, 10**6)] = 5
    """Steps in each copy between two updates."""
    hidden: Hidden = (64, 64)
    """Widths of the hidden layers of actor and critic."""
    normalise_obs: bool = False
    """Subtract each kind's running mean from observations, and divide by its deviation."""
    scale_rewards: bool = False
    """Divide rewards by the running deviation of their discounted sums, kind by kind."""
    gather_steps: GatherSteps = None
    """Environment steps of the initial policy that identities are learnt from; None: 25,600, or
    4,000,000 where rewards are rare in an environment in JAX, but no more than a tenth of all
    steps."""
    gather_policy: GatherPolicy = "current"
    """What acts meanwhile: the shared policy as it is, random actions, or half and half."""
    num_identifications: Annotated[Count, tyro.conf.arg(aliases=["--looks"])] = 1
    """How often to identify the agents: before training, and again at even distances in it."""
    identity: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """An identity.json of adaps identify: train with the kinds it found, without identification."""
    clusterer: Clusterer = "prediction"
    """What groups the agents: what their codes predict, or a clusterer of the codes."""
    criterion: Criterion = "prediction"
    """What chooses the number of groups, unless --sharing.clusters does."""
    evaluations: Annotated[Count, Amount(1, 10**6)] = 20
    """Points of the learning curve."""
    eval_episodes: Annotated[Count | None, Amount(1, 10**7)] = None
    """Episodes of the final evaluation; None: 1,000, or 100 where the environment runs in Python. A
    curve's point takes at most 100 of them, or 8."""
    max_steps: MaxSteps = None
    """Evaluation goes no further than so many steps in an episode; None: to its end."""
    workers: Count | None = None
    """Seeds trained at the same time; None: one per core, or all of them on a GPU. Where the
    environment runs in Python: each seed's processes that step it, 0 for none."""
    step_timeout: StepTimeout = STEP_TIMEOUT
    """Seconds that a step of an environment that runs in Python may take, unless --workers 0."""
    checkpoint_every: Annotated[Count | None, Amount(1, MOST_STEPS)] = None
    """Environment steps of a seed between two checkpoints; None: once a minute, or less often
    where that would take more than a two-hundredth of the time."""
    not_finite: NotFinite = "stop"
    """What to do when a loss or gradient is not finite: stop with the batch that led to it saved,
    or skip that update and count it."""

    @property
    def steps_per_update(self) -> int:
        return self.num_envs * self.rollout_length


EPISODES, HOST_EPISODES = 1_000, 100
"""Episodes of the final evaluation; there are fewer where the environment runs in Python."""


def network_of(env: AnyEnvironment, config: TrainConfig) -> Network:
    """The network that ``config`` asks for in ``env``.

    Raises:
        UserError: somebody's network cannot be built.
    """
    shape = NetworkShape(env.num_agents, env.obs_size, action_space_of(env), tuple(config.hidden))
    with theirs(f"network {config.network.name} cannot be built"):
        return config.network.build(shape)


def grouping(config: TrainConfig) -> Grouped:
    """Where the method's groups come from; as discovered, where it has no such option."""
    return config.sharing if isinstance(config.sharing, Grouped) else Grouped()


def needs_identification(config: TrainConfig) -> bool:
    """Whether a run gathers transitions and identifies its agents."""
    return config.sharing.needs_identity and config.identity is None


def eval_episodes(config: TrainConfig, env: AnyEnvironment) -> int:
    """Episodes of the final evaluation."""
    if config.eval_episodes is not None:
        return config.eval_episodes
    return HOST_EPISODES if isinstance(env, HostEnvironment) else EPISODES


def gathering_steps(config: TrainConfig) -> int:
    """Environment steps of one agent identification in a resolved configuration; 0 without any."""
    return config.gather_steps or 0 if needs_identification(config) else 0


def clustering(config: TrainConfig) -> Clustering:
    """How codes become clusters."""
    return Clustering(config.clusterer, config.criterion, grouping(config).clusters)


def num_updates(config: TrainConfig) -> int:
    """Updates that fit into the steps left after gathering."""
    return (
        config.steps - config.num_identifications * gathering_steps(config)
    ) // config.steps_per_update


def steps_taken(config: TrainConfig, updates: int, identifications: int) -> int:
    """Environment steps after so many updates and agent identifications."""
    return identifications * gathering_steps(config) + updates * config.steps_per_update
