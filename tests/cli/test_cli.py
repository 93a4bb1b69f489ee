"""The command line: bad input, help, and whole runs."""

import dataclasses
import html
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

import adaps
import adaps_command
from adaps.cli import commands
from adaps.cli.commands import main
from adaps.cli.list import rows_of
from adaps.cli.tables import print_each_agent
from adaps.config.choices import algo_options, sharing_options
from adaps.config.groups import as_identity
from adaps.config.saved import SavedEnv, from_json, saved_env, to_json
from adaps.config.training import TrainConfig
from adaps.errors import Interrupted
from adaps.files import run_folder as files
from adaps.networks.weights import count_params
from adaps.sharing import METHODS
from adaps.types import Discrete, NetworkShape
from processes import INTERRUPTIBLE

TINY = (
    "--steps 4_000 --gather-steps 1_600 --encoder.updates 600 --seeds 1 --evaluations 2 "
    "--eval-episodes 8"
)

BAD = [
    ("train bps-7", "bps-"),
    ("train bsp-1", "did you mean 'bps-1'"),
    ("train", "such as bps-1"),
    ("train bps:5-0-5", "such as bps:5-5-5"),
    ("train bps-1 --sharing fupz", "did you mean 'fups'"),
    ("train bps-1 --sharing", "sharing"),
    ("train bps-1 --sharing=", "unknown sharing method ''"),
    ("train bps-1 --algo=", "unknown algorithm ''"),
    ("train bps-1 --encoder=", "unknown encoder ''"),
    ("train bps-1 --preset=", "unknown preset ''"),
    ("train bps-１", "unknown environment 'bps-１'"),
    ("train bps:２-2", "such as bps:5-5-5"),
    ("train bps-1 --algo a3c", "did you mean 'a2c'"),
    ("train bps-1 --preset papr", "did you mean 'paper'"),
    ("train bps-1 --stepz 100", "did you mean '--steps'"),
    ("train bps-1 --sharing.treshold 0.4", "did you mean '--sharing.threshold'"),
    ("train bps-1 --sharing fups --sharing.threshold 0.4", "unknown option"),
    ("train bps-1 surplus", "unknown option|nrecognized"),
    ("train bps-1 --sharing.clusters 16", "number of agents, 15"),
    ("train bps-1 --gather-policy radnom", "did you mean 'random'"),
    ("train bps-1 --looks 0", "--num-identifications must be from 1"),
    ("train bps-1 --num-identifications 0", "--num-identifications must be from 1"),
    (
        "train bps-1 --num-identifications 3 --evaluations 2",
        "--num-identifications must be from 1 to 2",
    ),
    ("train bps-1 --num-identifications 2 --sharing seps", "goes with --sharing adaps"),
    ("train bps-1 --num-identifications 2 --sharing fups", "goes with --sharing adaps"),
    ("train bps-1 --num-identifications 2 --sharing.groups oracle", "goes with --sharing adaps"),
    (
        "train bps-1 --num-identifications 2 --steps 60_000 --gather-steps 30_000",
        "need at least 60040",
    ),
    ("train bps-1 --sharing.clusters 0", "from 1 to"),
    ("train bps-1 --sharing.clusters -1", "from 1 to"),
    ("train bps-1 --sharing.clusters 2.5", "clusters"),
    ("train bps-1 --sharing.threshold 0", r"\(0, 1\)"),
    ("train bps-1 --sharing.threshold 1", r"\(0, 1\)"),
    ("train bps-1 --sharing.threshold -0.5", r"\(0, 1\)"),
    ("train bps-1 --sharing.threshold nan", r"\(0, 1\)"),
    ("train bps-1 --sharing.threshold half", "threshold"),
    ("train bps-1 --sharing.keep 0", r"keep must be in \(0, 1\], not 0"),
    ("train bps-1 --sharing.keep 1.1", r"keep must be in \(0, 1\]"),
    ("train bps-1 --sharing.keep nan", r"keep must be in \(0, 1\]"),
    ("train bps-1 --sharing.overlap -0.1", r"overlap must be in \(0, 1\]"),
    ("train bps-1 --sharing.keep 0.5 --sharing.overlap 0.5", "give one of them"),
    ("train bps-1 --sharing fups --sharing.keep 0.5", "unknown option"),
    ("train bps-1 --steps 0", "at least 1"),
    ("train bps-1 --steps -5", "at least 1"),
    ("train bps-1 --steps many", "not a number"),
    ("train bps-1 --steps 1.5", "not a whole number"),
    ("train bps-1 --steps inf", "not a whole number"),
    ("train bps-1 --steps nan", "not a whole number"),
    ("train bps-1 --steps", "steps"),
    ("train bps-1 --steps 39 --sharing fups", "fewer than one rollout"),
    ("train bps-1 --steps 3_200", "fewer than one rollout"),
    ("train bps-1 --seeds 0", "at least 1"),
    ("train bps-1 --seeds -2", "at least 1"),
    ("train bps-1 --seeds two", "not a number"),
    ("train bps-1 --seeds 1e9", "--seeds must be at most 10,000, not 1,000,000,000"),
    ("train bps-1 --steps 1e18", "--steps must be at most 1,000,000,000,000,000"),
    ("train bps-1 --num-envs 1e15", "--num-envs must be at most 10,000,000"),
    ("train bps-1 --rollout-length 1e15", "--rollout-length must be at most"),
    ("train bps-1 --evaluations 1e15", "--evaluations must be at most"),
    ("train bps-1 --eval-episodes 1e15", "--eval-episodes must be at most"),
    ("train bps-1 --gather-steps 1e18", "--gather-steps must be at most"),
    ("train bps-1 --hidden 64 999999999999", "at most 65,536"),
    ("train bps-1 --encoder.latent-size 999999999999", r"latent-size must be in \[1, 10000\]"),
    ("train bps-1 --sharing kaleidoscope --sharing.renew-every 2147483648", "renew-every"),
    (f"train bps-1 --out {'x' * 300}", "cannot write to x+: File name too long"),
    (f"train bps-1 --out {'x' * 300}/run", "cannot write to x+/run: File name too long"),
    ("train bps-1 --out a\0b", "zero byte"),
    ("train bps-1 --seed -1", "from 0"),
    ("train bps-1 --seed 1e20", "from 0"),
    ("train bps-1 --task-seed 3", "environment 'bps-1' has no task seed"),
    ("train foraging-fixed-5x5-2p-1f --task-seed 3", "has no task seed"),
    ("train rware-2color-tiny-4ag --task-seed -1", "from 0 to 4294967295, not -1"),
    ("train rware-2color-tiny-4ag --task-seed 4294967296", "from 0 to 4294967295"),
    ("train rware-2color-tiny-4ag --task-seed x", "not a number"),
    ("train bps-1 --num-envs 0", "at least 1"),
    ("train bps-1 --rollout-length 0", "at least 1"),
    ("train bps-1 --workers 0", "at least 1"),
    ("train bps-1 --step-timeout 0", "more than 0 seconds"),
    ("train bps-1 --step-timeout nan", "more than 0 seconds"),
    ("train pettingzoo:mpe2.simple_tak_v3", "did you mean 'mpe2.simple_tag_v3'"),
    ("train pettingzoo:mpe2.simple_tag_v3?max_cycles", "write options as"),
    ("train pettingzoo:mpe2.simple_tag_v3 --workers -1", "at least 0"),
    ("train pettingzoo:mpe2.simple_tag_v3 --sharing.clusters 2", "spaces differ in 2 ways"),
    ("identify pettingzoo:mpe2.simple_tag_v3 --clusters 2", "spaces differ in 2 ways"),
    ("bench pettingzoo:mpe2.simple_tag_v3", "runs in Python"),
    ("train pettingzoo:", "names no environment"),
    ("train bps-1 --evaluations 0", "at least 1"),
    ("train bps-1 --eval-episodes 0", "at least 1"),
    ("train bps-1 --gather-steps 31", "at least 32"),
    ("train bps-1 --encoder vea", "did you mean 'vae'"),
    ("train bps-1 --clusterer kmean", "did you mean 'kmeans'"),
    ("train bps-1 --criterion bick", "did you mean 'bic'"),
    ("train bps-1 --identity nowhere.json", "nowhere.json cannot be read"),
    ("train bps-1 --sharing fups --identity x.json", "of no use to fups"),
    ("identify", "name an environment"),
    ("identify bps-7", "bps-"),
    ("identify bps-1 --transitions x.npz", "name an environment"),
    ("identify --transitions nowhere.npz", "nowhere.npz cannot be read"),
    ("identify bps-1 --clusters 16", "number of agents, 15"),
    ("identify bps-1 --clusters 0", "from 1 to"),
    ("identify bps-1 --gather-steps 3", "at least 32"),
    ("identify bps-1 --gather-steps 1e18", "--gather-steps must be at most"),
    (f"identify bps-1 --out {'x' * 300}", "cannot write to x+: File name too long"),
    ("identify bps-1 --encoder random --encoder.latent-size 0", "latent-size"),
    ("identify bps-1 --encoder.context 5", "unknown option"),
    ("identify bps-1 --seed -1", "from 0"),
    ("train bps-1 --hidden 0", "at least 1"),
    ("train bps-1 --algo.learning-rate 0", "learning-rate"),
    ("train bps-1 --algo.learning-rate inf", "learning-rate"),
    ("train bps-1 --algo.discount 1.5", "discount"),
    ("train bps-1 --encoder.updates 0", "updates"),
    ("train bps-1 --encoder.latent-size 0", "latent-size"),
    ("train bps-1 --sharing.groups orcale", "'discovered', 'oracle', 'shuffled' or a JSON file"),
    ("train bps-1 --sharing.groups", "groups"),
    ("train bps-1 --sharing.groups oracle --sharing.clusters 3", "cannot be had with"),
    ("train bps-1 --sharing seps --sharing.clusters 16", "number of agents, 15"),
    ("train bps-1 --sharing fups --sharing.groups oracle", "unknown option"),
    ("train bps-1 --sharing snp-ps --sharing.keep-ratio 1.5", r"keep-ratio must be in \[0, 1\]"),
    ("train bps-1 --sharing snp-ps --sharing.keep-ratio 0.5 0.5 0.5", "2 hidden layers, not 3"),
    ("train bps-1 --sharing kaleidoscope --sharing.renew-every 0", "renew-every"),
    ("train bps-1 --sharing kaleidoscope --sharing.diversity -1", "diversity"),
    ("train bps-1 --sharing mine:Method", "cannot be imported"),
    ("train bps-1 --algo mine:Algorithm", "cannot be imported"),
    ("train mine:make_env", "cannot be imported"),
    ("train --config nowhere.json", "nowhere.json cannot be read"),
    ("train --config x.json --resume y", "leave out --config"),
    ("train --config x.json --preset paper", "--config starts from .* leave out --preset"),
    ("train --resume nowhere --preset paper", "--resume starts from .* leave out --preset"),
    ("train --resume nowhere", "nowhere/config.json cannot be read"),
    ("train --resume nowhere --out other", "nowhere/config.json cannot be read"),
    ("train bps-1 --auto-resume", "name it with --out"),
    ("train bps-1 --allow-changes", "goes with --resume or --auto-resume"),
    ("train bps-1 --checkpoint-every 0", "checkpoint-every must be at least 1"),
    ("train bps-1 --checkpoint-every often", "cannot be .often."),
    ("train bps-1 --not-finite ignore", "known: stop, skip"),
    ("list bps-9", "bps-"),
    ("list bps-1 --clusters 16", "from 1 to 15"),
    ("list bps-1 --clusters 0", "from 1 to 15"),
    ("list bps-1 --hidden 0", "at least 1"),
    ("list bps-1 --hidden 999999999999", "at most 65,536"),
    (f"list bps-1 --hidden {'8 ' * 101}", "1 to 100 widths, not 101"),
    ("bench bps-1 --methods fupz", "did you mean 'fups'"),
    ("evaluate nowhere", "nowhere"),
    ("evaluate", "required"),
    ("evaluate nowhere --episodes 0", "at least 1"),
    ("evaluate nowhere --episodes 1e15", "--episodes must be at most 10,000,000"),
    ("report", "name a run's or a study's folder"),
    ("report nowhere", "nowhere"),
    ("bench bps-9", "bps-"),
    ("bench --repeats 0", "at least 1"),
    ("bench --out no/such/x.json", "cannot write no/such/x.json: no/such is not a folder"),
    ("bench --out .", "it is a folder"),
    (f"bench --out {'x' * 300}", "cannot write x+: File name too long"),
    ("trian bps-1", "did you mean 'train'"),
    ("--nonsense", "unknown command"),
]


