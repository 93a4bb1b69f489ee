"""A run's pictures, as SVG text to be put into a page. Stage: report."""

import re
import threading
from collections.abc import Callable, Sequence
from io import StringIO
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, StrMethodFormatter

from adaps.files.schema import Result
from adaps.report.data import Kinds, Run, Shared
from adaps.report.formatting import index, number, percent, ranges, reach
from adaps.report.palette import DROPPED, INK, MARKERS, PALETTE, SAMPLED, kind_colours, type_markers

STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "axes.edgecolor": "#9ca3af",
    "axes.labelcolor": "#374151",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#eef0f3",
    "xtick.color": "#4b5563",
    "ytick.color": "#4b5563",
    "legend.frameon": False,
    "text.parse_math": False,  # a ``$`` in a name is a dollar
    "svg.fonttype": "path",  # looks the same whatever fonts the reader has
}
SMALL = 8.5
MAX_LABELS = 10
"""More labels than this would hide a map's points."""
LABEL_LENGTH = 14
MARGIN = 0.16
"""Of a map, at every side, in widths of what is between."""

_style_lock = threading.Lock()


class Picture(NamedTuple):
    """A figure with its words, for the page and as a file of its own."""

    name: str
    """Of the file, without its ending."""
    file: str
    """All of the file's text."""
    svg: Markup
    caption: str
    alt: str
    """What a reader who cannot see it is told."""


def learning_curve(run: Run) -> Picture:
    """Greedy and sampled return against environment steps."""
    by_name = {
        "greedy": [(p.seed, p.env_steps, p.return_greedy) for p in run.points],
        "sampled": [(p.seed, p.env_steps, p.return_sampled) for p in run.points],
    }
    best = run.result.best if run.result else None

    def draw(figure: Figure) -> None:
        axes = _curve_axes(figure, "return, all agents")
        for (name, rows), colour, style in zip(
            by_name.items(), (INK, SAMPLED), ("-", (0, (4, 1.5))), strict=True
        ):
            seeds, steps, values = _grid(rows)
            if name == "greedy" and len(seeds) > 1:
                _each_seed(axes, rows, colour)
            _mean_and_band(axes, steps, values, label=name, color=colour, linestyle=style)
        if best is not None:
            label = f"best possible, {number(best)}"
            axes.axhline(best, color="#047857", linestyle=":", linewidth=1.6, label=label)
        figure.legend(loc="outside upper left", ncols=3, fontsize=SMALL, handlelength=2.4)

    num_seeds = len({point.seed for point in run.points})
    return picture(
        "curve",
        (5.0, 3.1),
        draw,
        "Return summed over agents while training. Greedy: every agent takes its most likely "
        f"action; sampled: it draws one.{_over_seeds(num_seeds)}"
        + (" Thin lines: each seed, greedy." if num_seeds > 1 else "")
        + (" Dotted: the best possible return." if best is not None else ""),
        f"Line chart of return against environment steps; {_first_and_last(by_name['greedy'])}.",
    )


def type_curves(run: Run) -> Picture | None:
    """Greedy return of each true type; None where types are not known."""
    if not run.points or run.points[0].returns_per_type is None:
        return None
    count = len(run.points[0].returns_per_type)
    few = count <= len(MARKERS)
    names, key = _type_names(run.identity.types, count)
    markers = list(MARKERS) if few else ["None"] * count

    def draw(figure: Figure) -> None:
        axes = _curve_axes(figure, "return of the type's agents")
        shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.75, count))
        for i, name in enumerate(names):
            each = [(p.seed, p.env_steps, p.returns_per_type) for p in run.points]
            rows = [(seed, steps, values[i]) for seed, steps, values in each if values]
            _, steps, values = _grid(rows)
            style = {"color": shades[i], "marker": markers[i], "markevery": 0.11}
            _mean_and_band(axes, steps, values, label=name, **style)
        if few:
            figure.legend(loc="outside upper left", ncols=5, fontsize=SMALL, handlelength=2)

    num_seeds = len({point.seed for point in run.points})
    return picture(
        "types",
        (5.0, 3.1),
        draw,
        "Greedy return of each true type of agents, summed over its agents."
        f"{_over_seeds(num_seeds)}"
        + ("" if few else " One line per type, from dark (first) to light (last).")
        + key,
        f"Line chart of the return of each of {count} types of agents against environment steps.",
    )


