"""On which machine and with which code something was measured. Stage: none; result files say it."""

import platform
import subprocess
from pathlib import Path
from typing import Any

import jax

from adaps.collect.cores import cores

CPUINFO = Path("/proc/cpuinfo")


def machine() -> dict[str, Any]:
    """Its processor, the cores that this process may use, and JAX: its device and version."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "device": str(jax.devices()[0].device_kind),
        "jax": jax.__version__,
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
    lines = CPUINFO.read_text().splitlines() if CPUINFO.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
