"""What JAX compiled, kept in the user's cache folder for the next process. Stage: files.

``ADAPS_COMPILE_CACHE`` names another folder, or is ``off``; a cache that JAX was told of by
``JAX_COMPILATION_CACHE_DIR`` or ``jax.config`` is left as it is.

What lies there is loaded as machine code. So the folder is the user's alone, no link leads to it,
and it is never part of a run or study, which may be handed on.
"""

import contextlib
import hashlib
import os
import platform
import shutil
import stat
from pathlib import Path

from filelock import FileLock, Timeout

from adaps.errors import UserError
from adaps.files.run_folder import CONFIG
from adaps.files.schema import Plan

VARIABLE = "ADAPS_COMPILE_CACHE"
MAX_BYTES = 512 * 2**20
"""What was not used for longest is removed beyond this."""
MIN_SECONDS = 0.01
"""Programs that are compiled more quickly are not kept."""
LOCK, ENTRY, USED = ".lockfile", "-cache", "-atime"
"""JAX's own names: its lock, a program, and when that was last used."""
LOCK_SECONDS = 10.0


class UnsafeError(Exception):
    """A folder is no place for machine code; with the reason."""


def enable(run: Path | None = None) -> Path | None:
    """Keep what is compiled from now on; returns where, or None where nothing is kept.

    Several processes may share the folder, which belongs to one kind of processor: JAX locks it
    for every reading and writing.

    Args:
        run: the folder of the run that compiles.

    Raises:
        UserError: as from :func:`place`.
    """
    import jax  # noqa: PLC0415

    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return None
    folder = place(run)
    if folder is None:
        return None
    jax.config.update("jax_compilation_cache_max_size", MAX_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_SECONDS)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # JAX decides at its first compilation whether there is a cache; it may have had one already.
    from jax.experimental.compilation_cache import compilation_cache  # noqa: PLC0415

    compilation_cache.reset_cache()
    return folder


def place(run: Path | None = None) -> Path | None:
    """The folder, made if it is not there; None where nothing can be kept, or nothing is to be.

    Args:
        run: the folder of the run that compiles.

    Raises:
        UserError: ``ADAPS_COMPILE_CACHE`` names a folder that others may write to, or one inside a
            run or study.
    """
    chosen = os.environ.get(VARIABLE, "")
    if chosen.lower() in ("off", "0", "no", "false"):
        return None
    try:
        folder = _of_the_user() if chosen == "" else _of_choice(Path(chosen), run)
        _remove_torn(folder)
        return folder
    except UnsafeError as error:
        if chosen == "":
            return None
        raise UserError(f"{VARIABLE}={chosen}: {error}; name another folder, or off") from None
    except (OSError, Timeout):
        return None


def _of_the_user() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return _private(cache, "adaps", "compiled", _processor())


def _of_choice(chosen: Path, run: Path | None) -> Path:
    chosen = chosen.resolve()
    for above in (chosen, *chosen.parents):
        is_run = (above / CONFIG).exists() and (above / "checkpoints").exists()
        if is_run or (above / Plan.FILE).exists() or (run is not None and above == run.resolve()):
            raise UnsafeError(f"{above} is a run's or a study's folder, which may be handed on")
    return _private(chosen, _processor())


def _private(base: Path, *names: str) -> Path:
    """A folder below ``base``, made if it is not there, that nobody else may write to.

    Raises:
        UnsafeError: others may, or a part of it is a link or another user's.
    """
    folder = base.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for above in (folder, *folder.parents):
        mode = above.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise UnsafeError(f"everybody may write to {above}")
    was_open = False
    for name in names:
        folder /= name
        with contextlib.suppress(FileExistsError):
            folder.mkdir(0o700)
        was_open |= _close(folder)
    if was_open:  # what is there may be of others
        shutil.rmtree(folder)
        folder.mkdir(0o700)
    return folder


def _close(folder: Path) -> bool:
    """Let nobody else into a folder; returns whether others could write to it."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise UnsafeError(f"{folder} is a link, or another user's")
    folder.chmod(0o700)
    if folder.lstat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UnsafeError(f"others may write to {folder}")
    return bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _processor() -> str:
    """What a compiled program may depend on: homes are shared by unlike machines."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        said = [line for line in lines if line.startswith(("flags", "Features", "model name"))][:2]
        return hashlib.sha256("\n".join(said).encode()).hexdigest()[:12]
    return platform.machine() or "any"


def _remove_torn(folder: Path) -> None:
    """Programs whose writer died before it said when they were used: JAX never replaces them."""
    with FileLock(folder / LOCK, timeout=LOCK_SECONDS):
        for entry in folder.glob(f"*{ENTRY}"):
            if not entry.with_name(entry.name.removesuffix(ENTRY) + USED).exists():
                entry.unlink(missing_ok=True)
