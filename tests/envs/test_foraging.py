"""Level-Based Foraging: parity with the originals, and its rules.

The recorded transitions come from the fork whose rules these are. The package ``lbforaging`` 2.0
differs in what is not compared with it: it draws the agents' levels, and shows them in the third
number of an agent's entry (compared in the others, and put to 0 there); it ends an episode after
50 steps as if it were done; and its resets are other draws.
"""

from functools import lru_cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import adaps
from adaps.envs.builtin import foraging
from adaps.envs.builtin.foraging import EAST, LOAD, NORTH, SOUTH, WEST

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="the recorded transitions are not beside the project"
)
FULL, SHORT = "foraging-fixed-8x8-4p-3f", "foraging-2s-fixed-8x8-3p-2f"
COOP = "foraging-fixed-10x10-6p-4f-coop"
RESETS = [FULL, SHORT, COOP, "foraging-fixed-5x5-9p-4f", "foraging-fixed-5x5-2p-2f-coop"]
COPIES = 256
"""The one batch size, so that a step and a reset compile once per name."""


@lru_cache
def stepper(name):
    return jax.jit(jax.vmap(adaps.make(name).step))


@lru_cache
def resetter(name):
    return jax.jit(jax.vmap(adaps.make(name).reset))


def keys(seed, number):
    return jax.random.split(jax.random.key(seed), number)


def make_state(position, food, time=0, spawned=None):
    """A state of one copy, ``food`` being (row, column, level) in row-major order."""
    food = np.asarray(food, np.int32)
    return foraging.State(
        position=jnp.asarray(position, jnp.int32),
        food_position=jnp.asarray(food[:, :2]),
        food_level=jnp.asarray(food[:, 2]),
        food_spawned=jnp.asarray(food[:, 2].sum() if spawned is None else spawned, jnp.int32),
        time=jnp.asarray(time, jnp.int32),
    )


def food_slots(grid, num_food):
    cells = np.argwhere(grid)
    slots = np.zeros((num_food, 3), int)
    slots[: len(cells)] = np.column_stack([cells, grid[tuple(cells.T)]])
    return slots


def state_of_grids(position, grids, time, spawned, num_food):
    states = [
        make_state(p, food_slots(grid, num_food), t, s)
        for p, grid, t, s in zip(position, grids, time, spawned, strict=True)
    ]
    return jax.tree.map(lambda *x: np.stack(x), *states)


def grids_of(state, size):
    level = np.asarray(state.food_level)
    grids = np.zeros((len(level), size, size), int)
    copy, slot = np.nonzero(level)
    row, column = np.asarray(state.food_position)[copy, slot].T
    grids[copy, row, column] = level[copy, slot]
    return grids


def grid_of(state, size):
    return grids_of(jax.tree.map(lambda x: np.asarray(x)[None], state), size)[0]


def step_one(name, state, action, key=0):
    """One copy, stepped by the function for many."""
    many = jax.tree.map(lambda x: np.repeat(x[None], COPIES, axis=0), (state, np.int32(action)))
    return first(stepper(name)(keys(key, COPIES), *many))


def first(copies):
    return jax.tree.map(lambda x: np.asarray(x)[0], copies)


@pytest.fixture
def no_reset(monkeypatch):
    """Steps end in the state that an episode ends in."""
    monkeypatch.setattr(
        foraging, "auto_reset", lambda reset, key, state, timestep: (state, timestep)
    )


