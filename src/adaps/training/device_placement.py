"""Where seeds run: one per core on a CPU, all in one program on an accelerator. Stage: train.

Seeds share no arrays, so there is nothing to gain from one program on a CPU: measured on two
cores, two threads with a seed each did 2.6 times the steps of two seeds under one ``vmap``. An
accelerator is the other way round: it needs the larger arrays.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial, wraps
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from adaps.collect.cores import cores

R = TypeVar("R")


class Placement(NamedTuple):
    """Which seeds run as one program, and how many such groups run at a time."""

    seed_groups: list[list[int]]
    workers: int


def seeds_at_a_time(num_seeds: int) -> int:
    """Seeds that run side by side where the environment runs in Python.

    Twice as many as there are cores, so that others step while one learns: measured on two cores,
    four seeds spend 79 to 93 % of the time inside the environment, two 57 to 71 %.
    """
    return min(num_seeds, 2 * cores())


def place(seeds: Sequence[int], workers: int | None) -> Placement:
    """One seed per group and one group per core, or a single group on an accelerator."""
    if jax.default_backend() != "cpu" and workers is None:
        return Placement([list(seeds)], 1)
    return Placement([[seed] for seed in seeds], min(len(seeds), workers or cores()))


def run_side_by_side(
    placement: Placement, work: Callable[[list[int]], R], stop: Callable[[], None]
) -> list[R]:
    """``work`` on every group of seeds, in threads: JAX computes outside the interpreter's lock.

    After an interrupt, or a failure in one of them, ``stop`` is called, the others are waited for
    and the exception is raised again.
    """
    with ThreadPoolExecutor(placement.workers, thread_name_prefix="seeds") as pool:
        futures = [pool.submit(work, seeds) for seeds in placement.seed_groups]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            failed = [f for f in futures if f.done() and f.exception() is not None]
            return [future.result() for future in failed or futures]
        except BaseException:
            stop()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def over_seeds(static: int = 0, shared: tuple[int, ...] = ()) -> Callable[[Callable], Callable]:
    """Compile a function over arrays with a leading seed axis.

    A single seed keeps its own program rather than a ``vmap`` of size one, which would turn every
    ``lax.cond`` into both of its branches.

    Args:
        static: how many arguments, the first ones, are hashable and no arrays: what is compiled
            is kept for as long as the process lives, and found again for equal ones.
        shared: places of arguments that have no seed axis.
    """

    def decorate(function: Callable) -> Callable:
        @wraps(function)
        def compiled(*args: Any) -> Any:
            fixed, arrays = partial(function, *args[:static]), args[static:]
            axes = [None if place in shared else 0 for place in range(static, len(args))]
            own = [x for x, axis in zip(arrays, axes, strict=True) if axis == 0]
            if jax.tree.leaves(own)[0].shape[0] > 1:
                return jax.vmap(fixed, in_axes=axes)(*arrays)
            alone = [
                x if axis is None else jax.tree.map(lambda leaf: leaf[0], x)
                for x, axis in zip(arrays, axes, strict=True)
            ]
            return jax.tree.map(lambda x: x[None], fixed(*alone))

        return jax.jit(compiled, static_argnums=tuple(range(static)))

    return decorate


@jax.jit
def stack(trees: Sequence[Any]) -> Any:
    """Seeds' trees → one tree with a leading seed axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@partial(jax.jit, static_argnums=1)
def unstack(tree: Any, num_seeds: int) -> list[Any]:
    """One tree with a leading seed axis → seeds' trees."""
    return [jax.tree.map(lambda leaf, s=s: leaf[s], tree) for s in range(num_seeds)]


def with_seed(tree: Any) -> Any:
    """A single seed's tree with a leading seed axis."""
    return jax.tree.map(lambda x: x[None], tree)


def without_seed(tree: Any) -> Any:
    """The tree of the only seed."""
    return jax.tree.map(lambda x: x[0], tree)
