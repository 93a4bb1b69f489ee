"""Training as a whole: seeds, files, steps, interruption."""

import json
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adaps
from adaps.config.checks import resolved
from adaps.config.choices import algo_options, run_options, sharing_options
from adaps.config.saved import from_json
from adaps.config.training import TrainConfig, num_updates
from adaps.errors import Stopped, UserError
from adaps.files import run_folder as files
from adaps.files.schema import short_form
from adaps.identity.matching import Match
from adaps.training.checkpoint_metadata import Progress
from adaps.training.device_placement import Placement
from adaps.training.driver import Driver
from adaps.training.progress import Watch
from adaps.training.recorder import Recorder
from adaps.training.run import run
from adaps.training.stages import make_jax_stages, seed_keys
from adaps.training.train import SeedGroup, evaluation_points, keep_parts, train_seeds
from adaps.types import Sharing

SHORT = {"steps": 4_000, "gather_steps": 1_600, "evaluations": 2, "eval_episodes": 8}
SHORT["encoder"] = adaps.VAE(updates=600)


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_seeds_result_does_not_depend_on_the_others():
    both = adaps.train("bps:2-2", seeds=2, seed=3, **SHORT)
    alone = adaps.train("bps:2-2", seeds=1, seed=4, **SHORT)
    assert both.seeds == [3, 4]
    assert_equal(both.policies[1].params, alone.policies[0].params)
    assert both.returns[1] == alone.returns[0]
    assert any(
        (a != b).any()
        for a, b in zip(*(jax.tree.leaves(p.params) for p in both.policies), strict=True)
    )


def test_what_a_seed_warns_of_is_in_its_result_and_what_is_told_is_not():
    env, watch = adaps.make("bps:2-2"), Watch()
    config = config_of(env.name, "fups", **SHORT, seeds=2)
    recorder = Recorder(env, config, Placement([[0, 1]], workers=1), None, watch)
    watch.tell("a newer checkpoint is damaged")
    for _ in range(2):
        recorder.warn(1, "kinds not sure: 2")
    assert (recorder.warnings_of(0), recorder.warnings_of(1)) == ([], ["kinds not sure: 2"])
    saved = recorder._metadata([0, 1], Progress({}, 0, 0, [], []))
    assert saved.warnings == [[], ["kinds not sure: 2"]]


def test_a_run_says_that_its_kinds_rest_on_too_little():
    result = adaps.train("bps:2-2", **SHORT | {"gather_steps": 320, "steps": 600}, seeds=1)
    forms = [short_form(text) for text in result.warnings[0]]
    assert forms[0] == "too little gathered"
    assert "agent_0 acted in 320 steps" in result.warnings[0][0]


def test_seeds_in_one_program_learn_what_they_learn_alone():
    config = config_of("bps:2-2", "adaps", **SHORT, seeds=2)
    env = adaps.make(config.env)
    placement = Placement([[0, 1]], workers=1)
    recorder = Recorder(env, config, placement, None, Watch())
    together = train_seeds(group_of(env, config, recorder, [0, 1]))
    alone = adaps.train(env, seeds=2, **SHORT)
    for seed, own in zip(together, alone.policies, strict=True):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3), seed.policy.params, own.params
        )


def group_of(env, config, recorder, seeds):
    driver = Driver(recorder, recorder.journal(seeds), seeds)
    keys = seed_keys(jnp.asarray(seeds, jnp.uint32))
    return SeedGroup(config, make_jax_stages(env, config), recorder, driver, seeds, keys)


def config_of(env, method, **options):
    return TrainConfig(env, sharing_options(method), algo_options("a2c"), **options)


def test_adaps_with_one_cluster_is_full_sharing_bit_for_bit():
    fups = adaps.train("bps:2-2", "fups", seeds=1, **SHORT)
    one = adaps.train("bps:2-2", adaps.AdaPS(clusters=1), seeds=1, **SHORT)
    assert_equal(fups.policies[0].params, one.policies[0].params)
    assert fups.returns == one.returns


def test_looking_again_stays_within_the_steps_and_says_who_moved(tmp_path):
    longer = SHORT | {"gather_steps": 3_200, "encoder": adaps.VAE(updates=2_000)}
    short = longer | {"steps": 10_000, "num_identifications": 2, "gather_policy": "mixed"}
    looked = adaps.train("bps:2-2", seeds=1, out=tmp_path / "run", **short)
    again = adaps.train("bps:2-2", seeds=1, **short)
    assert_equal(looked.policies[0].params, again.policies[0].params)
    lines = (tmp_path / "run" / files.METRICS).read_text().splitlines()
    assert json.loads(lines[-1])["env_steps"] <= 10_000
    (looks,) = json.loads((tmp_path / "run" / files.IDENTITY).read_text())["looks"]
    assert looks == [{"look": 2, "num_clusters": 2, "adjusted_rand_index": 1.0, "moved": []}]
    before = adaps.train("bps:2-2", seeds=1, **longer | {"gather_policy": "mixed"})
    assert_equal(looked.policies[0].sharing.masks, before.policies[0].sharing.masks)


