"""In what two configurations differ. Stage: train."""

import json
from typing import Any

_ABSENT = object()


def differences(saved: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Fields that differ, in the order of ``now``; what only ``saved`` has comes last.

    Tuples are lists, and 1 is 1.0, since JSON makes no difference; True is not 1.

    >>> differences({"algo": {"entropy": 0.01}}, {"algo": {"entropy": 0.02}})
    ['algo.entropy: 0.01 there, 0.02 here']
    """
    return _differences("", saved, now)


def _differences(name: str, saved: Any, now: Any) -> list[str]:
    if isinstance(saved, dict) and isinstance(now, dict):
        before = f"{name}." if name else ""
        return [
            text
            for key in dict.fromkeys([*now, *saved])
            for text in _differences(
                f"{before}{key}", saved.get(key, _ABSENT), now.get(key, _ABSENT)
            )
        ]
    return [] if _alike(saved, now) else [f"{name}: {_shown(saved)} there, {_shown(now)} here"]


def _alike(saved: Any, now: Any) -> bool:
    if isinstance(saved, list | tuple) and isinstance(now, list | tuple):
        return len(saved) == len(now) and all(map(_alike, saved, now))
    if isinstance(saved, bool) or isinstance(now, bool):
        return saved is now
    return saved == now


def _shown(value: Any) -> str:
    return "none" if value is _ABSENT else json.dumps(value, default=str)
