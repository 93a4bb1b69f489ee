"""Pictures of what was found out about the agents of a team. Stage: report."""

from collections.abc import Iterable, Iterator

import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, StrMethodFormatter, SymmetricalLogLocator
from scipy.cluster import hierarchy

from adaps.files.schema.identity_report import Estimate, IdentityReport, Prediction
from adaps.report.figures import (
    INK,
    SAMPLED,
    SMALL,
    MapGroup,
    Picture,
    draw_map,
    groups_on_map,
    kind_colours,
    picture,
    principal_axes,
    size_bars,
)
from adaps.report.formatting import counted, method, number, percent
from adaps.report.identity_words import error_growth

DRAWN_AGENTS = 200
"""More agents than this have no tree and no co-assignment."""
NAMED_TICKS = 32
"""More ticks than this have no room for their names."""
NUMBERED_KINDS = 8
"""More kinds than this leave no room for numbers in the cells of a heat map."""
FLAT = 4.0
"""A close-up is drawn where the whole is so many times as high."""
LEAF = 10.0
"""Distance of neighbouring leaves in SciPy's dendrograms."""
CENTRE = "#111827"
SHARED_BY = {"share by kind": "adaps", "share all": "fups", "do not share": "nops"}
"""The sharing method that a verdict amounts to."""
METHODS = ("fups", "adaps", "seps", "nops")
"""From the fewest parameters to the most."""


TREE = (
    "Tree: how much worse agents and groups of agents are predicted by each other's codes, in "
    "multiples of what counts as alike (dashed); where a branch has a kind's colour, all "
    "below it are of that kind."
)
CELLS = (
    "Cells: share of resamples in which two agents are of one kind; dark is always, white is "
    "never. Clean dark squares mean that the kinds are sure."
)


def code_map(found: IdentityReport) -> Picture:
    """Agents' latent codes and the kinds' centres in two dimensions, with names to hover on."""
    places, shares = principal_axes(found.latent)
    centres = centres_on_map(found)
    groups = groups_on_map(found.clusters, found.types)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        draw_centres(axes, centres)
        draw_map(axes, places, shares, groups)

    agents, kinds = counted(found.num_agents, "agent"), counted(found.num_clusters, "kind")
    held = f"The two axes hold {percent(min(1.0, sum(shares)), 0)} of the variance."
    crosses = " Crosses are the centres of kinds." if len(centres) else ""
    if found.parts:
        held += " How far agents that cannot be compared lie apart says nothing."
    if not any(shares):
        held = "There is no more than one code."
    drawn = picture(
        "map",
        (5.0, 4.0),
        draw,
        f"Latent codes of {agents} in {kinds}.{crosses} {held}",
        f"Scatter plot of the latent codes of {agents} in {kinds}.",
    )
    return drawn._replace(svg=_with_names(drawn, groups, _titles(found)))


def centres_on_map(found: IdentityReport) -> np.ndarray:
    """Places ``[kind, 2]`` of the centres of kinds.

    The only agent of a kind is its centre: a cross would hide it.
    """
    several = [len(agents) > 1 for agents in found.members]
    return principal_axes(found.latent, of=found.centres[several])[0]


def draw_centres(axes: Axes, centres: np.ndarray) -> None:
    """Crosses at places ``[kind, 2]``, readable on points of any colour."""
    for colour, width in (("white", 2.6), (CENTRE, 1.2)):
        axes.scatter(*centres.T, s=24, marker="x", color=colour, lw=width, zorder=3)


def together(found: IdentityReport) -> Picture | None:
    """Who is near whom, and who is grouped with whom; None for one agent or too many."""
    shares, tree = found.confidence.coassignment, found.tree
    if not 1 < found.num_agents <= DRAWN_AGENTS or (shares is None and tree is None):
        return None
    order = list(range(found.num_agents)) if tree is None else hierarchy.leaves_list(tree).tolist()
    if tree is None:
        order.sort(key=lambda agent: found.clusters[agent])
    heights = [1.5 * (tree is not None), 0.14, 3.8 * (shares is not None)]

    def draw(figure: Figure) -> None:
        grid = figure.add_gridspec(3, 1, height_ratios=[max(h, 1e-6) for h in heights], hspace=0)
        if tree is not None:
            _draw_tree(figure.add_subplot(grid[0]), tree, found)
        last = _draw_strip(figure.add_subplot(grid[1]), order, found)
        if shares is not None:
            last = figure.add_subplot(grid[2])
            _draw_shares(figure, last, shares[np.ix_(order, order)], order, found)
        named = order if len(order) <= NAMED_TICKS else []
        places = LEAF * (np.arange(len(named)) + 0.5)
        last.set_xticks(places, [str(agent) for agent in named], fontsize=7)
        last.set_xlabel("agents")

    alike = f"of {found.num_agents} agents"
    return picture(
        "together",
        (4.8, 0.75 + sum(heights)),
        draw,
        " ".join([TREE] * (tree is not None) + [CELLS] * (shares is not None)),
        " and ".join(
            ["dendrogram of the agents"] * (tree is not None)
            + ["heat map of how often two are of one kind"] * (shares is not None)
        ).capitalize()
        + f", {alike}.",
    )


