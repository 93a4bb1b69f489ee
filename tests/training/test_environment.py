"""Agents are known by their names, and an environment is what it was when something was saved."""

import dataclasses
import json
import logging
import re
import shutil
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
import pytest

import adaps
from adaps.cli.commands import main
from adaps.config.groups import given_groups, saved_identity
from adaps.config.saved import SavedEnv
from adaps.config.training import TrainConfig, network_of
from adaps.envs.agent_io import agents_of
from adaps.envs.description import described, differences, plain
from adaps.extensions import code_allowed
from adaps.files import run_folder as files
from adaps.training import run as training
from adaps.training.environment import made_again
from adaps.training.progress import Watch
from adaps.training.recorder import Recorder
from adaps.training.resume import Resume, statement
from envs.teams_in_python import Counting, Shifting
from probes import Probe, constant

NAME = "envs.teams_in_python:Shifting"
QUICK = {"steps": 3_600, "seeds": 1, "evaluations": 1, "eval_episodes": 2, "num_envs": 4}
QUICK |= {"workers": 0, "algo": adaps.A2C(learning_rate=1e-2)}
OTHERWISE = {"AGENTS": "down_a,up_b,up_a"}
"""The same agents in another order."""
CHANGED = {
    "fewer": ({"AGENTS": "up_a,down_a"}, "for 3 agents, up_a, down_a, up_b, but .* has 2 agents"),
    "renamed": ({"AGENTS": "up_a,down_a,red"}, "up_b, but .* has 3 agents, up_a, down_a, red"),
    "numbers": ({"NUMBERS": "5"}, "up_a with observations of 3 numbers and 2 actions, but .* of 5"),
    "actions": ({"ACTIONS": "4"}, "observations of 3 numbers and 4 actions"),
    "first": ({"FIRST": "1"}, "up_a with actions that count from 0, but .* from 1"),
}
"""What the shell says, and what is told then."""


