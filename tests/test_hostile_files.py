"""Folders and files that somebody sent: whatever they name, none of their code is run.

Each case plants a module whose import leaves a mark, names it in a file, and gives a command.
"""

import itertools
import json
import math
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import jax
import msgspec
import numpy.lib.format as npy
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import adaps
from adaps.cli.commands import main
from adaps.config.checks import resolved
from adaps.config.choices import algo_options, sharing_options
from adaps.config.parsing import parse, parse_train
from adaps.config.saved import source_of, to_json
from adaps.config.training import TrainConfig
from adaps.envs.agent_io import agents_of
from adaps.envs.code import check_env_code
from adaps.envs.host.spaces import flatten_as
from adaps.errors import Interrupted, StorageError
from adaps.extensions import code_allowed
from adaps.files import logged
from adaps.files import run_folder as files
from adaps.files.sinks import TensorBoard
from adaps.networks import MLP
from adaps.networks.agent import Agent
from adaps.sharing.method import DATA_ONLY
from adaps.study import worker
from adaps.study.board import latest
from adaps.study.commands import CompareCommand, compared
from adaps.study.job import Job
from adaps.study.plan import slug
from adaps.study.plan_file import from_file
from adaps.training.environment import made_again
from adaps.training.policy import Policy
from adaps.training.resume import statement

PLANTED = """
with open({mark!r}, "a") as mark:
    mark.write("imported")

from dataclasses import dataclass

import adaps


@dataclass(frozen=True)
class Sharing(adaps.FuPS):
    tags: int = 0


@dataclass(frozen=True)
class Algo(adaps.A2C):
    speed: float = 1.0


@dataclass(frozen=True)
class Encoder(adaps.VAE):
    depth: int = 1


@dataclass(frozen=True)
class Network(adaps.MLP):
    depth: int = 1


def env():
    return adaps.make("bps:1-1")


parallel_env = env
"""
THINGS = {"sharing": "Sharing", "algo": "Algo", "encoder": "Encoder", "network": "Network"}
_numbers = itertools.count()


class Planted(NamedTuple):
    """A module that must not be imported."""

    name: str
    mark: Path

    def of(self, part):
        return f"{self.name}:{THINGS.get(part, 'env')}"

    @property
    def was_run(self):
        return self.mark.exists()


def plant(folder, mark):
    name = f"planted_{next(_numbers)}"  # a name of its own: Python keeps what it has imported
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(PLANTED.format(mark=str(mark)))
    return Planted(name, mark)


def write_config(folder, **names):
    """A run's ``config.json``; ``names`` are of its environment and its parts."""
    config = TrainConfig("bps:1-1", sharing_options("fups"), algo_options("a2c"), steps=400)
    data = to_json(config)
    for part, name in names.items():
        if part == "env":
            data["env"] = name
        else:
            data[part]["name"] = name
    folder.mkdir(parents=True, exist_ok=True)
    said = {"schema": 1, "config": data, "versions": {}, "environment": {}}
    (folder / files.CONFIG).write_text(json.dumps(said))
    return folder


@pytest.fixture(scope="session")
def policy_of_bps(tmp_path_factory):
    """A policy's file as a run saves it, without training."""
    env, out = adaps.make("bps:1-1"), tmp_path_factory.mktemp("policy")
    shape = adaps.NetworkShape(env.num_agents, env.obs_size, adaps.Discrete(env.num_actions), (8,))
    network, method, key = MLP().build(shape), sharing_options("fups"), jax.random.key(0)
    sharing = method.build(key, network, None)
    params = method.init(key, network, sharing)
    folder = files.RunFolder(out)
    Policy(Agent(network, DATA_ONLY), params, sharing, agents_of(env)).save(folder, 0, 400)
    return files.policy_file(out, 0)


def write_policy(folder, whole, **changes):
    """The same with other facts."""
    with safe_open(whole, "numpy") as opened:
        facts = json.loads(opened.metadata()["adaps"])
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    save_file(
        load_file(whole), files.policy_file(folder, 0), {"adaps": json.dumps(facts | changes)}
    )


