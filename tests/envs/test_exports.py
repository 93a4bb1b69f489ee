"""Environments for PettingZoo's and JaxMARL's code: what they give is the environment's own."""

import functools
import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pettingzoo import ParallelEnv

import adaps
from adaps.envs import to_jaxmarl, to_pettingzoo
from scripted import EVENTFUL, NAMES, InJax, InPython

with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
    # What these two lie beside makes an environment in a way that PettingZoo deprecates.
    from pettingzoo.test import parallel_api_test, parallel_seed_test

GAMES = ("bps:2-1", "foraging-2s-fixed-5x5-2p-1f-coop", "rware-2color-tiny-2ag")
SMALL = GAMES[0]
names = pytest.mark.parametrize("name", GAMES)


@functools.partial(jax.jit, static_argnums=0)
def play(env, keys, actions):
    """The environment itself: its first timestep, and with a time axis those that follow."""
    state, first = env.reset(keys[0])
    state, steps = jax.lax.scan(
        lambda state, x: env.step(x[0], state, x[1]), state, (keys[1:], actions)
    )
    return first, steps, state


def array(by_agent):
    """Values of all agents, which must be in the environment's order."""
    agents = [agent for agent in by_agent if agent != "__all__"]
    assert agents == [f"agent_{i}" for i in range(len(agents))]
    return np.stack([by_agent[agent] for agent in agents])


def masks(infos):
    return array({agent: info["action_mask"] for agent, info in infos.items()})


def assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def random_actions(env, seed):
    generator = np.random.default_rng(seed)
    return generator.integers(env.num_actions, size=(env.max_steps, env.num_agents), dtype=np.int32)


@names
def test_pettingzoo_says_it_is_one_of_its_own(name):
    parallel_api_test(to_pettingzoo(name), num_cycles=55)
    parallel_seed_test(lambda: to_pettingzoo(name), num_cycles=5)


@names
def test_pettingzoo_steps_as_the_environment_does(name):
    zoo = to_pettingzoo(name)
    assert isinstance(zoo, ParallelEnv)
    keys, chain = [], jax.random.key(3)
    for _ in range(1 + zoo.env.max_steps):
        chain, now = jax.random.split(chain)
        keys.append(now)
    action = random_actions(zoo.env, seed=0)
    first, steps, _ = jax.device_get(play(zoo.env, jnp.stack(keys), action))
    ended = steps.terminated | steps.truncated
    obs, infos = zoo.reset(seed=3)
    assert_close(array(obs), first.obs)
    np.testing.assert_array_equal(masks(infos), first.observation.legal)
    for t in range(ended.argmax() + 1):
        assert zoo.agents == zoo.possible_agents
        assert zoo.num_agents == zoo.env.num_agents
        actions = dict(zip(zoo.agents, action[t], strict=True))
        obs, rewards, terminations, truncations, infos = zoo.step(actions)
        assert_close(array(obs), steps.final.obs[t])
        assert_close(array(rewards), steps.reward[t])
        assert (array(terminations) == steps.terminated[t]).all()
        assert (array(truncations) == steps.truncated[t]).all()
        np.testing.assert_array_equal(masks(infos), steps.observation.legal[t])
    assert ended[t]
    assert zoo.agents == []
    assert abs(steps.obs[t] - steps.final.obs[t]).max() > 0.01


@names
def test_pettingzoo_spaces_hold_what_is_given(name):
    zoo = to_pettingzoo(name)
    obs, infos = zoo.reset(seed=0)
    for agent in zoo.agents:
        assert zoo.observation_space(agent).contains(obs[agent])
        obs[agent][:] = 0  # others may write to it
        assert zoo.action_space(agent).sample(infos[agent]["action_mask"]) < zoo.env.num_actions
    assert zoo.render_mode is None
    assert zoo.render() is None
    assert str(zoo) == name


def test_pettingzoo_seeds():
    def starts(zoo, *seeds):
        return [array(zoo.reset(seed=seed)[0]) for seed in seeds]

    zoo = to_pettingzoo(SMALL)
    first, second, again, other = starts(zoo, 1, None, 1, 2)
    np.testing.assert_array_equal(first, again)
    assert (first != second).any()
    assert (first != other).any()
    np.testing.assert_array_equal(second, starts(to_pettingzoo(SMALL), 1, None)[1])
    by_chance = [starts(to_pettingzoo(SMALL), None)[0] for _ in range(2)]
    assert (by_chance[0] != by_chance[1]).any()


