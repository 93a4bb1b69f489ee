"""A study's files beside its runs, typed for writer and reader alike. Stage: study."""

from pathlib import Path
from typing import ClassVar, TypeVar

import msgspec

from adaps.errors import UserError
from adaps.files.run_folder import read_json, write_json
from adaps.types import SCHEMA

Options = dict[str, str]
"""Option of ``adaps train``, without its dashes → its value, both as on the command line."""


class Variant(msgspec.Struct, frozen=True):
    """One of the things that are compared."""

    name: str
    """Any text."""
    options: Options


class PlannedRun(msgspec.Struct, frozen=True):
    """One variant in one environment with one seed."""

    env: str
    variant: str
    seed: int
    folder: str
    """From the study's folder."""


class StudyPlan(msgspec.Struct, kw_only=True):
    """What the study consists of, and with what it was run last."""

    FILE: ClassVar[str] = "study.json"
    schema: int = SCHEMA
    title: str
    envs: list[str]
    env_options: dict[str, Options] = {}
    """Options that hold in one environment alone."""
    variants: list[Variant]
    over: dict[str, list[str]] | None
    """In a sweep, the options that vary and their values."""
    seeds: list[int]
    options: Options
    """Options common to all."""
    machine: str | None = None
    commit: str | None = None
    versions: dict[str, str] = {}
    runs: list[PlannedRun]


class References(msgspec.Struct, kw_only=True):
    """What scores are measured against."""

    FILE: ClassVar[str] = "references.json"
    schema: int = SCHEMA
    random_return: dict[str, float]
    """Return of random play by environment."""


class Failures(msgspec.Struct, kw_only=True):
    """Runs that failed; the file exists only while there are any."""

    FILE: ClassVar[str] = "failures.json"
    schema: int = SCHEMA
    failures: dict[str, str]
    """Reason by the run's folder."""


StudyFile = TypeVar("StudyFile", StudyPlan, References, Failures)


def read_study_file(folder: Path, kind: type[StudyFile]) -> StudyFile:
    """One of a study's files.

    Raises:
        UserError: it is missing or damaged; one line that names it.
    """
    try:
        return msgspec.convert(read_json(folder, kind.FILE), kind)
    except msgspec.ValidationError as error:
        raise UserError(f"{folder / kind.FILE} is damaged: {error}") from None


def write_study_file(folder: Path, data: StudyPlan | References | Failures) -> None:
    """Replace one of a study's files as a whole."""
    write_json(folder / data.FILE, msgspec.to_builtins(data))
