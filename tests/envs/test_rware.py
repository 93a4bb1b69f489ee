"""Coloured Multi-Robot Warehouse: parity with both originals, and its rules."""

import dataclasses
from functools import lru_cache, partial
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import adaps
from adaps.envs.builtin import rware

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="the recorded transitions are not beside the project"
)
AHEAD = np.array([(0, -1), (0, 1), (-1, 0), (1, 0)])
WINDOW = [(dx, dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]


# --- Recorded transitions: dicts of arrays [row, ...], with the state after under "next_…".


def state_of(env, rows, prefix=""):
    """Our states, of recorded rows."""
    row = {key.removeprefix(prefix): value for key, value in rows.items() if key.startswith(prefix)}
    height, width = env.grid_size
    number = 1 + np.arange(env.num_shelves)
    stands = (row["agent_carrying"][:, None] != number[:, None]).all(-1)
    at = np.arange(height * width)
    shelf_at = row["shelf_y"] * width + row["shelf_x"]
    standing = ((shelf_at[..., None] == at) * (stands * number)[..., None]).sum(1)
    state = rware.State(
        x=row["agent_x"],
        y=row["agent_y"],
        direction=row["agent_dir"],
        carrying=row["agent_carrying"],
        standing=standing.reshape(-1, height, width),
        shelf_colour=row["shelf_colour"],
        request=row["request"],
        time=np.zeros(len(standing)),
    )
    return jax.tree.map(partial(jnp.asarray, dtype=jnp.int32), state)


def wanted_cells(env, rows):
    """The cells robots are on and want, ``int[row, robot]`` each, read off the recorded rows."""
    height, width = env.grid_size
    state = jax.tree.map(np.asarray, state_of(env, rows))
    command = (rows["action"] - np.array(env.agent_types)) % 5
    ahead = np.stack([state.x, state.y], -1) + AHEAD[state.direction]
    x, y = ahead.clip(0, [width - 1, height - 1]).transpose(2, 0, 1)
    shelf = np.take_along_axis(state.standing.reshape(len(x), -1), y * width + x, 1) > 0
    goes = (command == rware.FORWARD) & ~(shelf & (state.carrying > 0))
    here = state.y * width + state.x
    return here, np.where(goes, y * width + x, here)


def possible_outcomes(here, wanted):
    """Who moves for certain, and per contested free cell the chains of which one may move."""
    at = {cell: robot for robot, cell in enumerate(here)}
    certain, chains = set(), {}
    for robot in range(len(here)):
        chain = [robot]
        while (following := at.get(wanted[chain[-1]])) is not None and following not in chain:
            chain.append(following)
        if following is None:
            chains.setdefault(wanted[chain[-1]], []).append(frozenset(chain))
        elif following == robot and len(chain) >= 3:
            certain.add(robot)
    ties = []
    for options in chains.values():
        longest = max(map(len, options))
        ties.append({option for option in options if len(option) == longest})
    return certain | {r for t in ties if len(t) == 1 for r in min(t)}, [
        t for t in ties if len(t) > 1
    ]


def is_possible(moved, certain, ties):
    """Whether ``moved`` are those who move for certain, and one chain of each tie."""
    for tie in ties:
        if sum(option <= moved for option in tie) != 1:
            return False
        moved -= next(option for option in tie if option <= moved)
    return moved == certain


def movers(flags):
    return [frozenset(np.flatnonzero(row).tolist()) for row in np.asarray(flags)]


@lru_cache
def step_with_outcome(env):
    """A step of many copies, in which ties may be settled from outside; none ends an episode."""
    ours = rware.who_moves

    def no_reset(_reset, _key, state, timestep):
        return state, timestep

    def step(key, state, action, given, moved):
        def outcome(here, wanted):
            return jnp.where(given, moved, ours(here, wanted))

        with mock.patch.multiple(rware, who_moves=outcome, auto_reset=no_reset):
            return env.step(key, state, action)

    return jax.jit(jax.vmap(step))


def check_rows(env, rows):
    """Everything agrees in every row: in a tie, our choice is possible and so is theirs."""
    state, after = state_of(env, rows), state_of(env, rows, "next_")
    here, wanted = wanted_cells(env, rows)
    theirs = np.asarray((after.x != state.x) | (after.y != state.y))
    keys = jax.random.split(jax.random.key(0), (4, len(theirs)))
    action, moved = jnp.asarray(rows["action"], jnp.int32), jnp.asarray(theirs)
    step = step_with_outcome(env)
    new, _ = step(keys[0], state, action, jnp.zeros(len(theirs), bool), moved)
    ours = np.asarray((new.x != state.x) | (new.y != state.y))
    outcomes = [possible_outcomes(h, w) for h, w in zip(here, wanted, strict=True)]
    for robots, others, outcome in zip(movers(ours), movers(theirs), outcomes, strict=True):
        assert is_possible(robots, *outcome)
        assert is_possible(others, *outcome)
    tied = np.array([bool(ties) for _, ties in outcomes])
    differs = (ours != theirs).any(1)
    assert not (differs & ~tied).any()
    key = keys[0]
    for another in keys[1:]:
        new, timestep = step(key, state, action, jnp.asarray(differs), moved)
        # By chance, the first goal's new request is what stands on the second: draw again.
        key = jnp.where((timestep.reward == rows["reward"]).all(1), key, another)
    for field in ("x", "y", "direction", "carrying", "standing", "shelf_colour"):
        np.testing.assert_array_equal(getattr(new, field), getattr(after, field), field)
    np.testing.assert_allclose(timestep.reward, rows["reward"], atol=1e-6)
    assert not (timestep.terminated | timestep.truncated).any()
    check_requests(*(np.asarray(s.request) for s in (state, new, after)))
    return new, after, timestep, tied


def check_requests(before, ours, theirs):
    """The same requests are replaced, by shelves that were not requested."""
    np.testing.assert_array_equal(ours != before, theirs != before)
    for requests in (ours, theirs):
        assert all(len(set(row)) == len(row) for row in requests)
    delivered_once = ((ours != before).sum(1) == 1)[:, None]
    replaced = (ours != before) & delivered_once
    assert not (replaced[:, :, None] & (ours[:, :, None] == before[:, None])).any()


@needs_reference
@pytest.mark.parametrize(
    "name", ["rware-2color-tiny-4ag", "rware-2color-small-8ag", "rware-3color-tiny-6ag-hard"]
)
def test_every_recorded_transition_agrees(name):
    rows = dict(np.load(REFERENCE / f"{name}.npz"))
    orders = tuple(map(tuple, rows["obs_permutation"].tolist()))
    env = dataclasses.replace(adaps.make(name), orders=orders)
    assert env.agent_types == tuple(rows["agent_colour"])
    assert env.grid_size == tuple(rows["grid_size"])
    assert env.goals == tuple(map(tuple, rows["goals"]))
    new, after, timestep, tied = check_rows(env, rows)
    assert not (tied & ~rows["contested"]).any()
    observe = jax.jit(jax.vmap(env._observe))
    np.testing.assert_allclose(observe(state_of(env, rows)), rows["obs"], atol=1e-6)
    np.testing.assert_allclose(observe(after), rows["next_obs"], atol=1e-6)
    np.testing.assert_allclose(observe(new), timestep.obs, atol=1e-6)


# --- The package rware, one colour.


def original(robots, rows, requests):
    from rware.warehouse import RewardType, Warehouse  # noqa: PLC0415

    warehouse = Warehouse(3, 8, rows, robots, 0, 1, requests, None, None, RewardType.INDIVIDUAL)
    warehouse.reset(seed=0)
    return warehouse


def snapshot(warehouse):
    agents, shelves = warehouse.agents, warehouse.shelfs
    return {
        "agent_x": [a.x for a in agents],
        "agent_y": [a.y for a in agents],
        "agent_dir": [a.dir.value for a in agents],
        "agent_carrying": [a.carrying_shelf.id if a.carrying_shelf else 0 for a in agents],
        "shelf_x": [s.x for s in shelves],
        "shelf_y": [s.y for s in shelves],
        "shelf_colour": [0 for _ in shelves],
        "request": [s.id for s in warehouse.request_queue],
    }


def place(warehouse, cells, directions, carried):
    """Put robots on cells; shelves go home, but for those that are carried (0 for none)."""
    from rware.warehouse import Direction  # noqa: PLC0415

    height, width = warehouse.grid_size
    homes = ((x, y) for y in range(height) for x in range(width) if not warehouse.highways[y, x])
    for shelf, home in zip(warehouse.shelfs, homes, strict=True):
        shelf.x, shelf.y = home
    for agent, cell, direction, number in zip(
        warehouse.agents, cells, directions, carried, strict=True
    ):
        agent.x, agent.y = map(int, cell)
        agent.dir = Direction(direction)
        agent.carrying_shelf = warehouse.shelfs[number - 1] if number else None
        if number:
            agent.carrying_shelf.x, agent.carrying_shelf.y = agent.x, agent.y
    warehouse._recalc_grid()


def crowd(warehouse, rng):
    """Robots close together somewhere, some on highways with a shelf."""
    height, width = warehouse.grid_size
    chosen = rng.choice(20, len(warehouse.agents), replace=False)
    x = rng.integers(0, width - 4) + chosen % 5
    y = rng.integers(0, height - 3) + chosen // 5
    loaded = warehouse.highways[y, x] & (rng.random(len(x)) < 0.6)
    numbers = 1 + rng.choice(len(warehouse.shelfs), len(x), replace=False)
    place(warehouse, zip(x, y, strict=True), rng.integers(0, 4, len(x)), loaded * numbers)


def record(warehouse, action):
    before = snapshot(warehouse)
    _, reward, *_ = warehouse.step(action)
    after = {f"next_{key}": value for key, value in snapshot(warehouse).items()}
    return {**before, "action": action, "reward": reward, **after}


def stack(rows):
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def test_steps_are_those_of_the_package_rware():
    env = adaps.make("rware-1color-tiny-10ag")
    warehouse = original(robots=10, rows=1, requests=10)
    assert env.grid_size == warehouse.grid_size
    assert list(env.goals) == warehouse.goals
    np.testing.assert_array_equal(env.highways, warehouse.highways)
    standing = jax.jit(lambda key: env.reset(key)[0].standing)(jax.random.key(0))
    np.testing.assert_array_equal(standing, warehouse.grid[1])
    rng = np.random.default_rng(0)
    rows = []
    for t in range(500):
        if t % 4 == 0:
            crowd(warehouse, rng)
        action = rng.choice(5, 10, p=[0.02, 0.8, 0.05, 0.05, 0.08]).tolist()
        rows.append(record(warehouse, action))
    rows = stack(rows)
    *_, tied = check_rows(env, rows)
    assert tied.any()
    assert rows["reward"].any()
    assert (rows["next_agent_carrying"] != rows["agent_carrying"]).any()


def test_circles_move_as_in_the_package_rware():
    env = adaps.make("rware-1color-tiny-10ag")
    right, down, left, up = 3, 1, 2, 0
    small = [((0, 0), right), ((1, 0), down), ((1, 1), left), ((0, 1), up)]
    large = [
        *(((x, 0), right) for x in (0, 1)),
        ((2, 0), down),
        *(((x, 1), left) for x in (2, 1)),
        ((0, 1), up),
    ]
    swap = [((7, 9), right), ((8, 9), left), ((6, 9), right)]
    warehouse = original(robots=10, rows=1, requests=10)
    rows = []
    for circle, behind in ((small, [((2, 0), left), ((3, 0), left)]), (large, [((3, 0), left)])):
        robots = [*circle, *behind, *swap]
        robots += [((x, 10), down) for x in range(10 - len(robots))]
        cells, directions = zip(*robots, strict=True)
        place(warehouse, cells, directions, [0] * 10)
        rows.append(record(warehouse, [1] * 10))
    rows = stack(rows)
    # As many rows as in the test above share its compiled step.
    repeated = {key: np.resize(value, (500, *value.shape[1:])) for key, value in rows.items()}
    new, *_ = check_rows(env, repeated)
    moved = (new.x[:2] != rows["agent_x"]) | (new.y[:2] != rows["agent_y"])
    assert movers(moved) == [frozenset(range(4)), frozenset(range(6))]


def test_one_delivery_may_request_the_next():
    """With one shelf that nobody asked for, on the second goal: both are delivered."""
    env = adaps.make("rware-1color-tiny-31ag")
    warehouse = original(robots=31, rows=1, requests=31)
    (free,) = {s.id for s in warehouse.shelfs} - {s.id for s in warehouse.request_queue}
    asked = warehouse.request_queue[0].id
    others = [(x, y) for y in (0, 9) for x in range(10)] + [(x, 10) for x in (0, 1, 2, 3, 6, 7)]
    others += [(0, y) for y in (1, 2, 3)]
    place(warehouse, [*env.goals, *others], [0] * 31, [asked, free] + [0] * 29)
    rows = stack([record(warehouse, [0] * 31)])
    new, reward = jax.jit(env._deliver)(
        jax.random.key(0), jax.tree.map(lambda x: x[0], state_of(env, rows))
    )
    np.testing.assert_array_equal(new.request, rows["next_request"][0])
    np.testing.assert_array_equal(reward, rows["reward"][0])
    assert reward.tolist() == [1, 1] + [0] * 29


# --- Who moves.


@lru_cache
def jitted_who_moves():
    return jax.jit(jax.vmap(rware.who_moves))


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**31), crowd=st.sampled_from([(12, 5), (40, 8)]))
def test_the_longest_chain_and_circles_move_and_one_of_each_tie(seed, crowd):
    robots, side = crowd
    rng = np.random.default_rng(seed)
    inner = np.array([y * (side + 2) + x for y in range(1, side + 1) for x in range(1, side + 1)])
    here = np.array([rng.permutation(inner)[:robots] for _ in range(150)])
    toward = np.array([0, 1, -1, side + 2, -side - 2])
    wanted = here + toward[rng.choice(5, here.shape, p=[0.08, *[0.23] * 4])]
    result = jitted_who_moves()(jnp.asarray(here, jnp.int32), jnp.asarray(wanted, jnp.int32))
    for h, w, moved in zip(here, wanted, movers(result), strict=True):
        assert is_possible(moved, *possible_outcomes(h, w))