def test_pettingzoo_refuses_actions_it_cannot_take():
    zoo = to_pettingzoo(SMALL)
    with pytest.raises(adaps.UserError, match="call reset first"):
        zoo.step({"agent_0": 0, "agent_1": 0, "agent_2": 0})
    zoo.reset()
    with pytest.raises(
        adaps.UserError, match=r"agent_0 to agent_2.*they are for agent_0, agent_1$"
    ):
        zoo.step({"agent_0": 0, "agent_1": 0})
    with pytest.raises(adaps.UserError, match=r"they are for none$"):
        zoo.step({})
    with pytest.raises(adaps.UserError, match=r"action of agent_2 .* from 0 to 4, not 5"):
        zoo.step({"agent_0": 0, "agent_1": 0, "agent_2": 5})


def test_without_pettingzoo_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pettingzoo", None)
    monkeypatch.delitem(sys.modules, "adaps.envs.export.pettingzoo", raising=False)
    with pytest.raises(adaps.UserError, match=r"pettingzoo is missing: pip install 'adaps\[pet"):
        to_pettingzoo(SMALL)


def test_nothing_else_needs_the_extras():
    code = "import sys; sys.modules |= dict.fromkeys(['gymnasium', 'pettingzoo', 'jaxmarl']); "
    code += "import adaps.cli.commands; from adaps.envs import to_jaxmarl; "
    code += "to_jaxmarl('bps-1').action_spaces"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pettingzoo_is_told_who_pauses_dies_and_is_paid():
    ours, theirs = to_pettingzoo(InJax(EVENTFUL)), InPython(EVENTFUL)
    assert ours.reset(seed=0)[0].keys() == {"agent_0", "agent_1"}
    theirs.reset()
    renamed = dict(zip(ours.possible_agents, NAMES, strict=True))
    while theirs.agents:
        assert [renamed[agent] for agent in ours.agents] == sorted(theirs.agents)
        obs, *told, infos = ours.step(dict.fromkeys(ours.agents, 0))
        seen, *expected, _ = theirs.step(dict.fromkeys(theirs.agents, 0))
        for one, other in zip(told, expected, strict=True):
            values = {renamed[agent]: value for agent, value in one.items()}
            assert values.items() >= other.items()
            assert not any(values[agent] for agent in values.keys() - other.keys())
        for agent in ours.agents:
            assert obs[agent] == seen[renamed[agent]]
            assert infos[agent]["action_mask"].tolist() == [1, 1]
    assert ours.agents == []
    ours.reset(seed=0)
    with pytest.raises(adaps.UserError, match=r"for agent_0, agent_1, one for each; .* none"):
        ours.step({})


def test_jaxmarl_is_told_who_is_done():
    jaxmarl_env = to_jaxmarl(InJax(EVENTFUL))
    key, actions = jax.random.key(0), dict.fromkeys(jaxmarl_env.agents, 1)
    _, state = jaxmarl_env.reset(key)
    for t in range(2 * EVENTFUL.length):
        _, state, rewards, dones, _ = jaxmarl_env.step(key, state, actions)
        now = t % EVENTFUL.length
        over = now == EVENTFUL.length - 1
        done = EVENTFUL.flag[: now + 1].any(axis=0) | over
        np.testing.assert_array_equal(array(rewards), EVENTFUL.reward[now])
        np.testing.assert_array_equal(array(dones), done)
        assert dones["__all__"] == over


@names
def test_jaxmarl_steps_as_the_environment_does(name):
    """Two copies under ``vmap`` and ``jit``, over the end of an episode."""
    jaxmarl_env = to_jaxmarl(name)
    env = jaxmarl_env.env

    def act(state, key_and_action):
        key, action = key_and_action
        # JaxMARL's learners give each agent's action an axis of length one.
        actions = {agent: action[i, None] for i, agent in enumerate(jaxmarl_env.agents)}
        obs, state, rewards, dones, infos = jaxmarl_env.step(key, state, actions)
        assert infos == {}
        return state, (obs, rewards, dones, jaxmarl_env.get_avail_actions(state))

    @jax.jit
    @jax.vmap
    def play_jaxmarl(keys, actions):
        obs, state = jaxmarl_env.reset(keys[0])
        return obs, *jax.lax.scan(act, state, (keys[1:], actions))

    keys = jax.random.split(jax.random.key(1), (2, 1 + env.max_steps))
    action = np.stack([random_actions(env, seed) for seed in (1, 2)])
    first_obs, last_state, (obs, rewards, dones, legal) = play_jaxmarl(keys, action)
    for copy in range(2):
        first, steps, state = play(env, keys[copy], action[copy])
        ended = np.asarray(steps.terminated | steps.truncated)
        assert ended.any()
        assert_close(array(first_obs)[:, copy], first.obs)
        assert_close(array(obs)[:, copy].swapaxes(0, 1), steps.obs)
        assert_close(array(rewards)[:, copy].T, steps.reward)
        np.testing.assert_array_equal(array(legal)[:, copy].swapaxes(0, 1), steps.observation.legal)
        assert (array(dones)[:, copy] == ended).all()
        assert (dones["__all__"][copy] == ended).all()
        jax.tree.map(lambda a, b, c=copy: assert_close(a[c], b), last_state.env_state, state)