def test_wrong_groups_in_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "groups.json").write_text("[[0, 1], [2]]")
    assert main(["train", "bps:2-2", "--sharing", "seps", "--sharing.groups", "groups.json"]) == 2
    err = capsys.readouterr().err
    assert err == "adaps: groups in groups.json: agents [3] are in no group\n"
    assert [path.name for path in tmp_path.iterdir()] == ["groups.json"]


@pytest.mark.parametrize(("words", "says"), BAD, ids=[words for words, _ in BAD])
def test_bad_input_gets_one_line_and_code_2(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert re.search(says, err), err
    assert err.startswith("adaps: ")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_a_run_is_refused_and_left_as_it_was(short_run, capsys):
    out, _ = short_run
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert main(f"train bps-1 {TINY} --out {out}".split()) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_folder_that_cannot_be_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(f"train bps-1 {TINY} --out {tmp_path / 'file' / 'run'}".split()) == 2
    assert "is not a folder" in capsys.readouterr().err
    assert main(f"train bps-1 {TINY} --out {tmp_path / 'file'}".split()) == 2
    assert "is not a folder" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert main(f"train bps-1 {TINY} --out {tmp_path / 'run'}".split()) == 2
    assert "permission denied" in capsys.readouterr().err


def test_a_file_system_that_refuses_is_said(capsys):
    assert main(f"train bps-1 {TINY} --out /proc/adaps/run".split()) == 2
    assert "cannot write to /proc/adaps/run" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["--help", "train --help", "evaluate --help", "--version"])
