"""Agents by name: what they see as one array, what they do as a dictionary. Stage: evaluation."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from adaps.envs.action_masks import legal_actions
from adaps.errors import UserError, is_interrupt, listed, shown
from adaps.types import AgentSpace, AnyEnvironment


class Agents(NamedTuple):
    """Who a policy is for, in its order."""

    names: tuple[str, ...]
    spaces: tuple[AgentSpace, ...]
    """Empty where they are not known."""

    def to_data(self) -> dict[str, Any]:
        """As JSON has it, and :meth:`from_data` takes it."""
        return {"names": list(self.names), "spaces": [space._asdict() for space in self.spaces]}

    @classmethod
    def from_data(cls, data: Any) -> "Agents":
        """What :meth:`to_data` made.

        Raises:
            KeyError, TypeError, ValueError: something else.
        """
        names, spaces = data["names"], tuple(AgentSpace(**space) for space in data["spaces"])
        if len(names) != len(spaces) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"agents' names are {names!r:.80}")
        return cls(tuple(names), spaces)

    def to_json(self) -> str:
        """As :meth:`from_json` takes it."""
        return json.dumps(self.to_data())

    @classmethod
    def from_json(cls, text: str) -> "Agents":
        """What :meth:`to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: something else.
        """
        return cls.from_data(json.loads(text))


def numbered(num_agents: int) -> tuple[str, ...]:
    """What agents are called that have no names."""
    return tuple(f"agent_{i}" for i in range(num_agents))


def agents_of(env: AnyEnvironment) -> Agents:
    """An environment's agents; by number where they have no names."""
    names = getattr(env, "agent_names", numbered(env.num_agents))
    alike = AgentSpace(env.obs_size, env.num_actions, "")
    spaces = getattr(env, "spaces", (alike,) * env.num_agents)
    return Agents(tuple(map(str, names)), tuple(spaces))


class Seen(NamedTuple):
    """What some agents see, filled up to one size, and what they may do."""

    obs: Float[np.ndarray, "agent obs"]
    legal: Bool[np.ndarray, "agent action"]


def as_arrays(agents: Agents, obs: Any, legal: Any) -> Seen:
    """What agents see by name, as the environment gives it, as arrays.

    Args:
        agents: all that the policy is for; who is missing in ``obs`` sees zeros.
        obs: by name, observations as the agent's own space has them, with an action mask or
            without.
        legal: by name, further masks, ``bool[action]``; None where there are none.

    Raises:
        UserError: an agent that is not known, an observation that is not of its space, or a mask
            that is none.
    """
    legal = {} if legal is None else legal
    _check_names(agents, "observations", obs)
    _check_names(agents, "masks of legal actions", legal)
    sizes = (max(s.obs_size for s in agents.spaces), max(s.num_actions for s in agents.spaces))
    rows = np.zeros((len(agents.names), sizes[0]), np.float32)
    allowed = np.zeros((len(agents.names), sizes[1]), bool)
    for i, (name, space) in enumerate(zip(agents.names, agents.spaces, strict=True)):
        allowed[i, : space.num_actions] = True
        if name not in obs:
            continue
        numbers, mask = _numbers(name, space, obs[name])
        rows[i, : space.obs_size] = numbers
        mask = legal.get(name, mask)
        if mask is not None:
            allowed[i, : space.num_actions] = _legal(name, mask, space.num_actions)
    return Seen(rows, allowed)


def _check_names(agents: Agents, what: str, given: Any) -> None:
    """Whether something was given by name, for agents that are known."""
    if not isinstance(given, Mapping):
        raise UserError(f"{what} must be a dict by agents' names, not a {type(given).__name__}")
    if strangers := [name for name in given if name not in agents.names]:
        raise UserError(
            f"the policy knows no agent '{strangers[0]}'; it is for {listed(agents.names)}"
        )


def _legal(name: str, mask: Any, num_actions: int) -> Bool[np.ndarray, " action"]:
    try:
        return legal_actions(mask, num_actions)
    except ValueError as error:
        raise UserError(f"the action mask of {name} is wrong: {error}") from None


def _numbers(name: str, space: AgentSpace, seen: Any) -> tuple[Float[np.ndarray, " obs"], Any]:
    """An observation as numbers, and the action mask that came with it."""
    mask = None
    try:
        if seen is None:
            raise ValueError("it is None")
        if space.layout:
            from adaps.envs.host.spaces import flatten_as  # noqa: PLC0415

            seen, mask = flatten_as(space.layout, seen)
        with np.errstate(over="ignore"):
            numbers = np.asarray(seen, np.float32).ravel()
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise UserError(
            f"the observation of {name} is not in its space: {shown(error, str)}"
        ) from None
    if len(numbers) != space.obs_size:
        raise UserError(
            f"the observation of {name} has {len(numbers)} numbers, not {space.obs_size}"
        )
    if not np.isfinite(numbers).all():
        wrong = numbers[~np.isfinite(numbers)][0]
        raise UserError(f"the observation of {name} is not finite: {wrong}")
    return numbers, mask
