"""Data that crosses the stages: what an environment gives, a rollout records and a method decides.

Axis letters, everywhere in this order: ``time``, ``env`` (parallel copies), ``agent``, then
features. Seeds are never an axis here: they live outside, one per core or under an outer ``vmap``.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

STEP_TIMEOUT = 300.0
"""Seconds that a step of an environment that runs in Python may take, unless it is told."""

MOST_SEEDS = 10_000
"""Of one run or study."""

SCHEMA = 1
"""Version of the layout of the files that a run writes."""

Memory = Any
"""What agents remember from step to step: a pytree ``[env, agent, …]``; ``()`` without memory."""

Action = Int[Array, "*batch agent"] | Float[Array, "*batch agent dim"]
"""Numbers of discrete actions, or rows of real numbers."""

EnvState = Any
"""Whatever an environment carries from step to step: a pytree of arrays."""


class Discrete(NamedTuple):
    """One of so many actions: whole numbers from 0."""

    num_actions: int


class Box(NamedTuple):
    """An action of ``size`` real numbers, each between ``low`` and ``high``."""

    size: int
    low: float
    high: float


Space = Discrete | Box
"""What an agent may do; hashable, and the same for all agents of a team."""


class Observation(NamedTuple):
    """What is acted on. An automatic reset replaces it as a whole."""

    obs: Float[Array, "*batch agent obs"]
    """What each agent sees."""
    legal: Bool[Array, "*batch agent action"] | None = None
    """Which actions may be taken, where they are discrete; None: all."""
    state: Float[Array, "*batch state"] | None = None
    """The environment's own state, for critics that see the whole; None where it gives none."""
    here: Bool[Array, "*batch agent"] | None = None
    """Which agents act on it; None: all, from an episode's beginning to its end.

    An agent that does not has yet to join, pauses, or is out: :class:`AgentEnds` alone says that
    its part is over. It may see and do anything, and may still be paid."""


class AgentEnds(NamedTuple):
    """Whose part ended with a step, where agents may leave before their episode ends.

    An agent that is not ``here`` any more without an end pauses: what it is paid meanwhile belongs
    to its last action. What it is paid after its end counts in its return, and in no action's
    credit. With an episode ends the part of everyone who takes part in it.
    """

    terminated: Bool[Array, "*batch agent"]
    """By the rules: nothing more could have been earned."""
    truncated: Bool[Array, "*batch agent"]
    """Cut off: returns bootstrap through."""


class Timestep(NamedTuple):
    """What all agents of one environment copy are given after a reset or a step."""

    observation: Observation
    """To act on. After the end of an episode: the first of the next one."""
    reward: Float[Array, "*batch agent"]
    terminated: Bool[Array, "*batch"]
    """The episode ended by its own rules: nothing more could have been earned."""
    truncated: Bool[Array, "*batch"]
    """The episode was cut off by its time limit: returns bootstrap through."""
    final: Observation
    """Before the automatic reset; the same as ``observation`` within an episode."""
    agent_ends: AgentEnds | None = None
    """None where agents leave only when their episode ends."""

    @property
    def obs(self) -> Any:
        """What each agent sees now, ``[*batch, agent, obs]``; NumPy where copies run in Python."""
        return self.observation.obs

    @property
    def ended(self) -> Any:
        """Whether the episode ended with this step, in either way: ``bool[*batch]``."""
        return self.terminated | self.truncated

    @property
    def ends(self) -> "AgentEnds | Timestep":
        """What says whose part ended: each agent's own ends, or those of episodes."""
        return self if self.agent_ends is None else _with_episodes(self.agent_ends, self)


class AgentSpace(NamedTuple):
    """What one agent sees and may do, before all agents' are filled up to one size."""

    obs_size: int
    num_actions: int
    label: str
    """What the numbers are, in words, such as ``12 numbers, 5 actions``. Agents whose labels differ
    cannot be compared: those are of different kinds by construction."""
    first_action: int = 0
    """What the environment calls its first action."""
    layout: str = ""
    """Gymnasium's space as JSON, where the observation is more than a row of numbers."""


