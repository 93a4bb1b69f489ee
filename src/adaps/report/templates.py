"""Fills the pages' templates in. Stage: report."""

from importlib import resources
from typing import Any

import jinja2


def fill(name: str, context: dict[str, Any]) -> str:
    """The page that a template of this package makes; every text is escaped.

    Args:
        name: the template's file.
        context: what the template names; what it names and is not there is an error.
    """
    files = resources.files("adaps.report")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda file: files.joinpath(file).read_text("utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(context)
