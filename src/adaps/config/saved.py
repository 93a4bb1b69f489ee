"""A run's ``config.json``: a configuration as plain data, and back. Stage: settings."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from adaps.config.choices import CHOICES, options_of
from adaps.config.training import TrainConfig
from adaps.envs.agent_io import Agents
from adaps.envs.code import code_of
from adaps.errors import CodeError, UserError
from adaps.extensions import (
    Source,
    check_code,
    close_folder,
    dotted_name,
    hints_of,
    is_dotted,
    is_imported,
)
from adaps.files.plain_files import read_json, told_json
from adaps.files.run_folder import CONFIG

T = TypeVar("T")

NONE: Mapping[str, str] = MappingProxyType({})


def to_json(config: TrainConfig) -> dict[str, Any]:
    """The configuration as plain data, with the names that select method and algorithm."""
    parts = {part: part_to_json(part, getattr(config, part)) for part in CHOICES}
    return dataclasses.asdict(config) | parts


def part_to_json(part: str, options: Any) -> dict[str, Any]:
    """Options of one part, such as the sharing method, with the name that selects them."""
    own = CHOICES[part].registry.get(options.name) is type(options)
    name = options.name if own else dotted_name(type(options))
    return {**dataclasses.asdict(options), "name": name}


def source_of(path: Path) -> Source:
    """A file with a configuration, which belongs to its folder where that is a run's."""
    return Source(path, path.parent if path.name == CONFIG else None)


def from_json(
    path: Path, others: Mapping[str, str] = NONE, study: Path | None = None
) -> TrainConfig:
    """The configuration that a ``config.json`` holds.

    Its environment is named and no more: who makes it asks :func:`check_env_code` first.

    Args:
        path: the file.
        others: names to take for parts, instead of what the file says of them.
        study: the folder of the study that the run is one of.

    Raises:
        UserError: the file cannot be read, says something else than a configuration, or names code
            that is not allowed.
    """
    source = source_of(path) if study is None else Source(path, study)
    with _saved(source) as data:
        parts = {part: _part(part, data[part], others.get(part), source) for part in CHOICES}
        return with_saved(TrainConfig("", **parts), {"env": data["env"], **data, **parts})


def _part(part: str, data: Any, other: str | None, source: Source) -> Any:
    """Options as saved, unless the name of something else is given."""
    if other is not None and other != data.get("name"):
        return options_of(part, other)
    return part_from_json(part, data, source)


def names_code(config: TrainConfig) -> bool:
    """Whether a saved configuration can be used again only at the user's word."""
    parts = (part_to_json(part, getattr(config, part)) for part in CHOICES)
    return code_of(config.env) is not None or any(is_dotted(part["name"]) for part in parts)


def part_from_json(part: str, data: Any, source: Source) -> Any:
    """Options that :func:`part_to_json` wrote.

    Raises:
        CodeError: the file names code that is not allowed.
        AttributeError, KeyError, TypeError, ValueError: the data say something else.
    """
    saved = {option: _with_tuples(value) for option, value in data.items()}
    if not isinstance(name := saved.pop("name"), str):
        raise TypeError(f"{part}'s name is {name!r:.40}")
    if is_dotted(name) and not is_imported(name):
        check_code(CHOICES[part].kind, name, name.partition(":")[0], source)
    return with_saved(options_of(part, name), saved, f"{part}.")


@dataclass(frozen=True)
class SavedEnv:
    """What a run's environment is made from, and how far its episodes are played."""

    env: str = ""
    task_seed: int = 0
    agent_types: tuple[int, ...] | None = None
    max_steps: int | None = None


def saved_env(path: Path) -> SavedEnv:
    """What a ``config.json`` says of the environment, by name: who makes it asks first.

    Raises:
        UserError: the file cannot be read, or says something else than a configuration.
    """
    with _saved(source_of(path)) as data:
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
    return isinstance(data, dict) and isinstance(data.get("lost", []), list)


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
def _saved(source: Source) -> Iterator[dict[str, Any]]:
    """What a ``config.json`` says, with tuples for lists; whatever is wrong with it is told."""
    path = source.file
    close_folder(source)
    try:
        yield {name: _with_tuples(value) for name, value in read_json(path)["config"].items()}
    except CodeError:
        raise
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
