"""Identify, train, evaluate and play where the environment runs in Python."""

import dataclasses
import json
import shutil
import sys
from contextlib import closing

import jax
import numpy as np
import pytest

import adaps
from adaps.cli.commands import main
from adaps.collect.evaluate import random_return
from adaps.collect.host import HostCollector
from adaps.config.training import TrainConfig
from adaps.envs.agent_io import agents_of
from adaps.errors import HostEnvironmentError, UserError
from adaps.files.checkpoint import Series, load
from adaps.files.run_folder import saved_seeds
from adaps.render import film, random_team
from adaps.training.checkpoint_compat import check_fits
from adaps.training.checkpoint_metadata import decoded
from adaps.training.host_stages import make_host_stages
from adaps.training.progress import Watch
from adaps.training.resume import Resume
from adaps.training.run import run
from adaps.types import NetworkShape
from envs.teams_in_python import Counting, Mixed, counting, mixed

QUICK = {
    "steps": 3_600,
    "seeds": 1,
    "evaluations": 2,
    "eval_episodes": 2,
    "encoder": adaps.VAE(updates=50),
    "num_envs": 4,
    "workers": 0,
}


def dying():
    return Counting(length=6, leave={"a": 3})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("host") / "run"
    env = adaps.from_pettingzoo(dying)
    return env, adaps.train(env, out=out, algo=adaps.A2C(learning_rate=1e-2), **QUICK), out


def test_a_team_of_whom_some_die_learns(trained):
    _, result, out = trained
    assert result.returns[0] == pytest.approx(9)  # an action of 1 pays; a acts three times, b six
    line = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    assert np.isfinite(line["policy_loss"])
    assert line["env_steps"] == 3_600


def test_a_saved_policy_is_asked_by_name(trained):
    env, result, out = trained
    policy = adaps.load(out)
    seen, _ = (made := dying()).reset(seed=0)
    assert policy.act_by_name(seen) == {"a": 1, "b": 1}
    assert policy.act_by_name({"b": seen["b"]}, jax.random.key(0)).keys() == {"b"}
    assert policy.act_by_name(seen, legal={"b": [1, 0]})["b"] == 0
    assert result.policies[0].agents == policy.agents
    assert policy.agents.names == env.agent_names == tuple(made.possible_agents)
    with pytest.raises(UserError, match="the policy knows no agent 'c'; it is for a, b"):
        policy.act_by_name({"c": seen["b"]})
    with pytest.raises(UserError, match=r"the observation of b is not in its space: its shape is"):
        policy.act_by_name({"b": seen["b"][:2]})


def test_it_is_evaluated_anew(trained):
    env, _, out = trained
    assert [row.value for row in adaps.evaluate(out, env, 3)] == [9]
    assert 2 < random_return(env) < 7


def test_the_page_of_such_a_run_is_written(trained):
    from adaps.report import write_report  # noqa: PLC0415

    assert write_report(trained[2]).exists()


@pytest.fixture(scope="module")
def told_apart():
    return adaps.identify(adaps.from_pettingzoo(mixed, agent_types=[0, 1, 2, 3]), gather_steps=400)


def test_agents_whose_spaces_differ_are_of_different_kinds(told_apart):
    assert told_apart.clusters.tolist() == [0, 1, 2, 3]
    findings = told_apart.findings
    assert findings["adjusted_rand_index"] == 1
    advice, confidence = findings["advice"], findings["confidence"]
    assert advice["verdict"] == "nothing to compare"
    assert advice["sentence"] == (
        "Nothing to compare: the 4 agents differ by construction (7, 2, 8 and 5 numbers)."
    )
    (reason,) = advice["reasons"]
    assert "by construction: dict (one of 3 and 2 × 2 numbers, 2 actions); masked (" in reason
    assert (confidence["num_clusters"], confidence["agreement"]) == ({}, None)
    assert [part["agents"] for part in findings["parts"]] == [[0], [1], [2], [3]]
    assert np.linalg.norm(np.diff(told_apart.centres, axis=0), axis=1).min() > 1


def test_a_number_of_kinds_cannot_be_asked_of_unlike_spaces():
    env = adaps.from_pettingzoo(mixed)
    with pytest.raises(UserError, match="spaces differ in 4 ways"):
        adaps.identify(env, clusters=2)
    with pytest.raises(UserError, match="spaces differ in 4 ways"):
        adaps.train(env, adaps.AdaPS(clusters=2))


def test_unlike_spaces_share_a_network(tmp_path):
    from adaps.report import write_report  # noqa: PLC0415

    env = adaps.from_pettingzoo(mixed, max_steps=10)
    result = adaps.train(env, **QUICK, out=tmp_path / "run")
    assert result.clusters == [[0, 1, 2, 3]]
    seen = Mixed()._seen()
    actions = adaps.load(tmp_path / "run").act_by_name(seen)
    assert all(actions[a] in Mixed().action_space(a) for a in actions)
    assert actions["masked"] in (1, 3)
    page = write_report(tmp_path / "run").read_text()
    assert "by construction: dict (one of 3 and 2 × 2 numbers, 2 actions); masked (" in page
    assert "4 agents in 4 kinds, all of them by construction" in page


