"""Whether a run's folder can be resumed, and from where. Stage: train.

What a run is was written into its folder when it began, and is in every checkpoint: nothing resumes
under other settings, versions or environments unless that is asked for.
"""

import dataclasses
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple, TypeVar

import jax
import msgspec

from adaps.config.saved import saved_agents, saved_environment, to_json
from adaps.config.training import TrainConfig, num_updates
from adaps.envs.description import (
    Difference,
    described,
    differences,
    in_order_of,
    with_agents_of,
)
from adaps.errors import UserError
from adaps.files import provenance
from adaps.files.checkpoint import Series, load, numbers
from adaps.files.run_folder import CONFIG, read_json
from adaps.training.checkpoint_metadata import (
    Configured,
    Metadata,
    RunCheckpoint,
    Statement,
    decoded,
)
from adaps.training.device_placement import Placement
from adaps.types import AnyEnvironment

SCHEDULE = ("steps", "evaluations")
"""What says when kinds are looked for again, in a run that does."""
FREE = (
    *SCHEDULE,
    *("eval_episodes", "max_steps"),
    *("workers", "step_timeout", "checkpoint_every", "not_finite"),
)
"""What may be changed without a word: what was learnt so far would be the same."""

IDENTIFICATION = ("identity", "encoder", "gather_steps", "gather_policy", "clusterer", "criterion")
NETWORK = ("sharing", "algo.name", "network", "hidden", "normalise_obs", "scale_rewards")
SPENT = tuple(f"config.{name}." for name in (*IDENTIFICATION, *NETWORK))
"""Beginnings of what is already spent once the network is shared out."""

LABELS = "agent_types"
"""What is used for evaluation alone, wherever it stands."""
ARITHMETIC = "arithmetic."
"""Beginning of what decides the last bits alone: said, and not refused."""

C = TypeVar("C", bound=Configured)
E = TypeVar("E", bound=AnyEnvironment)


class Resume(NamedTuple):
    """How to resume a run."""

    allow_changes: bool = False
    """Whether other settings, versions and environments are meant so."""
    advice: str = "leave that as it was, or say --allow-changes"
    """What to do where they are other ones."""


def statement(env: AnyEnvironment, config: TrainConfig) -> Statement:
    """What a run is now."""
    packages = ("adaps", "jax", "jaxlib", "optax", "numpy", "scikit-learn")
    versions = {
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "device": str(jax.devices()[0].device_kind),
    }
    return Statement(
        config=to_json(config),
        versions=versions,
        environment=described(env),
        arithmetic=provenance.arithmetic(),
    )


def holds_run(out: Path | None) -> bool:
    """Whether a folder is a run's."""
    return out is not None and (out / CONFIG).exists()


def as_chosen(config: TrainConfig, out: Path) -> TrainConfig:
    """What is left to the program to choose, as it chose when the run began.

    Raises:
        UserError: the folder's configuration is damaged.
    """
    saved = _saved(out, Configured).config
    left = [name for name in ("gather_steps", "eval_episodes") if getattr(config, name) is None]
    return dataclasses.replace(config, **{name: saved.get(name) for name in left})


def checkpoints_of(
    out: Path,
    env: AnyEnvironment,
    config: TrainConfig,
    placement: Placement,
    resume: Resume,
    tell: Callable[[str], None],
) -> dict[int, RunCheckpoint]:
    """What there is to resume from, by the first seed of each program.

    Raises:
        UserError: checkpoints are there, but none that is whole; or they are of another run, or
            of one that is past what is to be changed.
    """
    now = statement(env, config)
    _refuse_changes(out, _saved(out, Statement), now, resume)
    found = {}
    for seeds in placement.seed_groups:
        series = Series(out, seeds[0])
        if not numbers(series):
            tell(f"seed {seeds[0]} has no checkpoint yet, and begins anew")
            continue
        checkpoint = load(series, tell, decoded)
        metadata = checkpoint.metadata
        _refuse_changes(out, metadata, now, resume)
        _refuse_what_is_over(out, metadata, now, config)
        if metadata.seeds != seeds:
            raise UserError(
                f"{checkpoint.path} is of seeds {metadata.seeds} in one program, and here "
                f"seeds {seeds} would be one: resume where it was begun"
            )
        if changed := _changes_that_count(metadata, now):
            text = f"resumed with changes: {'; '.join(changed)}"
            each = metadata.warnings or [[] for _ in seeds]
            metadata.warnings = [[*own, text] for own in each]
        found[seeds[0]] = checkpoint
    if found:
        _tell_of_other_bits(next(iter(found.values())).metadata, now, tell)
    return found


