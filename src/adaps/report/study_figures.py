"""A study's pictures, each for the page and as a file of its own. Stage: report."""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter, FixedLocator, NullLocator, StrMethodFormatter

from adaps.files.schema import Plan
from adaps.report.figures import SMALL, Picture, grid_axes, picture
from adaps.report.formatting import NONE, number, percent
from adaps.report.palette import MARKERS, PALETTE
from adaps.report.statistics import Interval
from adaps.report.study_curves import Band
from adaps.report.study_statistics import Overall, Sweep
from adaps.report.study_words import label, score

WIDTH = 5.0
"""Of every figure, in inches: so texts are equally large in all of them."""
LONGEST = 30
"""Letters of a name in a figure; the tables have it in full."""
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
BEST, RECOMMENDED = "#047857", "#D55E00"
FEW = 8
"""More variants than this get shapes besides colours, and fainter bands."""
PRINT = ((10, SMALL), (18, 6.5), (30, 4.8))
"""Up to how many columns of a heat map have room for texts of which size."""


class Look(NamedTuple):
    """How a variant looks in every figure."""

    label: str
    colour: str
    dash: Any
    """As matplotlib takes it."""
    marker: str
    """The point of a scatter plot."""


def looks_of(plan: Plan, warned: Collection[str] = ()) -> dict[str, Look]:
    """Every variant's look: of up to eight by colour alone, then by dashes and shapes too.

    Variants whose runs have warnings get a star after their label.
    """
    names = [variant.name for variant in plan.variants]
    labels = figure_labels([label(name, plan.over) for name in names])
    labels = [_starred(own, name in warned) for own, name in zip(labels, names, strict=True)]
    shapes = list(MARKERS)
    return {
        name: Look(
            labels[i],
            PALETTE[i % len(PALETTE)],
            DASHES[i // len(PALETTE) % len(DASHES)],
            shapes[i % len(shapes)],
        )
        for i, name in enumerate(names)
    }


def _starred(text: str, warned: bool) -> str:
    return f"{text}*" if warned else text


def figure_labels(names: Sequence[str]) -> list[str]:
    """Names as figures can show them: short, of letters the font has, and still different."""
    found: list[str] = []
    for name in names:
        found.append(_not_among(found, _shortened(_drawable(name)), " ({})"))
    return found


def slugs(names: Iterable[str]) -> dict[str, str]:
    """Names as parts of files' names, all different also where letters' case does not count.

    >>> slugs(["bps-1", "BPS 1", "///"])
    {'bps-1': 'bps-1', 'BPS 1': 'bps-1-2', '///': 'x'}
    """
    found: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower())[:40].strip("-") or "x"
        found[name] = _not_among(found.values(), plain, "-{}")
    return found


def curves(
    name: str, title: str, bands: dict[Look, Band], axis: tuple[str, str], best: float | None
) -> Picture:
    """One line per variant, with its interval shaded.

    Args:
        name: of the file.
        title: above the figure; empty for none.
        bands: by the variants' looks.
        axis: what lies on the axes, along and up.
        best: where to draw a line; None for none.
    """
    along, up = axis

    def draw(figure: Figure) -> None:
        axes = _axes(figure, title, along, up)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        for look, band in bands.items():
            _line(axes, look, band, len(bands))
        axes.set_xlim(left=0)
        _draw_best(axes.axhline, best)
        _legend(figure, bands, len(bands) > FEW)

    ends = ", ".join(f"{look.label} {number(float(b.value[-1]))}" for look, b in bands.items())
    return picture(
        name,
        (WIDTH, 3.0 + _legend_height(bands)),
        draw,
        f"{title}: {up} against {along}, interquartile mean over seeds; "
        f"shaded: its 95\u00a0% interval.{_dotted(best)}",
        f"Line chart of {up} against {along} in {title}; at the end: {ends}.",
    )


