"""Algorithms by name. Stage: update."""

from typing import Protocol, runtime_checkable

from jaxtyping import Array, Key

from adaps.algos.a2c import A2C
from adaps.networks.agent import Agent
from adaps.types import Learner, Metrics, Params, Rollout, Sharing

ALGORITHMS = {"a2c": A2C}

__all__ = ["A2C", "ALGORITHMS", "Algorithm"]


@runtime_checkable
class Algorithm(Protocol):
    """How an agent learns from rollouts: a frozen dataclass whose fields are its options.

    It knows nothing of environments, and of networks and sharing nothing but the agent.
    """

    @property
    def name(self) -> str: ...
    @property
    def discount(self) -> float:
        """Weight of a reward one step later."""
        ...

    def init(self, key: Key[Array, ""], agent: Agent, params: Params) -> Learner:
        """What it carries from update to update: a pytree with a ``params`` field."""
        ...

    def update(
        self,
        key: Key[Array, ""],
        agent: Agent,
        learner: Learner,
        sharing: Sharing,
        rollout: Rollout,
    ) -> tuple[Learner, Metrics]:
        """Learn from a rollout; metrics are scalars by name."""
        ...
