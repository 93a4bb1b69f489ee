"""Names with options: ``prefix:name,option=value,…`` and ``module:thing,…``. Stage: environment.

All that stands behind a name is the environment's; what the program is told is an option of the
command.
"""

import ast
import re
from typing import Any, NamedTuple

from adaps.errors import UserError
from adaps.extensions import is_dotted

PREFIXES = {"pettingzoo": "MODULE", "jaxmarl": "NAME", "jumanji": "NAME"}
"""Other projects, and what follows the colon."""
PLAIN = re.compile(r"[\w.:/+-]+")
"""A text that needs no quotation marks among options."""


class Named(NamedTuple):
    """A name taken apart."""

    prefix: str
    """Of another project; empty for something in a module of one's own."""
    name: str
    options: dict[str, Any]


def full_name(prefix: str, name: str, options: dict[str, Any]) -> str:
    """What :func:`parse` would take apart into these."""
    own = f"{prefix}:{name}" if prefix else name
    return ",".join([own, *(f"{key}={_text(value)}" for key, value in options.items())])


def parse(text: str) -> Named | None:
    """Take a name apart; None where it is neither another project's nor one of a module.

    Commas separate options, but not inside brackets or quotation marks. Names from earlier
    versions have ``?`` before the first option, and ``&`` between two.

    >>> parse("PettingZoo:mpe2.simple_tag_v3,max_cycles=50,render_mode=human")
    Named(prefix='pettingzoo', name='mpe2.simple_tag_v3', options={'max_cycles': 50, \
'render_mode': 'human'})
    >>> parse("mypackage.mine:Mine,hidden=[1,2]")
    Named(prefix='', name='mypackage.mine:Mine', options={'hidden': [1, 2]})
    >>> parse("bps:2-2")

    Raises:
        UserError: an option without a value.
    """
    named, mark, rest = re.findall(r"(?s)\A([^,?]*)([,?]?)(.*)\Z", text)[0]
    prefix, colon, name = named.partition(":")
    if colon and prefix.lower() in PREFIXES:
        prefix = prefix.lower()
    elif is_dotted(named):
        prefix, name = "", named
    else:
        return None
    if not name:
        raise UserError(f"'{text}' names no environment; write {prefix}:NAME")
    parts = rest.split("&") if mark == "?" else _parts(rest)
    options = {}
    for part in parts if rest else ():
        key, equals, value = part.partition("=")
        if not equals or not key.isidentifier():
            raise UserError(f"'{text}': write options as {named},option=value")
        options[key] = _value(value)
    return Named(prefix, name, options)


def _parts(text: str) -> list[str]:
    """What lies between commas, except those inside brackets and quotation marks."""
    parts, depth, quote, escaped = [""], 0, "", False
    for before, letter in zip(f",{text}", text, strict=False):
        if quote:
            quote = "" if letter == quote and not escaped else quote
            escaped = letter == "\\" and not escaped
        elif letter in "'\"" and before in "=,([{: ":
            quote = letter
        else:
            depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not quote and depth <= 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _value(text: str) -> Any:
    """A Python number, truth value, list …; anything else is text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return text


def _text(value: Any) -> str:
    """What :func:`_value` reads as this."""
    if isinstance(value, str) and not (PLAIN.fullmatch(value) and _value(value) == value):
        return repr(value)
    return str(value)
