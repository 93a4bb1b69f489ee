"""``Sharing`` as arrays by name, whatever a network's units are. Stage: files."""

import re
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from adaps.types import Scaling, Sharing


def sharing_from_arrays(arrays: Mapping[str, np.ndarray]) -> Sharing:
    """What :func:`adaps.files.checkpoint.to_arrays` made of a sharing.

    Raises:
        KeyError: something is missing.
        ValueError: something is left over.
    """
    left = {name: jnp.asarray(array) for name, array in arrays.items()}
    scaling = [left.pop(f"scaling.{name}") for name in Scaling._fields if "scaling.kind" in arrays]
    sharing = Sharing(
        param_set=left.pop("param_set"),
        masks=_entries(left, "masks"),
        tags=left.pop("tags"),
        own=_entries(left, "own"),
        scaling=Scaling(*scaling) if scaling else None,
    )
    if left:
        raise ValueError(f"{next(iter(left))} is no part of it")
    return sharing


def _entries(arrays: dict[str, Array], field: str) -> dict[str, Array]:
    """A dictionary's entries, taken out of what there is."""
    names = {name: re.fullmatch(rf"{field}\['([^']*)'\]", name) for name in list(arrays)}
    return {found[1]: arrays.pop(name) for name, found in names.items() if found}
