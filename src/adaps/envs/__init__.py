"""Environments: built in, other projects', and ours for other projects. Stage: environment.

Each name is imported when it is first used: processes that step environments need none of them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaps.envs.autoreset import auto_reset
    from adaps.envs.registry import (
        FAMILIES,
        from_jaxmarl,
        from_jumanji,
        from_pettingzoo,
        make,
        task_seed_of,
        to_jaxmarl,
        to_pettingzoo,
    )

__all__ = [
    "FAMILIES",
    "auto_reset",
    "from_jaxmarl",
    "from_jumanji",
    "from_pettingzoo",
    "make",
    "task_seed_of",
    "to_jaxmarl",
    "to_pettingzoo",
]


def __getattr__(name: str) -> Any:
    """A public name, imported now."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "autoreset" if name == "auto_reset" else "registry"
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