def six_steps(**options):
    return adaps.from_pettingzoo(Shifting, length=6, **options)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Whose best return, 3 agents × 6 steps, needs that every agent gets what is its own."""
    out = tmp_path_factory.mktemp("shifting") / "run"
    result = adaps.train(six_steps(), "nops", out=out, **QUICK)
    assert result.returns == [18]
    return out


@pytest.fixture
def shell(monkeypatch):
    def say(words):
        for name, value in words.items():
            monkeypatch.setenv(name, value)

    return say


def test_it_is_evaluated_with_its_options_whatever_the_order(trained, shell, capsys):
    assert [row.value for row in adaps.evaluate(trained, six_steps(), 2)] == [18]
    shell(OTHERWISE)
    assert main(["evaluate", str(trained), "--episodes", "2", "--allow-code"]) == 0
    assert "18.0" in capsys.readouterr().out
    assert [row.value for row in adaps.evaluate(trained, six_steps(), 2)] == [18]


def test_it_is_played_with_its_options_whatever_the_order(trained, shell, capsys, tmp_path):
    shell(OTHERWISE)
    words = f"play {trained} --size 100 --out {tmp_path / 'a.gif'} --allow-code"
    assert main(words.split()) == 0
    assert "return 18.00 in 6 steps" in capsys.readouterr().out


def test_it_is_resumed_whatever_the_order(trained, shell, tmp_path):
    out = shutil.copytree(trained, tmp_path / "run")
    shell(OTHERWISE)
    assert main(f"train --resume {out} --steps 3_640 --allow-code".split()) == 0
    assert files.read_json(out, files.RESULT)["return_per_seed"] == [18]
    assert files.read_json(out, files.IDENTITY)["agent_names"] == ["up_a", "down_a", "up_b"]
    assert adaps.load(out).agents.names == ("up_a", "down_a", "up_b")


def test_it_begins_anew_from_its_settings_with_its_options(trained, shell):
    shell(OTHERWISE)
    with code_allowed(names=[NAME]):
        env = made_again(trained / files.CONFIG)
    assert env.agent_names == ("up_a", "down_a", "up_b")
    assert described(env)["made_with"]["options"] == {"length": 6}
    assert made_again(trained / files.CONFIG, SavedEnv("bps:2-1")) == adaps.make("bps:2-1")


@pytest.fixture
def found(tmp_path):
    """Kinds of agents in an environment, as ``adaps identify`` saves them."""

    def save(env, clusters, **more):
        codes = np.eye(3)[clusters].tolist()
        data = {
            "clusters": clusters,
            "latent": codes,
            "centres": np.eye(3)[: max(clusters) + 1].tolist(),
        }
        data |= {"agent_names": list(agents_of(env).names), "environment": described(env)}
        path = tmp_path / "identity.json"
        path.write_text(json.dumps(data | more))
        return path

    return save


def test_kinds_are_those_of_the_names(found, shell):
    path = found(six_steps(), [0, 1, 0])
    shell(OTHERWISE)
    identity = saved_identity(path, six_steps())
    assert identity.clusters.tolist() == [1, 0, 0]
    np.testing.assert_array_equal(identity.latent, np.eye(3)[[1, 0, 0]])
    path = found(adaps.make("bps:2-1"), [0, 0, 1])
    assert saved_identity(path, adaps.make("bps:2-1")).clusters.tolist() == [0, 0, 1]


def test_kinds_from_transitions_go_by_name_if_there_are_names(found, shell):
    path = found(six_steps(), [0, 1, 0], environment=None)
    shell(OTHERWISE)
    assert saved_identity(path, six_steps()).clusters.tolist() == [1, 0, 0]
    path = found(
        six_steps(), [0, 1, 0], environment=None, agent_names=["agent_0", "agent_1", "agent_2"]
    )
    assert saved_identity(path, six_steps()).clusters.tolist() == [0, 1, 0]


def test_groups_go_by_name(shell):
    groups = [["up_a", "up_b"], ["down_a"]]
    assert given_groups(groups, six_steps()).tolist() == [0, 1, 0]
    shell(OTHERWISE)
    assert given_groups(groups, six_steps()).tolist() == [1, 0, 0]


def test_true_types_go_by_name(trained, shell):
    env = six_steps(agent_types={"down_a": 1, "up_b": 0, "up_a": 0})
    assert env.agent_types == (0, 1, 0)
    shell(OTHERWISE)
    # They are labels: they may be other ones, or missing.
    assert [row.value for row in adaps.evaluate(trained, env, 1)] == [18]


def test_true_types_that_were_said_by_place_go_by_name_later(tmp_path, shell):
    env = six_steps(agent_types=[7, 8, 7])
    config = dataclasses.replace(CONFIG, env=env.name, agent_types=(7, 8, 7))
    folder = begun(tmp_path / "run", env, config)
    shell(OTHERWISE)
    with code_allowed(names=[NAME]):
        again = made_again(folder / files.CONFIG)
    assert (again.agent_names, again.agent_types) == (env.agent_names, (7, 8, 7))


@pytest.mark.parametrize("how", CHANGED)
@pytest.mark.parametrize("command", ["evaluate", "play", "train --resume"])
def test_other_agents_are_refused(command, how, trained, shell, capsys):
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    words, says = CHANGED[how]
    shell(words)
    assert main([*command.split(), str(trained), "--allow-code"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(says, error), error
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("how", CHANGED)
def test_kinds_of_other_agents_are_refused(how, found, shell):
    path, (words, says) = found(six_steps(), [0, 1, 0]), CHANGED[how]
    shell(words)
    with pytest.raises(adaps.UserError, match=f"--identity .*{says}"):
        saved_identity(path, six_steps())


def test_other_options_are_refused(trained, found):
    env = adaps.from_pettingzoo(Shifting, length=5)
    says = r"made_with.options.length: 6 there, 5 here"
    with pytest.raises(adaps.UserError, match=f"another environment than {env.name}: .*{says}"):
        adaps.evaluate(trained, env, 1)
    with pytest.raises(adaps.UserError, match=says):
        adaps.train(env, "nops", out=trained, resume=True, **QUICK)
    with pytest.raises(adaps.UserError, match=f"{says} .*identify its agents"):
        saved_identity(found(six_steps(), [0, 1, 0]), env)
    assert [row.value for row in adaps.evaluate(trained, env, 1, allow_changes=True)] == [15]


def test_an_edited_function_with_other_options_is_refused(trained, monkeypatch, capsys):
    monkeypatch.setattr("envs.teams_in_python.Shifting", lambda size: Shifting())
    for command in ("evaluate", "play", "train --resume"):
        assert main([*command.split(), str(trained), "--allow-code"]) == 2
        assert "unexpected keyword argument 'length'" in capsys.readouterr().err


@dataclass(frozen=True)
class Sized(Probe):
    """Has an option that shows in no size, and one that holds an array."""

    bonus: float = 1.0
    weights: object = dataclasses.field(default_factory=lambda: np.arange(3.0), hash=False)


ENV = Sized("sized", constant)
CONFIG = TrainConfig("sized", adaps.FuPS(), adaps.A2C(), steps=1_000, seeds=1)


def begun(folder, env=ENV, config=CONFIG):
    """A run's folder before anything was learnt, as it is found after an interrupt."""
    network = network_of(env, config)
    sharing = config.sharing.build(jax.random.key(0), network, None)
    params = config.sharing.init(jax.random.key(0), network, sharing)
    policy = adaps.Policy(adaps.Agent(network, config.sharing), params, sharing, agents_of(env))
    Recorder(env, config, training.placement_of(env, config), files.RunFolder(folder), Watch())
    policy.save(files.RunFolder(folder, resumes=True), 0, 0)
    return folder


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"bonus": 2.0}, "fields.bonus: 1.0 there, 2.0 here"),
        ({"weights": np.arange(3.0) + 1}, "fields.weights.sha256: "),
        ({"max_steps": 2}, "max_steps: 1 there, 2 here"),
        ({"name": "other"}, 'fields.name: "sized" there, "other" here'),
    ],
)
def test_another_field_of_an_environment_in_jax_is_refused(changed, says, tmp_path):
    folder, env = begun(tmp_path / "run"), dataclasses.replace(ENV, **changed)
    with pytest.raises(adaps.UserError, match=says):
        adaps.evaluate(folder, env)
    with pytest.raises(adaps.UserError, match=f"begun with other settings: .*{says}"):
        training.run(env, CONFIG, folder, Watch(), resume=Resume())


