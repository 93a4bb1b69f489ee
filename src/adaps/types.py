"""Data that crosses the stages: what an environment gives, a rollout records and a method decides.

Axis letters, everywhere in this order: ``time``, ``env`` (parallel copies), ``agent``, then
features. Seeds are never an axis here: they live outside, one per core or under an outer ``vmap``.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

STEP_TIMEOUT = 300.0
"""Seconds that a step of an environment that runs in Python may take, unless it is told."""

MOST_SEEDS = 10_000
"""Of one run or study."""

SCHEMA = 1
"""Version of the layout of the files that a run writes."""

EnvState = Any
"""Whatever an environment needs to go on: a pytree of arrays."""


class Presence(NamedTuple):
    """Which agents take part, where agents may leave or join within an episode."""

    here: Bool[Array, "*batch agent"]
    """Who is to act on ``obs``; in a :class:`Transition`, who acted."""
    terminated: Bool[Array, "*batch agent"]
    """Whose part ended with this step: nothing more could have been earned."""
    truncated: Bool[Array, "*batch agent"]
    """Whose part was cut off with this step: returns bootstrap through."""


class Timestep(NamedTuple):
    """What all agents of one environment copy are given after a reset or a step."""

    obs: Float[Array, "*batch agent obs"]
    """Observation to act on. After the end of an episode: the first of the next one."""
    legal: Bool[Array, "*batch agent action"]
    """Which actions may be taken on ``obs``."""
    reward: Float[Array, "*batch agent"]
    terminated: Bool[Array, "*batch"]
    """The episode ended by its own rules: nothing more could have been earned."""
    truncated: Bool[Array, "*batch"]
    """The episode was cut off by its time limit: returns bootstrap through."""
    last_obs: Float[Array, "*batch agent obs"]
    """Observation before the automatic reset; equal to ``obs`` within an episode."""
    presence: Presence | None = None
    """Who takes part; None where all agents do, from an episode's beginning to its end. An agent
    that does not earns 0, and may see and do anything."""


class AgentSpace(NamedTuple):
    """What one agent sees and may do, before all agents' are filled up to one size."""

    obs_size: int
    num_actions: int
    label: str
    """In words; agents whose labels differ are of different kinds by construction."""
    first_action: int = 0
    """What the environment calls its first action."""
    layout: str = ""
    """Gymnasium's space as JSON, where the observation is more than a row of numbers."""


@runtime_checkable
class Environment(Protocol):
    """A team task as pure functions, to be used under ``jit`` and ``vmap``.

    ``step`` resets by itself when an episode ends (:func:`adaps.envs.auto_reset`), and keeps
    the final observation in ``last_obs``. Implementations are hashable and compare by value.

    An environment may also have ``agent_names``, ``obs_names`` (lists of text), ``spaces`` (an
    :class:`AgentSpace` for each agent, where they are not all alike) and
    ``best_return(state)``, the bound that regrets are measured against.
    """

    @property
    def name(self) -> str: ...
    @property
    def num_agents(self) -> int: ...
    @property
    def obs_size(self) -> int: ...
    @property
    def num_actions(self) -> int: ...
    @property
    def max_steps(self) -> int:
        """No episode is longer than this many steps."""
        ...

    @property
    def agent_types(self) -> tuple[int, ...] | None:
        """True type of each agent, for evaluation only; None where it is not known."""
        ...

    def reset(self, key: Key[Array, ""]) -> tuple[EnvState, Timestep]: ...
    def step(
        self, key: Key[Array, ""], state: EnvState, action: Int[Array, " agent"]
    ) -> tuple[EnvState, Timestep]: ...


