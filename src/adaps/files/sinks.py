"""Where the points of a learning curve go besides ``metrics.jsonl``. Stage: train.

TensorBoard and Weights & Biases are extras, imported where they are asked for.
"""

import importlib
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from adaps.errors import UserError, unknown
from adaps.extensions import needs_extra
from adaps.files.plain_files import refuse_links


@runtime_checkable
class Sink(Protocol):
    """Takes the numbers of every evaluation."""

    def log(self, seed: int, env_steps: int, numbers: Mapping[str, float]) -> None:
        """One seed's numbers after so many environment steps."""
        ...

    def close(self) -> None:
        """Write what is left to write."""
        ...


class TensorBoard:
    """Event files under ``tensorboard/seed-N`` in the run's folder."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        del config
        self._run = folder
        self._package = _package("tensorboardX", "tensorboard")
        self._writers: dict[int, Any] = {}

    def log(self, seed: int, env_steps: int, numbers: Mapping[str, float]) -> None:
        if seed not in self._writers:
            folder = f"tensorboard/seed-{seed}"
            refuse_links(self._run, folder)
            self._writers[seed] = self._package.SummaryWriter(str(self._run / folder))
        for name, value in numbers.items():
            self._writers[seed].add_scalar(name, value, env_steps)
        self._writers[seed].flush()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()


class WandB:
    """One run of Weights & Biases per seed, grouped by the run's folder, with its settings."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        refuse_links(folder, "wandb")
        self._folder, self._config = folder, dict(config)
        self._package = _package("wandb", "wandb")
        self._runs: dict[int, Any] = {}

    def log(self, seed: int, env_steps: int, numbers: Mapping[str, float]) -> None:
        if seed not in self._runs:
            self._runs[seed] = self._package.init(
                project="adaps",
                group=self._folder.name,
                name=f"{self._folder.name}, seed {seed}",
                config={**self._config, "seed": seed},
                dir=str(self._folder),
                reinit="create_new",
            )
        self._runs[seed].log(dict(numbers), step=env_steps)

    def close(self) -> None:
        for run in self._runs.values():
            run.finish()
        self._package.teardown()


SINKS = {"tensorboard": TensorBoard, "wandb": WandB}


class Sinks:
    """Several sinks as one, which seeds' threads may share."""

    def __init__(self, sinks: Sequence[Sink] = ()) -> None:
        self._sinks = sinks
        self._lock = threading.Lock()

    def log(self, line: Mapping[str, Any]) -> None:
        """A line of ``metrics.jsonl``; what is no single finite number is left out."""
        plain = {name: value for name, value in line.items() if _is_number(value)}
        seed, env_steps = plain.pop("seed"), plain.pop("env_steps")
        with self._lock:
            for sink in self._sinks:
                sink.log(seed, env_steps, plain)


def check_sinks(names: Sequence[str], folder: Path | None) -> None:
    """Refuse sinks that cannot be had.

    Raises:
        UserError: no such sink, its package is missing, or there is no folder to write into.
    """
    for name in names:
        if name not in SINKS:
            raise unknown("sink", name, SINKS)
        _package({"tensorboard": "tensorboardX"}.get(name, name), name)
    if names and folder is None:
        raise UserError(f"sinks write into the run's folder: name one to use {', '.join(names)}")


@contextmanager
def opened(names: Sequence[str], folder: Path | None, config: Mapping[str, Any]) -> Iterator[Sinks]:
    """The sinks of these names, closed in the end whatever happens."""
    with ExitStack() as closing:
        sinks: list[Sink] = []
        for name in dict.fromkeys(names if folder is not None else ()):
            sinks.append(SINKS[name](cast(Path, folder), config))
            closing.callback(sinks[-1].close)
        yield Sinks(sinks)


def _package(name: str, extra: str) -> Any:
    with needs_extra(extra):
        return importlib.import_module(name)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
