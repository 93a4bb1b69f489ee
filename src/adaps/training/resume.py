"""Whether a run's folder can be gone on with, and from where. Stage: train.

What a run is was written into its folder when it began, and is in every checkpoint: nothing goes
on under other settings, versions or environments unless that is asked for.
"""

import dataclasses
import json
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax

from adaps.config.saved import to_json
from adaps.config.training import TrainConfig, num_updates
from adaps.errors import UserError
from adaps.files.checkpoint import Checkpoint, Difference, Series, differences, load, numbers
from adaps.files.run_folder import CONFIG, read_json
from adaps.training.checkpoint_metadata import check_facts
from adaps.training.device_placement import Placement
from adaps.types import AnyEnvironment

FREE = (
    "config.steps",
    "config.evaluations",
    "config.eval_episodes",
    "config.workers",
    "config.step_timeout",
    "config.checkpoint_every",
    "config.not_finite",
)
"""What may be changed without a word: what was learnt so far would be the same."""

SCHEDULE = ("config.steps", "config.evaluations")
"""Of these, what says when kinds are looked for again, in a run that does."""

CONSUMED = (
    "config.sharing",
    "config.encoder",
    "config.algo.name",
    "config.gather_steps",
    "config.gather_policy",
    "config.identity",
    "config.clusterer",
    "config.criterion",
    "config.hidden",
    "config.normalise_obs",
    "config.scale_rewards",
)
"""What has been used up once the network is shared out, with all that each of them holds."""


class Resume(NamedTuple):
    """How to go on with a run."""

    allow_changes: bool = False
    """Whether other settings, versions and environments are meant so."""
    advice: str = "leave that as it was, or say --allow-changes"
    """What to do where they are other ones."""


def statement(env: AnyEnvironment, config: TrainConfig) -> dict[str, Any]:
    """What a run is: its settings, versions and environment, as JSON has them."""
    names = ("num_agents", "obs_size", "num_actions", "max_steps", "agent_types")
    data = {
        "config": to_json(config),
        "versions": _versions(),
        "environment": {name: getattr(env, name) for name in names},
    }
    return json.loads(json.dumps(data))


def holds_run(out: Path | None) -> bool:
    """Whether a folder is a run's."""
    return out is not None and (out / CONFIG).exists()


def as_chosen(config: TrainConfig, out: Path) -> TrainConfig:
    """What is left to the program to choose, as it chose when the run began.

    Raises:
        UserError: the folder's configuration is damaged.
    """
    saved = _said(out, read_json(out, CONFIG), "config")
    left = [name for name in ("gather_steps", "eval_episodes") if getattr(config, name) is None]
    return dataclasses.replace(config, **{name: saved.get(name) for name in left})


def checkpoints_of(
    out: Path,
    env: AnyEnvironment,
    config: TrainConfig,
    placement: Placement,
    resume: Resume,
    warn: Callable[[str], None],
) -> dict[int, Checkpoint]:
    """What there is to go on from, by the first seed of each program.

    Raises:
        UserError: checkpoints are there, but none that is whole; or they are of another run, or
            of one that is past what is to be changed.
    """
    now = statement(env, config)
    _refuse_changes(out, read_json(out, CONFIG), now, resume)
    found = {}
    for seeds in placement.programs:
        series = Series(out, seeds[0])
        if not numbers(series):
            warn(f"seed {seeds[0]} has no checkpoint yet, and begins anew")
            continue
        checkpoint = load(series, warn, check_facts)
        facts = checkpoint.facts
        _refuse_changes(out, facts, now, resume)
        _refuse_what_is_over(out, facts, now, config)
        if facts["seeds"] != seeds:
            raise UserError(
                f"{checkpoint.path} is of seeds {facts['seeds']} in one program, and here "
                f"seeds {seeds} would be one: go on where it was begun"
            )
        found[seeds[0]] = checkpoint
    return found


def _refuse_changes(out: Path, saved: Any, now: dict[str, Any], resume: Resume) -> None:
    if resume.allow_changes:
        return
    free = [name for name in FREE if now["config"]["looks"] == 1 or name not in SCHEDULE]
    changed = [str(change) for change in _changes(out, saved, now) if change.name not in free]
    if changed:
        raise UserError(
            f"{out} was begun with other settings: {'; '.join(changed)} ({resume.advice})"
        )


def _refuse_what_is_over(
    out: Path, facts: dict[str, Any], now: dict[str, Any], config: TrainConfig
) -> None:
    """Refuse what would be written down, but could not come true any more."""
    done, looks = facts["journal"]["counts"].get("train", 0), facts["journal"]["looks"]
    if done > num_updates(config):
        raise UserError(
            f"--steps {config.steps}: {out} has trained longer than that already, "
            f"{done:,} updates of {config.steps_per_update} steps; say more steps"
        )
    if looks > config.looks:
        raise UserError(f"--looks {config.looks}: {out} has looked {looks} times; say at least so")
    # An option that came with a later version could not be used up.
    changes = _changes(out, facts, now)
    changed = [str(own) for own in changes if _is_consumed(own.name) and not own.is_new]
    if looks and changed:
        raise UserError(
            f"{out} has shared out its network already, which cannot be changed any more: "
            f"{'; '.join(changed)} (leave that as it was, or begin another run)"
        )


def _is_consumed(name: str) -> bool:
    return any(name == own or name.startswith(f"{own}.") for own in CONSUMED)


def _changes(out: Path, saved: Any, now: dict[str, Any]) -> list[Difference]:
    """Fields that are not as they were saved."""
    before = {part: _said(out, saved, part) for part in now if part in saved}
    return differences(before, {part: now[part] for part in before})


def _said(out: Path, saved: Any, part: str) -> dict[str, Any]:
    found = saved.get(part) if isinstance(saved, dict) else None
    if not isinstance(found, dict):
        raise UserError(f"{out / CONFIG} is not a run's configuration: no {part}")
    return found


def _versions() -> dict[str, str]:
    packages = ("adaps", "jax", "jaxlib", "optax", "numpy", "scikit-learn")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "device": str(jax.devices()[0].device_kind),
    }
