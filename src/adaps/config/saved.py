"""A run's ``config.json``: a configuration as plain data, and back. Stage: settings."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from adaps.config.choices import CHOICES, options_of
from adaps.config.training import TrainConfig
from adaps.envs.agent_io import Agents
from adaps.errors import UserError
from adaps.extensions import dotted_name, hints_of
from adaps.files.plain_files import read_json, told_json

T = TypeVar("T")


def to_json(config: TrainConfig) -> dict[str, Any]:
    """The configuration as plain data, with the names that select method and algorithm."""
    parts = {part: part_to_json(part, getattr(config, part)) for part in CHOICES}
    return dataclasses.asdict(config) | parts


def part_to_json(part: str, options: Any) -> dict[str, Any]:
    """Options of one part, such as the sharing method, with the name that selects them."""
    own = CHOICES[part].registry.get(options.name) is type(options)
    name = options.name if own else dotted_name(type(options))
    return {**dataclasses.asdict(options), "name": name}


def from_json(path: Path) -> TrainConfig:
    """The configuration that a ``config.json`` holds.

    Raises:
        UserError: the file cannot be read, or says something else than a configuration.
    """
    with _saved(path) as data:
        parts = {part: part_from_json(part, data[part]) for part in CHOICES}
        return with_saved(TrainConfig("", **parts), {"env": data["env"], **data, **parts})


def part_from_json(part: str, data: Any) -> Any:
    """Options that :func:`part_to_json` wrote.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: the data say something else.
    """
    saved = {option: _with_tuples(value) for option, value in data.items()}
    if not isinstance(name := saved.pop("name"), str):
        raise TypeError(f"{part}'s name is {name!r:.40}")
    return with_saved(options_of(part, name), saved, f"{part}.")


@dataclass(frozen=True)
class SavedEnv:
    """What a run's environment is made from, and how far its episodes are played."""

    env: str = ""
    task_seed: int = 0
    agent_types: tuple[int, ...] | None = None
    max_steps: int | None = None


def saved_env(path: Path) -> SavedEnv:
    """What a ``config.json`` says of the environment.

    Raises:
        UserError: the file cannot be read, or says something else than a configuration.
    """
    with _saved(path) as data:
        own = {field.name: data[field.name] for field in fields(SavedEnv) if field.name in data}
        return with_saved(SavedEnv(), {"env": data["env"], **own})


def saved_environment(path: Path) -> dict[str, Any]:
    """What a ``config.json`` says its environment is; nothing where it says nothing of it.

    Raises:
        UserError: the file cannot be read, or says something else than a configuration.
    """
    data = told_json(path)
    found = data.get("environment", {}) if isinstance(data, dict) else None
    if not (isinstance(found, dict) and _is_made_with(found.get("made_with", {}))):
        raise UserError(f"{path} is damaged: what its environment was is not there")
    return found


def _is_made_with(data: Any) -> bool:
    """Whether a file says what an environment was made with, as far as that is used."""
    if not isinstance(data, dict):
        return False
    return isinstance(data.get("options", {}), dict) and isinstance(data.get("lost", []), list)


def saved_agents(environment: dict[str, Any], path: Path) -> Agents | None:
    """The agents of an environment as it was saved; None where they have numbers alone.

    Raises:
        UserError: the file, ``path``, says something else.
    """
    if (agents := environment.get("agents")) is None:
        return None
    try:
        return Agents.from_data(agents)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: its agents are none: {error}") from None


@contextmanager
def _saved(path: Path) -> Iterator[dict[str, Any]]:
    """What a ``config.json`` says, with tuples for lists; whatever is wrong with it is told."""
    try:
        yield {name: _with_tuples(value) for name, value in read_json(path)["config"].items()}
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except KeyError as error:
        raise UserError(f"{path} is not a run's configuration: it lacks {error}") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not a run's configuration: {error}") from None


def _with_tuples(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _with_tuples(value) for name, value in data.items()}
    return tuple(map(_with_tuples, data)) if isinstance(data, list) else data


def with_saved(options: T, saved: dict[str, Any], prefix: str = "") -> T:
    """A dataclass of options with what was saved of them.

    Args:
        options: at their defaults, which are right whatever their type.
        saved: as JSON has it, with tuples for lists.
        prefix: stands before an option's name.

    Raises:
        TypeError: there is no such option, or its value is not of its type.
    """
    hints, values = hints_of(type(options)), {}
    for name, value in saved.items():
        default = getattr(options, name, None)
        is_default = type(value) is type(default) and value == default
        values[name] = (
            value if is_default else _converted(hints.get(name, Any), value, prefix + name)
        )
    return dataclasses.replace(options, **values)  # pyright: ignore[reportArgumentType, reportCallIssue, reportType]


def _converted(hint: Any, value: Any, name: str) -> Any:
    """A value of a type; as it is, where msgspec knows nothing of the type."""
    try:
        return msgspec.convert(value, hint, dec_hook=_unheard_of)
    except msgspec.ValidationError:
        raise TypeError(f"{name} is {value!r:.40}") from None
    except (TypeError, NotImplementedError):
        return value


def _unheard_of(kind: type, value: Any) -> Any:
    raise NotImplementedError(kind, value)
