"""An episode as a GIF or MP4 film, drawn without a screen. Stage: report."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adaps.errors import UserError
from adaps.files.run_folder import saved_seeds
from adaps.networks.agent import Policy, greedy
from adaps.render.episode import Episode, play, random_policy
from adaps.render.film import writer_of
from adaps.render.palette import Appearance, appearance
from adaps.render.pictures import pictures
from adaps.report.data import read_run
from adaps.training.environment import for_policy
from adaps.training.policy import load
from adaps.training.progress import Watch
from adaps.types import AnyEnvironment, Memory, action_space_of

__all__ = ["Players", "film", "random_team", "trained_team"]


@dataclass(frozen=True)
class Players:
    """Who plays, and how they look."""

    env: AnyEnvironment
    policy: Policy
    appearance: Appearance
    memory: Memory = ()
    """The policy's before an episode."""


def trained_team(
    env: AnyEnvironment, folder: Path, seed: int | None, allow_changes: bool = False
) -> Players:
    """A run's greedy policy, of its first seed unless named, coloured by what the seed found.

    Without clusters, agents who use one parameter set have one colour. With ``allow_changes``, the
    environment may have other settings.

    Raises:
        UserError: no run, no such seed, a damaged file, or a policy for another environment.
    """
    policy = load(folder, seed)
    env = for_policy(env, policy, folder, allow_changes)
    kinds = read_run(folder).kinds.get(saved_seeds(folder)[0] if seed is None else seed)
    clusters = _numbered(policy.sharing.param_set) if kinds is None else kinds.clusters
    act = policy.agent.policy(policy.params, policy.sharing, greedy)
    return Players(env, act, appearance(clusters, env.agent_types), policy.memory())


def random_team(env: AnyEnvironment) -> Players:
    """Any legal actions; agents are coloured by true type, or alike where it is not known."""
    types = env.agent_types or (0,) * env.num_agents
    policy = random_policy(action_space_of(env))
    return Players(env, policy, appearance(_numbered(types), env.agent_types))


def _numbered(labels: Any) -> list[int]:
    """Labels as numbers from 0, in their order."""
    return np.unique(np.asarray(labels), return_inverse=True)[1].tolist()


def film(
    team: Players,
    out: Path,
    number: int,
    max_steps: int | None,
    fps: int,
    size: int,
    watch: Watch,
) -> Episode:
    """Play an episode and write it as a film, one picture per moment.

    Args:
        team: who plays.
        out: file to write; its extension, .gif or .mp4, says what.
        number: of the episode: the resets are those of evaluation.
        max_steps: the episode is cut off after this many steps; None: not at all.
        fps: pictures, and so steps, per second.
        size: width of the pictures, in pixels.
        watch: is told how far it is.

    Raises:
        UserError: what the environment draws is no picture, or the file cannot be written.
        EndlessEpisodeError: the episode has no limit, and does not come to an end.
    """
    write = writer_of(out)
    if not out.parent.is_dir():
        raise UserError(f"cannot write {out}: there is no folder {out.parent}")
    watch.plan("play", "episodes", 1)
    watch.begin("play")
    episode = play(team.env, team.policy, number, max_steps, team.memory)
    watch.advance("play", 1)
    count = len(episode.returns)
    watch.plan("draw", "pictures", count, timed=True)
    watch.begin("draw")
    picture = pictures(team.env, episode, team.appearance, size)
    try:
        write(out, picture, count, fps, lambda: watch.advance("draw", 1))
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror or error}") from None
    return episode