def latent_map(seed: int, kinds: Kinds, types: list[int] | list[str] | None) -> Picture:
    """Agents' latent codes in two dimensions."""
    if kinds.latent is None:
        raise ValueError("no codes were learnt")
    places, shares = principal_axes(kinds.latent)

    def draw(figure: Figure) -> None:
        draw_map(figure.add_subplot(), places, shares, groups_on_map(kinds.clusters, types))

    count = kinds.num_kinds
    found = f"{count} kind{'' if count == 1 else 's'}"
    known = "" if kinds.rand_index is None else f", Rand index {index(kinds.rand_index)}"
    held = percent(min(1.0, sum(shares)), 0)
    return picture(
        f"map{seed}",
        (2.7, 2.5),
        draw,
        f"Seed {seed}: {found}{known}. The two axes hold {held} of the variance.",
        f"Scatter plot of {len(places)} agents' latent codes of seed {seed}, in {found}.",
    )


class MapGroup(NamedTuple):
    """Agents that look the same on a map."""

    agents: list[int]
    colour: str
    marker: str


def groups_on_map(
    clusters: Sequence[int], types: Sequence[int] | Sequence[str] | None
) -> list[MapGroup]:
    """Agents by kind, which is their colour, and true type, which is their shape."""
    colours = kind_colours(max(clusters) + 1)
    markers = type_markers(types)
    groups: dict[tuple[str, str], list[int]] = {}
    for agent, kind in enumerate(clusters):
        marker = markers.get(types[agent], "o") if types else "o"
        groups.setdefault((colours[kind], marker), []).append(agent)
    return [MapGroup(agents, *look) for look, agents in groups.items()]


def draw_map(
    axes: Axes,
    places: np.ndarray,
    shares: tuple[float, float],
    groups: list[MapGroup],
    span: float | None = None,
) -> None:
    """Agents at their places on two axes.

    Each group of agents gets its number as an id, from ``agents0`` on.

    Args:
        axes: empty ones.
        places: ``float[agent, 2]``.
        shares: of the variance, that each axis holds.
        groups: which agents look the same.
        span: width and height of what is shown around the middle; None: what holds all agents.
    """
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(MARGIN)
    for i, (agents, colour, marker) in enumerate(groups):
        style = {"s": 46, "alpha": 0.8, "edgecolors": "white", "lw": 0.6, "gid": f"agents{i}"}
        axes.scatter(*places[agents].T, marker=marker, color=colour, **style)
    axes.set(xticks=[], yticks=[])
    if span is None:
        extent = max(float(np.ptp(places, axis=0).max()), 1e-12)
    else:
        extent = span / (1 + 2 * MARGIN)
        axes.set(xlim=(-span / 2, span / 2), ylim=(-span / 2, span / 2))
    for name, share, label in zip("xy", shares, ("1st", "2nd"), strict=True):
        axes.set(**{f"{name}label": f"{label} axis, {percent(share, 0)}"})
    _label_agents(axes, places, extent)


def mask_picture(layer: str, shared: Shared, kinds: Kinds | None) -> Picture:
    """Which neurons of a hidden layer each distinct mask keeps."""
    groups = distinct_masks(shared)
    mask = shared.masks[layer][[agents[0] for agents in groups]]
    # Sorted by who keeps them: first the first row's neurons, within these the second row's, …
    mask = mask[:, np.lexsort(mask[::-1])[::-1]]
    colours = row_colours(groups, kinds)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for row, (kept, colour) in enumerate(zip(mask, colours, strict=True)):
            axes.broken_barh([(0, mask.shape[1])], (row - 0.38, 0.76), color=DROPPED, lw=0)
            axes.broken_barh(_runs(kept), (row - 0.38, 0.76), color=colour, lw=0)
        labels = [_short(agents) for agents in groups]
        axes.set_yticks(range(len(groups)), labels, fontsize=SMALL)
        axes.set(xlim=(0, mask.shape[1]), ylim=(len(groups) - 0.5, -0.5), xlabel="neurons, sorted")
        axes.set_ylabel("agents")
        axes.tick_params(left=False)
        axes.spines[:].set_visible(False)

    return picture(
        "mask-" + re.sub(r"\W+", "-", layer),
        (4.8, 0.75 + 0.24 * len(groups)),
        draw,
        f"{layer.capitalize()}: {mask.shape[1]} neurons.",
        f"{layer}: {len(groups)} rows, one per distinct mask, which keep "
        + ", ".join(str(int(kept)) for kept in mask.sum(axis=1))
        + f" of {mask.shape[1]} neurons.",
    )


