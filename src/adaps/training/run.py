"""A run from its configuration to its result: its folder, its seeds side by side. Stage: train."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from adaps import envs
from adaps.config.checks import check, resolved
from adaps.config.choices import options_of, run_options
from adaps.config.saved import to_json
from adaps.config.training import TrainConfig
from adaps.errors import Interrupted, Stopped, UserError
from adaps.files import compile_cache
from adaps.files.checkpoint import locked
from adaps.files.plain_files import refuse_links
from adaps.files.run_folder import METRICS, RunFolder, check_free
from adaps.files.sinks import check_sinks, opened
from adaps.sharing.method import check_method
from adaps.training.checkpoint_compat import check_fits
from adaps.training.checkpoint_metadata import RunCheckpoint
from adaps.training.device_placement import Placement, place, run_side_by_side, seeds_at_a_time
from adaps.training.driver import Driver
from adaps.training.environment import IN_PYTHON, why_not_again
from adaps.training.host_stages import HostStages, make_host_stages
from adaps.training.progress import LoggingWatch, Watch
from adaps.training.recorder import Recorder
from adaps.training.result import Result, SeedResult, result_json, summarise
from adaps.training.resume import Resume, as_begun, as_chosen, checkpoints_of, holds_run
from adaps.training.stages import JaxStages, make_jax_stages, seed_keys
from adaps.training.train import SeedGroup, train_seeds
from adaps.types import AnyEnvironment, HostEnvironment

AnyStages = JaxStages | HostStages

MOST_SETTINGS = 8
"""Whose compiled programs a process keeps."""


def train(
    env: AnyEnvironment | str,
    sharing: Any = "adaps",
    algo: Any = "a2c",
    *,
    encoder: Any = "vae",
    network: Any = "mlp",
    preset: str = "default",
    out: str | Path | None = None,
    sinks: Sequence[str] = (),
    resume: bool = False,
    **options: Any,
) -> Result:
    """Find out which agents are alike, give each kind its part of one network, and train them.

    Args:
        env: an environment, or the name of one (:func:`adaps.make`).
        sharing: a sharing method's name, or its options such as ``AdaPS(threshold=0.6)``.
        algo: an algorithm's name, or its options such as ``A2C(learning_rate=3e-4)``.
        encoder: an identity encoder's name, or its options such as ``VAE(updates=8_000)``.
        network: a network's name, or its options.
        preset: ``"default"``, or ``"paper"`` for named methods exactly as published.
        out: folder for the run's files, which must not hold a run; None writes nothing.
        sinks: where metrics go besides the folder: ``"tensorboard"``, ``"wandb"``.
        resume: whether to resume the run that ``out`` holds; where it holds none, begin.
        options: any other field of :class:`adaps.config.training.TrainConfig`, such as ``steps``.

    Raises:
        UserError: an option that cannot be; nothing has been written.
    """
    name, made = _named(env, options)
    named = {"sharing": sharing, "algo": algo, "encoder": encoder, "network": network}
    parts = {k: options_of(k, v, preset) if isinstance(v, str) else v for k, v in named.items()}
    seed = envs.task_seed_of(made)
    config = TrainConfig(name, **parts, task_seed=seed, **{**run_options(preset), **options})
    folder, how = None if out is None else Path(out), Resume() if resume else None
    watch = LoggingWatch()
    if folder is not None and not isinstance(env, str) and (why := why_not_again(made)):
        watch.tell(f"only Python can make this run's environment again: {why}; {IN_PYTHON}")
    return run(made, config, folder, watch, sinks=sinks, resume=how)


def _named(env: AnyEnvironment | str, options: dict[str, Any]) -> tuple[str, AnyEnvironment]:
    """The environment's name as it was given, and the environment; its task seed is taken out."""
    types = options.get("agent_types")
    if isinstance(env, str):
        made = envs.make(env, options.pop("task_seed", 0), types)
    elif "task_seed" in options:
        raise UserError("task_seed goes with an environment's name; this one has its own")
    else:
        made = envs.accepted(env, agent_types=types)
        if isinstance(made, HostEnvironment) and made.max_steps is not None:
            options.setdefault("max_steps", made.max_steps)
    if types is not None:
        options["agent_types"] = made.agent_types  # a tuple of int, which can be saved
    return env if isinstance(env, str) else made.name, made


