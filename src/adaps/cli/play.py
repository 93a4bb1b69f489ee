"""``adaps play``."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from adaps import render
from adaps.cli.progress import ConsoleWatch
from adaps.cli.tables import number
from adaps.config.parsing import parse
from adaps.config.saved import saved_env
from adaps.config.training import Count
from adaps.envs import make
from adaps.errors import UserError
from adaps.extensions import check_options, from_to
from adaps.files.run_folder import CONFIG
from adaps.files.terminal import say


@dataclass(frozen=True)
class PlayCommand:
    """Write an episode as a GIF or MP4 film: greedy actions of a trained run, or random ones.

    Colour shows who was found to be alike, shape who truly is.
    """

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[DIR]")] = ""
    """A run's folder."""
    random: Annotated[str, tyro.conf.arg(metavar="ENV")] = ""
    """Environment to take random actions in, instead of a run."""
    task_seed: Count | None = None
    """That environment's task seed; None: 0. A run has its own."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Film to write, .gif or .mp4; None: episode.gif in the run's folder, or ENV.gif here."""
    seed: Count | None = None
    """Which seed's policy; None: the run's first."""
    episode: Annotated[Count, from_to(0, 2**31 - 1)] = 0
    """Number of the episode: its reset is that of evaluation."""
    fps: Annotated[Count, from_to(1, 50)] = 10
    """Steps shown per second."""
    max_steps: Annotated[Count | None, from_to(1, 2**31 - 1)] = None
    """Stop after this many steps; None: at the end of the episode."""
    size: Annotated[Count, from_to(100, 2_000)] = 480
    """Width of the film, in pixels."""


def run(words: list[str]) -> int:
    """Film an episode."""
    command = parse(PlayCommand, "play", words)
    _check_play(command)
    if command.random:
        team = render.random_team(make(command.random, command.task_seed or 0))
        out = command.out or Path(re.sub(r"[^\w.-]+", "-", team.env.name) + ".gif")
    else:
        folder = Path(command.run)
        env = make(*saved_env(folder / CONFIG))
        team = render.trained_team(env, folder, command.seed)
        out = command.out or folder / "episode.gif"
    steps = command.max_steps or team.env.max_steps
    watch = ConsoleWatch()
    with watch.showing():
        episode = render.film(team, out, command.episode, steps, command.fps, command.size, watch)
    value, steps = number(float(episode.returns[-1])), len(episode.returns) - 1
    say(f"return {value} in {steps} steps", out)
    return 0


def _check_play(command: PlayCommand) -> None:
    if not command.run and not command.random:
        raise UserError("name a run's folder, or an environment: adaps play --random bps-1")
    if command.run and command.random:
        raise UserError("name a run's folder or --random ENV, not both")
    if command.random and command.seed is not None:
        raise UserError("--seed chooses a run's policy; --random has none")
    if command.run and command.task_seed is not None:
        raise UserError("--task-seed goes with --random; a run has its own")
    check_options(command)