@pytest.mark.parametrize(
    ("here", "wanted", "moves"),
    [
        ([0, 2], [1, 1], [True, False]),
        ([2, 0], [1, 1], [True, False]),
        ([3, 0, 4, 5], [2, 2, 3, 4], [True, False, True, True]),
        ([3, 1, 4, 0], [2, 2, 3, 1], [True, False, True, False]),
        ([3, 0, 1, 4], [2, 1, 2, 3], [False, True, True, False]),
        ([0, 1], [1, 0], [False, False]),
        ([0, 1, 2], [1, 0, 1], [False, False, False]),
        ([0, 1, 2, 3], [1, 2, 0, 0], [True, True, True, False]),
        ([0, 1], [1, 1], [False, False]),
        ([0], [1], [True]),
    ],
)
def test_who_moves(here, wanted, moves):
    """Of equally long chains, that whose last robot has the lowest number."""
    bystanders = list(range(10, 14 - len(here)))
    here, wanted = (jnp.array([cells + bystanders]) for cells in (here, wanted))
    assert jitted_who_moves()(here, wanted)[0, : len(moves)].tolist() == moves


# --- Resets, long play, names.


@lru_cache
def jitted_reset(env):
    return jax.jit(jax.vmap(env.reset))


@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 2**31),
)
def test_reset_is_as_stated(seed):
    env = adaps.make("rware-3color-medium-5ag-easy")
    state, timestep = jitted_reset(env)(jax.random.split(jax.random.key(seed), 32))
    height, width = env.grid_size
    assert ((state.x >= 0) & (state.x < width) & (state.y >= 0) & (state.y < height)).all()
    assert ((state.direction >= 0) & (state.direction < 4)).all()
    assert set(np.unique(state.shelf_colour)) == set(range(env.num_colours))
    assert not state.carrying.any()
    assert not state.time.any()
    check_invariants(env, state)
    assert timestep.obs.shape == (32, env.num_agents, env.obs_size)
    assert timestep.obs.dtype == timestep.reward.dtype == jnp.float32


