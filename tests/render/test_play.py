"""Films: what is in them, what is refused, and environments of others."""

import dataclasses
import itertools
import re
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageColor

import adaps
from adaps.cli.commands import main
from adaps.collect.jax import JaxCollector
from adaps.envs.builtin.bps import State
from adaps.files import run_folder as files
from adaps.render import Players, film, random_team, trained_team
from adaps.render.bps import BpsPainter
from adaps.render.episode import Episode, play, random_policy
from adaps.render.film import write_gif
from adaps.render.palette import appearance
from adaps.render.pictures import PAINTERS, pictures
from adaps.report.figures import PALETTE, kind_colours
from adaps.training.progress import Watch
from adaps.types import action_space_of
from probes import OPPOSITE

ENVS = ("bps:2-1", "rware-2color-tiny-2ag", "foraging-fixed-5x5-3p-1f")
TITLE = 14
"""Height of the line of text in a small film."""


def frames_of(path):
    with Image.open(path) as image:
        frames = []
        for number in range(image.n_frames):
            image.seek(number)
            frames.append(np.asarray(image.convert("RGB")))
    return np.stack(frames)


def colours_in(frame):
    return {
        "#{:02X}{:02X}{:02X}".format(*pixel) for pixel in np.unique(frame.reshape(-1, 3), axis=0)
    }


