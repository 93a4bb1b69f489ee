"""What environments in JAX give is seen before anything is written: done, or refused in a line."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adaps
from adaps.collect.evaluate import UniformAgent, in_batches, player
from adaps.envs import accepted, from_jaxmarl, make
from adaps.envs.checked import checked
from adaps.errors import EndlessEpisodeError, UserError
from adaps.networks.agent import sampled
from adaps.types import AgentEnds, Box, Discrete, Observation
from envs.teams_in_jax import BOX, LEGAL, Inner, JaxMARLStyle, Own


def steps(env, number=5):
    """Timesteps of one copy whose agents take their second action, the reset's first."""

    def another(now, key):
        return (after := env.step(key, now, jnp.ones(env.num_agents, jnp.int32)))[0], after[1]

    state, first = env.reset(jax.random.key(0))
    _, later = jax.lax.scan(another, state, jax.random.split(jax.random.key(1), number))
    return first, later


MEANT = {
    "as it is": {},
    "dict observations": {"obs": lambda o: {a: {"b": x[1], "a": x[:1]} for a, x in o.items()}},
    "tuples of observations": {"obs": lambda o: {a: (x[:1], x[1:]) for a, x in o.items()}},
    "whole observations": {"obs": lambda o: {a: jnp.int32(9 * x) for a, x in o.items()}},
    "an end of all alone": {"dones": lambda d: {"__all__": d["__all__"]}},
    "ends of each alone": {"dones": lambda d: {a: d[a] for a in ("a", "b")}},
    "an end that is no dict": {"dones": lambda d: d["__all__"]},
    "ends with an axis": {"dones": lambda d: {a: x[None] for a, x in d.items()}},
    "ends as 0 and 1": {"dones": lambda d: {a: jnp.int32(x) for a, x in d.items()}},
    "rewards with an axis": {"rewards": lambda r: {a: x[None] for a, x in r.items()}},
    "halves": {"rewards": lambda r: {a: jnp.float16(x) for a, x in r.items()}},
    "a shared reward": {"rewards": lambda r: {"__all__": r["a"] + r["b"]}},
    "a reward that is no dict": {"rewards": lambda r: r["a"] + r["b"]},
    "own rewards beside all": {"rewards": lambda r: {**r, "__all__": 99.0}},
    "a clock of fractions": {"state": lambda s: s._replace(time=s.time * 1.0)},
    "a list": {"step": list},
}


@pytest.mark.parametrize("what", MEANT)
def test_what_can_be_meant_is_done(what):
    team = from_jaxmarl(JaxMARLStyle(**MEANT[what]))
    plain = from_jaxmarl(JaxMARLStyle())
    (first, later), (_, expected) = steps(team), steps(plain)
    assert first.obs.shape == (2, 2)
    assert {later.obs.dtype, later.reward.dtype} == {jnp.dtype(jnp.float32)}
    np.testing.assert_array_equal(later.ended, [False, False, True, False, False])
    np.testing.assert_array_equal(later.reward.sum(-1), expected.reward.sum(-1))
    assert team.max_steps is None


def test_a_dict_is_flattened_in_the_order_of_its_keys():
    team = from_jaxmarl(JaxMARLStyle(**MEANT["dict observations"]))
    plain = from_jaxmarl(JaxMARLStyle())
    np.testing.assert_array_equal(steps(team)[1].obs, steps(plain)[1].obs)
    assert team.spaces[0].label == "1 and 1 numbers, 2 actions"


def test_what_all_share_is_split_evenly():
    team = from_jaxmarl(JaxMARLStyle(rewards=lambda r: {"__all__": 3}))
    np.testing.assert_array_equal(steps(team)[1].reward, np.full((5, 2), 1.5))


def dropped(values):
    return {"a": values["a"]}


