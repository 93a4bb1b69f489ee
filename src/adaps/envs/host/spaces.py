"""What agents see and may do, as rows of numbers and numbered actions. Stage: environment.

Needs the extra ``pettingzoo``; Gymnasium's own utilities do the flattening.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim, flatten
from jaxtyping import Bool

from adaps.errors import UserError
from adaps.types import AgentSpace

MASK = "action_mask"
"""Key of an observation or info that says which actions may be taken."""
OBSERVATION = "observation"
MOST_NUMBERS = 100_000
"""Numbers that an observation may come to."""

Flatten = Callable[[Any], np.ndarray]


class View(NamedTuple):
    """One agent's observation space, ready to be used on every step."""

    space: spaces.Space
    """Without the action mask."""
    size: int
    num_actions: int
    first_action: int
    """The least action's number, which need not be 0."""
    masked: bool
    """Whether observations bring an action mask along."""
    flatten: Flatten

    @property
    def described(self) -> AgentSpace:
        """Sizes, and the spaces in words."""
        return AgentSpace(
            self.size,
            self.num_actions,
            f"{self.space}, {self.num_actions} actions",
            self.first_action,
            json.dumps({"masked": self.masked, "space": _to_json(self.space)}),
        )


def view_of(env: str, agent: str, obs: spaces.Space, action: spaces.Space) -> View:
    """How an agent's observations become numbers.

    Raises:
        UserError: actions that are not discrete, or observations that cannot be flattened.
    """
    if not isinstance(action, spaces.Discrete):
        raise UserError(
            f"{env}: the actions of {agent} are {action}; only Discrete actions can be trained: "
            "choose the environment's discrete setting, or wrap it so that its actions are numbered"
        )
    masked = isinstance(obs, spaces.Dict) and MASK in obs.spaces
    obs = _without_mask(obs)
    try:
        size = flatdim(obs)
        _to_json(obs)
    except (NotImplementedError, ValueError, OverflowError):
        raise UserError(f"{env}: the observations of {agent}, {obs}, cannot be flattened") from None
    if not 0 < size <= MOST_NUMBERS:
        raise UserError(
            f"{env}: the observations of {agent} come to {size:,} numbers; from 1 to "
            f"{MOST_NUMBERS:,} can be used"
        )
    return View(obs, size, int(action.n), int(action.start), masked, _flattener(obs))


def split(view: View, seen: Any) -> tuple[Any, Any]:
    """What was seen without the action mask, and the mask; None where there is none."""
    if not view.masked:
        return seen, None
    rest = {key: value for key, value in seen.items() if key != MASK}
    alone = set(rest) == {OBSERVATION} and not isinstance(view.space, spaces.Dict)
    return (rest[OBSERVATION] if alone else rest), seen[MASK]


def flatten_as(layout: str, seen: Any) -> tuple[np.ndarray, Any]:
    """An observation as numbers, and the action mask that came with it.

    Args:
        layout: as in :attr:`View.described`.
        seen: as the environment gives it.

    Raises:
        ValueError: it does not belong to the space.
    """
    data = json.loads(layout)
    space = _from_json(data["space"])
    view = View(space, 0, 0, 0, data["masked"], _flattener(space))
    own, mask = split(view, seen)
    return view.flatten(own), mask


def _to_json(space: spaces.Space) -> Any:
    """A space without its bounds, which flattening does not ask for."""
    match space:
        case spaces.Box():
            return {"box": space.shape, "dtype": str(space.dtype)}
        case spaces.Discrete():
            return {"discrete": int(space.n), "start": int(space.start)}
        case spaces.MultiBinary():
            return {"multi_binary": np.array(space.n).tolist()}
        case spaces.MultiDiscrete():
            return {"multi_discrete": space.nvec.tolist()}
        case spaces.Dict():
            return {"dict": {key: _to_json(part) for key, part in space.spaces.items()}}
        case spaces.Tuple():
            return {"tuple": [_to_json(part) for part in space.spaces]}
    raise NotImplementedError


def _from_json(data: Any) -> spaces.Space:
    match data:
        case {"box": shape, "dtype": dtype}:
            low, high = (-np.inf, np.inf) if np.dtype(dtype).kind == "f" else (0, 1)
            return spaces.Box(low, high, tuple(shape), np.dtype(dtype).type)
        case {"discrete": n, "start": start}:
            return spaces.Discrete(n, start=start)
        case {"multi_binary": n}:
            return spaces.MultiBinary(n)
        case {"multi_discrete": nvec}:
            return spaces.MultiDiscrete(nvec)
        case {"dict": parts}:
            return spaces.Dict({key: _from_json(part) for key, part in parts.items()})
        case {"tuple": parts}:
            return spaces.Tuple([_from_json(part) for part in parts])
    raise ValueError(f"{data!r} is no space")


def legal_actions(mask: Any, num_actions: int) -> Bool[np.ndarray, " action"] | None:
    """A mask as booleans; None where it has another length, or allows nothing."""
    legal = np.asarray(mask).astype(bool).ravel()
    return legal if legal.shape == (num_actions,) and legal.any() else None


def _without_mask(obs: spaces.Space) -> spaces.Space:
    if not isinstance(obs, spaces.Dict) or MASK not in obs.spaces:
        return obs
    rest = {key: space for key, space in obs.spaces.items() if key != MASK}
    return rest[OBSERVATION] if set(rest) == {OBSERVATION} else spaces.Dict(rest)


def _flattener(space: spaces.Space) -> Flatten:
    """What makes numbers of what was seen; it can be sent to another process."""
    if isinstance(space, spaces.Box):
        return partial(_flat_box, space.shape, space.dtype)
    return partial(_flat, space)


def _flat_box(shape: tuple[int, ...], dtype: Any, seen: Any) -> np.ndarray:
    """Like ``flatten``, but quick and strict.

    Raises:
        ValueError: what was seen does not belong to the space.
    """
    array = np.asarray(seen)
    if array.shape != shape:
        raise ValueError(f"its shape is {array.shape}, not {shape}")
    if array.dtype != dtype and not np.can_cast(array.dtype, dtype, "same_kind"):
        raise ValueError(f"its numbers are {array.dtype}, not {dtype}")
    return array.ravel()


def _flat(space: spaces.Space, seen: Any) -> np.ndarray:
    return np.asarray(flatten(space, _checked(space, seen)), np.float32)


def _checked(space: spaces.Space, seen: Any) -> Any:
    """What was seen, if its structure is that of the space; bounds are not asked for."""
    if isinstance(space, spaces.Dict):
        if not isinstance(seen, Mapping) or set(seen) != set(space.spaces):
            raise ValueError(f"it lacks one of {', '.join(map(str, space.spaces))}")
        return {key: _checked(part, seen[key]) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        if len(seen) != len(space.spaces):
            raise ValueError(f"it has {len(seen)} parts, not {len(space.spaces)}")
        return tuple(_checked(*pair) for pair in zip(space.spaces, seen, strict=True))
    if isinstance(space, spaces.Box):
        return _flat_box(space.shape, space.dtype, seen).reshape(space.shape)
    if not space.contains(seen):
        raise ValueError(f"{seen!r} is not in {space}")
    return seen