def check_invariants(env, state):
    """What holds in every state; any leading axes."""
    state = jax.tree.map(
        lambda x: np.asarray(x).reshape(-1, *x.shape[-1:]),
        state._replace(
            standing=state.standing.reshape(*state.x.shape[:-1], -1), time=state.time[..., None]
        ),
    )
    cell = state.y * env.grid_size[1] + state.x
    under = np.take_along_axis(state.standing, cell, 1)
    shelves = np.sort(np.concatenate([state.standing, state.carrying], 1), 1)
    assert all(len(set(row)) == env.num_agents for row in cell.tolist())
    assert (shelves[:, -env.num_shelves :] == 1 + np.arange(env.num_shelves)).all()
    assert not shelves[:, : -env.num_shelves].any()
    assert not state.standing[:, env.highways.ravel()].any()
    assert not (under * state.carrying).any()
    assert all(len(set(row)) == env.num_requests for row in state.request.tolist())
    assert ((state.request >= 1) & (state.request <= env.num_shelves)).all()


@lru_cache
def jitted_play(env):
    def step(state, key):
        keys = jax.random.split(key, 5)
        odds = jnp.log(jnp.array([0.05, 0.5, 0.1, 0.1, 0.25]))
        command = jax.random.categorical(keys[0], odds, shape=(4, env.num_agents))
        action = (command + jnp.array(env.agent_types)) % 5
        state, timestep = jax.vmap(env.step)(keys[1:], state, action)
        return state, (state, command, timestep.reward, timestep.truncated)

    def play(key):
        start, _ = jax.vmap(env.reset)(jax.random.split(key, 4))
        return start, jax.lax.scan(step, start, jax.random.split(key, 620))[1]

    return jax.jit(play)


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_what_holds_in_long_play(seed):
    env = adaps.make("rware-2color-tiny-12ag-hard")
    start, (state, command, reward, truncated) = jitted_play(env)(jax.random.key(seed))
    check_invariants(env, start)
    check_invariants(env, state)
    before = jax.tree.map(lambda s, x: np.concatenate([s[None], x[:-1]]), start, state)
    ended = np.asarray(truncated)
    assert np.flatnonzero(ended.all(1)).tolist() == np.flatnonzero(ended.any(1)).tolist() == [499]
    goes_on = ~ended
    dx, dy = np.asarray(state.x - before.x), np.asarray(state.y - before.y)
    moved = (np.abs(dx) + np.abs(dy) > 0) & goes_on[..., None]
    assert moved.any()
    assert (command[moved] == rware.FORWARD).all()
    assert (np.stack([dx, dy], -1)[moved] == AHEAD[before.direction[moved]]).all()
    toggled = np.asarray(state.carrying != before.carrying) & goes_on[..., None]
    assert toggled.any()
    assert (command[toggled] == rware.TOGGLE).all()
    replaced = np.asarray(state.request != before.request)
    np.testing.assert_array_equal(replaced.sum(-1)[goes_on], np.asarray(reward).sum(-1)[goes_on])