def score_bars(
    name: str, title: str, ends: dict[Look, Interval], along: str, best: float | None
) -> Picture:
    """An interval for each variant, with a mark at its middle."""

    def draw(figure: Figure) -> None:
        axes = _axes(figure, title, along, "")
        axes.use_sticky_edges = False  # or else the lowest bar would seem to go on
        for row, (look, (low, value, high)) in enumerate(ends.items()):
            if low is not None and high is not None:
                axes.barh(row, high - low, 0.62, left=low, color=look.colour, alpha=0.55, lw=0)
            axes.plot([value] * 2, [row - 0.36, row + 0.36], color="#111827", linewidth=1.5)
        _draw_best(axes.axvline, best)
        axes.set_yticks(range(len(ends)), [look.label for look in ends], fontsize=SMALL)
        axes.set_ylim(len(ends) - 0.4, -0.6)
        axes.tick_params(left=False)
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.5g}"))

    return picture(
        name,
        (WIDTH, 0.85 + 0.27 * len(ends)),
        draw,
        f"{title}: {along}; mark: interquartile mean over seeds, "
        f"bar: its 95\u00a0% interval.{_dotted(best)}",
        f"Intervals of {along} in {title}: "
        + ", ".join(f"{look.label} {number(one.value)}" for look, one in ends.items())
        + ".",
    )


