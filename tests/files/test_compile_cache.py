"""What is compiled is found again by the next process, whatever happened to the one before."""

import os
import subprocess
import sys

import jax
import pytest

from adaps.cli.commands import main
from adaps.errors import UserError
from adaps.files.compile_cache import place

COUNT = """
import jax
from adaps.files.compile_cache import enable
where = enable()
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))
print(where, jax.jit(lambda x: sum(jax.numpy.sin(i * x) @ x for i in range(60)))(
    jax.numpy.ones((64, 64))).shape, sum("cache_hits" in hit for hit in hits))
"""


@pytest.fixture
def said(tmp_path):
    def run(**variables):
        home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        plain = {k: v for k, v in os.environ.items() if "CACHE" not in k}
        env = plain | home | {k: v for k, v in variables.items() if v is not None}
        words = [sys.executable, "-c", COUNT]
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
        assert "Error" not in done.stderr
        return done.stdout.split()

    return run


def test_a_second_process_compiles_nothing_anew(said, tmp_path):
    where, *_, hits = said()
    assert where.startswith(str(tmp_path / "cache" / "adaps"))
    assert hits == "0"
    assert said()[-1] != "0"


def test_a_program_that_was_half_written_is_compiled_again(said):
    where = said()[0]
    for name in os.listdir(where):
        if name.endswith("-atime"):
            os.unlink(os.path.join(where, name))
        elif name.endswith("-cache"):
            os.truncate(os.path.join(where, name), 10)
    assert said()[-1] == "0"
    assert said()[-1] != "0"


def test_it_can_be_switched_off_and_put_elsewhere(said, tmp_path):
    assert said(ADAPS_COMPILE_CACHE="off")[0] == "None"
    assert said(ADAPS_COMPILE_CACHE=str(tmp_path / "other"))[0].startswith(str(tmp_path / "other"))
    assert said(JAX_COMPILATION_CACHE_DIR=str(tmp_path / "theirs"))[0] == "None"
    (tmp_path / "file").write_text("")
    assert said(ADAPS_COMPILE_CACHE=str(tmp_path / "file"))[0] == "None"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ADAPS_COMPILE_CACHE", raising=False)
    return tmp_path / "cache" / "adaps" / "compiled"


def made():
    """The folder, which can be had."""
    folder = place()
    assert folder is not None
    return folder


def modes(folder):
    return [path.stat().st_mode & 0o777 for path in (folder, *list(folder.parents)[:2])]


def test_the_folder_is_the_users_alone(home):
    folder = made()
    assert folder.parent == home
    assert modes(folder) == [0o700] * 3
    (folder / "mine-cache").touch()
    (folder / "mine-atime").touch()
    folder.chmod(0o755)  # as versions before made it
    home.chmod(0o755)
    assert place() == folder
    assert modes(folder) == [0o700] * 3
    assert (folder / "mine-cache").exists()


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
@pytest.mark.parametrize("above", [0, 1, 2])
def test_what_others_could_write_is_thrown_away(above, mode, home):
    folder = made()
    for name in ("theirs-cache", "theirs-atime"):
        (folder / name).touch()
    [folder, *folder.parents][above].chmod(mode)
    assert place() == folder
    assert modes(folder) == [0o700] * 3
    assert not list(folder.glob("theirs*"))


@pytest.mark.parametrize("above", [0, 1, 2])
def test_no_link_is_followed(above, home, tmp_path):
    folder = made()
    part = [folder, *folder.parents][above]
    part.rename(tmp_path / "there")
    part.symlink_to(tmp_path / "there")
    assert place() is None


def test_nor_is_a_link_of_a_folder_that_was_chosen(home, tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPS_COMPILE_CACHE", str(tmp_path / "mine"))
    folder = made()
    assert folder.parent == tmp_path / "mine"
    folder.rename(tmp_path / "there")
    folder.symlink_to(tmp_path / "there")
    with pytest.raises(UserError, match=r"^ADAPS_COMPILE_CACHE=.*mine: .* is a link, or another"):
        place()


def test_where_everybody_may_write_nothing_is_kept(home, tmp_path, monkeypatch):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "open" / "cache"))
    assert place() is None
    monkeypatch.setenv("ADAPS_COMPILE_CACHE", str(tmp_path / "open" / "mine"))
    with pytest.raises(UserError, match=r"everybody may write to .*open; name another"):
        place()
    (tmp_path / "open").chmod(0o1777)  # as /tmp is: nobody can take away what is another's
    assert place() is not None


def test_another_users_folder_is_left_alone(home, monkeypatch):
    place()
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    assert place() is None


@pytest.mark.parametrize("inside", ["", "cache", "runs/one/cache"])
@pytest.mark.parametrize("kind", ["run", "study", "run that begins"])
def test_nothing_is_kept_in_what_may_be_handed_on(kind, inside, tmp_path, monkeypatch):
    folder = tmp_path / "sent"
    (folder / "checkpoints").mkdir(parents=True)
    if kind != "run that begins":
        (folder / {"run": "config.json", "study": "study.json"}[kind]).touch()
    monkeypatch.setenv("ADAPS_COMPILE_CACHE", str(folder / inside))
    with pytest.raises(UserError, match=r"sent is a run's or a study's folder"):
        place(folder if kind == "run that begins" else None)
    assert os.listdir(folder / "checkpoints") == []


@pytest.fixture
def jax_has_none():
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.mark.usefixtures("jax_has_none")
def test_a_run_tells_so_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ADAPS_COMPILE_CACHE", str(tmp_path / "run" / "cache"))
    words = ["train", "bps:1-1", "--steps", "400", "--out", str(tmp_path / "run")]
    assert main(words) == 2
    assert "is a run's or a study's folder" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