@needs_reference
@pytest.mark.parametrize("name", [FULL, SHORT, COOP])
def test_every_recorded_transition_agrees(name, no_reset):
    data = np.load(REFERENCE / f"{name}.npz")
    env = adaps.make(name)
    assert env.agent_levels == tuple(data["level"])
    state = state_of_grids(
        data["position"], data["food"], data["step"], data["food_spawned"], env.num_food
    )

    @jax.jit
    @jax.vmap
    def observe_and_step(key, state, action):
        before = env._timestep(state, jnp.zeros(env.num_agents))
        return before.obs, *env.step(key, state, action)

    obs, new, timestep = observe_and_step(
        keys(0, len(data["action"])), state, jnp.asarray(data["action"], jnp.int32)
    )
    np.testing.assert_array_equal(new.position, data["next_position"])
    np.testing.assert_array_equal(grids_of(new, env.size), data["next_food"])
    np.testing.assert_array_equal(new.time, data["next_step"])
    np.testing.assert_allclose(obs, data["obs"], atol=1e-6)
    np.testing.assert_allclose(timestep.obs, data["next_obs"], atol=1e-6)
    np.testing.assert_allclose(timestep.reward, data["reward"], atol=1e-6)
    np.testing.assert_array_equal(timestep.terminated | timestep.truncated, data["done"])
    np.testing.assert_array_equal(timestep.terminated, data["next_food"].sum((1, 2)) == 0)


def original(env):
    from lbforaging.foraging import ForagingEnv  # noqa: PLC0415

    levels = list(env.agent_levels)
    return ForagingEnv(
        players=env.num_agents,
        min_player_level=levels,
        max_player_level=levels,
        min_food_level=1,
        max_food_level=None,
        field_size=(env.size, env.size),
        max_num_food=env.num_food,
        sight=env.sight,
        max_episode_steps=foraging.EPISODE_STEPS,
        force_coop=env.coop,
    )


def put(theirs, env, state):
    """Give the original the state of one of our copies."""
    theirs.reset(seed=0)
    theirs.field = grid_of(state, env.size)
    theirs._food_spawned = int(state.food_spawned)
    for player, position, level in zip(
        theirs.players, state.position, env.agent_levels, strict=True
    ):
        player.position, player.level = tuple(map(int, position)), level
    theirs.current_step = int(state.time)
    theirs._game_over = False
    theirs._gen_valid_moves()


def mostly_load(rng, env, state):
    """Random actions, but who is beside food mostly loads, so that food goes."""
    action = rng.integers(0, env.num_actions, env.num_agents)
    steps = np.abs(state.position[:, None] - state.food_position).sum(-1)
    beside = ((steps == 1) & (state.food_level > 0)).any(-1)
    return np.where(beside & (rng.random(env.num_agents) < 0.9), LOAD, action)