def at_the_goals(env, carrying, colours):
    """Four robots at home; the first and last on the goals, with shelves of some colours."""
    (x0, y), (x1, _) = env.goals
    shelf = 1 + np.arange(env.num_shelves)
    shelf_colour = np.zeros(env.num_shelves)
    shelf_colour[np.array(carrying) - 1] = colours
    standing = np.zeros(env.grid_size)
    standing[~env.highways] = np.where(np.isin(shelf, carrying), 0, shelf)
    state = rware.State(
        x=[x0, 0, 9, x1],
        y=[y, 0, 0, y],
        direction=[0, 1, 2, 3],
        carrying=[carrying[0], 0, 0, carrying[1]],
        standing=standing,
        shelf_colour=shelf_colour,
        request=[5, 6, 7, 8],
        time=0,
    )
    return rware.State(*(jnp.asarray(field, jnp.int32) for field in state))


@lru_cache
def jitted_deliver(env):
    return jax.jit(jax.vmap(env._deliver, in_axes=(0, None)))


MANY_KEYS = 2000


@pytest.mark.parametrize(
    ("carrying", "colours", "reward"),
    [
        ((5, 6), (0, 1), [1, 0, 0, 1]),
        ((5, 6), (1, 0), [0, 0, 0, 0]),
        ((5, 6), (0, 0), [1, 0, 0, 0]),
        ((5, 6), (1, 1), [0, 0, 0, 1]),
        ((1, 8), (0, 1), [0, 0, 0, 1]),
    ],
)
def test_only_a_requested_shelf_of_its_own_colour_earns_a_robot(carrying, colours, reward):
    env = adaps.make("rware-2color-tiny-4ag")
    state = at_the_goals(env, carrying, colours)
    keys = jax.random.split(jax.random.key(0), MANY_KEYS)
    new, earned = jitted_deliver(env)(keys, state)
    assert (np.asarray(earned) == reward).all()
    delivered = np.array(carrying)[np.array(reward)[[0, 3]] > 0]
    kept = ~np.isin(state.request, delivered)
    np.testing.assert_array_equal(new.request == state.request, np.tile(kept, (MANY_KEYS, 1)))


