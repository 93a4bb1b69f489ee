"""What seeds of one program have come to, kept so that another process can go on. Stage: train.

A checkpoint has a part for each thing that was going on, such as ``train``: a tree of arrays, and a
count of how far it is. Kinds and masks are parts of their own: they are never found out again.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from adaps.collect.host import from_checkpoint, to_checkpoint
from adaps.errors import StorageError, UserError
from adaps.files.checkpoint import Checkpoint, Series, from_arrays, save, to_arrays
from adaps.files.sharing_arrays import sharing_from_arrays
from adaps.types import Identity, Sharing

PAUSE = 60.0
"""Seconds between two checkpoints, unless environment steps are said."""
SHARE = 0.005
"""Share of the time that saving may take; where it would take more, it is done less often."""

IDENTITIES, SHARINGS = "identities", "sharings"


class Shared(NamedTuple):
    """Who is who and who uses which part of the network; lists with an entry for each seed."""

    identities: list[Identity | None]
    sharings: list[Sharing]
    thresholds: list[float | None]
    """λ of each seed's masks; None where there is none."""


class Journal:
    """Takes down how far the seeds of a program are, and saves that now and then.

    Args:
        series: where checkpoints belong; None saves nothing.
        every: environment steps between two; None goes by time.
        facts: asked for what else is to be kept, as JSON has it, whenever one is saved.
        found: what to go on from; None begins.
        warn: is told once if the state cannot be saved.
    """

    def __init__(
        self,
        series: Series | None,
        every: int | None,
        facts: Callable[[], dict[str, Any]],
        found: Checkpoint | None,
        warn: Callable[[str], None],
    ) -> None:
        self._series, self._every, self._facts, self._warn = series, every, facts, warn
        self._found = dict(found.parts) if found else {}
        for name in (SHARINGS, IDENTITIES):
            self._found.pop(name, None)
        own = found.facts["journal"] if found else {}
        self._counts: dict[str, int] = dict(own.get("counts", {}))
        self._trees: dict[str, Any] = {}
        self.evaluated: int = own.get("evaluated", 0)
        """Updates that had been made at the last point of the learning curve."""
        self.looks: int = own.get("looks", 0)
        """How often it was found out who is alike."""
        self.shared: Shared | None = restored_shared(found) if found else None
        self.seconds = 0.0
        """Time that saving has taken."""
        self._saved_at, self._saved_when, self._last_cost = 0, time.monotonic(), 0.0
        self._is_new = False

    @property
    def known(self) -> Shared:
        """What has been shared."""
        assert self.shared is not None
        return self.shared

    def went_on(self, name: str, begun: Any) -> tuple[Any, int]:
        """Where something stood, and its count; what was begun and 0 where there is nothing.

        Raises:
            UserError: another tree was saved than this run has.
        """
        if name not in self._found:
            return begun, 0
        found = from_arrays(to_checkpoint(begun), self._found.pop(name))
        self._trees[name] = found
        return from_checkpoint(begun, found), self._counts[name]

    def note(self, name: str, tree: Any, count: int, env_steps: int | None = None) -> None:
        """Where something stands; it is saved if it is time to.

        Args:
            name: of the part.
            tree: arrays, which may stay on their device until they are saved.
            count: how far it is, in its own unit.
            env_steps: how far the seeds are; None where that does not change meanwhile.
        """
        if self._series is None:
            return
        self._trees[name], self._counts[name], self._is_new = to_checkpoint(tree), count, True
        if self._is_time(env_steps):
            self.save()
            self._saved_at = env_steps if env_steps is not None else self._saved_at

    def share(self, shared: Shared) -> None:
        """It was found out who is alike: how that was done need not be kept any longer."""
        self.shared, self.looks = shared, self.looks + 1
        for name in [*self._trees, *self._found]:
            if name != "train":
                self._trees.pop(name, None)
                self._found.pop(name, None)
                self._counts.pop(name, None)
        self.save()

    def steps_left(self, env_steps: int) -> int | None:
        """Environment steps to the next checkpoint; None where time decides."""
        if self._series is None or self._every is None:
            return None
        return max(1, self._saved_at + self._every - env_steps)

    def save(self) -> None:
        """Save all that was taken down.

        Raises:
            StorageError: it could not be written; earlier checkpoints are whole.
        """
        if self._series is None:
            return
        started = time.monotonic()
        try:
            parts = self._parts()
        except UserError as error:
            self._warn(f"this run cannot be gone on with later: {error}")
            self._series = None
            return
        save(self._series, parts, {**self._facts(), "journal": self._own_facts()})
        self._saved_when, self._is_new = time.monotonic(), False
        self._last_cost = self._saved_when - started
        self.seconds += self._last_cost

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        """Save what is new since the last time, however it ended but for a failure to save."""
        if self._is_new and not (kind and issubclass(kind, StorageError)):
            self.save()

    def _is_time(self, env_steps: int | None) -> bool:
        if self._every is not None and env_steps is not None:
            return env_steps - self._saved_at >= self._every
        pause = max(PAUSE, self._last_cost / SHARE)
        return time.monotonic() - self._saved_when >= pause

    def _parts(self) -> dict[str, dict[str, np.ndarray]]:
        """Everything as arrays by name; what was found and not used yet stays as it is."""
        parts = {**self._found, **{name: to_arrays(tree) for name, tree in self._trees.items()}}
        if self.shared is not None:
            parts[SHARINGS] = _arrays(map(_of_sharing, self.shared.sharings))
            parts[IDENTITIES] = _arrays(map(_of_identity, self.shared.identities))
        return {name: arrays for name, arrays in parts.items() if arrays}

    def _own_facts(self) -> dict[str, Any]:
        shared = self.shared
        return {
            "counts": self._counts,
            "evaluated": self.evaluated,
            "looks": self.looks,
            "num_seeds": len(shared.identities) if shared else 0,
            "scores": [i and list(i.scores.items()) for i in shared.identities] if shared else [],
            "thresholds": shared.thresholds if shared else [],
        }