@pytest.mark.parametrize("name", [FULL, SHORT, COOP])
def test_episodes_are_those_of_lbforaging(name):
    env, rng = adaps.make(name), np.random.default_rng(0)
    theirs = original(env)
    state, _ = first(resetter(name)(keys(0, COPIES)))
    put(theirs, env, state)
    loads = episodes = 0
    for t in range(300):
        action = mostly_load(rng, env, state)
        state, timestep = step_one(name, state, action, key=t)
        obs, reward, done, _, _ = theirs.step(list(action))
        obs = np.array(obs).reshape(env.num_agents, -1, 3)
        obs[:, env.num_food :, 2] = 0
        np.testing.assert_array_equal(timestep.final.obs, obs.reshape(env.num_agents, -1))
        np.testing.assert_allclose(timestep.reward, reward, atol=1e-6)
        assert bool(timestep.terminated | timestep.truncated) == done
        assert bool(timestep.terminated) == (theirs.field.sum() == 0)
        loads += any(reward)
        if done:
            episodes += 1
            put(theirs, env, state)
        np.testing.assert_array_equal([p.position for p in theirs.players], state.position)
        np.testing.assert_array_equal(theirs.field, grid_of(state, env.size))
    assert episodes >= 6
    assert loads >= 3


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31), name=st.sampled_from(RESETS))
def test_resets_keep_every_rule(seed, name):
    env = adaps.make(name)
    state, timestep = jax.tree.map(np.asarray, resetter(name)(keys(seed, COPIES)))
    assert timestep.obs.dtype == timestep.reward.dtype == np.float32
    assert (state.time == 0).all()
    assert (state.food_spawned == state.food_level.sum(axis=1)).all()
    cell = state.position @ [env.size, 1]
    assert ((state.position >= 0) & (state.position < env.size)).all()
    assert (np.diff(np.sort(cell), axis=1) > 0).all()

    there = state.food_level > 0
    assert np.isin(state.food_level[there], list(env.food_levels)).all()
    food = state.food_position[there]
    assert ((food > 0) & (food < env.size - 1)).all()
    food_cell = np.where(there, state.food_position @ [env.size, 1], env.size**2)
    assert (np.diff(food_cell, axis=1) >= 0).all(), "row-major, those without room last"
    assert not (food_cell[:, :, None] == cell[:, None]).any()
    apart = np.abs(state.food_position[:, :, None] - state.food_position[:, None])
    touch = (apart <= 1).all(axis=-1) | ((apart.min(axis=-1) == 0) & (apart.max(axis=-1) <= 2))
    both = there[:, :, None] & there[:, None] & ~np.eye(env.num_food, dtype=bool)
    assert not (touch & both).any()

    grid = np.stack(np.meshgrid(*[np.arange(1, env.size - 1)] * 2, indexing="ij"), -1)
    grid = grid.reshape(-1, 1, 1, 2)
    near = np.abs(grid - state.food_position).sum(-1) <= 2
    on_agent = (np.abs(grid - state.position).sum(-1) == 0).any(-1)
    room = ~((near & there).any(-1) | on_agent).all(axis=0)
    assert (there.all(axis=1) | ~room).all(), "as many as fit"


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        (FULL, [1, 2, 3]),
        (SHORT, [1, 2, 3, 4, 5]),
        (COOP, [4]),
        ("foraging-fixed-5x5-9p-4f", [1, 2]),
        ("foraging-fixed-5x5-2p-2f-coop", [3]),
    ],
)
def test_what_resets_draw_is_equally_likely(name, levels):
    env = adaps.make(name)
    many = [jax.tree.map(np.asarray, resetter(name)(keys(s, COPIES))[0]) for s in range(16)]
    state = jax.tree.map(lambda *x: np.concatenate(x), *many)
    assert list(env.food_levels) == levels
    there = state.food_level > 0
    assert_uniform(np.bincount(state.food_level[there], minlength=max(levels) + 1)[levels])
    for agent in range(env.num_agents):
        cell = state.position[:, agent] @ [env.size, 1]
        assert_uniform(np.bincount(cell, minlength=env.size**2))
    if env.num_food == 3:
        assert there.all()


def assert_uniform(counts):
    """Chi-squared within six standard deviations of its mean."""
    expected = counts.sum() / len(counts)
    freedom = len(counts) - 1
    assert ((counts - expected) ** 2 / expected).sum() <= freedom + 6 * np.sqrt(2 * freedom)


def test_food_is_drawn_from_what_is_still_allowed():
    """A single food is equally likely on all inner cells, a second on what the first leaves."""
    env = adaps.make("foraging-fixed-6x6-2p-2f")
    position = jnp.array([[0, 0], [2, 2]])
    draws = jax.random.uniform(jax.random.key(0), (20_000, 2))
    place = jax.jit(jax.vmap(lambda d: env._place_food(d, position)))
    cells, placed = jax.tree.map(np.asarray, place(draws))
    inner = [(r, c) for r in range(1, 5) for c in range(1, 5) if (r, c) != (2, 2)]
    chance = {}
    for first in inner:
        rest = [b for b in inner if abs(first[0] - b[0]) + abs(first[1] - b[1]) > 2]
        for second in rest or [None]:
            pair = (*sorted([first, second]),) if second else (first,)
            chance[pair] = chance.get(pair, 0) + 1 / len(inner) / max(len(rest), 1)
    assert np.isclose(sum(chance.values()), 1)
    found = [
        tuple(tuple(map(int, c)) for c in pair[there])
        for pair, there in zip(cells, placed, strict=True)
    ]
    assert set(found) <= set(chance)
    for pair, p in chance.items():
        assert abs(found.count(pair) / len(found) - p) < 6 * np.sqrt(p / len(found))


