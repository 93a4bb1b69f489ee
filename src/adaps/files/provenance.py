"""On which machine and with which code something was measured. Stage: none; result files say it."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import jax

from adaps.collect.cores import cores

CPUINFO = Path("/proc/cpuinfo")
VECTOR = ("sse4", "avx", "fma", "amx", "asimd", "sve")
"""Beginnings of the names of instructions that XLA computes with, where a processor has them."""


def machine() -> dict[str, Any]:
    """Its processor, the cores that this process may use, and JAX: its device and version."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "device": str(jax.devices()[0].device_kind),
        "jax": jax.__version__,
    }


def arithmetic() -> dict[str, Any]:
    """What decides the last bits of a result, besides versions and the kind of device.

    Measured on a CPU: other vector instructions, XLA's flags and another generator of random
    numbers change them; the number of cores does not.
    """
    names = ("jax_default_prng_impl", "jax_default_matmul_precision", "jax_threefry_partitionable")
    return {
        "processor": _processor(),
        "instructions": " ".join(n for n in _instructions() if n.startswith(VECTOR)),
        "xla_flags": " ".join(sorted(os.environ.get("XLA_FLAGS", "").split())),
        **{name.removeprefix("jax_"): jax.config.values[name] for name in names},
    }


def commit() -> str | None:
    """Of the working copy that this code comes from, if it is one."""
    try:
        words = ["git", "rev-parse", "--short", "HEAD"]
        done = subprocess.run(
            words, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    return _said("model name") or platform.processor()


def _instructions() -> list[str]:
    return sorted((_said("flags") or _said("Features")).split())


def _said(name: str) -> str:
    """What Linux says of the first core; nothing elsewhere."""
    lines = CPUINFO.read_text().splitlines() if CPUINFO.exists() else []
    said = [line.split(":")[1].strip() for line in lines if line.startswith(name)]
    return said[0] if said else ""
