"""A study's own files, beside those of its runs. Stage: files."""

from typing import Annotated, Any, ClassVar, NamedTuple

from msgspec import Meta, Struct, field

from adaps.files.schema.fields import File, Whole

LARGEST = 1e30
"""A number beyond this is damage, not a result, and would overflow in statistics."""
Sane = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]

Options = dict[str, str]
"""Option of ``adaps train``, without its dashes → its value, both as on the command line."""


class Variant(Struct, frozen=True):
    """One of the things that are compared."""

    name: str
    """What people call it: any text."""
    options: Options


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
    """What the study consists of, and with what it was run last."""

    FILE: ClassVar[str] = "study.json"
    title: str
    envs: list[str]
    env_options: dict[str, Options] = field(default_factory=dict)
    """Options that hold in one environment alone."""
    variants: list[Variant]
    swept: dict[str, list[str]] | None = field(name="over")
    seeds: list[Whole]
    options: Options
    """Options common to all."""
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
    """What scores are measured against."""

    FILE: ClassVar[str] = "references.json"
    random_return: dict[str, Sane | None]
    """What random play comes to, by environment; None where it is not known."""

    @property
    def known(self) -> dict[str, float]:
        """Where it is known."""
        return {env: x for env, x in self.random_return.items() if x is not None}


class Failures(File, kw_only=True):
    """Runs that failed; the file exists only while there are any."""

    FILE: ClassVar[str] = "failures.json"
    failures: dict[str, str]
    """Why a run failed, by its folder."""