def parameter_bars(result: Result, method: str) -> Picture:
    """The run's size beside the two extremes."""
    sizes = {method: result.parameters, "one network for all": result.parameters_fups}
    sizes["one network per agent"] = result.parameters_nops
    return size_bars(
        sizes,
        method,
        "Trainable parameters of actor and critic: this run, one network that all agents share "
        "(FuPS) and one network for each agent (NoPS).",
    )


def size_bars(sizes: dict[str, int], marked: str | None, caption: str) -> Picture:
    """Numbers of parameters, one bar each, the ``marked`` one in colour."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        colours = [PALETTE[0] if name == marked else "#9ca3af" for name in sizes]
        bars = axes.barh(list(sizes), list(sizes.values()), color=colours, height=0.62)
        axes.bar_label(bars, [f"{size:,}" for size in sizes.values()], padding=4)
        axes.set_xlim(0, 1.2 * max(1, *sizes.values()))
        axes.set_xticks([])
        axes.invert_yaxis()
        axes.tick_params(left=False)
        axes.spines["bottom"].set_visible(False)

    return picture(
        "parameters",
        (4.6, 0.35 + 0.35 * len(sizes)),
        draw,
        caption,
        "Bar chart: " + ", ".join(f"{name} {size:,} parameters" for name, size in sizes.items()),
    )


def principal_axes(
    codes: np.ndarray, of: np.ndarray | None = None
) -> tuple[np.ndarray, tuple[float, float]]:
    """Codes on their two main axes, and the share of the variance that each axis holds.

    Args:
        codes: ``float[agent, code]``, which the axes come from.
        of: other codes ``float[other, code]`` to place on these axes; ``codes`` if None.
    """
    middle = codes.mean(axis=0)
    left, scale, directions = np.linalg.svd(codes - middle, full_matrices=False)
    # An axis may point either way: let the agent farthest out along it be on the positive side.
    farthest = left[np.abs(left).argmax(axis=0), np.arange(left.shape[1])]
    directions = (directions * np.where(farthest < 0, -1, 1)[:, None])[:2]
    shown = codes if of is None else of
    places = np.zeros((len(shown), 2))
    places[:, : len(directions)] = (shown - middle) @ directions.T
    variance = np.zeros(2)
    variance[: len(directions)] = scale[:2] ** 2 / max(float((scale**2).sum()), 1e-30)
    return places, (float(variance[0]), float(variance[1]))


def distinct_masks(shared: Shared) -> list[list[int]]:
    """Agents by their masks over all layers, in the order of their first agents."""
    groups: dict[bytes, list[int]] = {}
    for agent, row in enumerate(np.concatenate(list(shared.masks.values()), axis=1)):
        groups.setdefault(row.tobytes(), []).append(agent)
    return list(groups.values())


def row_colours(groups: list[list[int]], kinds: Kinds | None) -> list[str]:
    """Each mask in the colour that its agents have on the map."""
    if kinds is None:
        return kind_colours(len(groups))
    colours = kind_colours(max(kinds.clusters) + 1)
    return [colours[kinds.clusters[agents[0]]] for agents in groups]


def picture(
    name: str, size: tuple[float, float], draw: Callable[[Figure], None], caption: str, alt: str
) -> Picture:
    """What ``draw`` puts into a figure, with its words.

    Args:
        name: set before every id, so that several figures can live in one page.
        size: width and height in inches.
        draw: called with the empty figure.
        caption: stands below the figure.
        alt: what a reader who cannot see it is told.
    """
    file = svg_file(name, size, draw)
    return Picture(name, file, _inline(file, name), caption, alt)


def svg_file(name: str, size: tuple[float, float], draw: Callable[[Figure], None]) -> str:
    """The text of a file with a figure, where ``name`` makes ids repeatable."""
    text = StringIO()
    # Settings are global in matplotlib: a user's own must neither show here nor be changed.
    with _style_lock, matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        matplotlib.rcParams["svg.hashsalt"] = name
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return text.getvalue()


def _inline(text: str, name: str) -> Markup:
    """Take away what belongs to a file, and make ids unique in the page."""
    text = text[text.index("<svg") :]
    # Comments repeat every text of the figure: names, which here can do without.
    text = re.sub(r"\s*<metadata>.*?</metadata>|<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\s+xmlns(:xlink)?="[^"]*"', "", text).replace("xlink:href", "href")
    return Markup(re.sub(r'(\bid="|\bhref="#|url\(#)', rf"\g<1>{name}-", text).strip())


def grid_axes(figure: Figure, along: str, up: str) -> Axes:
    """Axes with a grid and these labels; numbers on the vertical one have their commas."""
    axes = figure.add_subplot()
    axes.set(xlabel=along, ylabel=up)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.5g}"))
    axes.grid(visible=True)
    return axes


def _curve_axes(figure: Figure, label: str) -> Axes:
    axes = grid_axes(figure, "environment steps", label)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    return axes


def _grid(rows: list[tuple[int, int, float]]) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Seeds, the steps up to which all of their curves are known, and values ``[seed, step]``.

    Seeds may have been evaluated after different numbers of steps: in between, curves are straight.
    There are no steps where curves do not even overlap.
    """
    curves: dict[int, dict[int, float]] = {}
    for seed, steps, value in sorted(rows, key=lambda row: row[:2]):
        curves.setdefault(seed, {})[steps] = value
    first, last = max(min(curve) for curve in curves.values()), min(map(max, curves.values()))
    places = sorted({s for curve in curves.values() for s in curve if first <= s <= last})
    each = [np.interp(places, list(curve), list(curve.values())) for curve in curves.values()]
    return list(curves), np.array(places), np.array(each)