def test_help_explains(words, capsys):
    try:
        code = main(words.split())
    except SystemExit as stop:
        code = stop.code
    assert code in (0, None)
    assert "adaps" in capsys.readouterr().out


def test_train_help_shows_the_chosen_methods_options(capsys):
    for method, shown in (("adaps", True), ("fups", False)):
        with pytest.raises(SystemExit):
            main(["train", "--sharing", method, "--help"])
        assert ("--sharing.threshold" in capsys.readouterr().out) == shown


def test_a_run_from_the_first_word_to_the_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(f"train BPS:2-2 {TINY} --sharing.clusters 2 --algo.entropy 2e-2".split()) == 0
    out, err = capsys.readouterr()
    folder = tmp_path / "runs" / "bps-2-2-adaps-001"
    assert "report  runs/bps-2-2-adaps-001/report.html" in out
    for phase in ("gather", "identify", "compile", "train", "evaluate"):
        assert re.search(rf"^{phase} ", err, re.MULTILINE), err
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "config.json", "metrics.jsonl", "identity.json", "sharing.json", "result.json",
        "report.html", "checkpoints", ".lock",
    }  # fmt: skip
    config = json.loads((folder / files.CONFIG).read_text())["config"]
    assert config["sharing"]["clusters"] == 2
    assert config["algo"]["entropy"] == 0.02

    assert main(["evaluate", str(folder), "--episodes", "8"]) == 0
    printed = capsys.readouterr().out
    result = json.loads((folder / files.RESULT).read_text())
    assert f"{result['return_mean']:,.2f}" in printed

    assert main(f"train bps:2-2 {TINY} --sharing fups".split()) == 0
    assert main(f"train bps:2-2 {TINY} --sharing FuPS".split()) == 0
    assert (tmp_path / "runs" / "bps-2-2-fups-002").is_dir()