def test_a_new_request_is_any_shelf_that_is_not_requested():
    env = adaps.make("rware-2color-tiny-4ag")
    state = at_the_goals(env, (5, 6), (0, 0))
    new, _ = jitted_deliver(env)(jax.random.split(jax.random.key(0), MANY_KEYS), state)
    count = np.bincount(np.asarray(new.request[:, 0]), minlength=33)
    assert not count[[0, 5, 6, 7, 8]].any()
    others = np.delete(count, [0, 5, 6, 7, 8])
    assert others.min() > 40
    assert others.max() < 110


def test_an_observation_is_what_the_robot_knows_in_the_order_of_its_colour():
    env = adaps.make("rware-2color-tiny-4ag")
    plain = dataclasses.replace(env, orders=(tuple(range(env.obs_size)),) * 2)
    state = at_the_goals(env, (5, 6), (0, 1))
    state = state._replace(request=jnp.array([6, 1, 2, 3]))
    raw = np.asarray(jax.jit(plain._observe)(state))
    assert raw[0, :8].tolist() == [4, 10, 1, *np.eye(4)[state.direction[0]], 1]
    around = raw[0, 8:].reshape(9, 4)
    expected = np.zeros((9, 4))
    expected[4], expected[5] = [1, 1, 0, 0], [1, 0, 1, 1]
    np.testing.assert_array_equal(around, expected)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(env.obs_size) for _ in range(2)]
    obs = jax.jit(env._observe)(state)
    for robot, colour in enumerate(env.agent_types):
        np.testing.assert_array_equal(obs[robot], raw[robot][orders[colour]])