def test_agents_whose_kind_goes_on_keep_their_part():
    ones, zeros = (
        {"actor/0": jnp.full((3, 4), x), "critic/0": jnp.full((3, 2), x)} for x in (1.0, 0.0)
    )
    old, new = (Sharing(jnp.zeros(3, int), masks, jnp.zeros((3, 0))) for masks in (ones, zeros))
    matched = Match(None, [], np.array([1, -1, 1]))
    kept = keep_parts(matched, old, new)
    assert kept.masks.keys() == ones.keys()
    for mask in kept.masks.values():
        np.testing.assert_array_equal(mask[:, 0], [1, 0, 1])


def test_a_run_repeats_bit_for_bit():
    first, second = (adaps.train("bps:2-2", seeds=1, **SHORT) for _ in range(2))
    assert_equal(first.policies[0].params, second.policies[0].params)
    assert first.returns == second.returns


def test_the_folder_is_as_promised(short_run):
    out, result = short_run
    read = {name: files.read_json(out, name) for name in (files.IDENTITY, files.RESULT)}
    assert read[files.IDENTITY]["clusters"] == result.clusters
    assert read[files.IDENTITY]["num_clusters"] == [3, 3]
    assert read[files.IDENTITY]["adjusted_rand_index"] == [1.0, 1.0]
    summary = read[files.RESULT]
    assert {k: summary[k] for k in ("env", "sharing", "algo", "seeds", "env_steps")} == {
        "env": "bps-1",
        "sharing": "adaps",
        "algo": "a2c",
        "seeds": [0, 1],
        "env_steps": 12_000,
    }
    assert summary["parameters"] == summary["parameters_fups"] == 10_118
    assert summary["return_per_seed"] == result.returns
    assert summary["return_mean"] == pytest.approx(np.mean(result.returns))
    assert summary["regret_mean"] == pytest.approx(result.regret_mean)
    assert summary["episodes"] == 20
    assert summary["env_steps_per_second"] > 0
    assert summary["compile_seconds"] > 0
    assert summary["wall_seconds"] > summary["compile_seconds"]


def test_metrics_have_one_line_per_seed_and_evaluation(short_run):
    out, _ = short_run
    lines = [json.loads(line) for line in (out / files.METRICS).read_text().splitlines()]
    points = sorted((line["seed"], line["env_steps"]) for line in lines)
    assert points == [(s, n) for s in (0, 1) for n in (6_120, 9_080, 12_000)]
    for line in lines:
        assert sum(line["returns_per_type"]) == pytest.approx(line["return_greedy"])
        assert np.isfinite([line["return_sampled"], line["value_loss"], line["seconds"]]).all()


def test_the_saved_configuration_is_the_one_that_ran(short_run):
    out, _ = short_run
    expected = config_of(
        "bps-1",
        "adaps",
        steps=12_000,
        seeds=2,
        evaluations=3,
        eval_episodes=20,
        gather_steps=3_200,
        encoder=adaps.VAE(updates=1_500),
    )
    assert from_json(out / files.CONFIG) == expected


def test_an_environments_own_task_seed_is_saved(tmp_path):
    env = adaps.make("rware-2color-tiny-2ag", task_seed=5)
    short = {"steps": 80, "seeds": 1, "evaluations": 1, "eval_episodes": 1, "hidden": (4,)}
    adaps.train(env, "fups", out=tmp_path / "object", **short)
    adaps.train(env.name, "fups", out=tmp_path / "name", task_seed=5, **short)
    for made_from in ("object", "name"):
        assert from_json(tmp_path / made_from / files.CONFIG).task_seed == 5
    with pytest.raises(adaps.UserError, match="this one has its own"):
        adaps.train(env, "fups", out=tmp_path / "both", task_seed=6, **short)
    with pytest.raises(adaps.UserError, match="has no task seed"):
        adaps.train("bps:2-2", "fups", out=tmp_path / "none", task_seed=6, **short)
    assert {path.name for path in tmp_path.iterdir()} == {"object", "name"}


