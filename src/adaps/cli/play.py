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
from adaps.config.training import AgentTypes, Count
from adaps.envs import make
from adaps.errors import UserError
from adaps.extensions import check_options, code_allowed, from_to
from adaps.files.run_folder import CONFIG
from adaps.files.terminal import say
from adaps.training.environment import made_again


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
    agent_types: AgentTypes = None
    """True type of each of its agents, such as 0 0 1; None: as the environment says. A run has its
    own."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Film to write, .gif or .mp4; None: episode.gif in the run's folder, or ENV.gif here."""
    seed: Count | None = None
    """Which seed's policy; None: the run's first."""
    episode: Annotated[Count, from_to(0, 2**31 - 1)] = 0
    """Number of the episode: its reset is that of evaluation."""
    fps: Annotated[Count, from_to(1, 50)] = 10
    """Steps shown per second."""
    max_steps: Annotated[Count | None, from_to(1, 2**31 - 1)] = None
    """Stop after this many steps; None: at the end of the episode, or where the run's evaluation
    cuts it off."""
    size: Annotated[Count, from_to(100, 2_000)] = 480
    """Width of the film, in pixels."""
    allow_changes: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Play though the environment's settings are not what they were."""
    allow_code: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Import code that is somebody's own and that the run names."""


def run(words: list[str]) -> int:
    """Film an episode."""
    command = parse(PlayCommand, "play", words)
    _check_play(command)
    if command.random:
        env = make(command.random, command.task_seed or 0, command.agent_types)
        team, limit = render.random_team(env), command.max_steps
        out = command.out or Path(re.sub(r"[^\w.-]+", "-", team.env.name) + ".gif")
    else:
        folder = Path(command.run)
        with code_allowed(command.allow_code):
            limit = command.max_steps or saved_env(folder / CONFIG).max_steps
            env = made_again(folder / CONFIG)
            team = render.trained_team(env, folder, command.seed, command.allow_changes)
        out = command.out or folder / "episode.gif"
    watch = ConsoleWatch()
    with watch.showing():
        episode = render.film(team, out, command.episode, limit, command.fps, command.size, watch)
    length = len(episode.returns) - 1
    cut = ", where --max-steps ended it" if length == limit else ""
    value = number(float(episode.returns[-1]))
    say(f"return {value} in {length} steps, over all agents{cut}", out)
    return 0


def _check_play(command: PlayCommand) -> None:
    if not command.run and not command.random:
        raise UserError("name a run's folder, or an environment: adaps play --random bps-1")
    if command.run and command.random:
        raise UserError("name a run's folder or --random ENV, not both")
    if command.random and command.seed is not None:
        raise UserError("--seed chooses a run's policy; --random has none")
    for option in ("task_seed", "agent_types"):
        if command.run and getattr(command, option) is not None:
            flag = option.replace("_", "-")
            raise UserError(f"--{flag} goes with --random; a run has its own")
    if command.random and command.allow_changes:
        raise UserError("--allow-changes goes with a run's folder; --random has no settings")
    check_options(command)
