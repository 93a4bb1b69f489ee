"""Transitions from a file."""

import os
import zipfile

import jax
import numpy as np
import pytest

import adaps
from adaps.collect.jax import JaxCollector, uniform
from adaps.files import logged
from adaps.identity import samples

TIME, AGENTS, OBS = 80, 2, 3


def arrays(envs=None, **changed):
    """A log of noise, with ``env`` or without; None leaves an array out."""
    rng = np.random.default_rng(0)
    shape = (TIME, AGENTS) if envs is None else (TIME, envs, AGENTS)
    good = {
        "obs": rng.normal(size=(*shape, OBS)),
        "next_obs": rng.normal(size=(*shape, OBS)),
        "action": rng.integers(4, size=shape),
        "reward": rng.normal(size=shape),
    }
    good["action"][0, ..., 0] = 3
    return {name: array for name, array in {**good, **changed}.items() if array is not None}


@pytest.fixture
def saved(tmp_path):
    def save(**data):
        path = tmp_path / "log.npz"
        np.savez(path, **data)
        return path

    return save


def put(name, place, value):
    """A good array with one number replaced."""
    array = arrays()[name].astype(float)
    array[place] = value
    return {name: array}


OBJECTS = np.array([[None] * AGENTS] * TIME)
SHAPE = (TIME, AGENTS)
WRONG = {
    "reward is missing": ({"reward": None}, r"lacks the arrays reward$"),
    "two are missing": ({"obs": None, "action": None}, "lacks the arrays obs, action"),
    "reward of one agent": ({"reward": np.zeros(TIME)}, r"reward must be .* not \(80,\)"),
    "reward is a number": ({"reward": np.float32(1)}, r"reward must be .* not \(\)"),
    "obs is a number": ({"obs": np.float32(1)}, r"obs must be \(80, 1, 2, 'obs'\), not \(\)"),
    "obs without numbers": ({"obs": np.zeros(SHAPE)}, "obs must be"),
    "obs of other agents": ({"obs": np.zeros((TIME, 3, OBS))}, "obs must be"),
    "next_obs of another time": ({"next_obs": np.zeros((81, AGENTS, OBS))}, "next_obs must be"),
    "next_obs of another size": (
        {"next_obs": np.zeros((TIME, AGENTS, 4))},
        "obs and next_obs differ in shape",
    ),
    "actions of other agents": ({"action": np.zeros((TIME, 3), int)}, "action must be"),
    "actions of one agent": ({"action": np.zeros(TIME, int)}, "action must be"),
    "objects": ({"reward": OBJECTS}, "no .npz file of plain arrays.*pad observations"),
    "text": ({"reward": np.full(SHAPE, "a")}, "reward must hold numbers, not <U1"),
    "truth values": ({"reward": np.full(SHAPE, True)}, "reward must hold numbers, not bool"),
    "complex": ({"reward": np.full(SHAPE, 1j)}, "reward must hold numbers, not complex128"),
    "reward NaN": (
        put("reward", (17, 1), np.nan),
        "reward of agent 1 at step 17 in copy 0 is not finite",
    ),
    "obs infinite": (put("obs", (3, 0, 2), np.inf), "obs of agent 0 at step 3 in copy 0 is not"),
    "next_obs NaN": (put("next_obs", (79, 1, 0), np.nan), "next_obs of agent 1 at step 79"),
    "squares that overflow": (put("obs", (3, 0, 2), -1e30), "obs of agent 0 at step 3 in copy 0"),
    "beyond 32 bits": (put("reward", (5, 0), 1e300), "reward of agent 0 at step 5"),
    "action NaN": (put("action", (4, 1), np.nan), "action of agent 1 at step 4"),
    "negative actions": (put("action", (0, 0), -1), "actions must be whole numbers from 0"),
    "fractional actions": (put("action", (0, 0), 0.5), "actions must be whole numbers from 0"),
    "very many actions": (put("action", (0, 0), 1e9), "whole numbers from 0 to 1023"),
    "types of other agents": ({"agent_types": np.zeros(3, int)}, "agent_types has shape"),
    "types in a table": ({"agent_types": np.zeros((1, 2), int)}, "agent_types has shape"),
    "names of other agents": ({"agent_names": np.array(["a"])}, "agent_names has shape"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_refused_and_told_why(saved, case):
    changed, says = WRONG[case]
    path = saved(**arrays(**changed))
    with pytest.raises(adaps.UserError, match=says) as error:
        logged.read(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_steps_agents_and_copies_are_named(saved):
    data = arrays(envs=3)
    data["obs"][7, 2, 1, 0] = np.nan
    with pytest.raises(adaps.UserError, match="obs of agent 1 at step 7 in copy 2"):
        logged.read(saved(**data))


@pytest.mark.parametrize("num", [0, 1, 63])
def test_too_few_steps_are_refused(saved, num):
    short = {name: array[:num] for name, array in arrays().items()}
    with pytest.raises(adaps.UserError, match=f"at least 64 steps .* not {num} of 2"):
        logged.read(saved(**short))


def test_no_agents_are_refused(saved):
    nobody = {name: array[:, :0] for name, array in arrays().items()}
    with pytest.raises(adaps.UserError, match="not 80 of 0"):
        logged.read(saved(**nobody))


def as_bytes(content):
    return lambda path: path.write_bytes(content)


def as_npy(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def as_raw_members(path):
    with zipfile.ZipFile(path, "w") as file:
        for name in arrays():
            file.writestr(name, "text")


def as_half(path):
    np.savez(path, **arrays())
    path.write_bytes(path.read_bytes()[:2000])


def as_damaged(path):
    np.savez_compressed(path, **arrays())
    content = bytearray(path.read_bytes())
    content[400:420] = bytes(20)
    path.write_bytes(content)


@pytest.mark.parametrize(
    "write",
    [as_bytes(b""), as_bytes(b"time,reward\n"), as_npy, as_raw_members, as_half, as_damaged],
    ids=["empty", "text", "npy", "no arrays", "half", "damaged"],
)
def test_what_is_no_npz_file_is_refused(tmp_path, write):
    path = tmp_path / "log.npz"
    write(path)
    with pytest.raises(adaps.UserError, match=r"log.npz is no \.npz file of plain arrays"):
        logged.read(path)


def test_what_cannot_be_read_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    for path in (tmp_path / "nowhere.npz", tmp_path, tmp_path / "pipe.npz"):
        with pytest.raises(adaps.UserError, match="cannot be read"):
            logged.read(path)


def test_both_layouts_say_the_same(saved):
    data = arrays()
    flat = logged.read(saved(**data))
    deep = logged.read(saved(**{name: array[:, None] for name, array in data.items()}))
    for one, other in zip(flat[1:5], deep[1:5], strict=True):
        np.testing.assert_array_equal(one, other)
    assert (flat.name, flat.num_agents, flat.num_steps) == ("log.npz", AGENTS, TIME)
    np.testing.assert_allclose(flat.obs[:, 0], data["obs"], rtol=1e-6)
    np.testing.assert_array_equal(flat.action[:, 0].argmax(-1), data["action"])
    assert flat.action.shape == (TIME, 1, AGENTS, 4)
    assert flat.agent_types is flat.agent_names is None


def test_types_and_names_are_read(saved):
    types, names = np.array(["wolf", "dog"]), np.array(["<b>", "Rex"])
    found = logged.read(saved(**arrays(agent_types=types, agent_names=names)))
    assert found.agent_types == (1, 0)
    assert found.agent_names == ("<b>", "Rex")


def test_whole_numbers_of_any_kind_are_actions(saved):
    data = arrays()
    for dtype in (np.uint8, np.int64, np.float32):
        found = logged.read(saved(**{**data, "action": data["action"].astype(dtype)}))
        np.testing.assert_array_equal(found.action[:, 0].argmax(-1), data["action"])


def test_continuous_actions_stay_what_they_are(saved):
    action = np.random.default_rng(0).normal(size=(TIME, AGENTS, 2))
    found = logged.read(saved(**arrays(action=action)))
    np.testing.assert_allclose(found.action[:, 0], action, rtol=1e-6)
    gathered = logged.gathered(found)
    assert gathered.common.given.shape == (samples.BLOCKS, AGENTS, 2, OBS + 2)


def test_all_that_is_logged_is_gathered(saved):
    found = logged.read(saved(**arrays(envs=2)))
    gathered = jax.device_get(logged.gathered(found))
    assert gathered.num_seen == 5
    by_copy = found.obs.transpose(2, 1, 0, 3).reshape(AGENTS, 32, 5, OBS).transpose(1, 0, 2, 3)
    np.testing.assert_array_equal(gathered.common.given[..., :OBS], by_copy)


def test_all_rare_rewards_of_a_log_are_kept(saved):
    rng = np.random.default_rng(0)
    shape = (40_000, AGENTS)
    obs = rng.normal(size=(*shape, 1))
    reward = np.where(rng.random(shape) < 0.03, 1.0, 0.0)
    action = np.zeros(shape, int)
    path = saved(obs=obs, next_obs=obs, action=action, reward=reward)
    gathered = logged.gathered(logged.read(path))
    assert reward.sum() > 2 * samples.RARE_OF_ROUND
    assert int(gathered.num_kept.sum()) == int(reward.sum())
    assert int(gathered.num_kept.min()) > 10


def test_rows_of_an_agent_are_its_own(saved):
    found = logged.read(saved(**arrays(envs=2)))
    rows = logged.rows_of_agent(found, 1)
    given, target = np.asarray(rows.given), np.asarray(rows.target)
    np.testing.assert_array_equal(given[:, :OBS], found.obs[:, :, 1].reshape(-1, OBS))
    np.testing.assert_array_equal(given[:, OBS:], found.action[:, :, 1].reshape(-1, 4))
    np.testing.assert_array_equal(target[:, :OBS], found.next_obs[:, :, 1].reshape(-1, OBS))
    np.testing.assert_array_equal(target[:, OBS:].ravel(), found.reward[:, :, 1].ravel())


ENV = adaps.make("bps:2-2")


@pytest.fixture(scope="module")
def log_of_play(tmp_path_factory):
    """6,400 steps of bps:2-2 as somebody else may have logged them."""
    collector, policy = JaxCollector(ENV), uniform(adaps.Discrete(ENV.num_actions))
    run = jax.jit(lambda position: collector.collect(policy, position, 50))
    played = jax.device_get(run(collector.start(jax.random.key(7), 128))[1])
    path = tmp_path_factory.mktemp("logs") / "play.npz"
    np.savez_compressed(
        path,
        obs=played.observation.obs,
        next_obs=played.final.obs,
        action=played.action,
        reward=played.reward,
        agent_types=np.array(ENV.agent_types),
        agent_names=np.array(["a", "b", "<i>c</i>", "d"]),
    )
    return path


def test_kinds_are_found_in_a_log(log_of_play):
    found = adaps.identify(transitions=log_of_play, encoder=adaps.VAE(updates=1_000))
    assert found.findings["adjusted_rand_index"] == 1.0
    assert found.findings["env"] == "play.npz"
    assert found.findings["agent_names"] == ["a", "b", "<i>c</i>", "d"]
    assert found.findings["gathered"]["env_steps"] == 6_400
    assert found.findings["advice"]["verdict"] == "share by kind"
    rows = logged.rows_of_agent(logged.read(log_of_play), 3)
    assert found.known.place(rows)[:2] == (1, True)


def pushed(saved, sign, reward=0.0):
    """Four agents that are pushed as they push, or the other way, or not at all."""
    rng = np.random.default_rng(0)
    action = rng.normal(size=(1600, 4, 1))
    obs = np.zeros_like(action)
    return saved(
        obs=obs,
        action=action,
        next_obs=obs + np.array(sign)[:, None] * action,
        reward=np.full((1600, 4), reward),
    )


def test_where_nothing_ever_changes_all_are_alike(saved):
    """Constant rewards and observations."""
    path = pushed(saved, [0, 0, 0, 0], reward=-2.0)
    found = adaps.identify(transitions=path, encoder=adaps.VAE(updates=300))
    assert found.clusters.tolist() == [0, 0, 0, 0]
    assert found.findings["agent_types"] is found.findings["adjusted_rand_index"] is None
    assert found.findings["gathered"]["rare_reward_share"] == 0
    assert found.findings["agent_names"] == ["agent_0", "agent_1", "agent_2", "agent_3"]
    assert np.isfinite(found.latent).all()


def test_alike_agents_of_continuous_actions_are_found(saved):
    path = pushed(saved, [1, -1, 1, -1])
    found = adaps.identify(transitions=path, encoder=adaps.VAE(updates=300))
    assert found.clusters.tolist() == [0, 1, 0, 1]
    (pair,) = found.findings["pairs"]
    assert pair["dynamics"] > 0.1 > abs(pair["reward"])
    assert [name for name, _ in pair["observation"]] == ["observation 0"]