def test_a_loaded_policy_acts_as_the_trained_one(short_run):
    out, result = short_run
    obs = jax.random.normal(jax.random.key(0), (7, 15, 10))
    for seed, trained in zip((0, 1), result.policies, strict=True):
        loaded = adaps.load(out, seed)
        assert_equal(loaded.act(obs), trained.act(obs))
        assert_equal(loaded.act(obs, jax.random.key(1)), trained.act(obs, jax.random.key(1)))
        assert loaded.shape == trained.shape
    assert (adaps.load(out).act(obs) == adaps.load(out, 0).act(obs)).all()


def test_a_policy_refuses_what_it_cannot_read(short_run):
    out, result = short_run
    with pytest.raises(adaps.UserError, match=r"\(15, 10\)"):
        result.policies[0].act(jnp.zeros((15, 9)))
    with pytest.raises(adaps.UserError, match="no policy of seed 7"):
        adaps.load(out, 7)
    with pytest.raises(adaps.UserError, match="no trained policy"):
        adaps.load(out.parent)


def test_a_damaged_policy_is_named(short_run, tmp_path):
    out, _ = short_run
    whole = files.policy_file(out, 0).read_bytes()
    (tmp_path / "checkpoints").mkdir()
    for damaged in (whole[:-40], b"", b"\xff" * 100, whole[:8] + b"[" + whole[9:]):
        files.policy_file(tmp_path, 0).write_bytes(damaged)
        with pytest.raises(adaps.UserError, match=r"seed-0\.safetensors is damaged"):
            adaps.load(tmp_path)


@pytest.mark.parametrize("steps", [1_600 + 40, 2_000, 2_001, 3_999])
def test_steps_are_never_exceeded(steps):
    config = config_of("bps:2-2", "adaps", steps=steps, gather_steps=1_599)
    config = resolved(config, adaps.make(config.env))
    points = evaluation_points(config)
    assert points[-1] == num_updates(config) == (steps - 1_600) // 40
    assert len(set(points)) == len(points) <= config.evaluations
    assert min(points) >= 1


class StopAt(Watch):
    """Wishes to stop when a phase has come so far."""

    def __init__(self, phase, amount):
        super().__init__()
        self.phase, self.left = phase, amount

    def advance(self, name, amount, text=""):
        if name == self.phase:
            self.left -= amount
            if self.left <= 0:
                self.stop.set()


@pytest.mark.parametrize(("phase", "amount"), [("identify", 1), ("train", 40)])
def test_a_wish_to_stop_saves_what_was_learnt(phase, amount, tmp_path):
    config = config_of("bps:2-2", "adaps", **SHORT | {"steps": 10**8}, seeds=1)
    env = adaps.make(config.env)
    folder = files.RunFolder(tmp_path / "run")
    watch = StopAt(phase, amount)
    recorder = Recorder(env, config, Placement([[0]], 1), folder, watch)
    with pytest.raises(Stopped):
        train_seeds(group_of(env, config, recorder, [0]))
    assert files.saved_seeds(folder.path) == ([0] if phase == "train" else [])
    assert (folder.path / files.CONFIG).exists()
    assert not (folder.path / files.RESULT).exists()


def test_a_failure_in_one_seed_ends_the_run_with_its_error(tmp_path):
    class Broken(Watch):
        def advance(self, name, amount, text=""):
            if name == "train":
                raise RuntimeError(threading.current_thread().name)

    config = config_of("bps:2-2", "fups", **SHORT, seeds=2)
    with pytest.raises(RuntimeError, match="seeds_"):
        run(adaps.make("bps:2-2"), config, None, Broken())


@pytest.mark.parametrize("sharing", ["adaps", "fups"])
def test_one_agent_is_a_team(sharing):
    result = adaps.train("bps:1", sharing, seeds=1, **SHORT)
    assert np.isfinite(result.return_mean)
    assert result.clusters == ([[0]] if sharing == "adaps" else [None])


def test_the_paper_preset_takes_back_each_difference():
    assert sharing_options("adaps", "paper") == adaps.AdaPS(standardise=False, rescale=False)
    assert algo_options("a2c", "paper") == adaps.A2C(learning_rate=3e-4)
    assert sharing_options("AdaPS") == adaps.AdaPS()
    assert run_options("paper") == {"clusterer": "kmeans"}
    assert run_options("default") == {}


def test_64_bits_are_refused_in_one_line(tmp_path):
    with jax.enable_x64(True), pytest.raises(UserError, match="JAX_ENABLE_X64 is on"):
        adaps.train("bps:2-2", "fups", out=tmp_path / "run", steps=4_000)
    assert not (tmp_path / "run").exists()