@pytest.mark.parametrize("env", ENVS)
def test_random_actions_in_every_family(env, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(f"play --random {env} --max-steps 3 --size 161 --fps 5".split()) == 0
    (path,) = tmp_path.iterdir()
    assert path.name == env.replace(":", "-") + ".gif"
    out = capsys.readouterr().out
    assert re.search(
        rf"^return \S+ in 3 steps, over all agents, where .* ended it\n{path.name}$", out.strip()
    )
    frames = frames_of(path)
    assert (len(frames), frames.shape[2]) == (4, 161)
    assert all((a != b).any() for a, b in itertools.pairwise(frames))
    types = set(adaps.make(env).agent_types)
    assert set(kind_colours(len(types))) <= colours_in(frames[0])
    with Image.open(path) as image:
        assert image.info["duration"] == 200
        assert image.info["loop"] == 0


def test_a_run_is_played(short_run, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(short_run[0], folder)
    before = {path.name for path in folder.iterdir()}
    assert main(f"play {folder} --max-steps 2 --size 150 --seed 1 --episode 3".split()) == 0
    assert {path.name for path in folder.iterdir()} - before == {"episode.gif"}
    assert str(folder / "episode.gif") in capsys.readouterr().out
    frames = frames_of(folder / "episode.gif")
    assert frames.shape == (3, 150 + TITLE, 150, 3)
    clusters = files.read_json(folder, files.IDENTITY)["clusters"][1]
    assert set(kind_colours(max(clusters) + 1)) <= colours_in(frames[0])


def test_colours_are_those_of_clusters_else_of_parameter_sets(short_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(short_run[0], folder)
    env = adaps.make("bps-1")
    clusters = files.read_json(folder, files.IDENTITY)["clusters"][0]
    colours = kind_colours(max(clusters) + 1)
    team = trained_team(env, folder, None)
    assert team.appearance.agent_colours == tuple(colours[c] for c in clusters)
    (folder / files.IDENTITY).unlink()
    group = np.asarray(adaps.load(folder).sharing.param_set)
    assert len(set(trained_team(env, folder, None).appearance.agent_colours)) == len(set(group))
    with pytest.raises(adaps.UserError, match=r"is for 15 agents, .* but bps:2-1 has 3 agents"):
        trained_team(adaps.make("bps:2-1"), folder, None)


def test_every_agent_has_its_clusters_colour_in_the_film(tmp_path):
    env = adaps.make("bps:2-2")
    position = np.array([[-2.0, -2.0], [-2.0, 2.0], [2.0, -2.0], [2.0, 2.0]])
    landmark = np.array([[0.0, 0.0], [0.0, 2.0]])
    state = State(position, np.zeros((4, 2)), landmark, np.zeros(()))
    clusters = [0, 1, 2, 1]
    look = appearance(clusters, env.agent_types)
    picture = pictures(env, Episode([state], np.zeros(1)), look, 200)
    write_gif(tmp_path / "film.gif", picture, 1, 10, lambda: None)
    (frame,) = frames_of(tmp_path / "film.gif")
    places = BpsPainter(env, [state], look, 200).agents[0].round().astype(int)
    for (x, y), cluster in zip(places, clusters, strict=True):
        assert tuple(frame[y + TITLE, x]) == ImageColor.getrgb(kind_colours(3)[cluster])


def test_appearance():
    found = appearance([0, 0, 1, 1], (7, 7, 9, 9))
    assert found.type_colours == tuple(kind_colours(2))
    assert found.agent_shapes == ("o", "o", "s", "s") == tuple(np.repeat(found.type_shapes, 2))
    mixed = appearance([0, 1, 1, 2], (0, 0, 1, 2))
    assert mixed.type_colours[2] == PALETTE[2]
    assert not {*mixed.type_colours[:2]} & {*mixed.agent_colours}
    alone = appearance(range(8), (0, 0, 0, 0, 1, 1, 1, 1))
    assert not {*alone.type_colours} & {*alone.agent_colours}
    unknown = appearance([0, 1], None)
    assert unknown.agent_shapes == ("o", "o")


@pytest.mark.parametrize("name", ["bps:2-1", "foraging-fixed-5x5-3p-1f"])
def test_an_episode_is_that_of_evaluation(name):
    env = adaps.make(name)
    policy = random_policy(action_space_of(env))
    episode = play(env, policy, 4, env.max_steps)
    expected = JaxCollector(env).play(policy, jnp.array([4]))
    assert episode.returns[-1] == pytest.approx(float(expected.returns.sum()), abs=1e-4)
    assert len(episode.states) == len(episode.returns)
    assert [int(state.time) for state in episode.states] == list(range(len(episode.states)))


def test_an_episode_that_ends_early_shows_its_end():
    env = adaps.make("foraging-fixed-5x5-12p-1f")
    episode = play(env, random_policy(action_space_of(env)), 0, env.max_steps)
    assert len(episode.states) <= env.max_steps
    assert episode.states[-2].food_level.any()
    assert not episode.states[-1].food_level.any()
    assert episode.returns[-1] == pytest.approx(1)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A probe that keeps a key in its state and draws itself, without ``advance``."""

    picture: object = None
    name: str = "drawn"
    num_agents: int = 2
    obs_size: int = 1
    num_actions: int = 2
    max_steps: int = 3
    agent_types: None = None

    def reset(self, key):
        return (key, jnp.int32(0)), self.timestep(jnp.int32(0))

    def step(self, key, state, action):
        state = (key, state[1] + 1)
        return adaps.envs.auto_reset(self.reset, key, state, self.timestep(state[1]))

    def timestep(self, time):
        seen = adaps.Observation(jnp.zeros((2, 1)), jnp.ones((2, 2), bool))
        return adaps.Timestep(seen, jnp.ones(2), jnp.zeros((), bool), time >= 3, seen)

    def render(self, state):
        assert jnp.issubdtype(state[0].dtype, jax.dtypes.prng_key)
        return self.picture(int(state[1]))


PICTURES = {
    "array": lambda time: np.full((4, 8, 3), 60 * time, np.uint8),
    "grey": lambda time: np.full((4, 8), 60 * time, np.uint8),
    "image": lambda time: Image.new("RGBA", (8 + time, 4), (*(3 * (60 * time,)), 255)),
}


@pytest.fixture(scope="module")
def drawn_episode():
    """Played once: what the pictures are makes no difference to it."""
    return play(Drawn(), random_policy(action_space_of(Drawn())), 0, 9)


@pytest.fixture
def as_drawn(drawn_episode, monkeypatch):
    monkeypatch.setattr("adaps.render.play", lambda env, *_: drawn_episode)


@pytest.mark.usefixtures("as_drawn")
@pytest.mark.parametrize("kind", PICTURES)
def test_an_environment_may_draw_itself(kind, tmp_path):
    env = Drawn(PICTURES[kind])
    film(random_team(env), tmp_path / "film.gif", 0, 9, 10, 100, Watch())
    frames = frames_of(tmp_path / "film.gif")
    assert frames.shape == (4, 50 + TITLE, 100, 3)
    # The reset at the end is not shown: the state before it stands for the last.
    assert frames[:, TITLE + 25, 50, 0].tolist() == [0, 60, 120, 120]


@pytest.mark.usefixtures("as_drawn")
@pytest.mark.parametrize("drawn", [np.zeros((4, 4, 3)), np.zeros(4, np.uint8), "a cat", None])
def test_what_is_no_picture_is_told_so(drawn, tmp_path):
    team = random_team(Drawn(lambda _: drawn))
    with pytest.raises(adaps.UserError, match=r"drawn: render\(state\) must return a PIL image"):
        film(team, tmp_path / "film.gif", 0, 3, 10, 100, Watch())
    assert list(tmp_path.iterdir()) == []


def test_what_nothing_draws_becomes_a_table(tmp_path):
    policy = random_policy(action_space_of(OPPOSITE))
    team = Players(OPPOSITE, policy, appearance((0,) * OPPOSITE.num_agents, None))
    episode = film(team, tmp_path / "film.gif", 0, 3, 10, 300, Watch())
    with Image.open(tmp_path / "film.gif") as picture:
        assert picture.n_frames == len(episode.moments) == len(episode.states)
        assert picture.width == 300
    assert episode.returns[-1] == pytest.approx(sum(m.reward.sum() for m in episode.moments))


def test_every_family_can_be_drawn():
    for family in adaps.envs.FAMILIES:
        assert isinstance(family.parse(family.NAMES[0]), tuple(PAINTERS))


def test_a_film_is_small(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["play", "--random", "bps-2", "--out", "Film.GIF"]) == 0
    assert (tmp_path / "Film.GIF").stat().st_size < 2e6
    assert len(frames_of(tmp_path / "Film.GIF")) == 51


def test_mp4(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="MP4 needs the extra 'video'")
    words = f"play --random bps:2-1 --max-steps 5 --size 161 --out {tmp_path / 'film.mp4'}"
    assert main(words.split()) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]
    # Read back: ffmpeg tells what it found.
    words = [ffmpeg.get_ffmpeg_exe(), "-i", str(tmp_path / "film.mp4"), "-f", "null", "-"]
    found = subprocess.run(words, check=True, capture_output=True, text=True).stderr
    assert re.search(r"Video: h264 .*yuv420p.* 162x176.* 10 fps", found), found
    assert re.search(r"frame= *6 ", found), found


def test_mp4_without_the_extra_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert main(f"play --random bps-1 --out {tmp_path / 'film.mp4'}".split()) == 2
    assert "pip install 'adaps[video]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


BAD = [
    ("play", "name a run's folder, or an environment"),
    ("play RUN --random bps-1", "not both"),
    ("play nowhere", "nowhere.config.json cannot be read"),
    ("play --random bps-9", "bps-"),
    ("play --random", "random"),
    ("play --random bps-1 --out film.avi", r"must end in \.gif or \.mp4, not 'film.avi'"),
    ("play --random bps-1 --out film", r"must end in \.gif or \.mp4"),
    ("play --random bps-1 --out no/film.gif", "there is no folder no"),
    ("play --random bps-1 --seed 0", "--seed chooses a run's policy"),
    ("play --random bps-1 --task-seed 3", "has no task seed"),
    ("play RUN --task-seed 3", "--task-seed goes with --random"),
    ("play --random bps-1 --allow-changes", "--allow-changes goes with a run's folder"),
    ("play RUN --seed 7", r"no policy of seed 7; it has \[0, 1\]"),
    ("play RUN --seed -1", "no policy of seed -1"),
    ("play RUN --episode -1", "--episode must be from 0"),
    ("play RUN --episode 1e12", "--episode must be from 0"),
    ("play RUN --episode first", "not a number"),
    ("play RUN --fps 0", "--fps must be from 1 to 50, not 0"),
    ("play RUN --fps 1000", "--fps must be from 1 to 50"),
    ("play RUN --fps 2.5", "not a whole number"),
    ("play RUN --max-steps 0", "--max-steps must be from 1"),
    ("play RUN --size 10", "--size must be from 100 to 2000"),
    ("play RUN --sise 100", "did you mean '--size'"),
]


@pytest.mark.parametrize(("words", "says"), BAD, ids=[words for words, _ in BAD])
def test_bad_input_gets_one_line_and_code_2(words, says, short_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = set(short_run[0].rglob("*"))
    assert main(words.replace("RUN", str(short_run[0])).split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("adaps: ")
    assert re.search(says, err), err
    assert list(tmp_path.iterdir()) == []
    assert set(short_run[0].rglob("*")) == before