def test_the_order_of_observations_is_the_tasks():
    env = adaps.make("rware-2color-tiny-4ag")
    other = adaps.make("rware-2color-tiny-4ag", task_seed=1)
    assert other == dataclasses.replace(env, task_seed=1)
    assert env == adaps.make("rware-2color-tiny-4ag")
    assert hash(env) != hash(other)
    assert env._orders != other._orders
    assert len(set(env._orders)) == 2


@pytest.mark.parametrize("task_seed", [-1, 2**32])
def test_task_seeds_that_are_not(task_seed):
    env = adaps.make("rware-2color-tiny-4ag", task_seed=2**32 - 1)
    with pytest.raises(adaps.UserError, match="from 0 to 4294967295"):
        adaps.make(env.name, task_seed)
    with pytest.raises(adaps.UserError, match="from 0 to 4294967295"):
        dataclasses.replace(env, task_seed=task_seed)


@pytest.mark.parametrize(
    ("name", "grid", "robots", "requests"),
    [
        ("rware-2color-tiny-4ag", (11, 10), (2, 2), 4),
        ("RWARE-3color-small-8ag-easy", (20, 10), (4, 2, 2), 16),
        ("rware-3color-medium-7ag-hard", (20, 16), (3, 2, 2), 3),
        ("rware-1color-large-2ag-hard", (29, 16), (2,), 1),
        ("rware-2color-tiny-63ag-hard", (11, 10), (32, 31), 31),
    ],
)
def test_names(name, grid, robots, requests):
    env = adaps.make(name)
    assert (env.grid_size, env.robots, env.num_requests) == (grid, robots, requests)
    assert env.agent_types == tuple(np.repeat(np.arange(len(robots)), robots))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("rware", "is named"),
        ("rware-tiny-4ag", "is named"),
        ("rware-2color-tiny-4ag-harder", "is named"),
        ("rware-2color-huge-4ag", "is named"),
        ("rware-0color-tiny-4ag", "from 1"),
        ("rware-2color-tiny-0ag", "from 1"),
        ("rware-2color-tiny-99999ag", "from 1"),
        ("rware-5color-tiny-4ag", "as many colours as robots"),
        ("rware-1color-tiny-1ag-hard", "requests"),
        ("rware-2color-tiny-32ag", "requests"),
        ("rware-2color-tiny-16ag-easy", "requests"),
        ("rware-2color-tiny-111ag-hard", "110 cells"),
    ],
)
def test_names_that_are_not(name, says):
    with pytest.raises(adaps.UserError, match=says) as error:
        adaps.make(name)
    assert "\n" not in str(error.value)