def test_jaxmarl_end_of_an_episode():
    """``step`` gives the next episode's first observation, ``step_env`` the last of this one."""
    jaxmarl_env = to_jaxmarl(SMALL)
    key, actions = jax.random.key(0), dict.fromkeys(jaxmarl_env.agents, 1)
    _, chosen = jaxmarl_env.reset(jax.random.key(7))
    _, state = jaxmarl_env.reset(key)
    for _ in range(jaxmarl_env.env.max_steps - 1):
        _, state, _, dones, _ = jaxmarl_env.step(key, state, actions)
        assert not dones["__all__"]
    _, expected = jaxmarl_env.env.step(key, state.env_state, jnp.ones(3, jnp.int32))
    assert expected.truncated
    obs, _, _, dones, _ = jaxmarl_env.step(key, state, actions)
    assert dones["__all__"]
    assert_close(array(obs), expected.obs)
    obs, _, _, dones, _ = jaxmarl_env.step_env(key, state, actions)
    assert dones["__all__"]
    assert_close(array(obs), expected.final.obs)
    obs, after, _, _, _ = jaxmarl_env.step(key, state, actions, chosen)
    jax.tree.map(np.testing.assert_array_equal, after, chosen)
    np.testing.assert_array_equal(array(obs), chosen.obs)
    _, after, _, _, _ = jaxmarl_env.step(key, chosen, actions, state)
    assert after.env_state.time == chosen.env_state.time + 1


def test_jaxmarl_takes_keys_of_both_kinds():
    jaxmarl_env = to_jaxmarl(SMALL)
    old, new = jax.random.PRNGKey(5), jax.random.key(5)
    np.testing.assert_array_equal(
        array(jaxmarl_env.reset(old)[0]), array(jaxmarl_env.reset(new)[0])
    )


@names
def test_jaxmarl_spaces(name, monkeypatch):
    """Those that stand in where JaxMARL is not installed."""
    monkeypatch.setitem(sys.modules, "jaxmarl", None)
    monkeypatch.delitem(sys.modules, "jaxmarl.environments", raising=False)
    env, jaxmarl_env = adaps.make(name), to_jaxmarl(name)
    assert jaxmarl_env.name == name
    assert jaxmarl_env.num_agents == len(jaxmarl_env.agents) == env.num_agents
    assert jaxmarl_env.agent_classes == {"agents": jaxmarl_env.agents}
    for agent in jaxmarl_env.agents:
        actions = jaxmarl_env.action_space(agent)
        assert (actions.n, actions.shape) == (env.num_actions, ())
        drawn = jax.vmap(actions.sample)(jax.random.split(jax.random.key(0), 100))
        assert set(drawn.tolist()) == set(range(env.num_actions))
        assert jaxmarl_env.observation_space(agent).shape == (env.obs_size,)
    assert set(jaxmarl_env.observation_spaces) == set(jaxmarl_env.action_spaces)


@names
def test_jaxmarl_wrappers_take_it(name):
    """Those its baselines put around an environment, where JaxMARL is installed."""
    wrappers = pytest.importorskip("jaxmarl.wrappers.baselines")
    jaxmarl_env = to_jaxmarl(name)
    logged = wrappers.LogWrapper(jaxmarl_env)
    manager = wrappers.CTRolloutManager(logged, batch_size=2)
    _, state = manager.batch_reset(jax.random.PRNGKey(0))
    keys = jax.random.split(jax.random.PRNGKey(1), (jaxmarl_env.env.max_steps, 2))
    for step_key, action_key in keys:
        actions = {a: manager.batch_sample(action_key, a) for a in manager.agents}
        obs, state, rewards, dones, infos = manager.batch_step(step_key, state, actions)
    assert obs["__all__"].shape == (2, jaxmarl_env.num_agents * jaxmarl_env.env.obs_size)
    assert rewards["__all__"].shape == dones["__all__"].shape == (2,)
    assert (infos["returned_episode_lengths"] > 0).all()
