"""JaxMARL's and Jumanji's environments take the steps that they take by themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adaps
from adaps.collect.jax import JaxCollector, uniform
from adaps.envs import from_jaxmarl, from_jumanji, from_pettingzoo, make, to_jaxmarl
from adaps.types import action_space_of
from scripted import EVENTFUL, TERMINATED, InJax, InPython

SMAX = "jaxmarl:HeuristicEnemySMAX?scenario=2s3z"
TAG = "jaxmarl:MPE_simple_tag_v3"


def played(env, num_steps, num_envs=2):
    collector, policy = JaxCollector(env), uniform(action_space_of(env))

    @jax.jit
    def run(key):
        return collector.collect(policy, collector.start(key, num_envs), num_steps)[1]

    return jax.device_get(run(jax.random.key(0)))


@pytest.fixture(scope="module")
def tag():
    env = make(TAG)
    return env, played(env, 55)  # its episodes take a step more than their limit


@pytest.fixture(scope="module")
def smax():
    env = make(SMAX)
    return env, played(env, 60, 4)


def test_sizes_names_and_classes_are_those_of_jaxmarl(tag):
    env, _ = tag
    assert isinstance(env, adaps.Environment)
    assert env.name == TAG
    assert env.agent_names == ("adversary_0", "adversary_1", "adversary_2", "agent_0")
    assert env.agent_types == (0, 0, 0, 1)
    assert [space.obs_size for space in env.spaces] == [16, 16, 16, 14]
    assert env.spaces[0] != env.spaces[3]


def test_jaxmarl_takes_the_same_steps(tag):
    env, _ = tag
    theirs = env.env
    key = jax.random.key(3)
    step, their_step = jax.jit(env.step), jax.jit(theirs.step_env)
    state, now = env.reset(key)
    obs, their_state = theirs.reset(key)
    for t in range(24):
        np.testing.assert_array_equal(now.obs[3, :14], obs["agent_0"])
        np.testing.assert_array_equal(now.obs[0], obs["adversary_0"])
        action = jnp.arange(4) % 5 + t % 2
        step_key = jax.random.key(t)
        state, now = step(step_key, state, action)
        actions = dict(zip(theirs.agents, action, strict=True))
        own_key = jax.random.split(step_key)[0]
        obs, their_state, rewards, _, _ = their_step(own_key, their_state, actions)
        np.testing.assert_array_equal(now.reward, [rewards[agent] for agent in theirs.agents])
    assert not now.obs[3, 14:].any()


def test_time_limits_cut_off_and_keep_the_last_observation(tag):
    _, seen = tag
    ends = np.flatnonzero(seen.truncated[:, 0])
    assert ends.tolist() == [25, 51]
    assert not seen.terminated.any()
    assert seen.observation.here is None
    assert seen.agent_ends is None
    follows = np.abs(seen.final.obs[:-1] - seen.observation.obs[1:]).max(axis=(1, 2, 3)) > 0
    assert np.flatnonzero(follows).tolist() == [25, 51]


def test_units_that_die_are_gone_until_the_next_battle(smax):
    env, seen = smax
    assert env.agent_types == (2, 2, 3, 3, 3)
    died = seen.agent_ends.terminated & ~seen.terminated[..., None]
    assert died.any()
    for t, e, a in np.argwhere(died):
        later = np.flatnonzero((seen.terminated | seen.truncated)[t:, e])
        until = t + later[0] if len(later) else len(died) - 1
        assert not seen.observation.here[t + 1 : until + 1, e, a].any()
        assert seen.observation.here[until + 1 : until + 2, e, a].all()
    assert seen.terminated.any()


def test_who_dies_is_paid_as_in_python():
    """Agent b dies after two steps, and the team's rewards go on."""
    here = np.ones_like(EVENTFUL.here)
    here[2:, 1] = False
    flag = np.zeros_like(EVENTFUL.flag)
    flag[1, 1] = flag[4, 0] = flag[4, 2] = TERMINATED
    script = EVENTFUL._replace(here=here, flag=flag)
    ours = from_jaxmarl(to_jaxmarl(InJax(script)))
    copies = from_pettingzoo(lambda: InPython(script), name="scripted").open(1, 0)
    step, key, action = jax.jit(ours.step), jax.random.key(0), jnp.zeros(3, jnp.int32)
    (state, _), _ = ours.reset(key), copies.reset([0])
    for _ in range(2 * script.length):
        state, now = step(key, state, action)
        theirs = copies.step(np.zeros((1, 3), int))
        np.testing.assert_array_equal(now.reward, theirs.reward[0])
        np.testing.assert_array_equal(now.observation.here, theirs.observation.here[0])
        assert (now.terminated, now.truncated) == (theirs.terminated[0], theirs.truncated[0])
        for one, other in zip(now.agent_ends, theirs.agent_ends, strict=True):
            np.testing.assert_array_equal(one, other[0])


def test_what_is_not_available_is_illegal(smax):
    env, seen = smax
    assert not seen.observation.legal.all()
    state, now = env.reset(jax.random.key(1))
    allowed = env.env.get_avail_actions(state.inner)
    for i, name in enumerate(env.agent_names):
        np.testing.assert_array_equal(now.observation.legal[i], np.asarray(allowed[name], bool))


@pytest.mark.parametrize("name", ["LevelBasedForaging-v0", "RobotWarehouse-v0"])
def test_jumanji_takes_the_same_steps(name):
    env = from_jumanji(name)
    theirs, key = env.env, jax.random.key(5)
    step, their_step = jax.jit(env.step), jax.jit(theirs.step)
    state, now = env.reset(key)
    their_state, timestep = theirs.reset(jax.random.key_data(key))
    rng = np.random.default_rng(0)
    for t in range(12):
        seen = timestep.observation.agents_view.reshape(env.num_agents, -1)
        np.testing.assert_array_equal(now.obs, seen)
        np.testing.assert_array_equal(now.observation.legal, timestep.observation.action_mask)
        legal = np.asarray(now.observation.legal)
        action = jnp.array([rng.choice(np.flatnonzero(row)) for row in legal])
        state, now = step(jax.random.key(t), state, action)
        their_state, timestep = their_step(their_state, action)
        if timestep.last():
            break
        np.testing.assert_allclose(now.reward.sum(), jnp.sum(timestep.reward), rtol=1e-6)


def test_jumanji_cuts_off_at_its_time_limit():
    env = make("jumanji:LevelBasedForaging-v0?time_limit=7")
    seen = played(env, 15)
    assert (seen.truncated | seen.terminated).sum() >= 4
    assert seen.truncated.any()
    assert env.max_steps == 7


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("jaxmarl:MPE_simple_tak_v3", "did you mean 'MPE_simple_tag_v3'"),
        ("jaxmarl:HeuristicEnemySMAX?scenario=2s9z", "cannot be made: KeyError"),
        (
            "jaxmarl:MPE_simple_tag_v3?action_type=Continuous",
            "only discrete actions can be trained",
        ),
        ("jumanji:RobotWarehous-v0", "did you mean 'RobotWarehouse-v0'"),
        ("jumanji:Snake-v1", "have no agents_view, which says what each of several agents sees"),
    ],
)
def test_names_that_cannot_be_trained_are_refused(name, message):
    with pytest.raises(adaps.UserError, match=message):
        make(name)


def test_objects_are_taken_as_well():
    made = make(TAG).env
    assert from_jaxmarl(made, name="mine").name == "mine"
    assert from_jaxmarl(made).num_agents == 4