def as_begun(env: E, out: Path, resume: Resume) -> E:
    """The environment with its agents in the order that they had when the run began.

    Raises:
        UserError: they are other agents, unless that is meant so.
    """
    agents = saved_agents(saved_environment(out / CONFIG), out / CONFIG)
    if agents is None:
        return env
    try:
        return with_agents_of(env, agents, f"the run in {out}")
    except UserError as error:
        if resume.allow_changes:
            return in_order_of(env, agents.names)
        raise UserError(f"{error} ({resume.advice})") from None


def _changes(saved: Statement, now: Statement) -> list[Difference]:
    """In what a run is not what it was; of environments, as far as an earlier version saved it."""
    parts = Statement.__struct_fields__
    known = {name: own for name, own in now.environment.items() if name in saved.environment}
    now = msgspec.structs.replace(now, environment=known)
    return differences(*({name: getattr(own, name) for name in parts} for own in (saved, now)))


def _changes_that_count(saved: Statement, now: Statement) -> list[str]:
    """Those after which a run is no longer what it was."""
    free = [
        f"config.{n}" for n in FREE if now.config["num_identifications"] == 1 or n not in SCHEDULE
    ]
    return [
        str(change)
        for change in _changes(saved, now)
        if change.name not in free
        and not change.name.startswith(ARITHMETIC)
        and LABELS not in change.name.split(".")
    ]


def _refuse_changes(out: Path, saved: Statement, now: Statement, resume: Resume) -> None:
    changed = _changes_that_count(saved, now)
    if changed and not resume.allow_changes:
        raise UserError(
            f"{out} was begun with other settings: {'; '.join(changed)} ({resume.advice})"
        )


def _tell_of_other_bits(saved: Statement, now: Statement, tell: Callable[[str], None]) -> None:
    """Say what may make the result another one than that of a run that was not interrupted."""
    changes = [change for change in _changes(saved, now) if change.name.startswith(ARITHMETIC)]
    if changes:
        text = "; ".join(str(c).removeprefix(ARITHMETIC) for c in changes)
        tell(f"the last bits of all numbers may differ from those of one machine's run: {text}")


def _refuse_what_is_over(out: Path, saved: Metadata, now: Statement, config: TrainConfig) -> None:
    """Refuse what would be written down, but could not come true any more."""
    done, identified = saved.progress.counts.get("train", 0), saved.progress.looks
    if done > num_updates(config):
        raise UserError(
            f"--steps {config.steps}: {out} has trained longer than that already, "
            f"{done:,} updates of {config.steps_per_update} steps; say more steps"
        )
    if identified > config.num_identifications:
        raise UserError(
            f"--num-identifications {config.num_identifications}: {out} has identified its agents "
            f"{identified} times; give at least that number"
        )
    # An option that came with a later version could not be spent.
    spent = [c for c in _changes(saved, now) if f"{c.name}.".startswith(SPENT) and not c.is_new]
    if identified and spent:
        raise UserError(
            f"{out} has shared out its network already, which cannot be changed any more: "
            f"{'; '.join(map(str, spent))} (leave that as it was, or begin another run)"
        )


def _saved(out: Path, what: type[C]) -> C:
    """What a run's ``config.json`` says, or a part of it."""
    try:
        return msgspec.convert(read_json(out, CONFIG), what)
    except msgspec.ValidationError as error:
        raise UserError(f"{out / CONFIG} is not a run's configuration: {error}") from None