@runtime_checkable
class Copies(Protocol):
    """Copies of an environment that runs in Python, all stepped at once; to be closed."""

    num_copies: int
    seconds: float
    """Processor time spent in the environment's own code so far."""

    def reset(self, seeds: Sequence[int]) -> Timestep:
        """Begin an episode in each copy, ``[copy, agent, …]``; later ones follow from its seed."""
        ...

    def step(self, action: Int[np.ndarray, "copy agent"]) -> Timestep: ...
    def picture(self) -> Any:
        """The first copy as the environment draws it; None where it does not."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class HostEnvironment(Protocol):
    """A team task that runs in Python, such as :func:`adaps.from_pettingzoo` makes.

    Copies reset by themselves when an episode ends, as :class:`Environment` does.
    """

    @property
    def name(self) -> str: ...
    @property
    def num_agents(self) -> int: ...
    @property
    def obs_size(self) -> int: ...
    @property
    def num_actions(self) -> int: ...
    @property
    def max_steps(self) -> int:
        """Evaluation goes no further than this many steps in an episode."""
        ...

    @property
    def agent_types(self) -> tuple[int, ...] | None: ...
    @property
    def spaces(self) -> tuple[AgentSpace, ...]: ...
    def open(
        self,
        num_copies: int,
        workers: int,
        timeout: float = STEP_TIMEOUT,
        stop: threading.Event | None = None,
    ) -> Copies:
        """Copies in at most so many processes; 0 processes step them in this one.

        Processes whose step takes longer than ``timeout`` seconds are ended, or that goes on for
        some seconds after ``stop`` was set.
        """
        ...

    def drawing(self) -> "HostEnvironment":
        """The same, whose copies draw pictures if they can."""
        ...


AnyEnvironment = Environment | HostEnvironment


class Transition(NamedTuple):
    """What a rollout records, per time, environment copy and agent."""

    obs: Float[Array, "time env agent obs"]
    legal: Bool[Array, "time env agent action"]
    action: Int[Array, "time env agent"]
    reward: Float[Array, "time env agent"]
    terminated: Bool[Array, "time env"]
    truncated: Bool[Array, "time env"]
    last_obs: Float[Array, "time env agent obs"]
    """The observation that followed, before any automatic reset."""
    presence: Presence | None = None
    """Who acted, and whose part ended with it; None where all take part throughout."""


class Masks(NamedTuple):
    """Per hidden layer, the neurons each agent owns: 0, or the scale of a neuron it keeps."""

    actor: tuple[Float[Array, "agent _hidden"], ...]
    critic: tuple[Float[Array, "agent _hidden"], ...]


class LearnedMasks(NamedTuple):
    """How masks on weights are learnt together with the policy; see ``learned_masks.py``."""

    initial: Float[Array, "*seed 2"]
    """Least and greatest initial threshold, before the sigmoid."""
    diversity: Float[Array, "*seed"]
    """Weight of the term that pushes agents' masks apart, as a share of the loss."""
    renew_every: Int[Array, "*seed"]
    """Updates between two renewals of weights that no agent uses."""
    renew_share: Float[Array, "*seed"]
    """Which share of those is renewed."""


class Scaling(NamedTuple):
    """How observations are scaled before the network reads them: ``(obs − mean) · scale``."""

    kind: Int[Array, " agent"]
    """Which row an agent uses."""
    mean: Float[Array, "kind obs"]
    scale: Float[Array, "kind obs"]


class Sharing(NamedTuple):
    """Who uses which parameters: all that tells one sharing method from another."""

    group: Int[Array, " agent"]
    """Which parameter set an agent uses, in [0, number of sets)."""
    masks: Masks
    tags: Float[Array, "agent tag"]
    """Appended to the agent's observation; may be empty."""
    learned: LearnedMasks | None = None
    """Whether each agent also learns which weights it uses; None: it does not."""
    scaling: Scaling | None = None
    """How each kind's observations are scaled; None: they are not."""


class Identity(NamedTuple):
    """Who is who: a latent code per agent, and the clusters found among the codes."""

    latent: Float[np.ndarray, "agent latent"] | None
    """None where the groups were given, and nothing was learnt."""
    clusters: Int[np.ndarray, " agent"]
    """Cluster of each agent, numbered from 0 in the order of their first agents when found first;
    a cluster that is found again keeps its place."""
    centres: Float[np.ndarray, "cluster latent"]
    scores: dict[int, float]
    """Silhouette for every number of clusters that was tried; empty where it was given."""
    findings: dict[str, Any] | None = None
    """What :func:`adaps.identify` says about it, as in ``identity.json``; None in training."""
    known: Any = None
    """What places an agent that was not there: :class:`adaps.identity.place_agent.Known`."""


@runtime_checkable
class SharingMethod(Protocol):
    """Decides who shares what: a frozen dataclass whose fields are its options."""

    @property
    def name(self) -> str: ...
    @property
    def needs_identity(self) -> bool:
        """Whether agents' codes are to be learnt first."""
        ...

    def build(
        self, key: Key[Array, ""], shape: "NetworkShape", identity: Identity | None
    ) -> Sharing:
        """``identity`` is None where it is neither needed nor given."""
        ...


class NetworkShape(NamedTuple):
    """Sizes of the shared actor and critic."""

    num_agents: int
    obs_size: int
    num_actions: int
    hidden: tuple[int, ...]


Params = Any
"""Pytree of arrays with a leading set axis; see ``networks.py``."""

Learner = Any
"""What an algorithm carries from update to update: a pytree with a ``params`` field."""

Metrics = dict[str, Float[Array, "*seed"]]
"""Scalars; with a leading seed axis outside the compiled stages."""


class Algorithm(NamedTuple):
    """A learner's start and its update; the rollout loop belongs to ``train.py``.

    ``init(params) → learner`` and ``update(learner, sharing, transitions) → learner, metrics``.
    """

    init: Callable[[Params], Learner]
    update: Callable[[Learner, Sharing, Transition], tuple[Learner, Metrics]]