def test_other_agents_of_an_environment_in_jax_are_refused(tmp_path):
    folder, more = begun(tmp_path / "run"), dataclasses.replace(ENV, agent_types=(0, 0, 1))
    with pytest.raises(adaps.UserError, match=r"is for 2 agents, .* but sized has 3 agents"):
        adaps.evaluate(folder, more)
    with pytest.raises(adaps.UserError, match="num_agents: 2 there, 3 here"):
        training.run(more, CONFIG, folder, Watch(), resume=Resume())
    with pytest.raises(adaps.UserError, match=r"numbers and 2 actions, but .* 1 numbers and 3 act"):
        adaps.evaluate(folder, dataclasses.replace(ENV, num_actions=3))


def test_what_an_earlier_version_did_not_save_is_not_compared(tmp_path):
    folder = begun(tmp_path / "run")
    data = files.read_json(folder, files.CONFIG)
    for name in ("agents", "fields"):
        del data["environment"][name]
    files.write_json(folder / files.CONFIG, data)
    changed = dataclasses.replace(ENV, max_steps=2, bonus=2.0)
    with pytest.raises(adaps.UserError, match=r"other settings: environment.max_steps: 1 there, 2"):
        training.run(changed, CONFIG, folder, Watch(), resume=Resume())


def nobody():
    return Counting()


