"""Runs that were stopped at any moment go on, and come to what they would have come to."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

import adaps
from adaps.cli.commands import main
from adaps.config.choices import algo_options, sharing_options
from adaps.config.training import TrainConfig
from adaps.envs import auto_reset
from adaps.errors import NotFiniteError, UserError
from adaps.files import provenance
from adaps.files import run_folder as files
from adaps.files.checkpoint import locked
from adaps.training.progress import Watch
from adaps.training.resume import Resume
from adaps.training.run import run
from adaps.types import Observation, Timestep

SHORT = {"steps": 6_000, "gather_steps": 1_600, "evaluations": 3, "eval_episodes": 8}
SHORT |= {"encoder": adaps.VAE(updates=300), "checkpoint_every": 400}
TEXTS = (files.IDENTITY, files.SHARING, files.CONFIG)


def config_of(env="bps:2-2", method="adaps", **options):
    options = {**SHORT, "seeds": 1, **options}
    return TrainConfig(env, sharing_options(method), algo_options("a2c"), **options)


class StopAt(Watch):
    """Wishes to stop when a phase has come so far; keeps what it is told."""

    def __init__(self, phase=None, amount=0):
        super().__init__()
        self.phase, self.left, self.texts, self.skipped = phase, amount, [], {}

    def advance(self, name, amount, text=""):
        if name == self.phase:
            self.left -= amount
            if self.left <= 0:
                self.stop.set()

    def skip(self, name, amount):
        self.skipped[name] = self.skipped.get(name, 0) + amount

    def tell(self, text):
        self.texts.append(text)


def go_on(config, out, watch=None, allow_changes=False):
    env = adaps.make(config.env)
    return run(env, config, out, watch or Watch(), resume=Resume(allow_changes))


def stopped(config, out, phase, amount):
    watch = StopAt(phase, amount)
    with pytest.raises(KeyboardInterrupt):
        go_on(config, out, watch)
    return watch


def metrics_of(out):
    lines = (out / files.METRICS).read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def assert_same(out, whole):
    assert metrics_of(out) == metrics_of(whole)
    for name in (*TEXTS, *(f"checkpoints/seed-{s}.safetensors" for s in files.saved_seeds(whole))):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    timed = re.compile(r"seconds|memory|per_second")
    here, there = (files.read_json(folder, files.RESULT) for folder in (out, whole))
    assert {k: v for k, v in here.items() if not timed.search(k)} == {
        k: v for k, v in there.items() if not timed.search(k)
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of two seeds that nothing happened to."""
    out = tmp_path_factory.mktemp("whole") / "run"
    run(adaps.make("bps:2-2"), config_of(seeds=2), out, Watch())
    return out


def test_stopped_in_every_phase_it_comes_to_the_same(whole, tmp_path):
    out, config = tmp_path / "run", config_of(seeds=2)
    stopped(config, out, "gather", 1_600)
    stopped(config, out, "identify", 60)
    watch = stopped(config, out, "identify", 300)
    assert watch.skipped["gather"] > 0
    stopped(config, out, "train", 40)
    watch = stopped(config, out, "train", 3_000)
    assert 0 < watch.skipped["train"] < 3_000
    assert go_on(config, out).folder == out
    assert_same(out, whole)


def test_a_run_that_has_ended_comes_to_the_same_again_and_trains_longer(whole, tmp_path):
    out = tmp_path / "run"
    first = go_on(config_of(), out)
    again = go_on(config_of(), out)
    assert first.returns == again.returns
    longer = go_on(config_of(steps=8_000), out)
    assert [line["env_steps"] for line in metrics_of(out)][:3] == [
        line["env_steps"] for line in metrics_of(whole) if line["seed"] == 0
    ]
    assert metrics_of(out)[-1]["env_steps"] == files.read_json(out, files.RESULT)["env_steps"]
    assert longer.returns != first.returns
    with pytest.raises(UserError, match=r"--steps 6000: .* has trained longer than that already"):
        go_on(config_of(), out)


def test_a_run_that_looks_again_goes_on_within_a_look(tmp_path):
    looks = {"num_identifications": 2, "steps": 10_000, "gather_policy": "mixed"}
    go_on(config_of(**looks), tmp_path / "whole")
    stopped(config_of(**looks), tmp_path / "run", "gather", 1_700)
    stopped(config_of(**looks), tmp_path / "run", "identify", 60)
    go_on(config_of(**looks), tmp_path / "run")
    assert_same(tmp_path / "run", tmp_path / "whole")
    (moves,) = files.read_json(tmp_path / "run", files.IDENTITY)["looks"]
    assert [move["look"] for move in moves] == [2]