def test_a_run_is_run_again_from_its_configuration(short_run, tmp_path, monkeypatch):
    out, _ = short_run
    monkeypatch.chdir(tmp_path)
    words = f"train --config {out / files.CONFIG} --seeds 1 --seed 7 --out again"
    assert main(words.split()) == 0
    first, again = (from_json(path / files.CONFIG) for path in (out, tmp_path / "again"))
    assert again == dataclasses.replace(first, seeds=1, seed=7)


def test_each_agents_return_is_printed_where_the_sum_says_little(capsys):
    print_each_agent(["wolf", "hen"], [[30.0, -20.0], [10.0, -30.0]])
    assert capsys.readouterr().out == "each agent's return: wolf 20.00, hen -25.00\n"
    print_each_agent(["wolf", "hen"], [[-30.0, -20.0]])
    print_each_agent(["wolf", "hen"], [[30.0, -1.0]])
    assert capsys.readouterr().out == ""
    print_each_agent([f"a{i}" for i in range(20)], [[1.0, -1.0] * 10])
    assert capsys.readouterr().out.endswith("a15 -1.00 and 4 more\n")


def test_a_run_says_what_is_wrong_with_its_masks(tmp_path, capsys):
    words = f"train bps:2-2 {TINY} --sharing.groups oracle --sharing.threshold 0.999 --out"
    assert main([*words.split(), str(tmp_path / "empty")]) == 0
    saved = files.read_json(tmp_path / "empty", files.SHARING)
    assert saved["threshold"] == [0.999]
    assert len(saved["warnings"][0]) == 2
    result = files.read_json(tmp_path / "empty", files.RESULT)
    assert result["warnings"] == saved["warnings"]
    assert sum(result["return_per_agent"][0]) == pytest.approx(result["return_per_seed"][0])
    assert main(["evaluate", str(tmp_path / "empty"), "--episodes", "8"]) == 0
    out, err = capsys.readouterr()
    page = (tmp_path / "empty" / files.REPORT).read_text()
    for text in saved["warnings"][0]:
        assert f"warning   seed 0: {text}\n" in err
        assert out.count(f"warning  seed 0: {text}\n") == 2  # trained and evaluated
        assert text in html.unescape(page)


