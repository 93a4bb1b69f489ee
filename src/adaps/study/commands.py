"""``adaps compare`` and ``adaps sweep``: their options, and a study from them. Stage: study."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from adaps.algos import ALGORITHMS
from adaps.config.training import Count
from adaps.errors import UserError, unknown
from adaps.extensions import code_allowed, dotted_names, needs_extra
from adaps.sharing import METHODS
from adaps.study import plan
from adaps.study.job import Backend
from adaps.study.plan import Study
from adaps.study.plan_file import from_file

METHODS_COMPARED = ("adaps", "fups", "fups+id", "seps", "snp-ps", "nops")
DEFAULT_SEEDS = 5


@dataclass(frozen=True)
class Where:
    """Where runs are carried out, and where their files go."""

    backend: Annotated[str, tyro.conf.arg(metavar="local|ray")] = "local"
    """Processes of this machine, or an existing Ray cluster."""
    workers: Count | None = None
    """Runs at a time; None: one per core as far as memory allows, and one on a GPU."""
    memory_gib: float = 2.0
    """Memory that a run may take, in 2³⁰ bytes."""
    ray_address: str = "auto"
    """The Ray cluster's address."""
    cpus: float = 1.0
    """Cores that Ray sets aside for a run."""
    gpus: float = 0.0
    """Share of a GPU that Ray sets aside for a run."""
    out: Path | None = None
    """Folder for the study; None: one under runs/ that is the same for the same study."""


@dataclass(frozen=True)
class CompareCommand:
    """Run environments × methods × seeds, and say who is ahead and how sure that is.

    What is done already is skipped: start the same command again to resume after an interrupt.
    """

    where: Annotated[Where, tyro.conf.arg(name="")]
    file: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[FILE]")] = ""
    """A study in TOML, instead of --envs and --methods (see the docs)."""
    envs: tuple[str, ...] = ()
    """Environments, such as bps-1 bps-2."""
    methods: tuple[str, ...] = METHODS_COMPARED
    """Sharing methods; one may bring options of its own: "adaps sharing.keep=0.7"."""
    algos: tuple[str, ...] = ("a2c",)
    """Learning algorithms."""
    seeds: Count | None = None
    """How many seeds of each; None: 5, or what FILE says."""
    seed: Count = 0
    """The first seed."""
    steps: Count | None = None
    """Environment steps of each run; None: as adaps train, or what FILE says."""
    options: Annotated[tuple[str, ...], tyro.conf.arg(metavar="OPTION=VALUE")] = ()
    """Other options of adaps train for all runs, such as num-envs=16 algo.entropy=0.02."""
    allow_code: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Import code that is somebody's own and that FILE names, but you do not."""


@dataclass(frozen=True)
class SweepCommand:
    """Run one method with every combination of some options' values.

    What is done already is skipped: start the same command again to resume after an interrupt.
    """

    where: Annotated[Where, tyro.conf.arg(name="")]
    envs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="ENV")]
    """Environments, such as bps-1."""
    over: Annotated[tuple[str, ...], tyro.conf.arg(metavar="OPTION=VALUE,VALUE")] = ()
    """What varies, such as sharing.threshold=0.3,0.5,0.7 sharing.clusters=1,2,3."""
    sharing: Annotated[str, tyro.conf.arg(metavar="|".join(METHODS))] = "adaps"
    """Sharing method."""
    algo: Annotated[str, tyro.conf.arg(metavar="|".join(ALGORITHMS))] = "a2c"
    """Learning algorithm."""
    seeds: Count = DEFAULT_SEEDS
    """How many seeds of each."""
    seed: Count = 0
    """The first seed."""
    steps: Count | None = None
    """Environment steps of each run; None: as adaps train."""
    options: Annotated[tuple[str, ...], tyro.conf.arg(metavar="OPTION=VALUE")] = ()
    """Other options of adaps train for all runs, such as num-envs=16 algo.entropy=0.02."""


def compared(command: CompareCommand) -> Study:
    """The study that ``adaps compare`` asks for.

    Raises:
        UserError: nothing to compare, or options that exclude each other.
    """
    common = {**plan.pairs(command.options), **_steps(command.steps)}
    if command.file:
        if command.envs:
            raise UserError("name a study's file or --envs, not both")
        typed = dotted_names([*command.options, *command.methods, *command.algos])
        with code_allowed(command.allow_code, typed):
            study = from_file(Path(command.file))
        seeds = study.seeds
        if command.seeds is not None:
            seeds = plan.seeds_from(command.seed, command.seeds)
        return replace(study, seeds=seeds, options={**study.options, **common})
    if not command.envs:
        raise UserError("name environments, such as --envs bps-1 bps-2, or a study's file")
    seeds = plan.seeds_from(command.seed, DEFAULT_SEEDS if command.seeds is None else command.seeds)
    return plan.of_methods(command.envs, command.methods, command.algos, seeds, common)


def swept(command: SweepCommand) -> Study:
    """The study that ``adaps sweep`` asks for.

    Raises:
        UserError: nothing that varies.
    """
    if not command.over:
        raise UserError("say what varies, such as --over sharing.threshold=0.3,0.5,0.7")
    over = {name: values.split(",") for name, values in plan.pairs(command.over).items()}
    common = {
        "sharing": command.sharing,
        "algo": command.algo,
        **plan.pairs(command.options),
        **_steps(command.steps),
    }
    return plan.of_values(command.envs, over, plan.seeds_from(command.seed, command.seeds), common)


def backend_of(where: Where) -> Backend:
    """What carries out runs there.

    Raises:
        UserError: no such backend, a number out of range, or a package that is missing.
    """
    if where.backend == "local":
        from adaps.study.local import Local  # noqa: PLC0415

        return Local(where.workers, where.memory_gib)
    if where.backend == "ray":
        with needs_extra("ray"):
            from adaps.study.on_ray import OnRay  # noqa: PLC0415
        return OnRay(where.ray_address, where.cpus, where.gpus, where.memory_gib)
    raise unknown("backend", where.backend, ("local", "ray"))


def _steps(steps: int | None) -> dict[str, str]:
    return {} if steps is None else {"steps": str(steps)}