@pytest.mark.parametrize(
    ("method", "options"),
    [("kaleidoscope", {}), ("seps", {"normalise_obs": True, "scale_rewards": True})],
)
def test_every_kind_of_state_goes_on(method, options, tmp_path):
    config = config_of("bps:1-2", method, **options)
    go_on(config, tmp_path / "whole")
    stopped(config, tmp_path / "run", "train", 2_000)
    go_on(config, tmp_path / "run")
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_an_environments_whole_state_goes_on(tmp_path):
    config = config_of("rware-2color-tiny-4ag", "fups", steps=2_000)
    go_on(config, tmp_path / "whole")
    stopped(config, tmp_path / "run", "train", 700)
    go_on(config, tmp_path / "run")
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_metrics_go_on_after_what_the_checkpoint_knows(whole, tmp_path):
    out, config = tmp_path / "run", config_of(seeds=2)
    stopped(config, out, "train", 6_000)
    with (out / files.METRICS).open("a") as file:
        line = json.dumps(metrics_of(whole)[-1] | {"seconds": 0.0})
        file.write(f'{line}\n{{"seed": 0, "env_st')
    go_on(config, out)
    assert_same(out, whole)


def test_without_a_whole_checkpoint_it_is_refused(tmp_path):
    out, config = tmp_path / "run", config_of()
    stopped(config, out, "train", 2_000)
    newest = max((out / "checkpoints/state/seed-0").iterdir())
    newest.write_bytes(newest.read_bytes()[:-1])
    watch = StopAt("train", 40)
    with pytest.raises(KeyboardInterrupt):
        go_on(config, out, watch)
    (text,) = watch.texts
    assert f"checkpoint {newest.name} is damaged" in text
    for checkpoint in (out / "checkpoints/state/seed-0").iterdir():
        checkpoint.write_text("{}")
    before = sorted(out.rglob("*"))
    with pytest.raises(UserError, match="has no whole checkpoint"):
        go_on(config, out)
    assert sorted(out.rglob("*")) == before


