"""What agents see and may do, as rows of numbers and numbered actions. Stage: environment.

Needs the extra ``pettingzoo``; Gymnasium's own utilities do the flattening.
"""

import json
import math
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim, flatten

from adaps.errors import UserError, shown

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
    unpacked: bool
    """Whether, without the mask, ``observation`` was left alone and is the space itself."""

    @property
    def described(self) -> dict[str, Any]:
        """Sizes, and the layout in words: what makes an :class:`adaps.types.AgentSpace`."""
        layout = {"masked": self.masked, "unpacked": self.unpacked, "space": _to_json(self.space)}
        return {
            "obs_size": self.size,
            "num_actions": self.num_actions,
            "label": f"{' and '.join(_parts(self.space))}, {self.num_actions} actions",
            "first_action": self.first_action,
            "layout": json.dumps(layout),
        }

    def flatten(self, seen: Any) -> tuple[np.ndarray, Any]:
        """What was seen as numbers, and the action mask that came with it, if one did.

        Raises:
            ValueError: what was seen does not belong to the space; bounds are not asked for.
        """
        if not self.masked:
            return _flat(self.space, seen), None
        if not isinstance(seen, Mapping):
            raise ValueError(f"it is a {type(seen).__name__}, and no dict with {MASK}")
        if MASK not in seen:
            raise ValueError(f"it lacks {MASK}")
        if self.unpacked:
            if len(seen) != 2 or OBSERVATION not in seen:
                _check_keys((OBSERVATION, MASK), seen)
            return _flat(self.space, seen[OBSERVATION]), seen[MASK]
        rest = {key: value for key, value in seen.items() if key != MASK}
        return _flat(self.space, rest), seen[MASK]


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
    own, masked, unpacked = _without_mask(obs)
    try:
        size = flatdim(own)
        _to_json(own)
    except (NotImplementedError, ValueError, OverflowError):
        raise UserError(
            f"{env}: the observations of {agent}, {_short(own)}, cannot be flattened; wrap it so "
            f"that they are of {TAKEN}"
        ) from None
    if not 0 < size <= MOST_NUMBERS:
        raise UserError(
            f"{env}: the observations of {agent} come to {size:,} numbers; from 1 to "
            f"{MOST_NUMBERS:,} can be used"
        )
    return View(own, size, num_actions, first_action, masked, unpacked)


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
    return shown(space, str, 200)


def _parts(space: spaces.Space) -> list[str]:
    """What an observation's numbers are, one after the other.

    Only what they must be to be read by another agent: bounds, types of numbers and names of keys
    are what an environment states, and no evidence that agents are unlike.
    """
    match space:
        case spaces.Box() | spaces.MultiBinary():
            size = " × ".join(map(str, space.shape)) or "1"
            return [f"{size} number{'' if size == '1' else 's'}"]
        case spaces.Discrete():
            return [f"one of {space.n}"]
        case spaces.MultiDiscrete():
            return [f"one of {n}" for n in space.nvec.ravel()]
        case spaces.Dict():
            return [part for own in space.spaces.values() for part in _parts(own)]
        case spaces.Tuple():
            return [part for own in space.spaces for part in _parts(own)]
    raise NotImplementedError


def flatten_as(layout: str, seen: Any) -> tuple[np.ndarray, Any]:
    """An observation as numbers, and the action mask that came with it.

    Args:
        layout: as in :attr:`View.described`.
        seen: as the environment gives it.

    Raises:
        ValueError: it does not belong to the space.
    """
    return _view_of_layout(layout).flatten(seen)


@lru_cache(256)
def _view_of_layout(layout: str) -> View:
    """What can flatten as the view did that described itself so."""
    data = json.loads(layout)
    return View(_from_json(data["space"]), 0, 0, 0, data["masked"], data["unpacked"])


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
    """What :func:`_to_json` wrote."""
    match data:
        case {"box": shape, "dtype": dtype}:
            low, high = (-np.inf, np.inf) if np.dtype(dtype).kind == "f" else (0, 1)
            if math.prod(shape) > MOST_NUMBERS:
                raise ValueError(f"no observation has the shape {shape}")
            return spaces.Box(low, high, tuple(shape), np.dtype(dtype).type)
        case {"discrete": n, "start": start}:
            return spaces.Discrete(n, start=start)
        case {"multi_binary": n}:
            return spaces.MultiBinary(n)
        case {"multi_discrete": nvec, "start": start}:
            return spaces.MultiDiscrete(nvec, start=start)
        case {"dict": parts}:
            # In pairs, since a dict's keys would be sorted, and here their order counts.
            return spaces.Dict([(key, _from_json(part)) for key, part in parts])
        case {"tuple": parts}:
            return spaces.Tuple([_from_json(part) for part in parts])
    raise ValueError(f"{data!r} is no space")


def _without_mask(obs: spaces.Space) -> tuple[spaces.Space, bool, bool]:
    """The space of what is flattened, and :attr:`View.masked` and :attr:`View.unpacked` of it."""
    if not isinstance(obs, spaces.Dict) or MASK not in obs.spaces:
        return obs, False, False
    rest = {key: space for key, space in obs.spaces.items() if key != MASK}
    if set(rest) == {OBSERVATION}:
        return rest[OBSERVATION], True, True
    return spaces.Dict(rest), True, False


def _flat(space: spaces.Space, seen: Any) -> np.ndarray:
    """Like Gymnasium's ``flatten``, but strict in all but bounds."""
    if isinstance(space, spaces.Box):
        return _flat_box(space, seen)
    if isinstance(space, spaces.Dict):
        if not isinstance(seen, Mapping):
            raise ValueError(f"it is a {type(seen).__name__}, and no dict")
        _check_keys(space.spaces, seen)
        return _joined([_flat(part, seen[key]) for key, part in space.spaces.items()])
    if isinstance(space, spaces.Tuple):
        if len(seen) != len(space.spaces):
            raise ValueError(f"it has {len(seen)} parts, not {len(space.spaces)}")
        return _joined([_flat(*pair) for pair in zip(space.spaces, seen, strict=True)])
    if not space.contains(seen):
        raise ValueError(f"{shown(seen)} is not in {shown(space)}")
    return np.asarray(flatten(space, seen), np.float32)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts).astype(np.float32)


def _flat_box(space: spaces.Box, seen: Any) -> np.ndarray:
    array = np.asarray(seen)
    if array.shape != space.shape:
        raise ValueError(f"its shape is {array.shape}, not {space.shape}")
    if array.dtype != space.dtype and not _fits(array, space.dtype):
        raise ValueError(f"its numbers are {array.dtype}, not {space.dtype}")
    return array.ravel()


def _fits(array: np.ndarray, dtype: Any) -> bool:
    """Whether numbers of another type are of the same kind, and integers none too great."""
    if array.dtype.kind in "iu" and dtype.kind in "iu":
        return bool((array == array.astype(dtype)).all())
    return np.can_cast(array.dtype, dtype, "same_kind")


def _check_keys(expected: Collection[Any], seen: Mapping[Any, Any]) -> None:
    """Say which key is missing, or which is one too many."""
    if lacking := [key for key in expected if key not in seen]:
        raise ValueError(f"it lacks {lacking[0]}")
    if more := [key for key in seen if key not in expected]:
        raise ValueError(f"it has {more[0]!r} besides {', '.join(map(str, expected))}")
