"""Draws the figures that benches have given, as SVGs that are readable in light and in dark.

Everything is read from bench/results.md, the newest run of each bench; its date is in the picture.
"""

import re
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.axes import Axes

from bench.recorded import Run, Table, latest, median

MEDIA = Path(__file__).parent.parent / "docs" / "media"
INK, OURS, OTHER, THIRD = "#010101", "#020202", "#030303", "#040404"
"""Placeholders for colours that follow the reader's theme."""
THEME = {INK: "ink", OURS: "ours", OTHER: "other", THIRD: "third"}
STYLE = """<style>
:root{--ink:#1f2328;--ours:#0969da;--other:#9a6700;--third:#8c959f}
@media (prefers-color-scheme:dark){:root{--ink:#d1d7e0;--ours:#4493f8;--other:#d29922;--third:#656c76}}
</style>
"""
FETCHED = {0.1: "fetch 0.1 MB, s", 1: "fetch 1 MB, s", 10: "fetch 10 MB, s", 100: "fetch 100 MB, s"}

mpl.use("svg")
mpl.rcParams |= {
    "svg.fonttype": "none", "svg.hashsalt": "toxvpn", "font.family": "sans-serif", "font.size": 11,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
    "figure.figsize": (7.6, 3.4),
}  # fmt: skip


def vpn(axes: Axes) -> Run:
    run, table = latest("vpn", "One TCP flow")
    names = [name for name in table.rows if " / " not in name and name != "bare link"]
    names.sort(key=lambda name: table.figure(name, "IPv4 ->"))
    values = [table.figure(name, "IPv4 ->") for name in names]
    labels = [with_version(name, run, table) for name in names]
    bars(axes, labels, values, [OURS if name == "toxvpn" else OTHER for name in names], "{:.0f}")
    axes.set_xlabel("one TCP flow over IPv4, Mbit/s")
    return run


def fetches(axes: Axes) -> Run:
    run, table = latest("roads", "plain")
    for road, colour in (("fast", OURS), ("tuntox", OTHER)):
        times_s = [table.figure(row, road) for row in FETCHED.values()]
        axes.plot(list(FETCHED), times_s, "o-", color=colour, label=f"{road} road")
        axes.annotate(f"{times_s[-1]:.2g} s", (100, times_s[-1]), (6, -4), textcoords="offset points")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(list(FETCHED), [f"{size:g}" for size in FETCHED])
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("MB fetched through -L, without loss")
    axes.set_ylabel("seconds")
    axes.legend()
    return run


def bloat(axes: Axes) -> Run:
    run, table = latest("bloat", "Pings beside one TCP flow")
    uplinks = list(dict.fromkeys(name.partition(",")[0] for name in table.rows))
    for number, (way, colour) in enumerate((("bare link", THIRD), ("VPN", OURS), ("fast road", OTHER))):
        values = [table.figure(f"{uplink}, {way}", "median") for uplink in uplinks]
        places = [place + (number - 1) * 0.27 for place in range(len(uplinks))]
        label_all(axes, axes.bar(places, values, 0.25, color=colour, label=way), "{:.0f}")
    axes.set_xticks(range(len(uplinks)), uplinks)
    axes.set_xlabel("uplink that one TCP flow fills")
    axes.set_ylabel("a ping beside it, ms")
    axes.legend()
    return run


def connecting(axes: Axes) -> Run:
    run, table = latest("connect", "Start to first byte")
    names = list(table.rows)[::-1]
    values = [median(table.rows[name][0]) for name in names]
    labels = [
        name.replace(", accelerated", ": toxvpn").replace(", not", ": libtoxcore's own clock")
        for name in names
    ]
    bars(
        axes,
        labels,
        values,
        [OURS if name.endswith((", accelerated", ", met before")) else OTHER for name in names],
        "{:.1f} s",
    )
    axes.set_xlabel("from the start of the client to the first byte through -L")
    return run


def with_version(name: str, run: Run, table: Table) -> str:
    """Rivals of a run that tells their versions, with these."""
    found = re.search(rf"{re.escape(name)} ([^\s,]+)", run.notes)
    return f"{name} {found[1]}" if found else name


def bars(
    axes: Axes, names: Sequence[str], values: Sequence[float], colours: Sequence[str], form: str
) -> None:
    label_all(axes, axes.barh(names, values, color=colours), form)
    axes.margins(x=0.15)


def label_all(axes: Axes, container: object, form: str) -> None:
    axes.bar_label(container, fmt=form, padding=3)


PLOTS: dict[str, Callable[[Axes], Run]] = {
    "vpn": vpn,
    "fetch": fetches,
    "bloat": bloat,
    "connect": connecting,
}


def draw(name: str) -> str:
    figure, axes = pyplot.subplots(layout="constrained")
    run = PLOTS[name](axes)
    axes.set_title(f"bench/{run.bench}.py, {run.date}", fontsize=9, loc="right")
    text = StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    pyplot.close(figure)
    return themed(text.getvalue())


def themed(svg: str) -> str:
    for placeholder, variable in THEME.items():
        svg = svg.replace(placeholder, f"var(--{variable})")
    return svg.replace("<defs>", f"{STYLE}<defs>", 1)


def main() -> None:
    for name in PLOTS:
        MEDIA.joinpath(f"{name}.svg").write_text(draw(name))
        print(f"docs/media/{name}.svg")


if __name__ == "__main__":
    main()