def test_changes_are_refused_field_by_field(tmp_path):
    out = tmp_path / "run"
    stopped(config_of(), out, "train", 1_000)
    changed = dataclasses.replace(config_of(), algo=adaps.A2C(entropy=0.5), num_envs=4)
    with pytest.raises(UserError) as caught:
        go_on(changed, out)
    assert "config.algo.entropy: 0.01 there, 0.5 here" in str(caught.value)
    assert "config.num_envs: 8 there, 4 here" in str(caught.value)
    changed = dataclasses.replace(changed, num_envs=8)
    with pytest.raises(KeyboardInterrupt):
        go_on(changed, out, StopAt("train", 1_000), allow_changes=True)
    result = go_on(changed, out)
    assert files.read_json(out, files.CONFIG)["config"]["algo"]["entropy"] == 0.5
    assert result.warnings[0][-1] == (
        "resumed with changes: config.algo.entropy: 0.01 there, 0.5 here"
    )
    assert files.read_json(out, files.RESULT)["warnings"] == result.warnings


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A run that was stopped while it trained."""
    out = tmp_path_factory.mktemp("begun") / "run"
    stopped(config_of(method="fups"), out, "train", 1_000)
    return out


def contents(out):
    return {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def assert_refused(config, out, message):
    """In one line, with nothing changed."""
    before = contents(out)
    with pytest.raises(UserError, match=message) as caught:
        go_on(config, out, allow_changes=True)
    assert len(str(caught.value).splitlines()) == 1
    assert {p: data for p, data in contents(out).items() if p.name != ".lock"} == {
        p: data for p, data in before.items() if p.name != ".lock"
    }


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sharing": adaps.NoPS()}, 'config.sharing.name: "fups" there, "nops" here'),
        (
            {"sharing": adaps.SNPPS(keep_ratio=(0.5,))},
            'config.sharing.name: "fups" there, "snp-ps" here',
        ),
        ({"hidden": (32, 32)}, "config.hidden"),
        ({"encoder": adaps.VAE(updates=7)}, "config.encoder.updates"),
        ({"normalise_obs": True}, "config.normalise_obs"),
        ({"clusterer": "kmeans"}, "config.clusterer"),
    ],
)
def test_what_is_used_up_cannot_be_changed(changed, said, begun):
    message = f"shared out its network already, .*{said}.*or begin another run"
    assert_refused(dataclasses.replace(config_of(method="fups"), **changed), begun, message)


def test_what_does_not_fit_changes_nothing(begun, tmp_path):
    out = shutil.copytree(begun, tmp_path / "run")
    files.write_json(out / files.RESULT, {"of": "before"})
    message = r"does not fit this run: position.* in the checkpoint, but .* \(resume with"
    assert_refused(config_of(method="fups", num_envs=4), out, message)


def test_a_look_that_does_not_fit_changes_nothing(tmp_path):
    stopped(config_of(), tmp_path / "run", "identify", 60)
    assert_refused(config_of(gather_steps=3_200), tmp_path / "run", "fit this run: position")
    wider = config_of(encoder=dataclasses.replace(SHORT["encoder"], hidden=48))
    assert_refused(wider, tmp_path / "run", "fit this run: params.encoder")


def test_when_kinds_are_looked_for_again_is_not_changed_without_a_word(tmp_path):
    looks = {"num_identifications": 2, "steps": 10_000}
    stopped(config_of(**looks), tmp_path / "run", "gather", 100)
    for changed in ({"steps": 12_000}, {"evaluations": 4}):
        with pytest.raises(UserError, match=f"config.{next(iter(changed))}.*--allow-changes"):
            go_on(config_of(**{**looks, **changed}), tmp_path / "run")


def test_the_last_evaluation_can_be_stopped(begun, tmp_path):
    class Evaluating(StopAt):
        def begin(self, name):
            if name == "evaluate":
                self.stop.set()

    out = shutil.copytree(begun, tmp_path / "run")
    config = config_of(method="fups", eval_episodes=250)
    with pytest.raises(KeyboardInterrupt):
        go_on(config, out, Evaluating())
    assert not (out / files.RESULT).exists()
    again = go_on(config, out)
    assert again.returns == run(adaps.make(config.env), config, None, Watch()).returns


def test_a_folder_that_is_taken_is_refused_at_once(begun, monkeypatch):
    monkeypatch.setattr("adaps.training.run.check", pytest.fail)
    with pytest.raises(UserError, match="already holds a run"):
        run(adaps.make("bps:2-2"), config_of(method="fups"), begun, Watch())


def test_other_versions_are_refused(tmp_path):
    out = tmp_path / "run"
    stopped(config_of(), out, "gather", 100)
    data = files.read_json(out, files.CONFIG)
    data["versions"]["jax"] = "0.0.1"
    files.write_json(out / files.CONFIG, data)
    with pytest.raises(UserError, match=r'versions.jax: "0.0.1" there'):
        go_on(config_of(), out)


def test_what_changes_the_last_bits_is_said(begun, tmp_path, monkeypatch):
    out, here = shutil.copytree(begun, tmp_path / "run"), provenance.arithmetic()
    monkeypatch.setattr(provenance, "arithmetic", lambda: {**here, "instructions": "avx2 fma"})
    watch = StopAt()
    go_on(config_of(method="fups"), out, watch)
    (text,) = watch.texts
    assert re.search(
        r"last bits .* may differ .*: instructions: .* there, \"avx2 fma\" here$", text
    )


def test_a_second_writer_is_refused(tmp_path):
    config = config_of(seeds=1)
    with locked(tmp_path / "run"), pytest.raises(UserError, match="is in use by another run"):
        run(adaps.make(config.env), config, tmp_path / "run", Watch())
    assert not (tmp_path / "run" / files.CONFIG).exists()


@dataclasses.dataclass(frozen=True)
class Breaks:
    """Two agents who earn NaN now and then once they have had so many steps."""

    after: int
    name = "breaks"
    num_agents, obs_size, num_actions, max_steps = 2, 1, 2, 1_000
    agent_types = None

    def reset(self, key):
        return jnp.int32(0), self._timestep(jnp.int32(0), jnp.zeros(2))

    def step(self, key, state, action):
        step = state + 1
        bad = (step >= self.after) & (step % 7 == 0)
        now = self._timestep(step, jnp.where(bad, jnp.nan, action.astype(jnp.float32)))
        return auto_reset(self.reset, key, step, now)

    def _timestep(self, step, reward):
        no = jnp.bool_(False)
        seen = Observation(jnp.ones((2, 1)), jnp.ones((2, 2), bool))
        return Timestep(seen, reward, no, step >= self.max_steps, seen)


BROKEN = {"steps": 4_000, "evaluations": 1, "seeds": 1, "eval_episodes": 1}


def test_a_loss_that_is_not_finite_stops_with_the_batch(tmp_path):
    out = tmp_path / "run"
    with pytest.raises(NotFiniteError, match=r"seed 0: .*value_loss not finite in update 14; see"):
        adaps.train(Breaks(70), "fups", out=out, **BROKEN)
    batch = load_file(out / "not-finite-seed-0.safetensors")
    assert np.isnan(batch["['rollout'].reward"]).any()
    assert all(np.isfinite(x).all() for name, x in batch.items() if "params" in name)
    policy = adaps.load(out)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(policy.params))


def test_updates_that_are_not_finite_can_be_skipped_and_are_counted(tmp_path):
    out = tmp_path / "run"
    with pytest.raises(NotFiniteError):
        adaps.train(Breaks(70), "fups", out=out, **BROKEN)
    result = adaps.train(Breaks(70), "fups", out=out, resume=True, not_finite="skip", **BROKEN)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(result.policies[0].params))
    (line,) = metrics_of(out)
    # Of the steps from 70 to 499, every seventh; two of them never fall into one update.
    assert line["skipped_updates"] == 62
    ((warning,),) = result.warnings
    assert warning.startswith("updates skipped: 62 of ")
    assert np.isfinite(line["value_loss"])


def test_observations_that_are_not_finite_end_identification(tmp_path):
    with pytest.raises(NotFiniteError, match=r"breaks: .* reward of agent 0 is not finite"):
        adaps.train(Breaks(3), encoder=adaps.VAE(updates=50), gather_steps=800, **BROKEN)


FULL = """
import resource, sys
from adaps.cli.commands import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(main(sys.argv[2:]))
"""


def test_a_full_disk_ends_the_run_and_loses_nothing(tmp_path):
    out = tmp_path / "run"
    stopped(config_of(), out, "train", 2_000)
    saved = {p: p.read_bytes() for p in out.rglob("*") if "state" in p.parts and p.is_file()}
    words = [sys.executable, "-c", FULL, "20000", "train", "--resume", str(out)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "File too large; raise the limit" in done.stderr
    assert f"go on with: adaps train --resume {out}" in done.stderr
    assert "Traceback" not in done.stderr
    assert {p: p.read_bytes() for p in saved} == saved
    go_on(config_of(), out)
    go_on(config_of(), tmp_path / "whole")
    assert_same(out, tmp_path / "whole")


def test_the_command_goes_on(whole, tmp_path, capsys):
    out = tmp_path / "run"
    stopped(config_of(), out, "train", 2_000)
    assert main(["train", "--resume", str(out), "--steps", "7_000"]) == 0
    assert files.read_json(out, files.RESULT)["env_steps"] == 7_000 - 7_000 % 40
    words = ["train", "bps:2-2", "--auto-resume", "--out", str(tmp_path / "auto"), "--seeds", "1"]
    words += ["--steps", "4_000", "--gather-steps", "1_600", "--encoder.updates", "100"]
    assert main([*words, "--evaluations", "1", "--eval-episodes", "8"]) == 0
    first = files.read_json(tmp_path / "auto", files.RESULT)["return_mean"]
    assert main([*words, "--evaluations", "1", "--eval-episodes", "8"]) == 0
    assert files.read_json(tmp_path / "auto", files.RESULT)["return_mean"] == first
    capsys.readouterr()
    assert main([*words, "--algo.entropy", "0.5"]) == 2
    assert "config.algo.entropy" in capsys.readouterr().err


def test_policies_of_a_damaged_folder_run_no_code(tmp_path):
    path = Path(tmp_path / "run" / "checkpoints")
    path.mkdir(parents=True)
    (path / "seed-0.safetensors").write_bytes(b"\x80\x04cposix\nsystem\n(S'touch pwned'\ntR.")
    with pytest.raises(UserError, match="is damaged"):
        adaps.load(tmp_path / "run")