def test_the_threshold_that_was_chosen_is_saved(tmp_path):
    short = {"steps": 400, "seeds": 2, "seed": 3, "evaluations": 1, "eval_episodes": 1}
    env, out = "bps:2-2", tmp_path / "kept"
    method = adaps.AdaPS(groups="oracle", keep=0.8)
    adaps.train(env, method, out=out, **short)
    saved = files.read_json(out, files.SHARING)
    assert saved["threshold"][0] != saved["threshold"][1]
    assert saved["warnings"] == [[], []]
    for seed, threshold in enumerate(saved["threshold"], start=3):
        again = adaps.train(
            env,
            adaps.AdaPS(groups="oracle", threshold=threshold),
            **short | {"seeds": 1, "seed": seed},
        )
        masks = adaps.load(out, seed).sharing.masks
        jax.tree.map(np.testing.assert_array_equal, masks, again.policies[0].sharing.masks)
        kept = np.hstack([np.asarray(mask) > 0 for mask in jax.tree.leaves(masks)])
        assert kept.mean() == pytest.approx(0.8, abs=1 / kept.size)
    adaps.train(env, "fups", out=tmp_path / "fups", **short)
    assert files.read_json(tmp_path / "fups", files.SHARING)["threshold"] == [None, None]


TASK = "rware-2color-tiny-2ag"


@pytest.fixture
def made(monkeypatch):
    """Environments that the command made, in turn."""
    envs = []

    def make(*args, **options):
        envs.append(adaps.make(*args, **options))
        return envs[-1]

    for module in ("cli.train", "cli.play", "training.environment"):
        monkeypatch.setattr(f"adaps.{module}.make", make)
    return envs


def test_a_task_seed_is_saved_and_used_again(tmp_path, monkeypatch, made):
    monkeypatch.chdir(tmp_path)
    short = "--sharing fups --steps 80 --seeds 1 --evaluations 1 --eval-episodes 1 --hidden 4"
    for words in (
        f"train {TASK} --task-seed 3 {short} --out first",
        "evaluate first --episodes 1",
        "play first --max-steps 1 --size 100",
        "train --config first/config.json --seed 7 --out second",
        f"play --random {TASK} --task-seed 3 --max-steps 1 --size 100",
    ):
        assert main(words.split()) == 0
    assert made == [adaps.make(TASK, task_seed=3)] * 5
    assert from_json(tmp_path / "first" / files.CONFIG).task_seed == 3
    assert from_json(tmp_path / "second" / files.CONFIG).task_seed == 3
    assert "--task-seed 3" in re.sub("<.*?>", "", (tmp_path / "first/report.html").read_text())


