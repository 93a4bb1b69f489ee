"""A study's plan from a TOML file. Stage: study."""

import dataclasses
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from adaps.envs.code import check_env_code
from adaps.errors import CodeError, UserError, unknown
from adaps.extensions import Source, check_code, dotted_names
from adaps.files.plain_files import parsed, read_text
from adaps.files.schema import Options, Variant
from adaps.study.plan import Study, of_methods, of_values, seeds_from, without_options, words_of

Value = bool | int | float | str | list[bool | int | float | str]
"""Of an option; a list stands for several words of the command line."""
Table = dict[str, Value]


class PlanFile(msgspec.Struct):
    """What a file may say; where entries have no options of their own, a list does for a table."""

    envs: list[str] | dict[str, Table]
    variants: list[str] | dict[str, Table] | None = None
    over: dict[str, list[Value]] | None = None
    """In a sweep, in place of variants."""
    seeds: int | list[int] = 5
    """So many from 0, or these."""
    options: Table = {}
    title: str | None = None


TOML_NAMES = {
    "array": "a list",
    "object": "a table",
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
}
"""What the author of a file calls a type of msgspec's."""


def from_file(path: Path) -> Study:
    """The study that a TOML file describes.

    Raises:
        UserError: the file cannot be read, says something else, or names code that is not allowed;
            one line that names it.
    """
    try:
        study = _study(_typed(parsed(read_text(path), tomllib.loads)))
        _check_code(study, Source(path, None))
        return study
    except CodeError:
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path} is not a study: {' '.join(str(error).split())}") from None


def _check_code(study: Study, source: Source) -> None:
    """Refuse what the file names that is neither this package's nor allowed."""
    for env in study.envs:
        check_env_code(env, source)
    of_variants = [variant.options for variant in study.variants]
    for options in (study.options, *study.envs.values(), *of_variants):
        for name in dotted_names(words_of(options)):
            check_code("option", name, name.partition(":")[0], source)


def _typed(data: dict[str, Any]) -> PlanFile:
    """A file's data, checked.

    Raises:
        ValueError: names the entry that is wrong, and what would be right.
    """
    for name in data:
        if name not in PlanFile.__struct_fields__:
            raise unknown("entry", name, PlanFile.__struct_fields__)
    try:
        return msgspec.convert(data, PlanFile)
    except msgspec.ValidationError as error:
        raise ValueError(_in_words(str(error), data)) from None


def _in_words(complaint: str, data: dict[str, Any]) -> str:
    """A complaint of msgspec's as the author of a file would put it.

    >>> _in_words("Expected `array`, got `str` - at `$.over[...]`", {"over": {"keep": "0.5"}})
    "over.keep must be a list, not '0.5'"
    """
    if missing := re.search(r"missing required field `(\w+)`", complaint):
        return f"it lacks '{missing[1]}'"
    expected, found, path = re.findall(r"`(.+?)`", complaint)
    place, value = next(_entries(data, re.findall(r"\w+|\.\.\.", path), found))
    names = [TOML_NAMES[name] for name in expected.split(" | ") if name != "null"]
    return f"{place} must be {' or '.join(names)}, not {value!r:.60}"


def _entries(
    data: Any, steps: Sequence[str], kind: str, place: str = ""
) -> Iterator[tuple[str, Any]]:
    """Entries of a type at the end of msgspec's path, in which ``...`` stands for any key."""
    if not steps:
        if {dict: "object", list: "array"}.get(type(data), type(data).__name__) == kind:
            yield place, data
        return
    for name, value in data.items() if isinstance(data, dict) else enumerate(data):
        if steps[0] in (str(name), "..."):
            inner = f"{place}[{name}]" if isinstance(data, list) else f"{place}.{name}"
            yield from _entries(value, steps[1:], kind, inner.removeprefix("."))


def _study(file: PlanFile) -> Study:
    if (file.over is None) == (file.variants is None):
        raise ValueError("it needs either variants or over")
    if file.over == {}:
        raise ValueError("over must name at least one option")
    envs = without_options(file.envs) if isinstance(file.envs, list) else _each(file.envs)
    options = _texts(file.options)
    if file.over is not None:
        over = {name: [_text(value) for value in values] for name, values in file.over.items()}
        study = of_values(list(envs), over, [], options)
    elif isinstance(file.variants, dict):
        # A variant that names no sharing method is the method of its own name.
        variants = [Variant(n, {"sharing": n, **own}) for n, own in _each(file.variants).items()]
        study = Study({}, variants, [], options)
    else:
        study = of_methods(list(envs), file.variants or [], ["a2c"], [], options)
    seeds = file.seeds if isinstance(file.seeds, list) else seeds_from(0, file.seeds)
    title = study.title if file.title is None else file.title
    return dataclasses.replace(study, envs=envs, seeds=seeds, title=title)


def _each(tables: dict[str, Table]) -> dict[str, Options]:
    return {name: _texts(table) for name, table in tables.items()}


def _texts(table: Table) -> Options:
    return {name: _text(value) for name, value in table.items()}


def _text(value: Value) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
