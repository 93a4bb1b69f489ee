"""Colours and shapes of kinds and true types, on pages and in films. Stage: report."""

from collections.abc import Sequence

import numpy as np

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6BB1", "#737373")
"""Okabe and Ito's colours, which colour-blind readers tell apart, without black and pale yellow."""
MARKERS = dict(zip("os^DvPX*<>ph", "●■▲◆▼✚✖★◀▶⬟⬢", strict=True))
"""Shapes of matplotlib, and the same shapes as text."""
INK, SAMPLED, DROPPED = "#1f3a5f", "#9a6a00", "#e5e7eb"


def kind_colours(count: int) -> list[str]:
    """One colour per kind: distinct ones while they last, then steps from dark to light."""
    if count <= len(PALETTE):
        return list(PALETTE[:count])
    import matplotlib  # noqa: PLC0415  only many kinds need it, and it takes long
    from matplotlib.colors import to_hex  # noqa: PLC0415

    steps = matplotlib.colormaps["viridis"](np.linspace(0, 0.88, count))
    # Neighbours in number are put far apart in lightness.
    order = np.argsort(np.arange(count) % 4, kind="stable").argsort()
    return [to_hex(tuple(steps[i])) for i in order]


def type_markers(
    types: Sequence[int] | Sequence[str] | None, plain: bool = False
) -> dict[int | str, str]:
    """True type → the marker that stands for it, or with ``plain`` the same as text.

    Empty where there are more types than shapes.
    """
    names = sorted(set(types or []))
    if len(names) > len(MARKERS):
        return {}
    return dict(zip(names, MARKERS.values() if plain else MARKERS, strict=False))