def error_curves(found: IdentityReport) -> list[Picture]:
    """Held-out error by number of kinds, and a close-up where most of it is nearly flat."""
    curves = (found.prediction or Prediction()).curves
    if not curves:
        return []
    ends = [(k, abs(e.mean) + (e.error or 0)) for c in curves.values() for k, e in c.items()]
    flat = max((end for k, end in ends if k >= found.num_clusters), default=0.0)
    words = "; ".join(f"{name} {_in_words(curve)}" for name, curve in curves.items())
    pictures = [
        picture(
            "errors",
            (5.0, 3.1),
            lambda figure: _draw_errors(figure, curves, found, None),
            "Held-out prediction error with one code per kind, minus that with one code per agent, "
            "in units of each output's variance; bars are one standard error. 0 means that kinds "
            "lose nothing.",
            f"Line chart of held-out error against the number of kinds: {words}.",
        )
    ]
    if 0 < flat < max(end for _, end in ends) / FLAT:
        limit = 1.4 * flat
        pictures.append(
            picture(
                "near",
                (5.0, 3.1),
                lambda figure: _draw_errors(figure, curves, found, limit),
                "The same, close to 0: what lies outside is cut off.",
                f"Close-up of the same chart, from −{number(limit)} to {number(limit)}.",
            )
        )
    return pictures


def stand_in(found: IdentityReport) -> Picture | None:
    """Heat map of how much worse each kind is predicted with another's code; None for one kind."""
    growth = found.replace
    if growth is None or found.num_clusters < 2 or np.isnan(growth).all():
        return None
    norm = PowerNorm(0.5, vmin=0, vmax=max(float(np.nanmax(growth)), 0.05), clip=True)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.set_facecolor("#d1d5db")
        image = axes.imshow(growth, cmap="Oranges", norm=norm, interpolation="none", aspect="equal")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(12, integer=True, min_n_ticks=1))
        axes.set(ylabel="agents of kind", xlabel="predicted with the code of kind")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        ticks = norm.inverse(np.linspace(0, 1, 5))
        bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.03, ticks=ticks)
        bar.ax.yaxis.set_major_formatter(lambda value, _: error_growth(value))
        bar.set_label("growth of the error")
        bar.outline.set_visible(False)
        if found.num_clusters <= NUMBERED_KINDS:
            _number_cells(axes, growth, norm)

    return picture(
        "stand-in",
        (4.8, 3.9),
        draw,
        "Who could stand in for whom: how much the prediction error of the row's agents grows with "
        "the code of the column's kind, in units of variance. Pale: that kind could stand in; "
        "dark: it could not. Shades follow the square root.",
        f"Heat map of {found.num_clusters} by {found.num_clusters} kinds; the error grows by up to "
        f"{error_growth(float(np.nanmax(growth)))}.",
    )


def sizes(found: IdentityReport) -> Picture | None:
    """Trainable parameters of each way to share, with the advised one in colour."""
    known = found.advice.parameters or {}
    counts = {method(n): count for n in METHODS if (count := known.get(n)) is not None}
    if not counts:
        return None
    advised = SHARED_BY.get(found.advice.verdict)
    return size_bars(
        counts,
        None if advised is None else method(advised),
        "Trainable parameters of actor and critic. FuPS: one network for all; AdaPS: one network, "
        "of which each kind uses its own part; SePS: one network for each kind; NoPS: one network "
        "for each agent." + (" In colour: what the advice amounts to." if advised else ""),
    )


def _titles(found: IdentityReport) -> list[str]:
    """What a reader is told who points at an agent."""
    types = found.types
    return [
        f"{name}, kind {kind}" + (f", true type {types[agent]}" if types else "")
        for agent, (name, kind) in enumerate(zip(found.agent_names, found.clusters, strict=True))
    ]


def _with_names(drawn: Picture, groups: list[MapGroup], titles: list[str]) -> Markup:
    """A map whose points tell their agents' titles; texts are escaped."""
    pieces, rest = [], str(drawn.svg)
    for i, group in enumerate(groups):
        before, mark, rest = rest.partition(f'<g id="{drawn.name}-agents{i}">')
        pieces += [before, mark]
        # What comes first in the group are its points, one each, in the order of its agents.
        for agent in group.agents:
            before, mark, rest = rest.partition("<use ")
            attributes, _, rest = rest.partition("/>")
            pieces += [before, mark, attributes, f"><title>{escape(titles[agent])}</title></use>"]
    return Markup("".join([*pieces, rest]))