@runtime_checkable
class Environment(Protocol):
    """A team task as pure functions, to be used under ``jit`` and ``vmap``.

    ``step`` resets by itself when an episode ends (:func:`adaps.envs.auto_reset`), and keeps
    the final observation in ``final``. Implementations are hashable and compare by value.

    An environment may also have ``action_space`` (a :class:`Space`, where actions are not
    ``num_actions`` numbers from 0), ``agent_names``, ``obs_names`` (lists of text), ``spaces`` (an
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
    def num_actions(self) -> int:
        """How many an agent chooses from; where ``action_space`` is a box, its ``size``."""
        ...

    @property
    def max_steps(self) -> int | None:
        """No episode is longer than this many steps; None where no limit is known."""
        ...

    @property
    def agent_types(self) -> tuple[int, ...] | None:
        """True type of each agent, for evaluation only; None where it is not known."""
        ...

    def reset(self, key: Key[Array, ""]) -> tuple[EnvState, Timestep]: ...
    def step(
        self, key: Key[Array, ""], state: EnvState, action: Action
    ) -> tuple[EnvState, Timestep]: ...


@runtime_checkable
class Copies(Protocol):
    """Copies of an environment that runs in Python, all stepped at once; to be closed."""

    num_copies: int

    def reset(self, seeds: Sequence[int]) -> Timestep:
        """Begin an episode in each copy, ``[copy, agent, …]``; later ones follow from its seed."""
        ...

    def step(
        self, action: Int[np.ndarray, "copy agent"] | Float[np.ndarray, "copy agent dim"]
    ) -> Timestep: ...
    def picture(self) -> Any:
        """The first copy as the environment draws it; None where it does not."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class HostEnvironment(Protocol):
    """A team task that runs in Python, such as :func:`adaps.from_pettingzoo` makes.

    Copies reset by themselves when an episode ends, as :class:`Environment` does. One may also have
    ``agent_names``, and a method ``in_order(names)``: the same, with its agents in that order.
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
    def max_steps(self) -> int | None:
        """Evaluation goes no further than this many steps in an episode; None: to its end."""
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

        Processes whose step takes longer than ``timeout`` seconds are ended, or that continues for
        some seconds after ``stop`` was set.
        """
        ...

    def drawing(self) -> "HostEnvironment":
        """The same, whose copies draw pictures if they can."""
        ...


AnyEnvironment = Environment | HostEnvironment


def action_space_of(env: AnyEnvironment) -> Space:
    """What each of an environment's agents may do: its ``action_space``, if that is ours."""
    space = getattr(env, "action_space", None)
    return space if isinstance(space, Discrete | Box) else Discrete(env.num_actions)


class Rollout(NamedTuple):
    """What so many steps in every copy come to."""

    observation: Observation
    """``[time, env, agent, …]``: what was acted on."""
    first: Bool[Array, "time env agent"]
    """Whether an agent's memory was empty: it has not acted in its part of the episode yet."""
    action: Action
    reward: Float[Array, "time env agent"]
    """Also of agents that did not act."""
    terminated: Bool[Array, "time env"]
    truncated: Bool[Array, "time env"]
    final: Observation
    """What followed, before any automatic reset; ``here`` says who was given it."""
    agent_ends: AgentEnds | None
    memory: Memory
    """Before the first step, ``[env, agent, …]``."""

    @property
    def ends(self) -> "AgentEnds | Rollout":
        """What says whose part ended: each agent's own ends, or those of episodes."""
        return self if self.agent_ends is None else _with_episodes(self.agent_ends, self)

    @property
    def acted(self) -> Any:
        """Who acted: ``bool[time, env, agent]``. A loss leaves out the others."""
        here = self.observation.here
        return np.ones(self.reward.shape, bool) if here is None else here


def _with_episodes(own: AgentEnds, episode: Timestep | Rollout) -> AgentEnds:
    """Agents' own ends; without one, an agent's part ends with its episode, and as that does."""
    return AgentEnds(
        own.terminated | (episode.terminated[..., None] & ~own.truncated),
        own.truncated | (episode.truncated[..., None] & ~own.terminated),
    )