def play_randomly(seed, name, num_steps=110):
    """States before, actions, states after and timesteps, over time and copies."""
    env, rng = adaps.make(name), np.random.default_rng(seed)
    state, _ = resetter(name)(keys(seed, COPIES))
    seen = []
    for t in range(num_steps):
        action = rng.integers(0, env.num_actions, (COPIES, env.num_agents), dtype=np.int32)
        new, timestep = stepper(name)(keys(seed + t, COPIES), state, action)
        seen.append((state, action, new, timestep))
        state = new
    return jax.tree.map(lambda *x: np.stack(x), *seen)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**31), name=st.sampled_from([FULL, SHORT]))
def test_nothing_impossible_happens_in_long_random_play(seed, name):
    env = adaps.make(name)
    state, action, new, timestep = play_randomly(seed, name)
    assert ((new.position >= 0) & (new.position < env.size)).all()
    on_food = (new.position[:, :, :, None] == new.food_position[:, :, None]).all(-1)
    assert not (on_food & (new.food_level > 0)[:, :, None]).any()

    ended = timestep.terminated | timestep.truncated
    assert not (timestep.terminated & timestep.truncated).any()
    assert (timestep.truncated <= (state.time == foraging.EPISODE_STEPS - 1)).all()
    np.testing.assert_array_equal(new.time, np.where(ended, 0, state.time + 1))
    within = ~ended
    np.testing.assert_array_equal(new.food_position[within], state.food_position[within])
    assert (np.abs(new.position - state.position).sum(-1).max(-1) <= 1)[within].all()

    beside = np.abs(state.position[:, :, :, None] - state.food_position[:, :, None]).sum(-1) == 1
    loading = beside & (action == LOAD)[..., None] & (state.food_level > 0)[:, :, None]
    strength = (loading * np.array(env.agent_levels)[:, None]).sum(axis=2)
    loaded = (state.food_level > 0) & (strength >= state.food_level)
    after = np.where(loaded, 0, state.food_level)
    np.testing.assert_array_equal(new.food_level[within], after[within])
    np.testing.assert_array_equal(timestep.terminated, (after == 0).all(-1))
    earned = (loaded * state.food_level).sum(-1) / state.food_spawned
    np.testing.assert_allclose(timestep.reward.sum(-1), earned, atol=1e-6)
    assert loaded.any()

    total = np.zeros(COPIES)
    for reward, terminated, end in zip(
        timestep.reward.sum(-1), timestep.terminated, ended, strict=True
    ):
        total += reward
        assert (total <= 1 + 1e-6).all()
        np.testing.assert_allclose(total[terminated], 1, atol=1e-6)
        total[end] = 0


FAR_FOOD = [(6, 6, 1), (0, 0, 0), (0, 0, 0)]


@pytest.mark.parametrize(
    ("position", "action", "expected"),
    [
        pytest.param(
            [(2, 2), (2, 3), (5, 0), (7, 0)], [EAST, WEST, 0, 0],
            [(2, 3), (2, 2), (5, 0), (7, 0)], id="two swap",
        ),
        pytest.param(
            [(2, 2), (2, 4), (1, 3), (7, 0)], [EAST, WEST, SOUTH, 0],
            [(2, 2), (2, 4), (1, 3), (7, 0)], id="nobody enters a contested cell",
        ),
        pytest.param(
            [(2, 2), (2, 3), (5, 0), (7, 0)], [EAST, LOAD, 0, 0],
            [(2, 2), (2, 3), (5, 0), (7, 0)], id="who stays keeps others out",
        ),
        pytest.param(
            [(2, 2), (2, 3), (2, 4), (7, 0)], [EAST, WEST, WEST, 0],
            [(2, 2), (2, 2), (2, 4), (7, 0)], id="into a cell that its occupant could not leave",
        ),
        pytest.param(
            [(2, 2), (2, 2), (5, 0), (7, 0)], [0, LOAD, 0, 0],
            [(2, 2), (2, 2), (5, 0), (7, 0)], id="two in one cell may stay",
        ),
        pytest.param(
            [(2, 2), (2, 2), (5, 0), (7, 0)], [NORTH, WEST, 0, 0],
            [(1, 2), (2, 1), (5, 0), (7, 0)], id="and part",
        ),
        pytest.param(
            [(0, 0), (7, 7), (6, 5), (5, 6)], [NORTH, EAST, EAST, SOUTH],
            [(0, 0), (7, 7), (6, 5), (5, 6)], id="neither off the grid nor into food",
        ),
    ],
)  # fmt: skip
def test_moves(position, action, expected):
    new, timestep = step_one(FULL, make_state(position, FAR_FOOD), action)
    np.testing.assert_array_equal(new.position, expected)
    assert (timestep.reward == 0).all()
    assert timestep.observation.legal.all()