def _draw_tree(axes: Axes, tree: np.ndarray, found: IdentityReport) -> None:
    colours = _branch_colours(tree, found)
    drawn = hierarchy.dendrogram(tree, no_plot=True, link_color_func=colours.__getitem__)
    for x, y, colour in zip(drawn["icoord"], drawn["dcoord"], drawn["color_list"], strict=True):
        axes.plot(x, y, color=colour, linewidth=1.2, solid_joinstyle="miter")
    axes.axhline(1, color="#9ca3af", linewidth=0.8, linestyle="--")
    axes.set(xlim=(0, LEAF * found.num_agents), xticks=[], ylabel="worse")
    axes.set_yscale("symlog", linthresh=1)
    axes.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylim(0, 1.5 * max(float(tree[:, 2].max()), 1.0))
    axes.spines["bottom"].set_visible(False)


def _branch_colours(tree: np.ndarray, found: IdentityReport) -> list[str]:
    """Colour of every node: of the kind that all agents below it are of, or else grey."""
    palette = kind_colours(found.num_clusters)
    below: list[set[int]] = [{kind} for kind in found.clusters]
    for first, second in tree[:, :2].astype(int):
        below.append(below[first] | below[second])
    return [palette[min(kinds)] if len(kinds) == 1 else "#9ca3af" for kinds in below]


def _draw_strip(axes: Axes, order: list[int], found: IdentityReport) -> Axes:
    """The kind's colour of each agent."""
    palette = kind_colours(found.num_clusters)
    colours = np.array([[to_rgb(palette[found.clusters[agent]]) for agent in order]])
    axes.imshow(colours, aspect="auto", interpolation="none", extent=(0, LEAF * len(order), 0, 1))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return axes


def _draw_shares(
    figure: Figure, axes: Axes, shares: np.ndarray, order: list[int], found: IdentityReport
) -> None:
    """Shares ``float[agent, agent]`` in the order of the leaves, with the kinds at the side."""
    end = LEAF * len(order)
    image = axes.imshow(
        shares,
        cmap="Blues",
        vmin=0,
        vmax=1,
        interpolation="none",
        aspect="auto",
        extent=(0, end, end, 0),
    )
    runs = list(_runs(found.clusters[agent] for agent in order))
    few = len(runs) <= NAMED_TICKS
    middles = [LEAF * (start + length / 2) for _, start, length in runs] if few else []
    axes.set_yticks(middles, [str(kind) for kind, *_ in runs] if few else [])
    axes.set_ylabel("kinds")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.6, aspect=40, pad=0.02)
    bar.ax.xaxis.set_major_formatter(lambda share, _: percent(share, 0))
    bar.ax.tick_params(labelsize=SMALL)
    bar.outline.set_visible(False)


def _runs(values: Iterable[int]) -> Iterator[tuple[int, int, int]]:
    """Value, start and length of every run of equal values.

    >>> list(_runs([4, 4, 1]))
    [(4, 0, 2), (1, 2, 1)]
    """
    listed = list(values)
    edges = [i for i in range(len(listed)) if i == 0 or listed[i] != listed[i - 1]]
    for start, end in zip(edges, [*edges[1:], len(listed)], strict=True):
        yield listed[start], start, end - start


def _draw_errors(
    figure: Figure,
    curves: dict[str, dict[int, Estimate]],
    found: IdentityReport,
    limit: float | None,
) -> None:
    """Means and standard errors by number of kinds, up to ``limit`` to either side of 0."""
    axes = figure.add_subplot()
    axes.axhline(0, color="#9ca3af", linewidth=0.8)
    style = {"color": "#047857", "linestyle": ":", "linewidth": 1.6}
    axes.axvline(found.num_clusters, label=f"{counted(found.num_clusters, 'kind')} found", **style)
    looks = {"reward": (INK, "o", -0.04), "dynamics": (SAMPLED, "s", 0.04)}
    for name, curve in curves.items():
        colour, marker, aside = looks[name]
        places = np.array(list(curve)) + aside
        means = [estimate.mean for estimate in curve.values()]
        errors = [estimate.error or 0.0 for estimate in curve.values()]
        shape = {"marker": marker, "markersize": 4.5, "capsize": 2.5, "linewidth": 1.5}
        axes.errorbar(places, means, errors, label=name, color=colour, **shape)
    if limit is not None:
        axes.set_ylim(-limit, limit)
    counts = [count for curve in curves.values() for count in curve] + [found.num_clusters]
    axes.set_xlim(min(counts) - 0.4, max(counts) + 0.4)
    axes.grid(visible=True)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.3g}"))
    axes.set(xlabel="number of kinds", ylabel="error above one code each")
    figure.legend(loc="outside upper left", ncols=3, fontsize=SMALL, handlelength=2)


def _in_words(curve: dict[int, Estimate]) -> str:
    return ", ".join(f"{number(estimate.mean)} with {k}" for k, estimate in curve.items())


def _number_cells(axes: Axes, growth: np.ndarray, norm: PowerNorm) -> None:
    """The value in each cell, in white where the cell is dark."""
    for (row, column), value in np.ndenumerate(growth):
        if np.isnan(value):
            continue
        colour = "white" if norm(value) > 0.6 else "#1f2937"
        style = {"ha": "center", "va": "center", "fontsize": SMALL, "color": colour}
        axes.text(column, row, error_growth(float(value)), **style)