def test_illegal_actions_are_never_drawn():
    env = adaps.from_pettingzoo(mixed)
    legal = np.array([[1, 1, 0, 0], [0, 1, 0, 1], [1, 1, 1, 0], [1, 0, 0, 0]], bool)
    policy = _untrained(env)

    def act(key, memory, observation, first):
        return memory, policy.act(observation.obs, key, observation.legal)

    with closing(env.open(2, 0)) as copies:
        collector = HostCollector(lambda _: copies, env.max_steps)
        _, seen = collector.collect(act, collector.start(jax.random.key(0), 2), 100)
    taken = np.asarray(jax.nn.one_hot(seen.action, 4)).any(axis=(0, 1))
    np.testing.assert_array_equal(taken, legal)


def _untrained(env):
    shape = NetworkShape(env.num_agents, env.obs_size, adaps.Discrete(env.num_actions), (8,))
    method, network = adaps.FuPS(), adaps.MLP().build(shape)
    sharing = method.build(jax.random.key(0), network, None)
    params = method.init(jax.random.key(0), network, sharing)
    return adaps.Policy(adaps.Agent(network, method), params, sharing, agents_of(env))


def test_a_team_of_one_can_be_trained():
    env = adaps.from_pettingzoo(lambda: Counting(names=("b",)), name="alone")
    result = adaps.train(env, algo=adaps.A2C(learning_rate=1e-2), **QUICK)
    assert (result.clusters, result.returns) == ([[0]], [4])
    assert adaps.identify(env, gather_steps=400).findings["advice"]["verdict"] == "share all"


def broken():
    return Counting(flaw="raises", at=(120, 2))


def test_what_was_learnt_is_saved_when_the_environment_fails(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "mine", sys.modules[__name__])
    out = tmp_path / "run"
    words = "train mine:broken --steps 3_600 --seeds 1 --evaluations 40 --eval-episodes 2"
    words += " --workers 0 --sharing fups --num-envs 2"
    assert main([*words.split(), "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert "mine:broken, step 2: step raised RuntimeError: the simulator crashed" in error
    assert "in step" in error
    assert "the environment failed; saved policies of seeds [0]" in error
    assert saved_seeds(out) == [0]


def test_a_failure_before_anything_was_learnt_says_so(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "mine", sys.modules[__name__])
    words = f"identify mine:broken --gather-steps 4_000 --out {tmp_path / 'found'}"
    assert main(words.split()) == 1
    assert "the simulator crashed" in capsys.readouterr().err
    assert not (tmp_path / "found").exists()


class StopAt(Watch):
    """Wishes to stop when a phase has come so far."""

    def __init__(self, phase, amount):
        super().__init__()
        self.phase, self.left, self.skipped = phase, amount, {}

    def advance(self, name, amount, text=""):
        self.left -= amount if name == self.phase else 0
        if self.left <= 0:
            self.stop.set()

    def skip(self, name, amount):
        self.skipped[name] = self.skipped.get(name, 0) + amount


def test_a_stopped_run_goes_on_with_all_but_its_episodes(tmp_path):
    out, env = tmp_path / "run", adaps.from_pettingzoo(dying)
    options = {**QUICK, "encoder": adaps.VAE(updates=50)}
    config = TrainConfig(env.name, adaps.AdaPS(), adaps.A2C(learning_rate=1e-2), **options)
    for phase, amount in (("gather", 800), ("identify", 10), ("train", 300)):
        watch = StopAt(phase, amount)
        with pytest.raises(KeyboardInterrupt):
            run(env, config, out, watch, resume=Resume())
    assert watch.skipped["gather"] > 0
    copy = shutil.copytree(out, tmp_path / "copy")
    last = [run(env, config, folder, StopAt(None, 1), resume=Resume()) for folder in (out, copy)]
    # From one checkpoint it always goes on the same way.
    for one, other in zip(*(jax.tree.leaves(r.policies[0].params) for r in last), strict=True):
        np.testing.assert_array_equal(one, other)
    assert last[0].returns[0] == pytest.approx(9)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["env_steps"] for line in lines] == [3_400, 3_600]


def test_an_evaluation_in_python_ends_with_the_wish_to_stop():
    env, steps = adaps.from_pettingzoo(counting), []
    with closing(env.open(2, 0)) as copies:

        def act(key, memory, observation, first):
            steps.append(key)
            return memory, np.zeros((2, env.num_agents), int)

        collector = HostCollector(lambda _: copies, env.max_steps, lambda: len(steps) == 3)
        collector.play(act, np.arange(2))
    assert len(steps) == 3


def test_a_checkpoint_of_another_size_is_refused(tmp_path):
    out, env = tmp_path / "run", adaps.from_pettingzoo(dying)
    config = TrainConfig(env.name, adaps.FuPS(), adaps.A2C(), **QUICK)
    with pytest.raises(KeyboardInterrupt):
        run(env, config, out, StopAt("train", 300))
    found = load(Series(out, 0), pytest.fail, decoded)
    check_fits(config, make_host_stages(env, config), found)
    for changed in ({"hidden": (8, 8)}, {"algo": adaps.A2C(max_grad_norm=None)}):
        other = dataclasses.replace(config, **changed)
        with pytest.raises(UserError, match="does not fit this run: "):
            check_fits(other, make_host_stages(env, other), found)


def test_any_team_can_be_filmed(tmp_path):
    episode = film(
        random_team(adaps.from_pettingzoo(counting)), tmp_path / "a.gif", 0, 9, 10, 200, Watch()
    )
    assert len(episode.moments) == 5
    assert [m.here.tolist() for m in episode.moments[2:4]] == [[False, True], [False, True]]


def test_a_failure_is_one_of_the_environment(monkeypatch):
    env = adaps.from_pettingzoo(broken)
    with pytest.raises(HostEnvironmentError, match="the simulator crashed"):
        adaps.identify(env, gather_steps=4_000)