def test_food_that_is_gone_blocks_nobody():
    food = [(2, 2, 0), (6, 6, 1), (0, 0, 0)]
    new, _ = step_one(FULL, make_state([(2, 1), (0, 0), (0, 3), (0, 5)], food), [EAST, 0, 0, 0])
    np.testing.assert_array_equal(new.position[0], (2, 2))


@pytest.mark.parametrize(
    ("action", "food_left", "reward"),
    [
        ([LOAD, LOAD, 0, LOAD], 3, [0, 0, 0, 0]),
        ([LOAD, LOAD, LOAD, LOAD], 0, [1 * 4 / (6 * 9), 2 * 4 / (6 * 9), 3 * 4 / (6 * 9), 0]),
        ([0, LOAD, LOAD, 0], 0, [0, 2 * 4 / (5 * 9), 3 * 4 / (5 * 9), 0]),
    ],
    ids=["too weak, the fourth is not beside", "all three", "two are enough"],
)
def test_loads(action, food_left, reward):
    """A food of level 4 between agents of levels 1, 2 and 3; 9 levels were spawned."""
    state = make_state(
        [(2, 3), (4, 3), (3, 2), (2, 2)], [(3, 3, 4), (6, 6, 2), (0, 0, 0)], spawned=9
    )
    new, timestep = step_one(FULL, state, action)
    assert new.food_level[0] == (4 if food_left else 0)
    np.testing.assert_allclose(timestep.reward, reward, atol=1e-6)
    assert not timestep.terminated


@pytest.mark.parametrize("time", [10, 49])
def test_an_episode_ends_with_the_last_food(time):
    state = make_state([(2, 3), (0, 0), (0, 1), (0, 2)], [(3, 3, 1), (0, 0, 0), (0, 0, 0)], time)
    new, timestep = step_one(FULL, state, [LOAD, 0, 0, 0])
    assert timestep.terminated
    assert not timestep.truncated
    np.testing.assert_allclose(timestep.reward, [1, 0, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(timestep.final.obs[0], [-1, -1, 0] * 3 + FOUR_AGENTS)
    assert new.time == 0
    expected_state, expected = first(resetter(FULL)(keys(0, COPIES)))
    jax.tree.map(np.testing.assert_array_equal, new, expected_state)
    np.testing.assert_array_equal(timestep.obs, expected.obs)


FOUR_AGENTS = [2, 3, 0, 0, 0, 0, 0, 1, 0, 0, 2, 0]


@pytest.mark.parametrize("time", [48, 49])
def test_an_episode_is_truncated_after_50_steps(time):
    state = make_state([(2, 3), (0, 0), (0, 1), (0, 2)], FAR_FOOD, time)
    new, timestep = step_one(FULL, state, [0, 0, 0, 0])
    assert not timestep.terminated
    assert bool(timestep.truncated) == (time == 49)
    assert new.time == (0 if time == 49 else 49)


def test_what_is_out_of_sight_takes_no_slot():
    """Seen from (4, 4), in a window from (2, 2) on, and from (1, 0), in one from (0, 0) on."""
    state = make_state([(4, 4), (1, 0), (4, 4)], [(1, 4, 3), (6, 5, 2)])
    _, timestep = step_one(SHORT, state, [0, 0, 0])
    unseen = [-1, -1, 0]
    np.testing.assert_array_equal(
        timestep.obs[0],
        [4, 3, 2, *unseen, 2, 2, 0, 2, 2, 0, *unseen],
        "food 1 moved up, agent 2 too",
    )
    np.testing.assert_array_equal(
        timestep.obs[1],
        [*unseen, *unseen, 1, 0, 0, 4, 4, 0, 4, 4, 0],
        "others are seen up to offset 4 from the corner, four columns away; food is not",
    )


def test_one_sees_oneself_first():
    state = make_state([(2, 3), (0, 0), (0, 1), (0, 2)], FAR_FOOD)
    _, timestep = step_one(FULL, state, [0, 0, 0, 0])
    food = [6, 6, 1, -1, -1, 0, -1, -1, 0]
    np.testing.assert_array_equal(timestep.obs[0], food + FOUR_AGENTS)
    np.testing.assert_array_equal(timestep.obs[2], [*food, 0, 1, 0, 2, 3, 0, 0, 0, 0, 0, 2, 0])


def test_many_copies_step_as_each_alone():
    env = adaps.make(SHORT)
    states, _ = resetter(SHORT)(keys(3, COPIES))
    states = states._replace(time=jnp.arange(COPIES) % 50)
    actions = np.random.default_rng(4).integers(0, 6, (COPIES, 3), dtype=np.int32)
    together = stepper(SHORT)(keys(5, COPIES), states, actions)
    alone = jax.jit(env.step)
    for i in (0, 9, 48, 49, 99):
        one = alone(keys(5, COPIES)[i], jax.tree.map(lambda x, i=i: x[i], states), actions[i])
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, atol=1e-6), together, one
        )


