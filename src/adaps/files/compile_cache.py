"""What JAX compiled, kept in the user's cache folder for the next process. Stage: files.

``ADAPS_COMPILE_CACHE`` names another folder, or is ``off``; a cache that JAX was told of by
``JAX_COMPILATION_CACHE_DIR`` or ``jax.config`` is left as it is.
"""

import contextlib
import hashlib
import os
import platform
from pathlib import Path

from filelock import FileLock, Timeout

VARIABLE = "ADAPS_COMPILE_CACHE"
MAX_BYTES = 512 * 2**20
"""What was not used for longest is removed beyond this."""
MIN_SECONDS = 0.01
"""Programs that are compiled more quickly are not kept."""
LOCK, ENTRY, USED = ".lockfile", "-cache", "-atime"
"""JAX's own names: its lock, a program, and when that was last used."""
LOCK_SECONDS = 10.0


def enable() -> Path | None:
    """Keep what is compiled from now on; returns where, or None where nothing is kept.

    Several processes may share the folder, which belongs to one kind of processor: JAX locks it
    for every reading and writing. Where it cannot be written to, nothing is kept.
    """
    import jax  # noqa: PLC0415

    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return None
    folder = _folder()
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_torn(folder)
    except (OSError, Timeout):
        return None
    jax.config.update("jax_compilation_cache_max_size", MAX_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_SECONDS)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # JAX decides at its first compilation whether there is a cache; it may have had one already.
    from jax.experimental.compilation_cache import compilation_cache  # noqa: PLC0415

    compilation_cache.reset_cache()
    return folder


def _folder() -> Path | None:
    """Of this kind of processor; None where nothing is to be kept."""
    chosen = os.environ.get(VARIABLE, "")
    if chosen.lower() in ("off", "0", "no", "false"):
        return None
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(chosen) if chosen else cache / "adaps" / "compiled") / _processor()


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