@pytest.fixture
def sent(tmp_path, monkeypatch):
    """The folder that was sent; commands are given in another one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path / "sent"


def refused(words, capsys):
    """One line, for a command that ends with exit code 2."""
    capsys.readouterr()
    assert main(list(map(str, words))) == 2
    said = capsys.readouterr().err
    assert said.startswith("adaps: ")
    assert said.count("\n") == 1
    return said


RUN_COMMANDS = {
    "evaluate": ("evaluate", "{folder}"),
    "play": ("play", "{folder}", "--out", "film.gif"),
    "resume": ("train", "--resume", "{folder}"),
    "config": ("train", "--config", "{folder}/config.json"),
}


def words_of(command, folder):
    return [word.format(folder=folder) for word in RUN_COMMANDS[command]]


def found_in(where, sent, monkeypatch):
    """Where the module lies, and how Python would come to find it there."""
    if where == "the folder, on Python's path":
        monkeypatch.syspath_prepend(str(sent))
        return sent
    if where == "the folder, which is the working directory":
        sent.mkdir()
        monkeypatch.chdir(sent)
        return sent
    return {"the folder": sent, "the working directory": Path.cwd()}[where]


WHERE = (
    "the folder",
    "the folder, on Python's path",
    "the folder, which is the working directory",
    "the working directory",
)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("form", ["{}:env", "pettingzoo:{}", "PettingZoo:{}?render_mode=human"])
@pytest.mark.parametrize("command", RUN_COMMANDS)
def test_no_environment_of_a_runs_file(command, form, where, sent, monkeypatch, tmp_path, capsys):
    planted = plant(found_in(where, sent, monkeypatch), tmp_path / "mark")
    folder = write_config(sent, env=form.format(planted.name))
    said = refused(words_of(command, folder), capsys)
    assert not planted.was_run
    assert "asks for code" in said
    assert "--allow-code" in said
    assert planted.name not in sys.modules


@pytest.mark.parametrize("where", ["maps", "../sent", "../sent/maps"])
@pytest.mark.parametrize("command", RUN_COMMANDS)
def test_no_file_that_another_project_would_unpickle(command, where, sent, tmp_path, capsys):
    for folder in (Path("maps"), sent, sent / "maps"):
        folder.mkdir(parents=True)
        (folder / "map_buffer_1").write_bytes(pickle.dumps(Pickled(tmp_path / "mark")))
    params = {"map_size": (7, 7), "dir_path": where}
    name = f"jaxmarl:jaxnav?num_agents=2&map_id=Grid-Buffer&map_params={params}"
    folder = write_config(sent, env=name.replace(" ", ""))
    assert "asks for code" in refused(words_of(command, folder), capsys)
    assert not (tmp_path / "mark").exists()


class Pickled:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize(
    "name",
    [
        "pettingzoo:mpe2.simple_tag_v3?max_cycles=50&render_mode=human",
        "PettingZoo:pettingzoo.sisl.pursuit_v5?n_pursuers=4",
        "jaxmarl:HeuristicEnemySMAX?scenario=3m",
        "jaxmarl:jaxnav?map_id=Grid-Rand-Poly&map_params={'map_size':(7,7)}",
        "jumanji:LevelBasedForaging-v0?time_limit=50",
        "BPS-1",
    ],
)
def test_what_comes_with_known_projects_needs_no_word(name, sent):
    check_env_code(name, source_of(write_config(sent, env=name) / files.CONFIG))


NOT_FACTORIES = (
    *("os:abort", "os:system", "builtins:exit", "site:main", "subprocess:Popen", "this:s"),
    *("pettingzoo:os", "pettingzoo:this", "pettingzoo:idlelib.idle", "pettingzoo:lib2to3"),
)


@pytest.mark.parametrize("name", NOT_FACTORIES)
@pytest.mark.parametrize("command", ["evaluate", "play", "resume", "config"])
def test_nothing_of_pythons_own_though_code_be_allowed(command, name, sent, capsys):
    folder = write_config(sent, env=name)
    for more in ([], ["--allow-code"]):
        said = refused([*words_of(command, folder), *more], capsys)
        assert "is of Python's standard library" in said
    assert "idlelib.idle" not in sys.modules


@pytest.mark.parametrize("name", NOT_FACTORIES)
def test_nor_where_it_was_typed(name, sent, capsys):
    assert "is of Python's standard library" in refused(["train", name], capsys)


@pytest.mark.parametrize("thing", ["abort", "Popen", "exit_now"])
def test_nor_by_way_of_another_module(thing, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"by_way_{next(_numbers)}"
    text = "from os import abort, _exit as exit_now\nfrom subprocess import Popen"
    (tmp_path / f"{name}.py").write_text(text)
    with pytest.raises(adaps.UserError, match="is of Python's standard library"):
        adaps.make(f"{name}:{thing}")


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("part", THINGS)
@pytest.mark.parametrize("command", ["resume", "config"])
def test_no_part_of_a_runs_file(command, part, where, sent, monkeypatch, tmp_path, capsys):
    planted = plant(found_in(where, sent, monkeypatch), tmp_path / "mark")
    folder = write_config(sent, **{part: planted.of(part)})
    assert "asks for code" in refused(words_of(command, folder), capsys)
    assert not planted.was_run


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("part", ["network", "sharing"])
@pytest.mark.parametrize("command", ["evaluate", "play", "adaps.load"])
def test_no_part_of_a_policys_file(
    command, part, where, sent, monkeypatch, tmp_path, policy_of_bps, capsys
):
    planted = plant(found_in(where, sent, monkeypatch), tmp_path / "mark")
    field = {"network": "network", "sharing": "method"}[part]
    write_policy(write_config(sent), policy_of_bps, **{field: {"name": planted.of(part)}})
    if command == "adaps.load":
        with pytest.raises(adaps.UserError, match="asks for code"):
            adaps.load(sent)
    else:
        assert "asks for code" in refused(words_of(command, sent), capsys)
    assert not planted.was_run


@pytest.mark.parametrize("form", ["{}:env", "pettingzoo:{}"])
@pytest.mark.parametrize("where", WHERE[1:3])
@pytest.mark.parametrize("command", RUN_COMMANDS)
def test_nothing_out_of_the_folder_though_code_be_allowed(
    command, where, form, sent, monkeypatch, tmp_path, capsys
):
    planted = plant(found_in(where, sent, monkeypatch), tmp_path / "mark")
    folder = write_config(sent, env=form.format(planted.name))
    said = refused([*words_of(command, folder), "--allow-code"], capsys)
    assert "lies in the folder itself" in said
    if command in ("resume", "config"):
        typed = [*words_of(command, folder), form.format(planted.name)]
        assert "lies in the folder itself" in refused(typed, capsys)
    assert not planted.was_run


@pytest.mark.parametrize("part", THINGS)
def test_no_part_out_of_the_folder_though_it_be_named(part, sent, monkeypatch, tmp_path, capsys):
    planted = plant(found_in(WHERE[2], sent, monkeypatch), tmp_path / "mark")
    folder = write_config(sent, **{part: planted.of(part)})
    for more in (["--allow-code"], [f"--{part}", planted.of(part)]):
        said = refused([*words_of("resume", folder), *more], capsys)
        assert "lies in the folder itself" in said
    assert not planted.was_run


def test_a_package_in_the_folder_is_found_out(sent, monkeypatch, tmp_path, capsys):
    sent.mkdir()
    monkeypatch.chdir(sent)
    for package in ("with_init", "without_init"):
        planted = plant(sent / package / "inner", tmp_path / "mark")
        if package == "with_init":
            (sent / package / "__init__.py").touch()
        write_config(sent, env=f"{package}.inner.{planted.name}:env")
        said = refused([*words_of("evaluate", "."), "--allow-code"], capsys)
        assert "lies in the folder itself" in said
        assert not planted.was_run


def test_the_folder_is_no_place_for_what_allowed_code_imports(sent, monkeypatch, tmp_path, capsys):
    planted = plant(sent, tmp_path / "mark")
    monkeypatch.chdir(sent)
    name = f"needs_{next(_numbers)}"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / f"{name}.py").write_text(f"import {planted.name}")
    monkeypatch.syspath_prepend(str(tmp_path / "mine"))
    write_config(sent, env=f"{name}:env")
    assert "No module named" in refused(["evaluate", ".", "--allow-code"], capsys)
    assert not planted.was_run


@pytest.mark.parametrize("package", ["mpe2", "pettingzoo"])
def test_a_known_name_is_not_taken_from_the_working_directory(
    package, sent, monkeypatch, tmp_path, capsys
):
    """Though the package of that name were not installed."""
    folder = {"mpe2": "mpe2", "pettingzoo": "classic"}[package]
    planted = plant(tmp_path / "here" / folder, tmp_path / "mark")
    (tmp_path / "here" / folder / f"{planted.name}.py").rename(
        tmp_path / "here" / folder / "simple_hostile_v3.py"
    )
    write_config(sent, env=f"pettingzoo:{folder}.simple_hostile_v3")
    assert "asks for code" in refused(words_of("evaluate", sent), capsys)
    assert not planted.was_run


@pytest.mark.parametrize(
    "name",
    ["pettingzoo:mpe2.simple_tag_v3", "jaxmarl:MPE_simple_tag_v3", "jumanji:LevelBasedForaging-v0"],
)
def test_nor_out_of_the_folder(name, sent, monkeypatch, tmp_path, capsys):
    """Though the folder be on Python's path, and the package installed nowhere."""
    package = name.partition(":")[2].partition(".")[0] if "mpe2" in name else name.partition(":")[0]
    planted = plant(sent / package, tmp_path / "mark")
    for file in ("__init__", "simple_tag_v3"):
        (sent / package / f"{file}.py").write_text(PLANTED.format(mark=str(tmp_path / "mark")))
    for module in [one for one in sys.modules if one.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.syspath_prepend(str(sent))
    write_config(sent, env=name)
    assert "lies in the folder itself" in refused(words_of("evaluate", sent), capsys)
    assert not planted.was_run


PLANS = {
    "environment": 'envs = ["{env}"]\nvariants = ["fups"]',
    "environment's table": 'variants = ["fups"]\n[envs]\n"{env}" = {{}}',
    "PettingZoo's environment": 'envs = ["pettingzoo:{name}"]\nvariants = ["fups"]',
    "variant": 'envs = ["bps:1-1"]\nvariants = ["{sharing}"]',
    "variant's name": 'envs = ["bps:1-1"]\n[variants]\n"{sharing}" = {{}}',
    "variant's option": 'envs = ["bps:1-1"]\n[variants]\nmine = {{ sharing = "{sharing}" }}',
    "variant's words": 'envs = ["bps:1-1"]\nvariants = ["fups network={network}"]',
    "option": 'envs = ["bps:1-1"]\nvariants = ["fups"]\n[options]\nalgo = "{algo}"',
    "encoder": 'envs = ["bps:1-1"]\nvariants = ["fups"]\n[options]\nencoder = "{encoder}"',
    "environment's option": 'variants = ["fups"]\n[envs]\n"bps:1-1" = {{ network = "{network}" }}',
    "sweep": 'envs = ["bps:1-1"]\n[over]\nsharing = ["{sharing}"]',
    "list": 'envs = ["bps:1-1"]\nvariants = ["fups"]\n[options]\nhidden = [8, "--algo", "{algo}"]',
    "other option's value": (
        'envs = ["bps:1-1"]\nvariants = ["fups"]\n[options]\nsteps = "400 --algo {algo}"'
    ),
    "quoted": (
        'envs = ["bps:1-1"]\nvariants = ["fups"]\n[options]\n'
        """steps = "400 --algo={name}':'Algo" """
    ),
    "option's name": ('envs = ["bps:1-1"]\nvariants = ["fups"]\n[options]\n"algo={algo}" = true'),
    "environment as an option": 'envs = ["--sharing={sharing}"]\nvariants = ["fups"]',
    "its own permission": (
        'envs = ["bps:1-1"]\nvariants = ["{sharing}"]\n[options]\nallow-code = true'
    ),
}


@pytest.mark.parametrize("is_here", [True, False])
@pytest.mark.parametrize("place", PLANS)
def test_no_code_of_a_studys_plan(place, is_here, sent, monkeypatch, tmp_path, capsys):
    planted = plant(sent, tmp_path / "mark")
    monkeypatch.chdir(sent) if is_here else monkeypatch.syspath_prepend(str(sent))
    names = {part: planted.of(part) for part in (*THINGS, "env")}
    (sent / "plan.toml").write_text(PLANS[place].format(name=planted.name, **names))
    said = refused(["compare", sent / "plan.toml", "--seeds", "1", "--out", "out"], capsys)
    assert planted.name in said
    assert not planted.was_run
    assert not Path("out").exists()


@pytest.mark.parametrize("name", NOT_FACTORIES)
def test_a_studys_plan_names_nothing_of_pythons_own(name, sent, capsys):
    sent.mkdir()
    (sent / "plan.toml").write_text(f'envs = ["{name}"]\nvariants = ["fups"]')
    said = refused(["compare", sent / "plan.toml", "--allow-code", "--out", "out"], capsys)
    assert "is of Python's standard library" in said


@pytest.mark.parametrize("part", THINGS)
@pytest.mark.parametrize("command", ["compare", "sweep"])
def test_no_code_of_a_study_that_is_continued(command, part, sent, monkeypatch, tmp_path, capsys):
    planted = plant(sent, tmp_path / "mark")
    monkeypatch.chdir(sent)
    variant = {"compare": "fups", "sweep": "algo.entropy=0.5"}[command]
    folder = sent / "runs" / slug("bps:1-1") / slug(variant) / "seed-0"
    write_config(folder, **{part: planted.of(part)})
    (folder / files.RESULT).write_text("{}")
    words = {
        "compare": ["compare", "--envs", "bps:1-1", "--methods", "fups", "--allow-code"],
        "sweep": ["sweep", "bps:1-1", "--sharing", "fups", "--over", "algo.entropy=0.5"],
    }
    said = refused([*words[command], "--seeds", "1", "--out", "."], capsys)
    assert "it names code that this study does not" in said
    assert not planted.was_run


@pytest.mark.parametrize("part", ["env", *THINGS])
@pytest.mark.parametrize("command", ["report", "auto-resume"])
def test_what_only_reads_names_imports_nothing(command, part, sent, monkeypatch, tmp_path, capsys):
    planted = plant(sent, tmp_path / "mark")
    monkeypatch.chdir(sent)
    write_config(sent, **{part: planted.of(part)})
    words = {"report": ["report", "."], "auto-resume": ["train", "bps:1-1"]}[command]
    if command == "auto-resume":
        said = refused([*words, "--auto-resume", "--out", "."], capsys)
        assert "was begun with other settings" in said or "is not a run's" in said
    else:
        assert main(words) in (0, 2)
    assert not planted.was_run


@pytest.mark.parametrize("flag", ["--identity", "--sharing.groups"])
def test_groups_in_a_file_are_numbers(flag, sent, monkeypatch, tmp_path, capsys):
    planted = plant(sent, tmp_path / "mark")
    monkeypatch.chdir(sent)
    name = planted.of("encoder")
    (sent / "identity.json").write_text(json.dumps({"encoder": name, "clusters": [name, name]}))
    refused(["train", "bps:1-1", "--sharing", "adaps", flag, "identity.json"], capsys)
    assert not planted.was_run


STARTING = {
    "a study's": """
from adaps.config.training import TrainConfig
from adaps.study.job import Job
from adaps.study.local import Lane

if __name__ == "__main__":
    with Lane(0, print, "out") as lane:
        lane.start(Job("bps:1-1", "fups", TrainConfig("bps:1-1", None, None), "run")).result()
""",
    "an environment's": """
import adaps

if __name__ == "__main__":
    copies = adaps.make("pettingzoo:mpe2.simple_spread_v3").open(1, 1)
    copies.reset([0])
    copies.close()
""",
}


@pytest.mark.parametrize("whose", STARTING)
def test_no_process_is_started_out_of_the_working_directory(whose, sent, tmp_path):
    sent.mkdir()
    mark = tmp_path / "mark"
    for name in ("multiprocessing", "pickle", "struct", "jax", "numpy", "cloudpickle"):
        (sent / f"{name}.py").write_text(f"open({str(mark)!r}, 'w').close()\nraise SystemExit")
    (tmp_path / "script.py").write_text(STARTING[whose])
    words = [sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(words, cwd=sent, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not mark.exists()


def test_python_m_adaps_imports_nothing_out_of_the_working_directory(sent, tmp_path):
    planted = plant(sent, tmp_path / "mark")
    (sent / f"{planted.name}.py").rename(sent / "jax.py")
    words = [sys.executable, "-m", "adaps", "evaluate", "."]
    done = subprocess.run(words, cwd=sent, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert not planted.was_run


# Links lead nowhere, and sizes are no promises.


def write_run(folder):
    """A run that has begun and saved nothing, which can be resumed."""
    env = adaps.make("bps:1-1")
    config = TrainConfig("bps:1-1", sharing_options("fups"), algo_options("a2c"), steps=400)
    folder.mkdir()
    said = msgspec.structs.asdict(statement(env, resolved(config, env)))
    (folder / files.CONFIG).write_text(json.dumps({"schema": 1, **said}))
    return folder


@pytest.fixture
def elsewhere(tmp_path):
    """What a link of the folder leads to: a file and a folder."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    yield {"file": tmp_path / "file", "folder": tmp_path / "folder"}
    assert (tmp_path / "file").read_text() == "mine"
    assert not list((tmp_path / "folder").iterdir())


@pytest.mark.parametrize("how", ["--resume", "--auto-resume"])
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (files.METRICS, "file"),
        (".lock", "file"),
        ("checkpoints", "folder"),
        ("checkpoints/state", "folder"),
        ("checkpoints/state/seed-0", "folder"),
    ],
)
def test_no_run_is_written_through_a_link(how, name, kind, sent, elsewhere, capsys):
    folder = write_run(sent)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).symlink_to(elsewhere[kind])
    words = ["--resume", folder] if how == "--resume" else ["bps:1-1", how, "--out", folder]
    said = refused(["train", *words, "--sharing", "fups", "--steps", "400"], capsys)
    assert f"{name} is a symbolic link" in said


@pytest.mark.parametrize(
    ("name", "kind"),
    [(".lock", "file"), ("runs", "folder"), (f"runs/{slug('bps:1-1')}/fups/seed-0", "folder")],
)
def test_no_study_is_written_through_a_link(name, kind, sent, elsewhere, capsys):
    (sent / name).parent.mkdir(parents=True)
    (sent / name).symlink_to(elsewhere[kind])
    words = ["compare", "--envs", "bps:1-1", "--methods", "fups", "--seeds", "1", "--out", sent]
    assert f"{name} is a symbolic link" in refused(words, capsys)


def test_no_metrics_are_added_through_a_link_or_to_a_pipe(sent, elsewhere):
    folder = files.RunFolder(sent)
    for make in (lambda path: path.symlink_to(elsewhere["file"]), os.mkfifo):
        make(sent / files.METRICS)
        with pytest.raises(StorageError, match=f"cannot write .*{files.METRICS}"):
            folder.append_metrics("{}")
        (sent / files.METRICS).unlink()


@pytest.mark.parametrize("name", ["tensorboard", "tensorboard/seed-0"])
def test_no_events_are_written_through_a_link(name, sent, elsewhere):
    (sent / name).parent.mkdir(parents=True)
    (sent / name).symlink_to(elsewhere["folder"])
    with pytest.raises(adaps.UserError, match=f"{name} is a symbolic link"):
        TensorBoard(sent, {}).log(0, 1, {"return_greedy": 1.0})


def test_no_error_is_written_through_a_link(sent, elsewhere, monkeypatch):
    def fail(*_):
        raise RuntimeError("as it may happen")

    monkeypatch.setattr(worker, "_train", fail)
    job = Job("bps:1-1", "fups", TrainConfig("bps:1-1", None, None), "run")
    (sent / "run").mkdir(parents=True)
    (sent / "run" / worker.ERROR).symlink_to(elsewhere["file"])
    assert worker.work(job, sent).failure == "RuntimeError: as it may happen"
    assert "as it may happen" in (sent / "run" / worker.ERROR).read_text()


def test_a_board_waits_for_no_pipe(sent):
    sent.mkdir()
    os.mkfifo(sent / files.METRICS)
    assert latest(sent / files.METRICS) == (0, None)


SPARSE = {
    "evaluate {}": "config.json",
    "train --resume {}": "config.json",
    "train --config {}/config.json": "config.json",
    "report {}": "config.json",
    "report ./{}": "study.json",
    "train bps:1-1 --identity {}/identity.json": "identity.json",
    "train bps:1-1 --sharing.groups {}/groups.json": "groups.json",
    "compare {}/plan.toml": "plan.toml",
    "identify --transitions {}/log.npz": "log.npz",
    "play {}": "checkpoints/seed-0.safetensors",
}


@pytest.mark.parametrize("command", SPARSE)
def test_a_file_that_claims_more_than_the_memory_is_not_begun(command, sent, capsys):
    folder = write_config(sent)
    path = folder / SPARSE[command]
    path.parent.mkdir(exist_ok=True)
    path.touch()
    os.truncate(path, 2**41)
    words = command.format("../sent").split()
    assert "it is larger than the memory that is free" in refused(words, capsys)


def write_log(path, **claims):
    """Transitions; of some arrays another shape is claimed."""
    shapes = {"obs": (80, 2, 3), "next_obs": (80, 2, 3), "action": (80, 2), "reward": (80, 2)}
    with zipfile.ZipFile(path, "w") as archive:
        for name, shape in shapes.items():
            with archive.open(f"{name}.npy", "w") as file:
                facts = {"descr": "<f8", "fortran_order": False, "shape": claims.get(name, shape)}
                npy.write_array_header_1_0(file, facts)
                file.write(bytes(8 * math.prod(shape)))


@pytest.mark.parametrize("shape", [(2**20, 2**20), (80, 2**38), (81, 2)])
@pytest.mark.parametrize("name", ["reward", "obs"])
def test_an_array_that_claims_more_numbers_than_there_are(name, shape, sent, capsys):
    sent.mkdir()
    write_log(sent / "log.npz", **{name: shape})
    words = ["identify", "--transitions", sent / "log.npz"]
    assert f"{name}.npy has" in refused(words, capsys)


def test_arrays_that_are_more_than_the_memory_unpacked(sent, monkeypatch, capsys):
    sent.mkdir()
    with zipfile.ZipFile(sent / "log.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("obs.npy", bytes(10_000_000))
    monkeypatch.setattr(logged, "free_memory", lambda: 1_000_000)
    words = ["identify", "--transitions", sent / "log.npz"]
    assert "its arrays do not fit into the memory that is free" in refused(words, capsys)


SIZES = {
    "obs_size": 2**24,
    "action_space": {"num_actions": 2**24},
    "hidden": [2**24, 2**24],
    "num_agents": 2**24,
}


@pytest.mark.parametrize("size", SIZES)
def test_a_policy_that_claims_a_larger_network(size, sent, policy_of_bps, capsys):
    env = adaps.make("bps:1-1")
    shape = {"num_agents": 2, "obs_size": env.obs_size, "hidden": [8]}
    shape |= {"action_space": {"num_actions": env.num_actions}, size: SIZES[size]}
    write_policy(write_config(sent), policy_of_bps, shape=shape)
    assert "is damaged" in refused(words_of("evaluate", sent), capsys)


def test_a_policy_whose_agents_are_of_other_sizes(sent, policy_of_bps):
    env = adaps.make("bps:1-1")
    for changes in ({"obs_size": 2**40}, {"num_actions": 2**40}, {"obs_size": "many"}):
        space = {"obs_size": env.obs_size, "num_actions": env.num_actions, "label": ""} | changes
        agents = {"names": ["agent_0", "agent_1"], "spaces": [space, space]}
        write_policy(sent, policy_of_bps, agents=json.dumps(agents))
        with pytest.raises(adaps.UserError, match="of another space than the network"):
            adaps.load(sent)
    space = {"box": [2**20, 2**20], "dtype": "float32"}
    layout = {"masked": False, "unpacked": False, "space": space}
    with pytest.raises(ValueError, match="no observation has the shape"):
        flatten_as(json.dumps(layout), [0.0])


# What the user's word allows.


@pytest.fixture
def mine(sent, tmp_path, monkeypatch):
    """A module in the working directory, beside the folder that names it."""
    return plant(Path.cwd(), tmp_path / "mark")


def test_a_run_is_evaluated_where_its_code_is_allowed(mine, sent, policy_of_bps):
    write_config(sent, env=mine.of("env"))
    write_policy(sent, policy_of_bps, network={"name": mine.of("network"), "depth": 1})
    assert main(["evaluate", str(sent), "--episodes", "2", "--allow-code"]) == 0
    assert mine.was_run


def test_a_policy_is_loaded_where_its_code_is_allowed(mine, sent, policy_of_bps):
    write_policy(sent, policy_of_bps, network={"name": mine.of("network"), "depth": 1})
    with pytest.raises(adaps.UserError, match="asks for code"):
        adaps.load(sent)
    assert adaps.load(sent, allow_code=True).agent.network.options.depth == 1
    # What is imported by now runs nothing.
    assert adaps.load(sent).agent.network.options.depth == 1


@pytest.mark.parametrize("flag", ["--resume", "--config"])
def test_a_name_that_is_typed_needs_no_flag(flag, mine, sent):
    names = {part: mine.of(part) for part in (*THINGS, "env")}
    write_config(sent, **names)
    path = sent if flag == "--resume" else sent / files.CONFIG
    typed = [word for part in THINGS for word in (f"--{part}", names[part])]
    config = parse_train([names["env"], flag, str(path), *typed]).config
    assert config.env == names["env"]
    assert config.steps == 400
    assert type(config.algo).__name__ == "Algo"
    assert mine.was_run


def test_options_are_as_saved_where_the_name_is_typed(mine, sent):
    config = write_config(sent, algo=mine.of("algo")) / files.CONFIG
    said = json.loads(config.read_text())
    said["config"]["algo"] |= {"speed": 3.0}
    config.write_text(json.dumps(said))
    words = ["--config", str(config), "--algo", mine.of("algo")]
    assert parse_train(words).config.algo.speed == 3.0
    assert parse_train(["--config", str(config), "--algo", "a2c"]).config.algo == adaps.A2C()


def test_the_flag_allows_all_that_a_configuration_names(mine, sent):
    write_config(sent, **{part: mine.of(part) for part in (*THINGS, "env")})
    config = parse_train(["--resume", str(sent), "--allow-code"]).config
    assert type(config.network).__name__ == "Network"
    with pytest.raises(adaps.UserError, match="asks for code"):
        parse_train(["--resume", str(sent)])  # the environment's


def test_the_word_holds_for_what_it_was_said_of_alone(mine, sent):
    write_config(sent, env=mine.of("env"))
    for names in (["other:env"], []):
        with code_allowed(names=names), pytest.raises(adaps.UserError, match="asks for code"):
            made_again(sent / files.CONFIG)
    with code_allowed(names=[mine.of("env")]):
        check_env_code(mine.of("env"), source_of(sent / files.CONFIG))
    with pytest.raises(adaps.UserError, match="asks for code"):
        made_again(sent / files.CONFIG)
    assert not mine.was_run


@pytest.mark.parametrize("env", ["bps:1-1", "mine"])
def test_what_is_said_at_an_interrupt_goes_on(env, mine, sent, monkeypatch, capsys):
    name = mine.of("env") if env == "mine" else env

    def interrupted(*_, **__):
        write_config(sent, env=name)
        raise Interrupted

    monkeypatch.setattr("adaps.training.run.run", interrupted)
    assert main(["train", name, "--out", str(sent)]) == 130
    words = capsys.readouterr().err.split("adaps train ")[1].split()
    assert ("--allow-code" in words) == (env == "mine")
    assert parse_train(words).config.env == name


@pytest.mark.parametrize("flags", [["--allow-code"], ["--options", "sharing={sharing}"]])
def test_a_plan_is_read_where_its_code_is_allowed(flags, mine, sent):
    sent.mkdir()
    text = f'envs = ["bps:1-1"]\nvariants = ["{mine.of("sharing")}"]'
    (sent / "plan.toml").write_text(text)
    words = [word.format(sharing=mine.of("sharing")) for word in flags]
    command = parse(CompareCommand, "compare", [str(sent / "plan.toml"), *words])
    assert compared(command).variants[0].options == {"sharing": mine.of("sharing")}
    with pytest.raises(adaps.UserError, match="asks for code"):
        from_file(sent / "plan.toml")