def test_what_evaluation_is_told_is_saved_and_used_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = "envs.teams_in_jax:JaxMARLStyle,length=4"
    short = "--sharing fups --steps 80 --seeds 1 --evaluations 2 --eval-episodes 3 --hidden 4"
    told = "episodes cut off: evaluation ended them after 2 steps (--max-steps)"
    assert main(f"train {name} --agent-types 4 5 --max-steps 2 {short}".split()) == 0
    assert capsys.readouterr().err.count(told) == 1
    run = tmp_path / "runs" / "envs.teams_in_jax-JaxMARLStyle-length=4-fups-001"
    assert files.read_json(run, files.IDENTITY)["agent_types"] == [4, 5]
    assert files.read_json(run, files.RESULT)["episodes_cut"] == 3
    page = re.sub("<.*?>", "", (run / "report.html").read_text())
    assert "--max-steps 2 --agent-types 4 5" in " ".join(page.split())
    assert "so returns are not those of whole episodes" in " ".join(page.split())

    assert main(f"evaluate {run} --episodes 3 --allow-code".split()) == 0
    assert told in capsys.readouterr().out
    assert main(f"evaluate {run} --episodes 3 --max-steps 9 --allow-code".split()) == 0
    assert "cut off" not in capsys.readouterr().out
    for words, steps in (("", 2), ("--max-steps 9", 4)):
        assert main(f"play {run} --size 100 --allow-code {words}".split()) == 0
        assert f"in {steps} steps" in capsys.readouterr().out
    assert main(f"play --random {name} --agent-types 4 5 --size 100 --out film.gif".split()) == 0
    assert "in 4 steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train bps-1 --agent-types 0 1", "(--agent-types) cannot be given: environment 'bps-1'"),
        ("train envs.teams_in_jax:Own --agent-types 0", "1 agent types for 2 agents"),
        ("train bps-1 --agent-types x", "--agent-types cannot be 'x'"),
        ("train bps-1 --max-steps 0", "--max-steps must be at least 1, not 0"),
        ("train envs.teams_in_jax:Own,size=3", "unexpected keyword argument 'size'"),
        ("train envs.teams_in_jax:Own,obs_size=3", "obs of reset is float32[2, 1], and must be"),
        ("identify envs.teams_in_jax:Own,num_agents=2.0", "num_agents must be an int"),
        ("identify --transitions x.npz --agent-types 0 1", "a log has its own"),
        ("play runs/x --agent-types 0 1", "--agent-types goes with --random"),
        ("bench envs.teams_in_jax:Own --agent-types 0", "1 agent types for 2 agents"),
    ],
)
def test_what_an_environment_cannot_be_told_is_refused(
    words, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not [*tmp_path.iterdir()]


def test_a_configuration_without_a_task_seed_means_0(tmp_path):
    config = TrainConfig(TASK, sharing_options("fups"), algo_options("a2c"))
    data = to_json(config)
    for name in ("task_seed", "agent_types", "max_steps"):
        del data[name]
    (tmp_path / "config.json").write_text(json.dumps({"config": data}))
    assert saved_env(tmp_path / "config.json") == SavedEnv(TASK, 0, None, None)
    assert from_json(tmp_path / "config.json") == config
    data["task_seed"] = "three"
    (tmp_path / "config.json").write_text(json.dumps({"config": data}))
    with pytest.raises(adaps.UserError, match="task_seed is 'three'"):
        saved_env(tmp_path / "config.json")


def test_parameters_are_counted_as_they_would_be_made():
    env, hidden, key = adaps.make("bps:2-1"), (8, 4), jax.random.key(0)
    shape = NetworkShape(env.num_agents, env.obs_size, Discrete(env.num_actions), hidden)
    network = adaps.MLP().build(shape)
    for row in rows_of(env, hidden, 2):
        identity = as_identity(np.array([0, 1, 0]), 10, 0)
        method = METHODS[row.method]()
        sharing = method.build(key, network, identity)
        params = method.init(key, network, sharing, row.num_sets)
        assert row.num_tags == sharing.tags.shape[-1], row.method
        assert row.parameters == count_params(params), row.method


def test_list_counts_each_methods_parameters(capsys):
    assert main(["list", "bps-1"]) == 0
    rows = [re.findall(r"[\w+.,×–-]+", line) for line in capsys.readouterr().out.splitlines()]
    counts = {row[0]: int(row[4].replace(",", "")) for row in rows if row and row[0] in METHODS}
    assert set(counts) == set(METHODS)
    assert counts["adaps"] == counts["fups"] == counts["snp-ps"] == 10_118
    assert counts["seps"] == 3 * counts["fups"]
    assert counts["nops"] == 15 * counts["fups"]


def test_list_names_everything(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name in ("bps-1", "adaps", "fups", "a2c", "paper"):
        assert name in out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_saves_and_says_where(number, code, tmp_path):
    train = (
        "train bps:2-2 --steps 1e9 --gather-steps 1600 --encoder.updates 300 --seeds 2 "
        "--evaluations 100000"
    )
    with subprocess.Popen(
        [*INTERRUPTIBLE, *train.split(), "--out", str(tmp_path / "run")],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            metrics = tmp_path / "run" / files.METRICS
            wait_for(lambda: metrics.exists() and metrics.stat().st_size, seconds=120)
            wait_for(lambda: len(files.saved_seeds(tmp_path / "run")) == 2, seconds=120)
            process.send_signal(number)
            sent = time.monotonic()
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == code, err
    assert time.monotonic() - sent < 30
    assert f"saved policies of seeds [0, 1] and the metrics in {tmp_path / 'run'}" in err
    assert "Traceback" not in err


def test_a_second_interrupt_ends_it_at_once(tmp_path):
    train = "train bps:2-2 --steps 1e9 --sharing fups --seeds 1 --evaluations 100000"
    words = [*INTERRUPTIBLE, *train.split(), "--out", str(tmp_path / "run")]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for(lambda: files.saved_seeds(tmp_path / "run"), seconds=120)
            for _ in range(2):
                process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, err
    assert "Traceback" not in err


def test_the_second_interrupt_ends_other_processes_too(monkeypatch):
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
    child.start()
    ended = []
    monkeypatch.setattr("adaps.cli.commands.os._exit", ended.append)
    commands._end(130)
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert ended == [130]


def interrupting(*_args, **_options):
    raise Interrupted


def test_an_interrupt_says_what_is_true(tmp_path, monkeypatch, capsys):
    out, there = tmp_path / "run", f"in {tmp_path / 'run'}; go on with: adaps train --resume"
    monkeypatch.setattr("adaps.training.run.run", interrupting)
    words = ["train", "bps:2-2", "--auto-resume", "--out", str(out)]
    said = []
    for name in (None, files.CONFIG, "checkpoints/seed-3.safetensors", files.METRICS):
        if name is not None:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_text('{"config": {"env": "bps:2-2"}}')
        assert main(words) == 130
        said.append(capsys.readouterr().err)
    assert said[0] == "adaps: interrupted; nothing was saved yet\n"
    assert f"saved no policy yet; the settings {there}" in said[1]
    assert f"saved policies of seeds [3] {there}" in said[2]
    assert f"saved policies of seeds [3] and the metrics {there}" in said[3]


def test_an_interrupt_of_identify_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("adaps.cli.identify.run_identify", interrupting)
    assert main(["identify", "bps:2-2", "--out", str(tmp_path / "found")]) == 130
    assert capsys.readouterr().err == "adaps: interrupted; nothing was saved\n"
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_while_it_is_imported_has_no_traceback(monkeypatch):
    class Interrupted:
        find_spec = staticmethod(interrupting)

    with monkeypatch.context() as patched:
        patched.delitem(sys.modules, "adaps.cli.commands")
        patched.setattr(sys, "meta_path", [Interrupted()])
        assert adaps_command.main() == 130
    monkeypatch.setattr(sys, "argv", ["adaps", "--version"])
    assert adaps_command.main() == 0


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
