"""Where seeds run: one per core on a CPU, all in one program on an accelerator. Stage: train.

Seeds share no arrays, so there is nothing to gain from one program on a CPU: measured on two
cores, two threads with a seed each did 2.6 times the steps of two seeds under one ``vmap``. An
accelerator is the other way round: it needs the larger arrays.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from adaps.collect.cores import cores

R = TypeVar("R")


class Placement(NamedTuple):
    """Which seeds run as one program, and how many programs run at a time."""

    programs: list[list[int]]
    workers: int


def seeds_at_a_time(num_seeds: int) -> int:
    """Seeds that run side by side where the environment runs in Python.

    Twice as many as there are cores, so that others step while one learns: measured on two cores,
    four seeds spend 79 to 93 % of the time inside the environment, two 57 to 71 %.
    """
    return min(num_seeds, 2 * cores())


def place(seeds: Sequence[int], workers: int | None) -> Placement:
    """One seed per program and one program per core, or a single program on an accelerator."""
    if jax.default_backend() != "cpu" and workers is None:
        return Placement([list(seeds)], 1)
    return Placement([[seed] for seed in seeds], min(len(seeds), workers or cores()))


def run_side_by_side(
    placement: Placement, work: Callable[[list[int]], R], stop: Callable[[], None]
) -> list[R]:
    """``work`` on every program's seeds, in threads: JAX computes outside the interpreter's lock.

    After an interrupt, or a failure in one of them, ``stop`` is called, the others are waited for
    and the exception goes on.
    """
    with ThreadPoolExecutor(placement.workers, thread_name_prefix="seeds") as pool:
        futures = [pool.submit(work, seeds) for seeds in placement.programs]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            failed = [f for f in futures if f.done() and f.exception() is not None]
            return [future.result() for future in failed or futures]
        except BaseException:
            stop()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def over_seeds(function: Callable, num_seeds: int, shared: tuple[int, ...] = ()) -> Callable:
    """A jitted function over arrays with a leading seed axis; ``shared`` arguments have none.

    A single seed keeps its own program rather than a ``vmap`` of size one, which would turn every
    ``lax.cond`` into both of its branches.
    """

    def alone(*args):
        own = [a if i in shared else jax.tree.map(lambda x: x[0], a) for i, a in enumerate(args)]
        return jax.tree.map(lambda x: x[None], function(*own))

    def together(*args):
        axes = [None if i in shared else 0 for i in range(len(args))]
        return jax.vmap(function, in_axes=axes)(*args)

    return jax.jit(alone if num_seeds == 1 else together)


def stack(trees: Sequence[Any]) -> Any:
    """Seeds' trees → one tree with a leading seed axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def unstack(tree: Any, num_seeds: int) -> list[Any]:
    """One tree with a leading seed axis → seeds' trees."""
    return [jax.tree.map(lambda leaf, s=s: leaf[s], tree) for s in range(num_seeds)]