def stop(*_args, **_options):
    """Nothing need be trained."""
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("env", "why"),
    [
        (adaps.from_pettingzoo(lambda: Shifting(5), name="mine"), "'mine' is no name"),
        (adaps.from_pettingzoo(partial(Shifting, 5)), "'partial' is no name"),
        (adaps.from_pettingzoo(Counting, name=NAME), "is no name that it is made by"),
        (adaps.from_pettingzoo(Shifting, spare=nobody), "option 'spare' cannot be saved"),
        (ENV, "'sized' is no name that it is made by"),
        (dataclasses.replace(adaps.make("bps:2-1"), shuffled=True), "'bps:2-1' is no name"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_cannot_be_made_again_is_said_when_it_starts(env, why, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(training, "run", stop)
    with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
        adaps.train(env, out=tmp_path / "run")
    (line,) = caplog.messages
    assert why in line
    assert "adaps.evaluate(folder, env)" in line


@pytest.mark.parametrize(
    "env", [adaps.make("bps:2-1"), six_steps(), "bps:2-1"], ids=["bps", "6", ""]
)
def test_of_what_can_be_nothing_is_said(env, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(training, "run", stop)
    with pytest.raises(KeyboardInterrupt):
        adaps.train(env, out=tmp_path / "run")
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("env", "says"),
    [
        (adaps.from_pettingzoo(lambda: Shifting(5), name="mine"), "made by the name 'mine'; give"),
        (adaps.from_pettingzoo(Shifting, spare=nobody), "option 'spare' is not saved; give"),
        (ENV, "made by the name 'sized'; give"),
    ],
    ids=["lambda", "option", "object"],
)
@pytest.mark.parametrize("command", ["evaluate", "play", "train --resume"])
def test_commands_say_that_it_has_to_be_given_in_python(command, env, says, tmp_path, capsys):
    folder = begun(tmp_path / "run", env, dataclasses.replace(CONFIG, env=env.name))
    capsys.readouterr()
    assert main([*command.split(), str(folder), "--allow-code"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{says} the environment in Python: adaps.evaluate(folder, env)" in error


def test_values_that_json_has_not_are_described():
    held = {
        "array": np.zeros((2, 3)),
        "number": np.int64(3),
        "key": jax.random.key(0),
        "function": nobody,
        "infinite": float("inf"),
        "set": {"b", "a"},
        "tuple": (1, (2,)),
        "nested": ENV,
        "by number": {1: None},
    }
    data = plain(held)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["array"]["shape"] == [2, 3]
    assert (data["number"], data["function"], data["set"]) == (3, "nobody", ["a", "b"])
    assert data["nested"]["bonus"] == 1.0
    again = {**held, "array": np.ones((2, 3))}
    assert [one.name for one in differences(data, plain(again))] == ["array.sha256"]


def test_objects_are_described_by_what_they_hold():
    class Own:
        name, num_agents, obs_size, num_actions, max_steps, agent_types = "own", 1, 1, 2, 9, None

        def __init__(self, size):
            self.size, self._seen = size, 0

        reset = step = nobody

    found = differences(described(Own(3)), described(Own(4)))
    assert [str(one) for one in found] == ["fields.size: 3 there, 4 here"]


def test_only_pettingzoo_is_given_what_a_file_says(tmp_path):
    data = {"config": {"env": "jumanji:LevelBasedForaging-v0"}, "environment": {"made_with": {}}}
    data["environment"]["made_with"] = {"options": {"path": "somebody's"}}
    (tmp_path / "config.json").write_text(json.dumps(data))
    assert made_again(tmp_path / "config.json").name == "jumanji:LevelBasedForaging-v0"


@pytest.mark.parametrize(
    "damaged", [[], {"made_with": []}, {"made_with": {"lost": 3}}, {"agents": 3}]
)
def test_a_damaged_environment_is_told_so(damaged, tmp_path):
    data = {"config": {"env": "bps:2-1"}, "environment": damaged}
    (tmp_path / "config.json").write_text(json.dumps(data))
    with pytest.raises(adaps.UserError, match=r"config.json is damaged: "):
        made_again(tmp_path / "config.json")


def test_a_run_of_a_name_says_what_it_is(tmp_path):
    folder = begun(tmp_path / "run")
    said = files.read_json(folder, files.CONFIG)["environment"]
    assert said == json.loads(json.dumps(statement(ENV, CONFIG).environment))
    assert (said["agents"], said["fields"]["bonus"]) == (None, 1.0)
