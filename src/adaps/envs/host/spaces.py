"""What agents see and may do, as rows of numbers and numbered actions. Stage: environment.

Needs the extra ``pettingzoo``; Gymnasium's own utilities do the flattening.
"""

import json
import textwrap
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim, flatten

from adaps.errors import UserError
from adaps.types import AgentSpace

MASK = "action_mask"
"""Key of an observation or info that says which actions may be taken."""
OBSERVATION = "observation"
MOST_NUMBERS = 100_000
"""Numbers that an observation may come to, and actions that an agent may have."""
TAKEN = (
    "Box, Discrete, MultiBinary, MultiDiscrete, and Dict or Tuple of these, where a Dict's keys "
    "are text or whole numbers"
)
"""Spaces of observations that can be used."""

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
    unpacked: bool = False
    """Whether, without the mask, ``observation`` was left alone and is the space itself."""

    @property
    def described(self) -> AgentSpace:
        """Sizes, and the spaces in words."""
        return AgentSpace(
            self.size,
            self.num_actions,
            f"{self.space}, {self.num_actions} actions",
            self.first_action,
            json.dumps(
                {"masked": self.masked, "unpacked": self.unpacked, "space": _to_json(self.space)}
            ),
        )


def view_of(env: str, agent: str, obs: Any, action: Any) -> View:
    """How an agent's observations become numbers, from the spaces that its environment names.

    Raises:
        UserError: actions that are not discrete, or observations that cannot be flattened.
    """
    num_actions, first_action = _numbered(env, agent, action)
    if not isinstance(obs, spaces.Space):
        raise UserError(
            f"{env}: the observation space of {agent} is {_short(obs)}, and no space of Gymnasium's"
        )
    masked = isinstance(obs, spaces.Dict) and MASK in obs.spaces
    unpacked = isinstance(obs, spaces.Dict) and masked and set(obs.spaces) == {MASK, OBSERVATION}
    obs = _without_mask(obs)
    try:
        size = flatdim(obs)
        _to_json(obs)
    except (NotImplementedError, ValueError, OverflowError):
        raise UserError(
            f"{env}: the observations of {agent}, {_short(obs)}, cannot be flattened; wrap it so "
            f"that they are of {TAKEN}"
        ) from None
    if not 0 < size <= MOST_NUMBERS:
        raise UserError(
            f"{env}: the observations of {agent} come to {size:,} numbers; from 1 to "
            f"{MOST_NUMBERS:,} can be used"
        )
    return View(obs, size, num_actions, first_action, masked, _flattener(obs), unpacked)


def _numbered(env: str, agent: str, action: Any) -> tuple[int, int]:
    """How many actions there are, and the first one's number."""
    if not isinstance(action, spaces.Discrete):
        raise UserError(
            f"{env}: the actions of {agent} are {_short(action)}; only Discrete actions can be "
            "trained: choose the environment's discrete setting, or wrap it so that its actions "
            "are numbered"
        )
    if action.n > MOST_NUMBERS:
        raise UserError(
            f"{env}: {agent} has {int(action.n):,} actions; up to {MOST_NUMBERS:,} can be used"
        )
    return int(action.n), int(action.start)


def _short(space: Any) -> str:
    """In words, on one line."""
    return textwrap.shorten(str(space), 200, placeholder=" …")


def split(view: View, seen: Any) -> tuple[Any, Any]:
    """What was seen without the action mask, and the mask; None where there is none.

    Raises:
        ValueError: there should be a mask and is none, or something else is in the way.
    """
    if not view.masked:
        return seen, None
    if not isinstance(seen, Mapping):
        raise ValueError(f"it is a {type(seen).__name__}, and no dict with {MASK}")
    if MASK not in seen:
        raise ValueError(f"it lacks {MASK}")
    if not view.unpacked:
        return {key: value for key, value in seen.items() if key != MASK}, seen[MASK]
    if len(seen) != 2 or OBSERVATION not in seen:
        _check_keys((OBSERVATION, MASK), seen)
    return seen[OBSERVATION], seen[MASK]


def flatten_as(layout: str, seen: Any) -> tuple[np.ndarray, Any]:
    """An observation as numbers, and the action mask that came with it.

    Args:
        layout: as in :attr:`View.described`.
        seen: as the environment gives it.

    Raises:
        ValueError: it does not belong to the space.
    """
    view = _view_of_layout(layout)
    own, mask = split(view, seen)
    return view.flatten(own), mask


@lru_cache(256)
def _view_of_layout(layout: str) -> View:
    """What :attr:`View.described` wrote, also before it said what was unpacked."""
    data = json.loads(layout)
    space, masked = _from_json(data["space"]), data["masked"]
    unpacked = data.get("unpacked", masked and not isinstance(space, spaces.Dict))
    return View(space, 0, 0, 0, masked, _flattener(space), unpacked)


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
            return {"multi_discrete": space.nvec.tolist(), "start": space.start.tolist()}
        case spaces.Dict() if all(isinstance(key, str | int) for key in space.spaces):
            return {"dict": [[key, _to_json(part)] for key, part in space.spaces.items()]}
        case spaces.Tuple():
            return {"tuple": [_to_json(part) for part in space.spaces]}
    raise NotImplementedError


def _from_json(data: Any) -> spaces.Space:
    """What :func:`_to_json` wrote, now or when it did not yet write the keys' types and starts."""
    match data:
        case {"box": shape, "dtype": dtype}:
            low, high = (-np.inf, np.inf) if np.dtype(dtype).kind == "f" else (0, 1)
            return spaces.Box(low, high, tuple(shape), np.dtype(dtype).type)
        case {"discrete": n, "start": start}:
            return spaces.Discrete(n, start=start)
        case {"multi_binary": n}:
            return spaces.MultiBinary(n)
        case {"multi_discrete": nvec}:
            return spaces.MultiDiscrete(nvec, start=data.get("start"))
        case {"dict": parts}:
            # In pairs, since a dict's keys would be sorted, and here their order counts.
            pairs = parts.items() if isinstance(parts, Mapping) else parts
            return spaces.Dict([(key, _from_json(part)) for key, part in pairs])
        case {"tuple": parts}:
            return spaces.Tuple([_from_json(part) for part in parts])
    raise ValueError(f"{data!r} is no space")


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
    if array.dtype != dtype and not _fits(array, dtype):
        raise ValueError(f"its numbers are {array.dtype}, not {dtype}")
    return array.ravel()


def _fits(array: np.ndarray, dtype: Any) -> bool:
    """Whether numbers of another type are of the same kind, and integers none too great."""
    if array.dtype.kind in "iu" and dtype.kind in "iu":
        return bool((array == array.astype(dtype)).all())
    return np.can_cast(array.dtype, dtype, "same_kind")


def _flat(space: spaces.Space, seen: Any) -> np.ndarray:
    return np.asarray(flatten(space, _checked(space, seen)), np.float32)


def _checked(space: spaces.Space, seen: Any) -> Any:
    """What was seen, if its structure is that of the space; bounds are not asked for."""
    if isinstance(space, spaces.Dict):
        if not isinstance(seen, Mapping):
            raise ValueError(f"it is a {type(seen).__name__}, and no dict")
        _check_keys(space.spaces, seen)
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


def _check_keys(expected: Collection[Any], seen: Mapping[Any, Any]) -> None:
    """Say which key is missing, or which is one too many."""
    if lacking := [key for key in expected if key not in seen]:
        raise ValueError(f"it lacks {lacking[0]}")
    if more := [key for key in seen if key not in expected]:
        raise ValueError(f"it has {more[0]!r} besides {', '.join(map(str, expected))}")
