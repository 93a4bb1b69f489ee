"""Names of other projects' environments: ``prefix:name?option=value&…``. Stage: environment."""

import ast
from typing import Any, NamedTuple

from adaps.errors import UserError

PREFIXES = {"pettingzoo": "MODULE", "jaxmarl": "NAME", "jumanji": "NAME"}
"""Other projects, and what follows the colon."""


class Foreign(NamedTuple):
    """A name taken apart."""

    prefix: str
    name: str
    options: dict[str, Any]


def full_name(prefix: str, name: str, options: dict[str, Any]) -> str:
    """What :func:`parse` would take apart into these."""
    query = "&".join(f"{key}={value}" for key, value in options.items())
    return f"{prefix}:{name}" + (f"?{query}" if query else "")


def parse(text: str) -> Foreign | None:
    """Take a name apart; None where it has none of the prefixes.

    >>> parse("PettingZoo:mpe2.simple_tag_v3?max_cycles=50&render_mode=human")
    Foreign(prefix='pettingzoo', name='mpe2.simple_tag_v3', options={'max_cycles': 50, \
'render_mode': 'human'})

    Raises:
        UserError: an option without a value.
    """
    prefix, colon, rest = text.partition(":")
    if not colon or prefix.lower() not in PREFIXES:
        return None
    name, _, query = rest.partition("?")
    if not name:
        raise UserError(f"'{text}' names no environment; write {prefix.lower()}:NAME")
    options = {}
    for part in query.split("&") if query else ():
        key, equals, value = part.partition("=")
        if not equals or not key.isidentifier():
            raise UserError(f"'{text}': write options as {prefix.lower()}:{name}?option=value")
        options[key] = _value(value)
    return Foreign(prefix.lower(), name, options)


def _value(text: str) -> Any:
    """A Python number, truth value, list …; anything else is text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
