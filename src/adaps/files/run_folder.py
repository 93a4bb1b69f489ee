"""A run's folder: the files it holds, written as the run goes. Stages train to report."""

import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from adaps.envs.agent_io import Agents
from adaps.errors import StorageError, UserError, reason, refusal
from adaps.files.plain_files import open_plain, parsed, replace
from adaps.files.plain_files import read_json as read_plain_json
from adaps.files.policy_arrays import check_arrays, shape_of
from adaps.networks.mlp import ActorCritic, Layer
from adaps.types import SCHEMA, LearnedMasks, Masks, NetworkShape, Scaling, Sharing

T = TypeVar("T")

CONFIG, METRICS, IDENTITY, SHARING, RESULT, REPORT = (
    "config.json",
    "metrics.jsonl",
    "identity.json",
    "sharing.json",
    "result.json",
    "report.html",
)


class RunFolder:
    """Writes one run's files; several threads may share it.

    Args:
        path: the folder.
        resumes: whether it may hold a run, which is to be resumed.

    Raises:
        UserError: the folder already holds a run, or cannot be written to.
        StorageError: from every method, when there is no more space, or the like.
    """

    def __init__(self, path: Path, resumes: bool = False) -> None:
        self.path, self.resumes = Path(path), resumes
        self._lock = threading.Lock()
        if not resumes:
            check_free(self.path)
        with writable(self.path):
            (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
            (self.path / RESULT).unlink(missing_ok=True)

    def write_json(self, name: str, data: Any) -> None:
        """Replace a JSON file as a whole."""
        with self._lock, self._refusals(name):
            write_json(self.path / name, data)

    def append_metrics(self, line: str) -> None:
        """Add one line to ``metrics.jsonl``."""
        with self._lock, self._refusals(METRICS), (self.path / METRICS).open("a") as file:
            file.write(line + "\n")

    def write_metrics(self, lines: Sequence[str]) -> None:
        """Replace ``metrics.jsonl`` as a whole."""
        text = "".join(line + "\n" for line in lines)
        with self._lock, self._refusals(METRICS):
            replace(self.path / METRICS, lambda beside: beside.write_text(text))

    def save_batch(self, seed: int, arrays: dict[str, np.ndarray]) -> Path:
        """What led to a loss that is not finite."""
        file = self.path / f"not-finite-seed-{seed}.safetensors"
        with self._refusals(file.name):
            replace(file, lambda path: save_file(arrays, path))
        return file

    def save_policy(
        self,
        seed: int,
        params: ActorCritic,
        sharing: Sharing,
        env_steps: int,
        agents: Agents | None = None,
    ) -> None:
        """Parameters and sharing of one seed, as of ``env_steps``, and whom they are for."""
        tensors = {
            **named("actor", params.actor),
            **named("critic", params.critic),
            **named("sharing", sharing),
        }
        arrays = {name: np.ascontiguousarray(jax.device_get(x)) for name, x in tensors.items()}
        # One entry, since the library writes several in any order.
        facts: dict[str, Any] = {"schema": SCHEMA, "env_steps": env_steps}
        if agents is not None:
            facts["agents"] = agents.to_json()
        metadata = {"adaps": json.dumps(facts)}
        file = policy_file(self.path, seed)
        with self._refusals(file.name):
            replace(file, lambda path: save_file(arrays, path, metadata))

    @contextmanager
    def _refusals(self, name: str) -> Iterator[None]:
        """The operating system's refusal as an error that says what to do."""
        try:
            yield
        except (OSError, SafetensorError) as error:
            why = refusal(error) if isinstance(error, OSError) else str(error)
            raise StorageError(f"cannot write {self.path / name}: {why}") from None


def write_json(path: Path, data: Any) -> None:
    """Replace a JSON file as a whole."""
    text = _compact(json.dumps(data, indent=1)) + "\n"
    replace(path, lambda beside: beside.write_text(text))


def policy_file(path: Path, seed: int) -> Path:
    """Where a seed's policy is kept."""
    return path / "checkpoints" / f"seed-{seed}.safetensors"


def saved_seeds(path: Path) -> list[int]:
    """Seeds that have a saved policy, in rising order."""
    files = (path / "checkpoints").glob("seed-*.safetensors")
    found = (re.fullmatch(r"seed-(0|[1-9][0-9]{0,9})", file.stem) for file in files)
    return sorted(int(seed[1]) for seed in found if seed)


def load_policy(path: Path, seed: int) -> tuple[ActorCritic, Sharing, NetworkShape, Agents | None]:
    """What :meth:`RunFolder.save_policy` saved.

    Raises:
        UserError: no such seed, or a file that is damaged.
    """
    file = policy_file(path, seed)
    if not file.exists():
        raise UserError(
            f"{path} has no policy of seed {seed}; it has {saved_seeds(path) or 'none'}"
        )
    try:
        with open_plain(file):
            arrays = load_file(file)
        agents = _agents(file)
        sharing = sharing_of(arrays)
        own = {name: jnp.asarray(array) for name, array in arrays.items()}
        params = ActorCritic(_layers(own, "actor"), _layers(own, "critic"))
        shape = shape_of(params, sharing)
        check_arrays(own, params, sharing, shape)
    except KeyError as error:
        raise UserError(f"{file} is damaged: it lacks {error}") from None
    except (SafetensorError, OSError, RecursionError, TypeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise UserError(f"{file} is damaged: {reason or ' '.join(str(error).split())}") from None
    return params, sharing, shape, agents


def sharing_of(arrays: Mapping[str, np.ndarray]) -> Sharing:
    """What :func:`named` made of a sharing, by the name ``sharing``.

    Raises:
        KeyError, TypeError: something is missing, or of another name.
    """
    own = {name: jnp.asarray(array) for name, array in arrays.items()}
    return Sharing(
        own["sharing.group"],
        Masks(_listed(own, "sharing.masks.actor"), _listed(own, "sharing.masks.critic")),
        own["sharing.tags"],
        _part(own, "sharing.learned.", LearnedMasks),
        _part(own, "sharing.scaling.", Scaling),
    )


def _agents(file: Path) -> Agents | None:
    """Whom a saved policy is for; None where that was not saved."""
    with safe_open(file, "numpy") as opened:
        text = (opened.metadata() or {}).get("adaps")
    facts = parsed(text) if text else {}
    return Agents.from_json(facts["agents"]) if "agents" in facts else None


def check_free(path: Path) -> None:
    """Refuse a folder that holds a run, or that cannot be made or written to.

    Raises:
        UserError: with the reason.
    """
    if "\0" in str(path):
        raise UserError(f"cannot write to {str(path)!r}: no name may hold a zero byte")
    with writable(path):
        if (path / CONFIG).exists():
            raise UserError(f"{path} already holds a run; name another folder with --out")
    existing = path
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise UserError(f"cannot write to {path}: {existing} is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"cannot write to {path}: permission denied in {existing}")


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """The operating system's refusal as bad input: the folder is the user's choice."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write to {path}: {reason(error)}") from None


def free_folder(root: Path, name: str) -> Path:
    """The first of ``root/name-001``, ``-002``, … that does not exist."""
    number = 1
    while (folder := root / f"{name}-{number:03d}").exists():
        number += 1
    return folder


def read_json(path: Path, name: str) -> Any:
    """A result file's data.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        return read_plain_json(path / name)
    except OSError as error:
        raise UserError(f"{path / name} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path / name} is damaged: {error}") from None


def _compact(text: str) -> str:
    """Lists of plain values on one line each."""
    return re.sub(r"\[[^\[\]{}]*\]", lambda found: re.sub(r"\s*\n\s*", " ", found[0]), text)


def named(prefix: str, part: Any) -> dict[str, Any]:
    """Arrays of a part of a policy by name; what is None has no entry."""
    if part is None:
        return {}
    if not isinstance(part, tuple):
        return {prefix: part}
    names = getattr(part, "_fields", range(len(part)))
    return {
        name: array
        for field, value in zip(names, part, strict=True)
        for name, array in named(f"{prefix}.{field}", value).items()
    }


def _listed(arrays: dict[str, Array], prefix: str) -> tuple[Array, ...]:
    count = sum(name.startswith(f"{prefix}.") for name in arrays)
    return tuple(arrays[f"{prefix}.{i}"] for i in range(count))


def _layers(arrays: dict[str, Array], prefix: str) -> tuple[Layer, ...]:
    count = sum(name.startswith(f"{prefix}.") and name.endswith(".weight") for name in arrays)
    return tuple(
        Layer(
            arrays[f"{prefix}.{i}.weight"],
            arrays[f"{prefix}.{i}.bias"],
            arrays.get(f"{prefix}.{i}.threshold"),
        )
        for i in range(count)
    )


def _part(arrays: dict[str, Array], prefix: str, build: Callable[..., T]) -> T | None:
    """A part of the sharing that not every policy has."""
    fields = {n.removeprefix(prefix): x for n, x in arrays.items() if n.startswith(prefix)}
    return build(**fields) if fields else None