def _each_seed(axes: Axes, rows: list[tuple[int, int, float]], colour: str) -> None:
    for seed in sorted({row[0] for row in rows}):
        line = sorted((steps, value) for one, steps, value in rows if one == seed)
        axes.plot(*zip(*line, strict=True), color=colour, linewidth=0.6, alpha=0.4)


def _mean_and_band(axes: Axes, steps: np.ndarray, values: np.ndarray, **style) -> None:
    """Mean over seeds and its 95 % t-interval; a single point is drawn as a dot."""
    mean = values.mean(axis=0)
    if len(steps) == 1:
        style = {**style, "marker": style.get("marker", "o"), "markevery": 1}
    axes.plot(steps, mean, linewidth=1.8, markersize=4.5, **style)
    if len(values) > 1:
        half = reach(values)
        band = (mean - half, mean + half)
        axes.fill_between(steps, *band, color=style["color"], alpha=0.16, linewidth=0)


def _type_names(types: list[int] | list[str] | None, count: int) -> tuple[list[str], str]:
    """What types are called in a figure, and a key where that is not what they are called.

    Texts from files stay out of figures, where a ``$`` begins a formula.
    """
    names = sorted(set(types or ()))
    if len(names) != count or isinstance(names[0], int):
        return [f"type {name}" for name in (names if len(names) == count else range(count))], ""
    short = [f"type {i}" for i in range(count)]
    return short, " " + ", ".join(f"{s}: {n}" for s, n in zip(short, names, strict=True)) + "."


def _over_seeds(num_seeds: int) -> str:
    if num_seeds == 1:
        return ""
    return f" Mean over {num_seeds} seeds, with its 95 % t-interval shaded."


def _first_and_last(rows: list[tuple[int, int, float]]) -> str:
    _, steps, values = _grid(rows)
    if not len(steps):
        return "the seeds' curves do not overlap yet"
    first, last = (number(float(values[:, i].mean())) for i in (0, -1))
    return f"greedy return goes from {first} to {last} over {steps[-1]:,} steps"


def _label_agents(axes: Axes, places: np.ndarray, span: float) -> None:
    """Agents' numbers where there is room; agents too close to be told apart share a label."""
    groups = _close(places, 0.13 * span)
    taken: list[tuple[float, float, float]] = []
    for agents in groups if len(groups) <= MAX_LABELS else []:
        text = _short(agents)
        x, top = places[agents, 0].mean() / span, places[agents, 1].max() / span
        half = 0.014 * len(text)
        if any(abs(x - x2) < half + half2 and abs(top - y2) < 0.07 for x2, y2, half2 in taken):
            continue
        taken.append((x, top, half))
        style = {"fontsize": 8, "color": "#374151", "ha": "center"}
        axes.annotate(text, (x * span, top * span), (0, 5), textcoords="offset points", **style)


def _close(places: np.ndarray, distance: float) -> list[list[int]]:
    """Agents in groups, where each is within ``distance`` of another of its group."""
    groups: list[list[int]] = []
    for agent, place in enumerate(places):
        gaps = [np.linalg.norm(places[group] - place, axis=1).min() for group in groups]
        near = [g for g, gap in zip(groups, gaps, strict=True) if gap < distance]
        groups = [g for g in groups if g not in near]
        groups.append(sorted([agent, *(one for g in near for one in g)]))
    return groups


def _short(agents: list[int]) -> str:
    text = ranges(agents)
    return text if len(text) <= LABEL_LENGTH else f"{len(agents)} agents"


def _runs(kept: np.ndarray) -> list[tuple[int, int]]:
    """Start and length of every run of kept neurons."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], kept.astype(int), [0]])))
    return [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
