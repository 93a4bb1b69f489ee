"""What an environment is, as plain data, and whether another is the same. Stage: environment."""

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from adaps.envs.agent_io import Agents, agents_of
from adaps.errors import UserError
from adaps.types import AgentSpace, AnyEnvironment

E = TypeVar("E", bound=AnyEnvironment)

FACTS = ("num_agents", "obs_size", "num_actions", "max_steps", "agent_types")
STATED = ("agent_names", "spaces")
"""What an environment may state about its agents."""
SHOWN = 120
"""Characters of a value, and of a list of names, that an error shows."""
ABSENT = object()


class Difference(NamedTuple):
    """A field that is not as it was saved."""

    name: str
    """With the names of what it lies in, and dots between."""
    saved: Any
    now: Any

    @property
    def is_new(self) -> bool:
        """Whether there was no such field when it was saved."""
        return self.saved is ABSENT

    def __str__(self) -> str:
        there, here = (
            "none" if value is ABSENT else shortened(json.dumps(value, default=str))
            for value in (self.saved, self.now)
        )
        return f"{self.name}: {there} there, {here} here"


def differences(saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """Fields that differ, in the order of ``now``; what only ``saved`` has comes last.

    Tuples are lists, and 1 is 1.0, since JSON makes no difference; True is not 1.

    >>> str(differences({"algo": {"entropy": 0.01}}, {"algo": {"entropy": 0.02}})[0])
    'algo.entropy: 0.01 there, 0.02 here'
    """
    return list(_differences("", saved, now))


def _differences(name: str, saved: Any, now: Any) -> Iterator[Difference]:
    if isinstance(saved, Mapping) and isinstance(now, Mapping):
        for key in {**now, **saved}:
            both = saved.get(key, ABSENT), now.get(key, ABSENT)
            yield from _differences(f"{name}.{key}" if name else key, *both)
    elif _same_text(saved) != _same_text(now):
        yield Difference(name, saved, now)


def _same_text(value: Any) -> str:
    """The same text for what JSON takes for the same value."""
    text = json.dumps(value, default=str)
    return json.dumps(json.loads(text, parse_int=float), sort_keys=True)


def shortened(text: str) -> str:
    """The beginning of a text that is too long to be shown."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} …"


def described(env: AnyEnvironment) -> dict[str, Any]:
    """All that makes an environment what it is, as JSON has it.

    Beside sizes: its agents, where it states their names or spaces; and what it was made with, or
    else its fields, of which arrays are described by their shape and a digest.
    """
    facts = {name: plain(getattr(env, name)) for name in FACTS}
    stated = any(hasattr(env, name) for name in STATED)
    facts["agents"] = agents_of(env).to_data() if stated else None
    if (made_with := getattr(env, "made_with", None)) is None:
        return {**facts, "fields": _fields(env)}
    lost = [name for name, value in made_with["options"].items() if not is_plain(value)]
    del facts["max_steps"]  # of evaluation alone
    return {**facts, "made_with": plain(made_with) | {"lost": lost}}


def unlike(saved: Mapping[str, Any], env: AnyEnvironment) -> list[Difference]:
    """In what an environment is not as :func:`described` when something was saved.

    What an earlier version did not save is not compared, nor are true types: those are labels.
    """
    now = {name: own for name, own in described(env).items() if name in saved}
    found = differences(saved, now)
    return [one for one in found if "agent_types" not in one.name.split(".")]


def _fields(thing: Any) -> dict[str, Any]:
    """What an object holds: a dataclass's fields, or all that is public."""
    if dataclasses.is_dataclass(thing):
        names = [own.name for own in dataclasses.fields(thing) if own.compare]
    else:
        names = [name for name in getattr(thing, "__dict__", {}) if not name.startswith("_")]
    return {name: plain(getattr(thing, name)) for name in names if name not in FACTS + STATED}


def plain(value: Any) -> Any:
    """A value as JSON has it; what JSON has not is described, so that it can be compared."""
    if _is_single(value):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [plain(own) for own in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return _outlined(value)


def _outlined(value: Any) -> Any:
    """What JSON has not: functions by name, arrays by digest, others by type and what they hold."""
    if isinstance(value, functools.partial):
        return {"function": plain(value.func), "given": plain([*value.args, value.keywords])}
    if hasattr(value, "__qualname__"):
        return value.__qualname__
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return _plain_array(value)
    if isinstance(value, float):
        return str(value)
    of_type = {"type": type(value).__qualname__}
    if dataclasses.is_dataclass(value):
        return of_type | _fields(value)
    own = getattr(value, "__dict__", {}).items()
    return of_type | {name: x for name, x in own if not name.startswith("_") and _is_single(x)}


def _plain_array(array: Any) -> Any:
    """A number, or shape and digest; of random keys no more than their type."""
    try:
        array = np.asarray(array)
    except TypeError:
        return str(array.dtype)
    if array.ndim == 0 or array.dtype == object:
        return plain(array.tolist())
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": digest}


def _is_single(value: Any) -> bool:
    """Whether a value is one that JSON has, and no list."""
    is_finite = not isinstance(value, float) or math.isfinite(value)
    return is_finite and (value is None or isinstance(value, bool | int | float | str))


def is_plain(value: Any) -> bool:
    """Whether JSON gives back the same value, but for lists in place of tuples."""
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_plain(own) for key, own in value.items())
    return _is_single(value.item() if isinstance(value, np.generic) else value)


def order_of(names: Sequence[str], wanted: Sequence[str]) -> list[int] | None:
    """Where each of the ``wanted`` names stands; None where ``names`` are others.

    >>> order_of(["a", "b", "c"], ["c", "a", "b"])
    [2, 0, 1]
    """
    if sorted(names) != sorted(wanted):
        return None
    places = {name: place for place, name in enumerate(names)}
    return [places[name] for name in wanted]


def in_order_of(env: E, names: Sequence[str]) -> E:
    """The environment with its agents in the order of ``names``, where it can have them so."""
    own = agents_of(env).names
    if order_of(own, names) is None or list(own) == list(names) or not hasattr(env, "in_order"):
        return env
    return env.in_order(names)  # pyright: ignore[reportAttributeAccessIssue]


def with_agents_of(env: E, saved: Agents, whose: str) -> E:
    """The environment with its agents in the order in which something was saved for them.

    Args:
        env: agents that it gives no names are known by their numbers.
        saved: what was saved is for these agents.
        whose: what was saved, in words.

    Raises:
        UserError: it has other agents, or they see or do something else.
    """
    env = in_order_of(env, saved.names)
    check_agents(env, saved, whose)
    return env


def check_agents(env: AnyEnvironment, saved: Agents, whose: str) -> None:
    """Refuse an environment whose agents, in this order, are not those of what was saved.

    Raises:
        UserError: with what differs, in one line.
    """
    own = agents_of(env)
    is_named = hasattr(env, "agent_names")
    if len(own.names) != len(saved.names) or (is_named and own.names != saved.names):
        raise UserError(
            f"{whose} is for {_listed(saved.names)}, but {env.name} has {_listed(own.names)}"
        )
    for name, before, now in zip(own.names, saved.spaces, own.spaces, strict=False):
        if before != now if hasattr(env, "spaces") else before[:2] != now[:2]:
            raise UserError(
                f"{whose} is for {name} with {_told(before, now)}, but in {env.name} it has "
                f"{_told(now, before)}"
            )


def _listed(names: Sequence[str]) -> str:
    agents = "1 agent" if len(names) == 1 else f"{len(names)} agents"
    return f"{agents}, {shortened(', '.join(names))}"


def _told(space: AgentSpace, other: AgentSpace) -> str:
    """A space in as many words as tell it from another."""
    if space[:2] != other[:2]:
        return f"observations of {space.obs_size} numbers and {space.num_actions} actions"
    if space.first_action != other.first_action:
        return f"actions that count from {space.first_action}"
    return shortened(str(space.label if space.label != other.label else space.layout))


def refuse_another(env: AnyEnvironment, saved: Mapping[str, Any], whose: str, advice: str) -> None:
    """Refuse an environment that is not as :func:`described` when something was saved.

    Raises:
        UserError: with all that differs, in one line.
    """
    if changed := unlike(saved, env):
        raise UserError(
            f"{whose} was made in another environment than {env.name}: "
            f"{'; '.join(map(str, changed))} ({advice})"
        )
