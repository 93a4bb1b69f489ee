"""What the adapters have in common. Stage: environment."""

from collections.abc import Callable, Iterable
from typing import Any

from jaxtyping import Array, Bool, Float

from adaps.errors import unknown
from adaps.extensions import theirs
from adaps.types import AgentEnds, AgentSpace, Observation, Timestep


class SizedBySpaces:
    """A team whose agents' spaces may differ: its sizes are those of the largest."""

    spaces: tuple[AgentSpace, ...]

    @property
    def num_agents(self) -> int:
        return len(self.spaces)

    @property
    def obs_size(self) -> int:
        return max(space.obs_size for space in self.spaces)

    @property
    def num_actions(self) -> int:
        return max(space.num_actions for space in self.spaces)


def made_by_name(
    project: str, name: str, known: Iterable[str], make: Callable[..., Any], options: dict[str, Any]
) -> Any:
    """Another project's environment.

    Raises:
        UserError: there is none of that name, or it cannot be made.
    """
    prefix = project.lower()
    if name not in known:
        raise unknown(f"{project} environment", name, known, see=f"as {prefix}.make takes it")
    with theirs(f"environment '{prefix}:{name}' cannot be made"):
        return make(name, **options)


def timestep(
    observation: Observation,
    reward: Float[Array, " agent"],
    ended: Bool[Array, ""],
    at_limit: Bool[Array, ""],
    agent_ends: AgentEnds | None = None,
) -> Timestep:
    """What agents of an environment in JAX are given, before any reset.

    ``ended`` says whether the episode is over, and ``at_limit`` whether that is by its time limit.
    """
    truncated = ended & at_limit
    return Timestep(
        observation=observation,
        reward=reward,
        terminated=ended & ~truncated,
        truncated=truncated,
        final=observation,
        agent_ends=agent_ends,
    )
