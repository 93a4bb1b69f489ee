"""A run's folder: the files it holds, written as the run goes. Stages train to report."""

import json
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from adaps.errors import StorageError, UserError, reason, refusal
from adaps.files.plain_files import replace, told_json

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
        with self._lock:
            write_json(self.path / name, data)

    def append_metrics(self, line: str) -> None:
        """Add one line to ``metrics.jsonl``."""
        path = self.path / METRICS
        with self._lock, refusals(path), open(path, "a", opener=_without_links) as file:
            file.write(line + "\n")

    def write_metrics(self, lines: Sequence[str]) -> None:
        """Replace ``metrics.jsonl`` as a whole."""
        text = "".join(line + "\n" for line in lines)
        with self._lock, refusals(self.path / METRICS):
            replace(self.path / METRICS, lambda beside: beside.write_text(text))

    def save_batch(self, seed: int, arrays: dict[str, np.ndarray]) -> Path:
        """What led to a loss that is not finite."""
        file = self.path / f"not-finite-seed-{seed}.safetensors"
        with refusals(file):
            replace(file, lambda path: save_file(arrays, path))
        return file

    def save_tensors(
        self, file: Path, arrays: dict[str, np.ndarray], metadata: dict[str, str]
    ) -> None:
        """Arrays by name, in a file of its own."""
        with refusals(file):
            replace(file, lambda path: save_file(arrays, path, metadata))


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """The operating system's refusal to write a file as an error that says what to do.

    Raises:
        StorageError: it names the file.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        why = refusal(error) if isinstance(error, OSError) else str(error)
        raise StorageError(f"cannot write {path}: {why}") from None


def _without_links(path: str, flags: int) -> int:
    """Neither a link is followed, nor is a pipe's reader waited for."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def write_json(path: Path, data: Any) -> None:
    """Replace a JSON file as a whole.

    Raises:
        StorageError: there is no more space, or the like.
    """
    text = _compact(json.dumps(data, indent=1)) + "\n"
    with refusals(path):
        replace(path, lambda beside: beside.write_text(text))


def policy_file(path: Path, seed: int) -> Path:
    """Where a seed's policy is kept."""
    return path / "checkpoints" / f"seed-{seed}.safetensors"


def saved_seeds(path: Path) -> list[int]:
    """Seeds that have a saved policy, in rising order."""
    files = (path / "checkpoints").glob("seed-*.safetensors")
    found = (re.fullmatch(r"seed-(0|[1-9][0-9]{0,9})", file.stem) for file in files)
    return sorted(int(seed[1]) for seed in found if seed)


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
    except StorageError as error:
        raise UserError(str(error)) from None


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
    return told_json(path / name)


def _compact(text: str) -> str:
    """Lists of plain values on one line each."""
    return re.sub(r"\[[^\[\]{}]*\]", lambda found: re.sub(r"\s*\n\s*", " ", found[0]), text)
