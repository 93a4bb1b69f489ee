"""Coloured Multi-Robot Warehouse: robots deliver shelves of their own colour. Stage: environment.

RWARE (Papoudakis et al., arXiv 2006.07869) as the SePS paper changed it (arXiv 2102.07475):
shelves and robots have colours, only a shelf of its own colour earns a robot its reward, and each
colour numbers its actions and orders its observation in a way of its own. No robot is told its
colour.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from adaps.envs.autoreset import auto_reset
from adaps.errors import UserError
from adaps.types import Observation, Timestep

SIZES = {"tiny": (1, 3), "small": (2, 3), "medium": (2, 5), "large": (3, 5)}
"""Rows and columns of blocks of shelves."""
REQUESTS_PER_ROBOT = {"easy": 2.0, "normal": 1.0, "hard": 0.5}
COLUMN_HEIGHT = 8
"""Shelves above one another in a block; a block is two wide."""
EPISODE_STEPS = 500
MAX_TASK_SEED = 2**32 - 1

NOOP, FORWARD, LEFT, RIGHT, TOGGLE = range(5)
UP, DOWN, WEST, EAST = range(4)
AHEAD = ((0, -1), (0, 1), (-1, 0), (1, 0))
"""What one cell ahead adds to x and y, by direction."""
RIGHT_OF = (EAST, WEST, UP, DOWN)
LEFT_OF = (WEST, EAST, DOWN, UP)
AROUND = tuple((dx, dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
"""The cells a robot sees, row by row, relative to its own."""


class State(NamedTuple):
    """One warehouse. Cells are (x, y) from the top left; shelves have numbers from 1."""

    x: Int[Array, " robot"]
    y: Int[Array, " robot"]
    direction: Int[Array, " robot"]
    """0 up (to smaller y), 1 down, 2 left, 3 right."""
    carrying: Int[Array, " robot"]
    """Number of the shelf on the robot, which is where the robot is; 0 for none."""
    standing: Int[Array, "y x"]
    """Number of the shelf that stands on each cell; 0 for none, or one that is carried."""
    shelf_colour: Int[Array, " shelf"]
    """Colour of each shelf: of number 1 first."""
    request: Int[Array, " request"]
    """Numbers of the requested shelves, all different."""
    time: Int[Array, ""]
    """Steps taken in this episode."""


@dataclass(frozen=True)
class ColouredWarehouse:
    """Robots of several colours that bring requested shelves to two goals.

    Args:
        name: the name it is made by, for result files.
        rows: blocks of shelves from top to bottom.
        columns: blocks of shelves from left to right; odd.
        robots: number of robots of each colour.
        num_requests: shelves that are requested at any time.
        task_seed: draws the order in which each colour reads its observation, the same in every
            copy and episode, by NumPy's ``default_rng(task_seed)``: one ``permutation`` per colour.
            From 0 to 2³² − 1.
        orders: these orders instead, one per colour: entry j of an observation is raw entry
            ``orders[colour][j]``.

    Raises:
        UserError: a task seed out of range.
    """

    name: str
    rows: int
    columns: int
    robots: tuple[int, ...]
    num_requests: int
    task_seed: int = 0
    orders: tuple[tuple[int, ...], ...] | None = None

    num_actions = 5
    max_steps = EPISODE_STEPS

    def __post_init__(self) -> None:
        if not 0 <= self.task_seed <= MAX_TASK_SEED:
            raise UserError(f"--task-seed must be from 0 to {MAX_TASK_SEED}, not {self.task_seed}")

    @property
    def num_agents(self) -> int:
        return sum(self.robots)

    @property
    def num_colours(self) -> int:
        return len(self.robots)

    @property
    def obs_size(self) -> int:
        """Eight numbers about the robot itself; robot, shelf colour, requested per cell seen."""
        return 8 + len(AROUND) * (2 + self.num_colours)

    @cached_property
    def agent_types(self) -> tuple[int, ...]:
        """The colour of each robot."""
        return tuple(int(c) for c in np.repeat(np.arange(self.num_colours), self.robots))

    @property
    def grid_size(self) -> tuple[int, int]:
        """Height and width, in cells."""
        return (COLUMN_HEIGHT + 1) * self.rows + 2, 3 * self.columns + 1

    @property
    def goals(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The two cells (x, y) where shelves are delivered, in the middle of the last row."""
        height, width = self.grid_size
        return (width // 2 - 1, height - 1), (width // 2, height - 1)

    @cached_property
    def highways(self) -> Bool[np.ndarray, "y x"]:
        """The cells where no shelf may be put down; on every other one, a shelf starts."""
        height, width = self.grid_size
        y, x = np.indices(self.grid_size)
        aisle = (x % 3 == 0) | (y % (COLUMN_HEIGHT + 1) == 0) | (y == height - 1)
        queue = (y > height - COLUMN_HEIGHT - 3) & ((x == width // 2 - 1) | (x == width // 2))
        return aisle | queue

    @cached_property
    def num_shelves(self) -> int:
        return int((~self.highways).sum())

    def reset(self, key: Key[Array, ""]) -> tuple[State, Timestep]:
        cell_key, direction_key, colour_key, request_key = jax.random.split(key, 4)
        height, width = self.grid_size
        shape = (self.num_agents,)
        cell = _distinct(cell_key, self.num_agents, height * width)
        shelf_cells = ~self.highways
        state = State(
            x=cell % width,
            y=cell // width,
            direction=jax.random.randint(direction_key, shape, 0, 4),
            carrying=jnp.zeros(shape, jnp.int32),
            standing=jnp.array(shelf_cells * shelf_cells.cumsum().reshape(self.grid_size), int),
            shelf_colour=jax.random.randint(colour_key, (self.num_shelves,), 0, self.num_colours),
            request=1 + _distinct(request_key, self.num_requests, self.num_shelves),
            time=jnp.zeros((), jnp.int32),
        )
        return state, self._timestep(state, reward=jnp.zeros(self.num_agents))

    def step(
        self, key: Key[Array, ""], state: State, action: Int[Array, " agent"]
    ) -> tuple[State, Timestep]:
        # The key may serve twice: a request it drew is gone where it also resets.
        return auto_reset(self.reset, key, *self.advance(key, state, action))

    def advance(
        self, key: Key[Array, ""], state: State, action: Int[Array, " agent"]
    ) -> tuple[State, Timestep]:
        """:meth:`step` without the reset at the end of an episode."""
        command = (action - jnp.array(self.agent_types)) % self.num_actions
        state = self._turn(state, command)
        state = self._move(state, command)
        state = self._load(state, command)
        state, reward = self._deliver(key, state)
        state = state._replace(time=state.time + 1)
        return state, self._timestep(state, reward)

    def _turn(self, state: State, command: Int[Array, " robot"]) -> State:
        return state._replace(direction=jax.vmap(_turned)(state.direction, command))

    def _move(self, state: State, command: Int[Array, " robot"]) -> State:
        """Every robot that wants to go ahead and can, goes there with what it carries."""
        x, y = jax.vmap(self._ahead)(state.x, state.y, state.direction)
        meets_shelf = (state.carrying > 0) & (_at(state.standing, y, x) > 0)
        wants = (command == FORWARD) & ~meets_shelf
        width = self.grid_size[1]
        here = state.y * width + state.x
        moves = who_moves(here, jnp.where(wants, y * width + x, here))
        return state._replace(x=jnp.where(moves, x, state.x), y=jnp.where(moves, y, state.y))

    def _ahead(
        self, x: Int[Array, ""], y: Int[Array, ""], direction: Int[Array, ""]
    ) -> tuple[Int[Array, ""], Int[Array, ""]]:
        """The cell ahead of one robot: its own where that is a wall."""
        height, width = self.grid_size
        dx, dy = jnp.array(AHEAD).T
        return (
            jnp.clip(x + _at(dx, direction), 0, width - 1),
            jnp.clip(y + _at(dy, direction), 0, height - 1),
        )

    def _load(self, state: State, command: Int[Array, " robot"]) -> State:
        """Exchange what a robot carries for what stands under it; one of them is always none."""
        under = _at(state.standing, state.y, state.x)
        may_put_down = ~_at(jnp.array(self.highways), state.y, state.x)
        toggles = (command == TOGGLE) & ((state.carrying == 0) | may_put_down)
        change = jnp.where(toggles, state.carrying - under, 0)
        y, x = jnp.indices(self.grid_size, sparse=True)
        here = (state.x[:, None, None] == x) & (state.y[:, None, None] == y)
        return state._replace(
            carrying=state.carrying - change,
            standing=state.standing + (here * change[:, None, None]).sum(0),
        )

    def _deliver(self, key: Key[Array, ""], state: State) -> tuple[State, Float[Array, " robot"]]:
        """Reward what is delivered at each goal, and request another shelf in its place."""
        colour = _at(state.shelf_colour, jnp.maximum(state.carrying - 1, 0))
        own = jnp.where(colour == jnp.array(self.agent_types), state.carrying, 0)
        draws = jax.random.uniform(key, (len(self.goals),))
        reward = jnp.zeros(self.num_agents)
        # One goal after the other: what the first requests, the second may already hold.
        for (x, y), draw in zip(self.goals, draws, strict=True):
            at_goal = (state.x == x) & (state.y == y)
            delivered = state.request == jnp.where(at_goal, own, 0).max()
            new = self._shelf_not_in(state.request, draw)
            state = state._replace(request=jnp.where(delivered, new, state.request))
            reward += at_goal & delivered.any()
        return state, reward

    def _shelf_not_in(
        self, request: Int[Array, " request"], draw: Float[Array, ""]
    ) -> Int[Array, ""]:
        """Number of a shelf that is not requested: each as likely, for a draw from [0, 1)."""
        rank = (request[:, None] > request).sum(1)
        free = 1 + (draw * (self.num_shelves - self.num_requests)).astype(jnp.int32)
        # Before a requested shelf, `request - rank - 1` are free; later free ones move up by one.
        return free + (request - rank <= free).sum()

    def _timestep(self, state: State, reward: Float[Array, " robot"]) -> Timestep:
        obs = self._observe(state)
        legal = jnp.ones((self.num_agents, self.num_actions), bool)
        observation = Observation(obs, legal)
        return Timestep(
            observation=observation,
            reward=reward,
            terminated=jnp.zeros((), bool),
            truncated=state.time >= EPISODE_STEPS,
            final=observation,
        )

    def _observe(self, state: State) -> Float[Array, "robot obs"]:
        """Every entry is a number that the robot knows, or whether that is a certain one."""
        facts = jnp.concatenate([self._own_facts(state), *self._seen_facts(state)])
        fact, value = self._entries
        known = _at(facts.ravel(), jnp.array(fact))
        return jnp.where(value < 0, known, known == value).astype(jnp.float32)

    def _own_facts(self, state: State) -> Int[Array, "fact robot"]:
        """Where a robot is, whether it carries, where it looks, whether it is on a highway."""
        on_highway = _at(jnp.array(self.highways), state.y, state.x)
        return jnp.stack([state.x, state.y, state.carrying > 0, state.direction, on_highway])

    def _seen_facts(
        self, state: State
    ) -> tuple[Bool[Array, "cell robot"], Int[Array, "cell robot"], Bool[Array, "cell robot"]]:
        """Per cell around each robot: a robot is there, colour from 1 of the shelf, requested.

        What is summed over comes first, which a CPU does fastest.
        """
        dx, dy = jnp.array(AROUND).T[..., None]
        x, y = state.x + dx, state.y + dy
        here = (state.x[:, None, None] == x) & (state.y[:, None, None] == y)
        carried = (here * state.carrying[:, None, None]).sum(0)
        shelf = carried + _at(jnp.pad(state.standing, 1), y + 1, x + 1)
        colour = jnp.where(shelf > 0, 1 + _at(state.shelf_colour, jnp.maximum(shelf - 1, 0)), 0)
        requested = (state.request[:, None, None] == shelf).any(0)
        return here.any(0), colour, requested

    @cached_property
    def _entries(self) -> tuple[np.ndarray, np.ndarray]:
        """What each entry of an observation asks, as two ``int[robot, obs]``.

        Where to look among the facts of all robots, and the value sought there: -1 if it is the
        entry as it stands.
        """
        raw = [(0, -1), (1, -1), (2, -1), *((3, direction) for direction in range(4)), (4, -1)]
        for robot_there in range(5, 5 + len(AROUND)):
            shelf_colour = robot_there + len(AROUND)
            requested = shelf_colour + len(AROUND)
            colours = [(shelf_colour, 1 + colour) for colour in range(self.num_colours)]
            raw += [(robot_there, -1), *colours, (requested, -1)]
        order = np.array(self._orders)[np.array(self.agent_types)]
        fact, value = np.array(raw)[order].transpose(2, 0, 1)
        return fact * self.num_agents + np.arange(self.num_agents)[:, None], value

    @cached_property
    def _orders(self) -> tuple[tuple[int, ...], ...]:
        if self.orders is not None:
            return self.orders
        rng = np.random.default_rng(self.task_seed)
        return tuple(tuple(rng.permutation(self.obs_size).tolist()) for _ in self.robots)


def _turned(direction: Int[Array, ""], command: Int[Array, ""]) -> Int[Array, ""]:
    """Where one robot looks after its command."""
    left, right = _at(jnp.array(LEFT_OF), direction), _at(jnp.array(RIGHT_OF), direction)
    return jnp.where(command == LEFT, left, jnp.where(command == RIGHT, right, direction))


def who_moves(here: Int[Array, " robot"], wanted: Int[Array, " robot"]) -> Bool[Array, " robot"]:
    """Which robots get to the cell they want, all at once.

    Robots queue behind the one whose cell they want. A queue whose first robot wants a free cell
    moves, but of all that end at the same free cell only the longest; of equally long ones, that
    whose last robot has the lowest number. Robots that want each other's cells in a circle move if
    they are three or more. Everybody else stays.

    Args:
        here: the cell each robot is on, all different.
        wanted: the cell it wants: its own where it does not move.
    """
    num_robots = here.shape[0]
    robot = jnp.arange(num_robots)
    # A set of robots is a row of bits, 32 to a word: far fewer to look up than one flag each.
    itself = jnp.array(
        np.packbits(np.eye(num_robots, 32 * -(-num_robots // 32), dtype=bool), axis=1).view(
            np.uint32
        )
    )
    is_ahead = here[:, None] == wanted
    ahead = jnp.where(is_ahead[..., None], itself[:, None], 0).sum(0, dtype=jnp.uint32)
    wants_free = ~is_ahead.any(0)
    first = jnp.where(wants_free, robot, (is_ahead * robot[:, None]).sum(0))
    # Pointer doubling: `ahead` holds everyone up to `first`, twice as far each time.
    for _ in range((num_robots - 1).bit_length()):
        ahead |= _at(ahead, first)
        first = _at(first, first)
    length = jnp.bitwise_count(ahead).sum(1, dtype=jnp.int32)
    in_circle = (ahead & itself).any(1) & (length >= 3)
    reaches_free, cell = _at(wants_free, first), _at(wanted, first)
    rank = jnp.where(reaches_free, length * num_robots - robot, -num_robots)
    is_beaten = ((cell[:, None] == cell) & (rank[:, None] > rank)).any(0)
    wins = reaches_free & ~is_beaten
    queue = jnp.bitwise_or.reduce(jnp.where(wins[:, None], ahead | itself, 0), axis=0)
    return (queue & itself).any(1) | in_circle


def _distinct(key: Key[Array, ""], count: int, below: int) -> Int[Array, " count"]:
    """Different numbers from 0 up to but not ``below``, each choice and order as likely."""
    return jax.lax.top_k(jax.random.uniform(key, (below,)), count)[1]


def _at(table: Array, *index: Int[Array, "*n"]) -> Array:
    """``table[index]`` for indices known to lie inside, without the cost of checks."""
    return table.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


NAMES = ("rware-2color-tiny-4ag", "rware-2color-small-8ag", "rware-3color-tiny-6ag-hard")
PATTERNS = ("rware-2color-medium-10ag-easy (any colours, size, robots; -easy, -hard or neither)",)


def parse(name: str) -> ColouredWarehouse | None:
    """The environment of a name such as ``rware-2color-tiny-4ag``, None if not ours.

    Raises:
        UserError: a name that starts as ours, but states no warehouse that can be built.
    """
    if not name.startswith("rware"):
        return None
    sizes = "|".join(SIZES)
    form = rf"rware-([1-9]\d{{0,3}})color-({sizes})-([1-9]\d{{0,3}})ag(?:-(easy|hard))?"
    match = re.fullmatch(form, name, re.ASCII)
    if match is None:
        raise UserError(
            f"environment '{name}': a warehouse is named rware-{{colours}}color-"
            f"{{{sizes}}}-{{robots}}ag, with -easy or -hard at the end or neither, and numbers "
            "from 1 to 9999, such as rware-2color-tiny-4ag"
        )
    colours, robots = int(match[1]), int(match[3])
    if colours > robots:
        raise UserError(
            f"environment '{name}': at most as many colours as robots, and {colours} > {robots}"
        )
    rows, columns = SIZES[match[2]]
    blocks = (robots // colours + robots % colours,) + (robots // colours,) * (colours - 1)
    num_requests = int(robots * REQUESTS_PER_ROBOT[match[4] or "normal"])
    env = ColouredWarehouse(name, rows, columns, blocks, num_requests)
    cells = env.highways.size
    if robots > cells:
        raise UserError(
            f"environment '{name}': its {cells} cells hold at most as many robots, not {robots}"
        )
    if not 1 <= num_requests < env.num_shelves:
        raise UserError(
            f"environment '{name}': requests at a time (half the robots if -hard, twice if -easy) "
            f"must be from 1 to {env.num_shelves - 1} here, not {num_requests}"
        )
    return env