WRONG = {
    "observation of b": ({"obs": dropped}, "style: there is no observation of agent b"),
    "text": ({"obs": lambda o: {**o, "b": "x"}}, "(observation of b holds|reset fails)"),
    "keys": (
        {"obs": lambda o: {**o, "b": jax.random.key(0)}},
        r"style: observation of b holds key<fry>\[\], and can only be numbers",
    ),
    "no dict": ({"obs": lambda o: o["a"]}, r"observation must be a dict by agent, not float32\[2"),
    "reward of b": ({"rewards": dropped}, "style: there is no reward of agent b"),
    "two rewards": (
        {"rewards": lambda r: {**r, "b": jnp.ones(2)}},
        r"style: reward of b is float32\[2\], not one number",
    ),
    "no reward": ({"rewards": lambda r: {**r, "b": None}}, "reward of b is None, not one number"),
    "rewards of nobody": ({"rewards": lambda r: {}}, "there is no reward of a"),
    "ends of nobody": ({"dones": lambda d: {}}, "done names nobody, but neither __all__ nor all"),
    "an end of one": ({"dones": dropped}, "done names a, but neither __all__ nor all agents"),
    "a fraction of an end": (
        {"dones": lambda d: {**d, "b": jnp.float32(1)}},
        r"done of b is float32\[\], not true or false",
    ),
    "four values": ({"step": lambda s: s[:4]}, "step_env must return obs, .*, not 4 values"),
    "one value": ({"reset": lambda s: s[1]}, "reset must return obs, state, not 3 values"),
    "nothing": ({"step": lambda s: None}, "step_env must return .*, not None"),
    "a shape that changes": (
        {"state": lambda s: s._replace(x=s.x[:1])},
        r"its state\.x is float32\[2, 2\] after a reset, and float32\[1, 2\] after a step",
    ),
    "parts that change": (
        {"state": lambda s: s._replace(time=None)},
        "the parts of its state after a step are not those after a reset",
    ),
    "an exception": ({"rewards": lambda r: 1 / 0}, "step_env fails: ZeroDivisionError"),
    "a condition": (
        {"rewards": lambda r: {} if r["a"] > 0 else r},
        "step_env fails: TracerBoolConversionError",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_meant_is_refused_in_one_line(what):
    changes, message = WRONG[what]
    with pytest.raises(UserError, match=message) as caught:
        from_jaxmarl(JaxMARLStyle(**changes))
    assert "\n" not in str(caught.value)
    assert "style" in str(caught.value)
    assert len(str(caught.value)) < 500


class Masked(JaxMARLStyle):
    def __init__(self, mask):
        super().__init__()
        self.mask = mask

    def get_avail_actions(self, state):
        return self.mask


def test_masks_are_checked():
    masks = {"a": jnp.array([0, 1]), "b": [True, True]}
    first, _ = steps(from_jaxmarl(Masked(masks)))
    np.testing.assert_array_equal(first.observation.legal, [[False, True], [True, True]])
    with pytest.raises(UserError, match="available actions of b are 3 numbers, and it has 2"):
        from_jaxmarl(Masked({**masks, "b": jnp.ones(3)}))
    with pytest.raises(UserError, match="there is no available actions of agent b"):
        from_jaxmarl(Masked({"a": jnp.ones(2)}))


def test_options_come_too_late_for_what_is_made():
    with pytest.raises(UserError, match="'x' is made already: size cannot be given any more"):
        from_jaxmarl(JaxMARLStyle(), name="x", size=3)


def test_options_of_ones_own_environments():
    env = make("envs.teams_in_jax:JaxMARLStyle,length=7,max_steps=9", agent_types=(3, 4))
    assert env.name == "envs.teams_in_jax:JaxMARLStyle,length=7,max_steps=9"
    assert (env.env.length, env.max_steps, env.agent_types) == (7, 10, (3, 4))
    own = make("envs.teams_in_jax:Own,name='a b',max_steps=5", agent_types=(3, 4))
    assert (own.name, own.max_steps, own.agent_types) == ("a b", 5, (3, 4))


@pytest.mark.parametrize("types", [(0,), (0, 1, 2), "ab", (0.5, 1)])
def test_types_that_do_not_fit_are_refused(types):
    for name in ("JaxMARLStyle", "Own"):
        with pytest.raises(UserError, match=r"agent.types"):
            make(f"envs.teams_in_jax:{name}", agent_types=types)
    with pytest.raises(UserError, match=r"agent.types"):
        from_jaxmarl(JaxMARLStyle(), agent_types=types)


def test_built_in_environments_know_their_types():
    with pytest.raises(UserError, match=r"\(--agent-types\) cannot be given: .* 'bps-1' says"):
        make("bps-1", agent_types=(0,) * 15)


def own(**changes):
    return Own(changes=tuple(changes.items()))


def seen(**changes):
    return own(observation=Observation(jnp.ones((2, 1)), LEGAL)._replace(**changes))


NO, NOBODY = jnp.zeros((), bool), jnp.zeros(2, bool)
RIGHT = {
    "as it is": Own(),
    "no mask": Own(changes=(("observation", Observation(jnp.ones((2, 1)))),)),
    "no limit": Own(max_steps=None),
    "no types": Own(agent_types=None),
    "types in a list": Own(agent_types=[0, 1]),
    "a box": Own(members=(("action_space", BOX),)),
    "ends of agents": own(agent_ends=AgentEnds(NOBODY, NOBODY)),
    "a Python number": Own(reset_state=0),
}
SLIPS = {
    "NumPy's number": (Own(num_agents=np.int64(2)), "num_agents must be an int .* not .*int64"),
    "a fraction": (Own(obs_size=1.0), r"obs_size must be an int .* not 1.0 \(float\)"),
    "none": (Own(num_actions=0), "num_actions must be an int of at least 1, not 0"),
    "an array": (Own(max_steps=jnp.int32(3)), "max_steps must be an int"),
    "a name": (Own(name=3), "its name must be text, not 3"),
    "types in words": (Own(agent_types=("x", "y")), "agent_types must be 2 whole numbers"),
    "types of others": (Own(agent_types=(0, 1, 1)), "3 agent types for 2 agents"),
    "NumPy's types": (Own(agent_types=np.array([0, 1])), "agent_types must be a tuple of int"),
    "the size of observations": (Own(obs_size=3), r"obs of reset is float32\[2, 1\], .*\[2, 3\]"),
    "the number of actions": (Own(num_actions=3), r"legal of reset is bool\[2, 2\], .*\[2, 3\]"),
    "the number of agents": (Own(num_agents=3, agent_types=None), r"of reset is .*\[2"),
    "another reward": (own(reward=jnp.zeros(3)), r"reward of reset is float32\[3\], .*\[2\]"),
    "one reward": (
        own(reward=jnp.float32(0)),
        r"is float32\[\], and must be float32\[2\]",
    ),
    "whole rewards": (
        own(reward=jnp.zeros(2, int)),
        r"reward of reset is int32\[2\], .*float32",
    ),
    "whole observations": (
        Own(changes=(("observation", Observation(jnp.ones((2, 1), int))),)),
        r"observation.obs of reset is int32\[2, 1\], and must be float32",
    ),
    "text": (own(reward="much"), "reset (fails: TypeError|.*reward)"),
    "ends of each": (
        own(truncated=NOBODY),
        r"truncated of reset is bool\[2\], .*bool\[\]",
    ),
    "ends as numbers": (
        own(terminated=jnp.int32(0)),
        r"is int32\[\], and must be bool\[\]",
    ),
    "a mask of numbers": (
        seen(legal=jnp.ones((2, 2))),
        "legal of reset is float32.*must be bool",
    ),
    "a mask of others": (seen(legal=LEGAL[:1]), r"legal of reset is bool\[1, 2\]"),
    "no observation": (own(final=jnp.ones((2, 1))), "final of reset must be an adaps.Observation"),
    "a state that changes": (Own(state=1.5), r"(step fails|the state is int32\[\] after reset)"),
    "parts that change": (Own(state=(1, 2)), "(step fails|must have the same parts)"),
    "a box of arrays": (
        Own(members=(("action_space", Box(2, np.float32(-1), np.float32(1))),)),
        "action_space must be of plain numbers",
    ),
    "a box of another size": (
        Own(num_actions=3, members=(("action_space", BOX),)),
        "action_space must be of plain numbers, and its size num_actions, 3",
    ),
    "names of others": (Own(members=(("agent_names", ["a"]),)), "its agent_names are 1, and its"),
    "spaces in words": (Own(members=(("spaces", "ab"),)), "spaces must be of type AgentSpace"),
}


@pytest.mark.parametrize("what", RIGHT)
def test_what_is_right_is_taken(what):
    assert checked(RIGHT[what]) is RIGHT[what]


@pytest.mark.parametrize("what", SLIPS)
def test_slips_in_ones_own_environment_are_refused_in_one_line(what, tmp_path):
    env, message = SLIPS[what]
    for use in (
        lambda: adaps.train(env, "fups", out=tmp_path / "run"),
        lambda: adaps.identify(env),
    ):
        with pytest.raises(UserError, match=message) as caught:
            use()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500
    assert not [*tmp_path.iterdir()]


class FirstValue(Own):
    """Whose step forgets the timestep."""

    def step(self, key, time, action):
        return time + 1


class Lists(Own):
    """Whose reset returns a list."""

    def reset(self, key):
        return [*super().reset(key)]


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (FirstValue(), r"step must return its state and an adaps.Timestep, not int32\[\]"),
        (Lists(), "reset must return its state and an adaps.Timestep, not a list"),
        (object(), "environment 'object' is no adaps.Environment: it lacks name, num_agents"),
    ],
)
def test_what_is_no_environment_is_refused(env, message):
    with pytest.raises(UserError, match=message):
        accepted(env)