class Scaling(NamedTuple):
    """How observations are scaled before the network reads them: ``(obs − mean) · scale``."""

    kind: Int[Array, " agent"]
    """Which row an agent uses."""
    mean: Float[Array, "kind obs"]
    scale: Float[Array, "kind obs"]


class Sharing(NamedTuple):
    """Who uses which parameters: all that tells one sharing method from another."""

    param_set: Int[Array, " agent"]
    """Which parameter set an agent uses, in [0, number of sets)."""
    masks: dict[str, Float[Array, "agent _unit"]]
    """By name of a network's units, such as ``actor/0``: 0 for a unit that an agent does not
    have, or the scale of one that it has."""
    tags: Float[Array, "agent tag"]
    """Appended to the agent's observation; may be empty."""
    own: dict[str, Array] = {}  # noqa: RUF012
    """Arrays by name that a method which learns something of its own needs besides."""
    scaling: Scaling | None = None
    """How observations are scaled; None: they are not."""


class Identity(NamedTuple):
    """Who is alike: a latent code per agent, and the clusters found among the codes."""

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


class NetworkShape(NamedTuple):
    """Sizes of the shared actor and critic."""

    num_agents: int
    obs_size: int
    action_space: Space
    hidden: tuple[int, ...]


class Params(NamedTuple):
    """All that is trained."""

    sets: Any
    """The network's parameters, stacked: every leaf has a leading axis ``set``."""
    own: Any = ()
    """What a sharing method learns besides."""


@runtime_checkable
class Distribution(Protocol):
    """Over the actions of all agents; a pytree of arrays ``[*batch, agent, …]``."""

    def sample(self, key: Key[Array, ""]) -> Action: ...
    def mode(self) -> Action:
        """The most likely action."""
        ...

    def log_prob(self, action: Action) -> Float[Array, "*batch agent"]: ...
    def entropy(self) -> Float[Array, "*batch agent"]: ...
    def distance(self, other: Any) -> Float[Array, "*batch agent"]:
        """From 0 where both are the same to 1 where they have nothing in common."""
        ...


class Modulation(NamedTuple):
    """What becomes of a layer's units, after their activation: ``scale·x + shift``."""

    scale: Float[Array, "*agent _unit"]
    shift: Float[Array, "*agent _unit"] | None = None


@runtime_checkable
class Weights(Protocol):
    """What each agent computes with; made by ``bind`` from parameters and ``Sharing``."""

    def apply(self, function: Callable[..., Any], *rows: Any) -> Any:
        """``function(params, units, *rows)`` for all agents.

        ``rows`` are ``[row, agent, …]``; ``function`` must not look at the axes before the last.
        """
        ...


@runtime_checkable
class Network(Protocol):
    """Actor and critic as functions of weights: hashable, and holds no arrays."""

    @property
    def options(self) -> Any:
        """The dataclass that :meth:`build` of which made it."""
        ...

    @property
    def shape(self) -> NetworkShape: ...
    @property
    def units(self) -> Mapping[str, int]:
        """Names and numbers of what can be masked: ``{"actor/0": 64, …}``."""
        ...

    def init(self, rng: np.random.Generator, num_tags: int) -> Any:
        """One set of parameters, for observations with so many tags appended."""
        ...

    def num_params(self, num_tags: int) -> int:
        """Trainable numbers of one set, without making them."""
        ...

    def memory(self, num_envs: int) -> Memory:
        """Before anything happened."""
        ...

    def actor(
        self,
        weights: Weights,
        memory: Memory,
        observation: Observation,
        first: Bool[Array, "*batch agent"],
    ) -> tuple[Memory, Distribution]:
        """A step; where ``first``, memory is to be forgotten before it."""
        ...

    def critic(
        self,
        weights: Weights,
        memory: Memory,
        observation: Observation,
        first: Bool[Array, "*batch agent"],
    ) -> tuple[Memory, Float[Array, "*batch agent"]]:
        """Expected discounted return of each agent's own rewards."""
        ...


Learner = Any
"""What an algorithm carries from update to update: a pytree with a ``params`` field."""

Metrics = dict[str, Float[Array, "*seed"]]
"""Scalars; with a leading seed axis outside the compiled stages."""
