"""In what two configurations differ. Stage: train."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

_ABSENT = object()


class Difference(NamedTuple):
    """A field that is not as it was saved."""

    name: str
    """With the names of what it lies in, and dots between."""
    saved: Any
    now: Any

    @property
    def is_new(self) -> bool:
        """Whether there was no such field when it was saved."""
        return self.saved is _ABSENT

    def __str__(self) -> str:
        return f"{self.name}: {_shown(self.saved)} there, {_shown(self.now)} here"


def differences(saved: dict[str, Any], now: dict[str, Any]) -> list[Difference]:
    """Fields that differ, in the order of ``now``; what only ``saved`` has comes last.

    Tuples are lists, and 1 is 1.0, since JSON makes no difference; True is not 1.

    >>> str(differences({"algo": {"entropy": 0.01}}, {"algo": {"entropy": 0.02}})[0])
    'algo.entropy: 0.01 there, 0.02 here'
    """
    return list(_differences("", saved, now))


def _differences(name: str, saved: Any, now: Any) -> Iterator[Difference]:
    if isinstance(saved, dict) and isinstance(now, dict):
        before = f"{name}." if name else ""
        for key in dict.fromkeys([*now, *saved]):
            both = saved.get(key, _ABSENT), now.get(key, _ABSENT)
            yield from _differences(f"{before}{key}", *both)
    elif not _alike(saved, now):
        yield Difference(name, saved, now)


def _alike(saved: Any, now: Any) -> bool:
    if isinstance(saved, list | tuple) and isinstance(now, list | tuple):
        return len(saved) == len(now) and all(map(_alike, saved, now))
    if isinstance(saved, bool) or isinstance(now, bool):
        return saved is now
    return saved == now


def _shown(value: Any) -> str:
    return "none" if value is _ABSENT else json.dumps(value, default=str)
