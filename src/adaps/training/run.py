"""A run from its configuration to its result: its folder, its seeds side by side. Stage: train."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adaps import envs
from adaps.config.checks import check, resolved
from adaps.config.choices import algo_options, encoder_options, run_options, sharing_options
from adaps.config.saved import to_json
from adaps.config.training import TrainConfig
from adaps.errors import UserError
from adaps.files.checkpoint import Checkpoint, locked
from adaps.files.run_folder import RunFolder, check_free
from adaps.files.sinks import check_sinks, opened
from adaps.training.checkpoint_compat import check_fits
from adaps.training.device_placement import Placement, place, run_side_by_side, seeds_at_a_time
from adaps.training.host import HostStages, make_host_stages
from adaps.training.progress import Watch
from adaps.training.recorder import Recorder
from adaps.training.result import Result, SeedResult, result_json, summarise
from adaps.training.resume import Resume, as_chosen, checkpoints_of, holds_run
from adaps.training.stages import Stages, make_stages
from adaps.training.train import train_seeds
from adaps.types import AnyEnvironment, HostEnvironment


def train(
    env: AnyEnvironment | str,
    sharing: Any = "adaps",
    algo: Any = "a2c",
    *,
    encoder: Any = "vae",
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
        preset: ``"default"``, or ``"paper"`` for named methods exactly as published.
        out: folder for the run's files, which must not hold a run; None writes nothing.
        sinks: where metrics go besides the folder: ``"tensorboard"``, ``"wandb"``.
        resume: whether to go on with the run that ``out`` holds; where it holds none, begin.
        options: any other field of :class:`adaps.config.training.TrainConfig`, such as ``steps``.

    Raises:
        UserError: an option that cannot be; nothing has been written.
    """
    name = env if isinstance(env, str) else env.name
    if isinstance(env, str):
        env = envs.make(env, options.pop("task_seed", 0))
    elif "task_seed" in options:
        raise UserError("task_seed goes with an environment's name; this one has its own")
    config = TrainConfig(
        env=name,
        sharing=sharing_options(sharing, preset) if isinstance(sharing, str) else sharing,
        algo=algo_options(algo, preset) if isinstance(algo, str) else algo,
        encoder=encoder_options(encoder, preset) if isinstance(encoder, str) else encoder,
        task_seed=envs.task_seed_of(env),
        **{**run_options(preset), **options},
    )
    folder, how = None if out is None else Path(out), Resume() if resume else None
    return run(env, config, folder, Watch(), sinks=sinks, resume=how)


def run(
    env: AnyEnvironment,
    config: TrainConfig,
    out: Path | None,
    watch: Watch,
    stages: Stages | HostStages | None = None,
    sinks: Sequence[str] = (),
    resume: Resume | None = None,
) -> Result:
    """Train every seed of a configuration, side by side, and put the results together.

    Args:
        env: the environment.
        config: what to do in it.
        out: folder for the run's files; None writes nothing.
        watch: shows how far it is, and may stop it.
        stages: those of an earlier run that differed in its seed alone, compiled already.
        sinks: where numbers go besides the folder, see :data:`adaps.files.sinks.SINKS`.
        resume: go on with the run that ``out`` holds, if it holds one; None refuses it.

    Raises:
        UserError: an option that cannot be, or a folder that cannot be used.
        RunError: an environment failed, a loss was not finite, or the disk was full; what was
            learnt so far has been saved as far as it could be.
        KeyboardInterrupt: likewise.
    """
    check_sinks(sinks, out)
    if out is not None and (resume is None or not holds_run(out)):
        check_free(out)
    elif out is not None:
        config = as_chosen(config, out)
    check(config, env)
    config = resolved(config, env)
    placement = placement_of(env, config)
    stages = stages or stages_of(env, config, len(placement.programs[0]))
    with (
        _folder(out, env, config, placement, stages, resume, watch) as (folder, found),
        opened(sinks, out, to_json(config)) as others,
    ):
        recorder = Recorder(env, config, placement, folder, watch, others, found)
        seeds = _trained(stages, recorder)
        result = summarise(env, seeds, recorder.times, out)
        recorder.finish(result_json(env, config, result, seeds[0].episodes, recorder.times))
    return result


@contextmanager
def _folder(
    out: Path | None,
    env: AnyEnvironment,
    config: TrainConfig,
    placement: Placement,
    stages: Stages | HostStages,
    resume: Resume | None,
    watch: Watch,
) -> Iterator[tuple[RunFolder | None, dict[int, Checkpoint]]]:
    """The run's folder, in which nobody else writes meanwhile, and what to go on from."""
    if out is None:
        yield None, {}
        return
    if resume is None or not holds_run(out):
        with locked(out):
            yield RunFolder(out), {}
        return
    with locked(out):
        found = checkpoints_of(out, env, config, placement, resume, watch.warn)
        for checkpoint in found.values():
            check_fits(config, stages, checkpoint)
        yield RunFolder(out, goes_on=True), found


def _trained(stages: Stages | HostStages, recorder: Recorder) -> list[SeedResult]:
    """Every seed at its end."""

    def work(seeds: list[int]) -> list[SeedResult]:
        with stages.opened(recorder.watch.stop) as own:
            return train_seeds(recorder.config, own, recorder, seeds)

    programs = run_side_by_side(recorder.placement, work, recorder.watch.stop.set)
    if recorder.failure is not None:
        raise recorder.failure
    if recorder.stopping:
        raise KeyboardInterrupt
    return [seed for program in programs for seed in program]


def placement_of(env: AnyEnvironment, config: TrainConfig) -> Placement:
    """Where seeds run; those of an environment that runs in Python are never one program."""
    seeds = range(config.seed, config.seed + config.seeds)
    host = isinstance(env, HostEnvironment)
    workers = seeds_at_a_time(config.seeds) if host else config.workers
    return place(seeds, workers)


def stages_of(env: AnyEnvironment, config: TrainConfig, num_seeds: int) -> Stages | HostStages:
    """The compiled steps, by whether the environment is part of them."""
    if isinstance(env, HostEnvironment):
        return make_host_stages(env, config)
    return make_stages(env, config, num_seeds)