@pytest.mark.parametrize(
    ("name", "types", "size", "sight", "num_food", "coop"),
    [
        (FULL, (0, 1, 2, 0), 8, 8, 3, False),
        (SHORT, (0, 1, 2), 8, 2, 2, False),
        (COOP.upper(), (0, 1, 2, 0, 1, 2), 10, 10, 4, True),
        ("foraging-2s-fixed-12x12-2p-1f-coop", (0, 1), 12, 2, 1, True),
        ("foraging-fixed-3x3-8p-1f", (0, 1, 2, 0, 1, 2, 0, 1), 3, 3, 1, False),
    ],
)
def test_names(name, types, size, sight, num_food, coop):
    env = adaps.make(name)
    assert env.name == name.lower()
    assert env.agent_types == types
    assert env.agent_levels == tuple(t + 1 for t in types)
    assert (env.num_agents, env.size, env.sight) == (len(types), size, sight)
    assert (env.num_food, env.coop, env.num_actions) == (num_food, coop, 6)
    assert env.obs_size == 3 * (num_food + len(types))
    assert env == adaps.make(name)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("foraging", "the form is foraging"),
        ("foraging-8x8-4p-3f", "the form is foraging"),
        ("foraging-3s-fixed-8x8-4p-3f", "the form is foraging"),
        ("foraging-fixed-8x8-4p-3f-", "the form is foraging"),
        ("foraging-fixed-8x8-4p-3f-coop-v3", "the form is foraging"),
        ("foraging-fixed-8x8-4p-f", "the form is foraging"),
        ("foraging-fixed-8x8--4p-3f", "the form is foraging"),
        ("foraging-fixed-08x08-4p-3f", "the form is foraging"),
        ("foraging-fixed-8x9-4p-3f", "must be square, such as 8x8"),
        ("foraging-fixed-2x2-2p-1f", "from 3 to 99 rows"),
        ("foraging-fixed-100x100-2p-1f", "from 3 to 99 rows"),
        ("foraging-fixed-8x8-1p-3f", "from 2 to 63 agents"),
        ("foraging-fixed-8x8-64p-3f", "from 2 to 63 agents"),
        ("foraging-fixed-8x8-4p-0f", "from 1 to 9 foods"),
        ("foraging-fixed-8x8-4p-10f", "from 1 to 9 foods"),
        ("foraging-fixed-5x5-4p-5f", "from 1 to 4 foods"),
        ("foragin", "foraging-fixed-8x8-4p-3f"),
    ],
)
def test_names_that_are_not(name, allowed):
    with pytest.raises(adaps.UserError, match="environment") as error:
        adaps.make(name)
    assert allowed in str(error.value)
    assert "\n" not in str(error.value)
