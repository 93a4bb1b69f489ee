"""Files of a study: study.json, references.json, failures.json. Stage: files."""

from typing import Annotated, Any, NamedTuple

from msgspec import Meta, Struct, field

from adaps.files.schema.fields import File, Whole

LARGEST = 1e30
"""A number beyond this is damage, not a result, and would overflow in statistics."""
Sane = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]


class Variant(Struct):
    """One of the things that are compared."""

    name: str
    """What people call it: any text."""
    options: dict[str, str]


class Place(NamedTuple):
    """What a planned run is of."""

    env: str
    variant: str
    seed: int


class Planned(Struct, frozen=True):
    """One run of the plan: one variant in one environment with one seed."""

    env: str
    variant: str
    seed: Whole
    folder: str
    """From the study's folder."""

    @property
    def place(self) -> Place:
        """Without the folder."""
        return Place(self.env, self.variant, self.seed)


class Plan(File, kw_only=True):
    """``study.json``."""

    title: str
    envs: list[str]
    variants: list[Variant]
    swept: dict[str, list[str]] | None = field(name="over")
    seeds: list[Whole]
    options: dict[str, str]
    machine: str | None = None
    commit: str | None = None
    versions: dict[str, Any] = field(default_factory=dict)
    runs: list[Planned]

    def __post_init__(self) -> None:
        names = [variant.name for variant in self.variants]
        for what, values in (
            ("environments", self.envs),
            ("variants", names),
            ("folders", [planned.folder for planned in self.runs]),
            ("runs", [planned.place for planned in self.runs]),
        ):
            if not values or len(set(values)) < len(values):
                raise ValueError(f"its {what} must be different, and at least one")
        for planned in self.runs:
            if planned.env not in self.envs or planned.variant not in names:
                run = f"run {planned.folder!r}"
                raise ValueError(f"{run} is of no environment or variant of the study")

    @property
    def over(self) -> dict[str, list[str]]:
        """In a sweep, the options that vary and their values; otherwise empty."""
        return self.swept or {}


class References(File, kw_only=True):
    """``references.json``."""

    random_return: dict[str, Sane | None]
    """What random play comes to, by environment; None where it is not known."""

    @property
    def known(self) -> dict[str, float]:
        """Where it is known."""
        return {env: x for env, x in self.random_return.items() if x is not None}


class Failures(File, kw_only=True):
    """``failures.json``."""

    failures: dict[str, str]
    """Why a run failed, by its folder."""