def run(
    env: AnyEnvironment,
    config: TrainConfig,
    out: Path | None,
    watch: Watch,
    sinks: Sequence[str] = (),
    resume: Resume | None = None,
) -> Result:
    """Train every seed of a configuration, side by side, and put the results together.

    Args:
        env: the environment.
        config: what to do in it.
        out: folder for the run's files; None writes nothing.
        watch: shows how far it is, and may stop it.
        sinks: where numbers go besides the folder, see :data:`adaps.files.sinks.SINKS`.
        resume: resume the run that ``out`` holds, if it holds one; None refuses it.

    Raises:
        UserError: an option that cannot be, or a folder that cannot be used.
        RunError, KeyboardInterrupt: an environment failed, a loss was not finite, the disk was
            full, or it was told to stop; what was learned has been saved as far as it could be.
    """
    compile_cache.enable(out)
    check_sinks(sinks, out)
    check_method(config.sharing)
    if out is not None and resume is not None and holds_run(out):
        env = as_begun(env, out, resume)
    config = _resolved(env, config, out, resume)
    placement, stages = placement_of(env, config), stages_of(env, config)
    _make_room(stages)
    with (
        _folder(out, env, config, placement, stages, resume, watch) as (folder, found),
        opened(sinks, out, to_json(config)) as others,
    ):
        recorder = Recorder(env, config, placement, folder, watch, others, found)
        seeds = _trained(stages, recorder)
        result = summarise(env, config, seeds, recorder.times, out, recorder.warnings_of)
        recorder.finish(result_json(env, config, result, seeds[0].episodes, recorder.times))
    return result


def _make_room(stages: AnyStages) -> None:
    """Forget what was compiled for other settings, once there are many in this process.

    A setting's programs hold two to three thousand memory maps, of which Linux allows a process
    65,530; a process that goes beyond them crashes.
    """
    setting = hash((stages.env.name, stages.setting, stages.plan))
    if setting not in _settings and len(_settings) >= MOST_SETTINGS:
        jax.clear_caches()
        _settings.clear()
    _settings.add(setting)


_settings: set[int] = set()


def _resolved(
    env: AnyEnvironment, config: TrainConfig, out: Path | None, resume: Resume | None
) -> TrainConfig:
    """The configuration with all chosen that it leaves open, once it and the folder are checked."""
    if out is not None and resume is not None and holds_run(out):
        config = as_chosen(config, out)
    elif out is not None:
        check_free(out)
    check(config, env)
    return resolved(config, env)


@contextmanager
def _folder(
    out: Path | None,
    env: AnyEnvironment,
    config: TrainConfig,
    placement: Placement,
    stages: AnyStages,
    resume: Resume | None,
    watch: Watch,
) -> Iterator[tuple[RunFolder | None, dict[int, RunCheckpoint]]]:
    """The run's folder, in which nobody else writes meanwhile, and what to resume from."""
    if out is None:
        yield None, {}
        return
    refuse_links(out, METRICS, "checkpoints")
    if resume is None or not holds_run(out):
        with locked(out):
            yield RunFolder(out), {}
        return
    with locked(out):
        found = checkpoints_of(out, env, config, placement, resume, watch.tell)
        for checkpoint in found.values():
            check_fits(config, stages, checkpoint)
        yield RunFolder(out, resumes=True), found


def _trained(stages: AnyStages, recorder: Recorder) -> list[SeedResult]:
    """Every seed at its end."""

    def work(seeds: list[int]) -> list[SeedResult]:
        keys, journal = seed_keys(jnp.asarray(seeds, jnp.uint32)), recorder.journal(seeds)
        try:
            with stages.opened(recorder.watch.stop) as own, journal:
                driver = Driver(recorder, journal, seeds)
                group = SeedGroup(recorder.config, own, recorder, driver, seeds, keys)
                return train_seeds(group)
        except Stopped:
            return []

    groups = run_side_by_side(recorder.placement, work, recorder.watch.stop.set)
    if recorder.failure is not None:
        raise recorder.failure
    if recorder.stopping:
        raise Interrupted
    return [seed for group in groups for seed in group]


def placement_of(env: AnyEnvironment, config: TrainConfig) -> Placement:
    """Where seeds run; those of an environment that runs in Python are never one program."""
    seeds = range(config.seed, config.seed + config.seeds)
    host = isinstance(env, HostEnvironment)
    workers = seeds_at_a_time(config.seeds) if host else config.workers
    return place(seeds, workers)


def stages_of(env: AnyEnvironment, config: TrainConfig) -> AnyStages:
    """The steps of training, by whether the environment is compiled with them."""
    if isinstance(env, HostEnvironment):
        return make_host_stages(env, config)
    return make_jax_stages(env, config)