def size_scatter(
    name: str, title: str, places: dict[Look, tuple[float, Interval]], best: float | None
) -> Picture:
    """Greedy return against trainable parameters."""

    def draw(figure: Figure) -> None:
        axes = _axes(figure, title, "trainable parameters", "greedy return")
        for look, (size, (low, value, high)) in places.items():
            reach = None if low is None or high is None else ([value - low], [high - value])
            style = {"markersize": 6.5, "capsize": 2.5, "elinewidth": 1.2, "mec": "white"}
            axes.errorbar(
                [size], [value], yerr=reach, color=look.colour, marker=look.marker, mew=0.6, **style
            )
        _draw_best(axes.axhline, best)
        sizes = [size for size, _ in places.values()]
        low, high = min(sizes) / 1.3, max(sizes) * 1.3
        axes.set(xscale="log", xlim=(low, high))
        axes.xaxis.set_major_locator(FixedLocator(log_ticks(low, high)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        _legend(figure, places, shapes=True, lines=False)

    return picture(
        name,
        (WIDTH, 3.0 + _legend_height(places)),
        draw,
        f"{title}: final greedy return against trainable parameters of actor and critic, both "
        f"over seeds: interquartile mean with 95\u00a0% interval, and mean.{_dotted(best)}",
        f"Scatter plot of return against parameters in {title}: "
        + ", ".join(
            f"{look.label} {size:,.0f} parameters, return {number(one.value)}"
            for look, (size, one) in places.items()
        )
        + ".",
    )


def profiles(name: str, looks: dict[str, Look], overall: Overall) -> Picture:
    """Share of runs above each score."""
    bands = {
        looks[variant]: Band(overall.thresholds, *profile)
        for variant, profile in overall.profiles.items()
    }

    def draw(figure: Figure) -> None:
        axes = _axes(figure, "", "score τ", "share of runs above τ")
        for look, band in bands.items():
            _line(axes, look, band, len(bands))
        axes.set(xlim=(overall.thresholds[0], overall.thresholds[-1]), ylim=(-0.03, 1.03))
        _legend(figure, bands, len(bands) > FEW)

    return picture(
        name,
        (WIDTH, 3.0 + _legend_height(bands)),
        draw,
        "Performance profiles: the share of runs whose score is above τ, each environment counting "
        "the same; shaded: its 95\u00a0% interval. Higher is better everywhere.",
        f"Line chart of the performance profiles of {len(bands)} variants.",
    )


def improvement_matrix(name: str, looks: dict[str, Look], overall: Overall) -> Picture:
    """How likely the row's variant does better than the column's."""
    names = overall.variants
    count = len(names)
    shares = np.full((count, count), np.nan)
    sure = np.zeros((count, count), bool)
    for (one, other), (low, value, high) in overall.improvement.items():
        at = names.index(one), names.index(other)
        shares[at] = value
        sure[at] = low is not None and high is not None and not low <= 0.5 <= high

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        texts = [["" if np.isnan(s) else f"{100 * s:.0f}" for s in row] for row in shares]
        _cells(axes, shares, (0.0, 1.0), texts, matplotlib.colormaps["PuOr"], sure)
        rows = [f"{looks[variant].label}  {i}" for i, variant in enumerate(names, start=1)]
        axes.set_yticks(range(count), rows, fontsize=SMALL)
        numbers = [str(i) for i in range(1, count + 1)]
        axes.set_xticks(range(count), numbers, fontsize=_print_size(count) or PRINT[-1][1])
        axes.xaxis.tick_top()

    return picture(
        name,
        (WIDTH, 0.55 + 0.27 * count),
        draw,
        "Probability, in percent, that a run of the row's variant comes to a higher return than "
        "one of the column's (by number), averaged over environments; ties count half. Bold: the "
        "95\u00a0% interval leaves out 50.",
        "Matrix of probabilities of improvement: "
        + ", ".join(
            f"{looks[a].label} over {looks[b].label} {percent(one.value, 0)}"
            for (a, b), one in list(overall.improvement.items())[:12]
        )
        + ".",
    )


def sweep_line(name: str, title: str, plan: Plan, sweep: Sweep) -> Picture:
    """What each value of the one option that varies came to."""
    ((option, values),) = plan.over.items()
    up = "score" if sweep.scored else "greedy return"
    known = [i for i, value in enumerate(values) if (value,) in sweep.each]
    ends = [sweep.each[(values[i],)] for i in known]

    def draw(figure: Figure) -> None:
        axes = _axes(figure, title, _drawable(option), up)
        for i in known:
            if (values[i],) in sweep.recommended:
                axes.axvspan(i - 0.4, i + 0.4, color=RECOMMENDED, alpha=0.1, linewidth=0)
        band = Band(np.array(known), *_columns(ends))
        axes.plot(known, band.value, color=PALETTE[0], marker="o", markersize=5, linewidth=1.6)
        if band.low is not None and band.high is not None:
            reach = (band.value - band.low, band.high - band.value)
            style = {"ecolor": PALETTE[0], "capsize": 3, "elinewidth": 1.2}
            axes.errorbar(known, band.value, yerr=reach, fmt="none", **style)
        _value_ticks(axes, [_starred(value, (value,) in sweep.warned) for value in values])
        axes.set_xlim(-0.4, len(values) - 0.6)

    return picture(
        name,
        (WIDTH, 3.0),
        draw,
        f"{title}: final {up} for each value of {option}, in the order of the plan and evenly "
        "spaced; interquartile mean over seeds with 95\u00a0% interval. Shaded: recommended, "
        f"the best and those whose interval reaches into its own.{_warned_values(sweep)}",
        f"Line chart of {up} against {option} in {title}: "
        + ", ".join(f"{values[i]} {number(e.value)}" for i, e in zip(known, ends, strict=True))
        + ".",
    )


def sweep_map(name: str, title: str, plan: Plan, sweep: Sweep, rest: dict[str, str]) -> Picture:
    """What each pair of two options' values came to, where the rest of the options is fixed."""
    (across, columns), (down, rows) = list(plan.over.items())[:2]
    others = tuple(rest.values())
    found = [[sweep.each.get((column, row, *others)) for column in columns] for row in rows]
    values = np.array([[np.nan if one is None else one.value for one in row] for row in found])
    up = "score" if sweep.scored else "greedy return"
    every = [one.value for one in sweep.each.values()]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        texts = [[_cell_text(sweep, (column, row, *others)) for column in columns] for row in rows]
        colours = matplotlib.colormaps["viridis"]
        _cells(axes, values, (min(every), max(every)), texts, colours)
        axes.set_title(_shortened(_drawable(title)), loc="left", fontsize=9.5)
        axes.set(xlabel=_drawable(across), ylabel=_drawable(down))
        for i, j in product(range(len(rows)), range(len(columns))):
            if (columns[j], rows[i], *others) in sweep.recommended:
                frame = {"fill": False, "edgecolor": RECOMMENDED, "linewidth": 2.5}
                axes.add_patch(Rectangle((j - 0.47, i - 0.45), 0.94, 0.9, **frame))
        _value_ticks(axes, columns)
        labels = [_drawable(row)[:LONGEST] for row in rows]
        axes.set_yticks(range(len(rows)), labels, fontsize=SMALL)

    fixed = "".join(f", with {option} = {value}" for option, value in rest.items())
    return picture(
        name,
        (WIDTH, 1.15 + 0.32 * len(rows)),
        draw,
        f"{title}{fixed}: final {up}, interquartile mean over seeds, for each pair of values; "
        "lighter is better, a dash is no finished run. Framed: recommended, the best and those "
        f"whose interval reaches into its own.{_warned_values(sweep)}",
        f"Heat map of {up} over {across} and {down} in {title}{fixed}.",
    )


def _cell_text(sweep: Sweep, values: tuple[str, ...]) -> str:
    if values not in sweep.each:
        return NONE
    write = score if sweep.scored else number
    return _starred(write(sweep.each[values].value), values in sweep.warned)


def _warned_values(sweep: Sweep) -> str:
    """What a caption says of values whose runs have warnings."""
    each = "; ".join(f"{', '.join(values)}: {text}" for values, text in sweep.warned.items())
    return f" With a star, values whose runs have warnings: {each}." if each else ""


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers on a logarithmic axis: at least three, also where it is short.

    >>> log_ticks(900.0, 120_000.0), [round(tick) for tick in log_ticks(90.0, 160.0)]
    ([1000.0, 10000.0, 100000.0], [100, 120, 150])
    """
    for steps in ((1,), (1, 2, 5), (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)):
        powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
        ticks = [step * 10.0**power for power in powers for step in steps]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= 3:
            return inside[:: -(-len(inside) // 7)]
    return [float(tick) for tick in np.geomspace(low, high, 3)]


def _axes(figure: Figure, title: str, along: str, up: str) -> Axes:
    axes = grid_axes(figure, along, up)
    if title:
        axes.set_title(_shortened(_drawable(title)), loc="left", fontsize=9.5)
    return axes


def _draw_best(line: Callable[..., Any], best: float | None) -> None:
    if best is not None:
        line(best, color=BEST, linestyle=":", linewidth=1.4)


def _dotted(best: float | None) -> str:
    return "" if best is None else f" Dotted: the best possible, {number(best)}."


def _line(axes: Axes, look: Look, band: Band, count: int) -> None:
    style = {"color": look.colour, "linestyle": look.dash, "linewidth": 1.6}
    if count > FEW:
        style |= {"marker": look.marker, "markersize": 4, "markevery": 0.17}
    if len(band.x) == 1:
        style |= {"marker": look.marker, "markersize": 5, "markevery": 1}
    axes.plot(band.x, band.value, **style)
    if band.low is not None and band.high is not None:
        faint = 0.16 if count <= FEW else 0.08
        axes.fill_between(band.x, band.low, band.high, color=look.colour, alpha=faint, lw=0)


def _legend(figure: Figure, looks: Iterable[Look], shapes: bool, lines: bool = True) -> None:
    """Above the axes, in as many columns as the labels leave room for."""
    looks = list(looks)
    handles = [
        Line2D(
            [],
            [],
            color=look.colour,
            linestyle=look.dash if lines else "none",
            marker=look.marker if shapes else "none",
            markersize=4.5 if lines else 6,
            markeredgecolor=look.colour if lines else "white",
        )
        for look in looks
    ]
    # A label that begins with an underscore would be left out.
    labels = [f" {look.label}" if look.label.startswith("_") else look.label for look in looks]
    figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=_columns_of_legend(looks),
        fontsize=SMALL,
        handlelength=2.4 if lines else 1.2,
        columnspacing=1.4,
    )


def _columns_of_legend(looks: Sequence[Look]) -> int:
    """As many as are not wider together than the figure; the labels fill column after column."""
    widths = [_inches(look.label) for look in looks]
    for count in range(len(looks), 1, -1):
        if sum(0.54 + max(column) for column in np.array_split(widths, count)) <= WIDTH:
            return count
    return 1


def _legend_height(looks: Iterable[Look]) -> float:
    """Inches beyond one row."""
    looks = list(looks)
    return 0.17 * (-(-len(looks) // _columns_of_legend(looks)) - 1)


def _cells(
    axes: Axes,
    values: np.ndarray,
    span: tuple[float, float],
    texts: list[list[str]],
    colours: Colormap,
    bold: np.ndarray | None = None,
) -> None:
    """A heat map with a text in each cell, dark on light or light on dark."""
    low, high = span if span[0] < span[1] else (span[0] - 0.5, span[0] + 0.5)
    rows, columns = values.shape
    # Not ``imshow``, which would put a picture of pixels into the file.
    edges = np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5
    style = {"edgecolors": "white", "linewidth": 1}
    axes.pcolormesh(
        *edges, np.ma.masked_invalid(values), cmap=colours, vmin=low, vmax=high, **style
    )
    size = _print_size(columns)
    for row in range(rows if size else 0):
        for column in range(columns):
            share = (values[row, column] - low) / (high - low)
            red, green, blue, _ = colours(share) if np.isfinite(share) else (1.0, 1.0, 1.0, 1.0)
            dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.55
            weight = "bold" if bold is not None and bold[row, column] else "normal"
            axes.text(
                column,
                row,
                texts[row][column],
                ha="center",
                va="center",
                fontsize=size,
                fontweight=weight,
                color="white" if dark else "#111827",
            )
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    axes.tick_params(left=False, bottom=False, top=False)
    axes.spines[:].set_visible(False)


def _print_size(columns: int) -> float | None:
    """None where there is no room at all."""
    return next((size for most, size in PRINT if columns <= most), None)


def _value_ticks(axes: Axes, values: list[str]) -> None:
    """An option's values along the axis, upright where they would run into each other."""
    labels = [_drawable(value)[:LONGEST] for value in values]
    long = sum(map(len, labels)) + 2 * len(labels) > 52
    axes.set_xticks(range(len(values)), labels, fontsize=SMALL, rotation=90 if long else 0)


def _columns(
    ends: list[Interval],
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray | None]:
    """Intervals as arrays of low ends, values and high ends; a single run is its own end."""
    value = np.array([one.value for one in ends])
    if all(one.low is None for one in ends):
        return None, value, None
    low = np.array([one.value if one.low is None else one.low for one in ends])
    high = np.array([one.value if one.high is None else one.high for one in ends])
    return low, value, high


def _font() -> FT2Font:
    """Matplotlib's own, whatever a user has set; one for each thread."""
    return font_manager.get_font(font_manager.findfont("DejaVu Sans"))


def _inches(text: str) -> float:
    """How wide a label is."""
    font = _font()
    font.set_size(SMALL, 72)
    font.set_text(text)
    return font.get_width_height()[0] / 64 / 72


@cache
def _glyphs() -> frozenset[int]:
    """Letters that the font has."""
    return frozenset(_font().get_charmap())


def _drawable(text: str) -> str:
    """On one line, with a question mark for each letter that the font lacks."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return "".join(c if ord(c) in _glyphs() else "?" for c in line) or "(no name)"


def _not_among(taken: Iterable[str], text: str, ending: str) -> str:
    """The text, with a number at its end where it is taken."""
    taken, candidate, count = set(taken), text, 1
    while candidate in taken:
        count += 1
        candidate = text + ending.format(count)
    return candidate


def _shortened(text: str) -> str:
    """Without its middle where it is too long: names often differ at their ends."""
    if len(text) <= LONGEST:
        return text
    half = (LONGEST - 1) // 2
    return f"{text[:half]}…{text[-half:]}"