def returns(env, max_steps=None, episodes=6):
    with player(env, max_steps) as play:

        def one(numbers):
            return play(UniformAgent(Discrete(2)), sampled, None, None, numbers)

        return in_batches(one, episodes, most=3)


@pytest.mark.parametrize("length", [5, 1_200])
def test_episodes_of_no_known_limit_are_played_to_their_end(length):
    env = from_jaxmarl(JaxMARLStyle(length, rewards=lambda r: {"a": 1, "b": 2}))
    episodes = returns(env)
    np.testing.assert_array_equal(episodes.returns, np.full((6, 2), [length, 2 * length]))
    assert not episodes.cut.any()


def test_episodes_without_an_end_are_told_of(monkeypatch):
    for module in ("episodes", "jax"):
        monkeypatch.setattr(f"adaps.collect.{module}.MOST_STEPS", 50)
    env = from_jaxmarl(JaxMARLStyle(10**6), name="endless")
    with pytest.raises(EndlessEpisodeError, match=r"was not over after .* steps: say with --max"):
        returns(env)
    assert returns(env, 7).cut.all()


@pytest.mark.parametrize(("stated", "told", "steps"), [(None, 4, 4), (9, 4, 4), (4, None, 4)])
def test_cuts_are_counted(stated, told, steps):
    env = dataclasses.replace(Own(length=6), max_steps=stated)
    episodes = returns(env, told)
    assert episodes.cut.all()
    assert episodes.returns.max() <= steps


def test_a_limit_that_is_far_changes_nothing():
    env = Own(max_steps=None)
    assert not returns(env, 50).cut.any()


def test_jaxmarls_limit_is_a_step_further():
    assert from_jaxmarl(JaxMARLStyle(max_steps=25)).max_steps == 26
    assert from_jaxmarl(JaxMARLStyle(max_steps=25), max_steps=5).max_steps == 5


def test_a_state_may_hold_numbers_of_pythons_own():
    state, _ = from_jaxmarl(JaxMARLStyle()).reset(jax.random.key(0))
    assert isinstance(state.inner, Inner)
    assert state.inner.time.dtype == jnp.int32