def restored_shared(checkpoint: Checkpoint) -> Shared | None:
    """What had been shared when a checkpoint was saved; None where that was before.

    Raises:
        KeyError, IndexError, TypeError, ValueError: it is not there.
    """
    facts, parts = checkpoint.facts["journal"], checkpoint.parts
    if not facts["looks"]:
        return None
    sharings = _by_seed(parts[SHARINGS], facts["num_seeds"])
    identities = _by_seed(parts.get(IDENTITIES, {}), facts["num_seeds"])
    each = zip(identities, facts["scores"], strict=True)
    return Shared(
        [_identity(arrays, scores) for arrays, scores in each],
        [sharing_from_arrays(arrays) for arrays in sharings],
        facts["thresholds"],
    )


def _arrays(each_seed: Any) -> dict[str, np.ndarray]:
    """Seeds' arrays by name, with the seed's place before it."""
    each = enumerate(each_seed)
    return {f"{number}/{name}": array for number, arrays in each for name, array in arrays.items()}


def _by_seed(arrays: dict[str, np.ndarray], num_seeds: int) -> list[dict[str, np.ndarray]]:
    """The inverse of :func:`_arrays`."""
    found: list[dict[str, np.ndarray]] = [{} for _ in range(num_seeds)]
    for name, array in arrays.items():
        number, own = name.split("/", 1)
        found[int(number)][own] = array
    return found


def _of_sharing(sharing: Sharing) -> dict[str, np.ndarray]:
    return to_arrays(sharing)


def _of_identity(identity: Identity | None) -> dict[str, np.ndarray]:
    if identity is None:
        return {}
    arrays = {name: getattr(identity, name) for name in ("latent", "clusters", "centres")}
    return {name: np.asarray(array) for name, array in arrays.items() if array is not None}


def _identity(arrays: dict[str, np.ndarray], scores: list[Any] | None) -> Identity | None:
    if scores is None:
        return None
    latent, clusters = arrays.get("latent"), arrays["clusters"]
    return Identity(latent, clusters, arrays["centres"], dict(map(tuple, scores)))
