"""The card of a pre-training set: where its places are, on one picture and one page."""

from __future__ import annotations

import io
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wherefrom import files, shown
from wherefrom.auditing.audit import Audit
from wherefrom.auditing.findings import kilometres, percent, title
from wherefrom.auditing.leakage import Leakage
from wherefrom.auditing.shares import LabelShare, LayerShares
from wherefrom.auditing.space.effective import JUDGED
from wherefrom.auditing.space.footprints import area
from wherefrom.earth.maps import LIGHT, Paper, draw_density, draw_places, world_axes
from wherefrom.report.html import TEMPLATES, Picture

__all__ = ["Card", "layers_for"]

#: Layers of a card, of which a biome's stand-in is the climate zone; and labels of each.
LAYERS, ROWS = ("continent", "biome", "climate_zone", "land_cover", "season"), 8
#: Panels of the picture.
_PANELS = 4
DPI = 160
#: What the Hugging Face hub calls licences, without what differs in spelling.
_LICENCES = (
    "apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-3.0", "cc-by-sa-4.0", "cc-by-sa-3.0",
    "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "odbl", "odc-by", "pddl", "cdla-permissive-1.0",
    "cdla-permissive-2.0", "cdla-sharing-1.0", "bsd-3-clause",
)  # fmt: skip
#: The hub's classes of size: below each, its name.
_SIZES = {
    10**3: "n<1K", 10**4: "1K<n<10K", 10**5: "10K<n<100K", 10**6: "100K<n<1M", 10**7: "1M<n<10M",
    10**8: "10M<n<100M", 10**9: "100M<n<1B", 10**10: "1B<n<10B", 10**11: "10B<n<100B",
}  # fmt: skip


@dataclass(frozen=True)
class _Theme:
    paper: Paper
    back: str
    ink: str
    soft: str
    ours: str
    reference: str


LIGHT_THEME = _Theme(LIGHT, "#ffffff", "#1c1f23", "#5b636b", "#1f5a96", "#b9bec4")
DARK_THEME = _Theme(
    Paper("#141a21", "#2c343d", "#4a545f", "#1c242d", "#2f5f8f"),
    "#0d1117", "#e6edf3", "#9aa4af", "#6cb2ff", "#4b5561",
)  # fmt: skip


def layers_for(available: Sequence[str]) -> list[str]:
    """Return the layers of a card, of those that there are: a biome, or what stands in for it.

    >>> layers_for(["continent", "climate_zone", "land_cover", "country"])
    ['continent', 'climate_zone', 'land_cover']
    """
    found = [name for name in LAYERS if name in available]
    return [name for name in found if name != "climate_zone" or "biome" not in found]


@dataclass(frozen=True, eq=False)
class Card:
    """What a team shows of its pre-training set: map, shares against land, size, leakage.

    Attributes
    ----------
    audit : Audit
        Of the set, by the layers of `layers_for` at least.
    name : str
        Of the set.
    model : str
        What was pre-trained on it; empty if not said.
    licence, citation, address : str
        Of the set; empty if not said.
    leakage : mapping of str to Leakage
        By the name of a benchmark, how near its places are.
    command : str
        What made the card.

    Examples
    --------
    >>> from wherefrom import audit
    >>> from wherefrom.pool import Pool
    >>> card = Card(audit(Pool.build(2000, seed=0), layers=["continent"]), "ours")
    >>> card.numbers()[0][1][:52]
    'median distance from land to the nearest place; 127 '
    >>> "## Geographic distribution" in card.markdown()
    True
    """

    audit: Audit
    name: str
    model: str = ""
    licence: str = ""
    citation: str = ""
    address: str = ""
    leakage: Mapping[str, Leakage] = field(default_factory=dict)
    command: str = ""

    @property
    def size(self) -> str:
        """How many rows and places there are."""
        about = self.audit.about
        rows, places = about["places"], about["distinct"]
        said = f"{places:,} places" if rows == places else f"{rows:,} rows of {places:,} places"
        if footprints := self.audit.space.footprints:
            said += f", footprints of {area(footprints.median_km2)}"
        return said

    def shares(self) -> list[LayerShares]:
        """Return the layers of the card that have labels here."""
        return [self.audit.layers[name] for name in layers_for([*self.audit.layers])]

    def numbers(self) -> list[tuple[str, str]]:
        """Return the numbers of the card, each with what it says."""
        found: list[tuple[str, str]] = []
        space, about = self.audit.space, self.audit.about
        if cover := space.coverage:
            far = kilometres(cover.uniform_median_km)
            said = f"median distance from land to the nearest place; {far} if uniform"
            found.append((kilometres(cover.median_km), said))
        if effective := space.effective:
            worth = effective.sizes[JUDGED]
            said = (
                f"independent places, of {about['distinct']:,}, where values are alike over "
                f"{worth.range_km:g} km; {worth.uniform:,.0f} if uniform"
            )
            found.append((f"{worth.effective:,.0f}", said))
        if footprints := space.footprints:
            if footprints.by_land:
                said = "of the land lies in a footprint"
                found.append((percent(footprints.covered_land), said))
            found.append((percent(footprints.on_land), "of the footprints' area is land"))
        for name, leak in self.leakage.items():
            near = {row.km: row.share for row in leak.within}
            said = (
                f"of {leak.n_test:,} places of {name} lie within 1 km of this set, "
                f"{percent(near[10.0])} within 10 km"
            )
            found.append((percent(near[1.0]), said))
        return found

    def figure(self, dark: bool = False) -> Figure:
        """Draw the picture, 1,600 pixels wide."""
        theme = DARK_THEME if dark else LIGHT_THEME
        panels = self.shares()[:_PANELS]
        numbers = self.numbers()[:5]
        bars = max([4, *(len(shown_of(layer)) for layer in panels)])
        low, foot = 0.62 + 0.235 * bars, 1.0 if numbers else 0.0
        height = 0.95 + 4.75 + low + foot + 0.35
        figure = Figure(figsize=(10.0, height), facecolor=theme.back)

        def from_top(inches: float) -> float:
            return 1.0 - inches / height

        figure.text(0.03, from_top(0.42), shown.brief(self.name, 60), size=19, weight="bold",
                    color=theme.ink, va="center")  # fmt: skip
        model = f" · pre-training set of {self.model}" if self.model else ""
        figure.text(0.03, from_top(0.78), shown.brief(self.size + model, 120), size=10.5,
                    color=theme.soft, va="center")  # fmt: skip
        for right, text, colour in (
            (0.97, f"■ {self.audit.about['against']}", theme.reference),
            (0.88, "■ places", theme.ours),
        ):
            if any(layer.tv is not None for layer in panels):
                figure.text(right, from_top(0.78), shown.brief(text, 26), size=9, color=colour,
                            ha="right", va="center")  # fmt: skip
        world = figure.add_axes((0.02, from_top(5.65), 0.96, 4.7 / height))
        self._draw_map(world, theme)
        left = 0.03
        for at, layer in enumerate(panels):
            names = max(len(line) for row in shown_of(layer) for line in _label(row).split("\n"))
            width = 0.94 / len(panels)
            inset = min(0.012 + 0.0068 * names, 0.6 * width)
            bottom = from_top(5.75 + low - 0.12)
            ax = figure.add_axes(
                (left + at * width + inset, bottom, width - inset - 0.035, (low - 0.5) / height)
            )
            _bars(ax, layer, theme)
        for at, (number, said) in enumerate(numbers):
            x = 0.03 + at * 0.94 / max(len(numbers), 4)
            y = from_top(5.75 + low + 0.2)
            figure.text(x, y, number, size=15, weight="bold", color=theme.ours, va="center")
            wrapped = "\n".join(_wrapped(said, 34 if len(numbers) <= 4 else 27))
            figure.text(x, y - 0.17 / height, wrapped, size=7.5, color=theme.soft, va="top",
                        linespacing=1.25)  # fmt: skip
        figure.text(0.03, 0.14 / height, shown.brief(self._foot(), 150), size=7.5,
                    color=theme.soft, va="center")  # fmt: skip
        return figure

    def png(self, dark: bool = False) -> bytes:
        """Draw the picture as PNG; the same card gives the same bytes."""
        stream = io.BytesIO()
        with shown.figures():
            self.figure(dark).savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
        return stream.getvalue()

    def markdown(self, picture: str = "card.png", dark: str = "card-dark.png") -> str:
        """Write the text for a dataset card of the Hugging Face hub: front matter and a section."""
        rows = self.audit.about["places"]
        size = next((name for limit, name in _SIZES.items() if rows < limit), "n>1T")
        front = {
            "pretty_name": self.name,
            **licence_of(self.licence),
            "size_categories": [size],
            "tags": ["geospatial", "earth-observation", "pre-training"],
        }
        lines = ["---", *(f"{key}: {json.dumps(value)}" for key, value in front.items()), "---", ""]
        lines += ["## Geographic distribution", ""]
        lines += [
            f"<picture><source media='(prefers-color-scheme: dark)' srcset='{dark}'>"
            f"<img src='{picture}' alt='{shown.html(self._alt())}'></picture>",
            "",
        ]
        against = self.audit.about["against"]
        lines += [f"{self.size}, beside {against}:", ""]
        lines += [f"- **{number}** {said}" for number, said in self.numbers()]
        for layer in self.shares():
            compared = layer.tv is not None
            head = f"| {title(layer.layer)} | places | {against} |"
            lines += ["", head if compared else head.rsplit("|", 2)[0] + "|"]
            lines += ["|---|---|---|" if compared else "|---|---|"]
            for row in shown_of(layer):
                other = f" {percent(row.reference_share or 0.0)} |" if compared else ""
                lines += [f"| {row.label} | {percent(row.share)} |{other}"]
        lines += ["", self._foot() + "."]
        if self.citation:
            lines += ["", f"Citation: {self.citation}"]
        return "\n".join(lines) + "\n"

    def page(self) -> str:
        """Write the card as one HTML page that needs no network."""
        pictures = [
            Picture(f"card{'-dark' * dark}", self.name, self._alt(), self.png(dark))
            for dark in (False, True)
        ]
        return TEMPLATES.get_template("card.html.j2").render(
            card=self,
            light=pictures[0],
            dark=pictures[1],
            alt=self._alt(),
            foot=self._foot(),
            against=str(self.audit.about["against"]),
            numbers=self.numbers(),
            layers=[(title(one.layer), one.tv is not None, _cells(one)) for one in self.shares()],
            leaks=[
                (name, f"{leak.n_test:,}", *(percent(row.share) for row in leak.within),
                 kilometres(leak.quantiles[0.5]))
                for name, leak in self.leakage.items()
            ],
            findings=[(percent(each.size), each.text) for each in self.audit.causes],
        )  # fmt: skip

    def write(self, folder: Path) -> list[Path]:
        """Write ``card.html``, ``card.png``, ``card-dark.png`` and ``README.md`` into a folder.

        Raises
        ------
        WherefromError
            If the disk is full or the folder cannot be written.
        """
        made: dict[str, bytes] = {
            "card.png": self.png(),
            "card-dark.png": self.png(dark=True),
            "card.html": self.page().encode(),
            "README.md": self.markdown().encode(),
        }
        for name, content in made.items():
            with files.atomic(folder / name) as tmp:
                tmp.write_bytes(content)
        return [folder / name for name in made]

    def _draw_map(self, ax: Axes, theme: _Theme) -> None:
        found = self.audit.map
        world_axes(ax, within=found.within, paper=theme.paper)
        if found.lon is None or found.lat is None:
            draw_density(ax, found.squares, color=theme.ours, paper=theme.paper)
            return
        size = min(9.0, max(1.5, 20_000 / max(len(found.lon), 1)))
        draw_places(ax, found.lon, found.lat, color=theme.ours, size=size)

    def _foot(self) -> str:
        about = self.audit.about
        said = [f"against {about['against']}", f"wherefrom {about['version']}"]
        said += [f"licence {self.licence}"] if self.licence else []
        said += [self.address] if self.address else []
        return " · ".join(said)

    def _alt(self) -> str:
        said = ", ".join(
            f"{row.label} {percent(row.share)}"
            for layer in self.shares()[:1]
            for row in shown_of(layer)[:4]
        )
        return f"Map of {self.name}: {self.size}. {said}".strip()


def licence_of(licence: str) -> dict[str, str]:
    """Return the hub's fields for a licence: one that it knows, or its name.

    >>> licence_of("CC BY 4.0"), licence_of("Copernicus"), licence_of("")
    ({'license': 'cc-by-4.0'}, {'license': 'other', 'license_name': 'copernicus'}, {})
    """
    if not licence:
        return {}
    plain = re.sub(r"[^a-z0-9.]+", "-", licence.lower()).strip("-")
    if plain in _LICENCES:
        return {"license": plain}
    return {"license": "other", "license_name": plain}


def shown_of(layer: LayerShares) -> list[LabelShare]:
    """Return the labels that a card shows: the largest, here or in the reference."""
    rows = [row for row in layer.rows if row.places or row.reference_share]
    largest = sorted(rows, key=lambda row: -max(row.share, row.reference_share or 0.0))[:ROWS]
    return sorted(largest, key=lambda row: -row.share)


def _cells(layer: LayerShares) -> list[tuple[str, ...]]:
    compared = layer.tv is not None
    return [
        (row.label, percent(row.share), *([percent(row.reference_share or 0.0)] * compared))
        for row in shown_of(layer)
    ]


def _bars(ax: Axes, layer: LayerShares, theme: _Theme) -> None:
    rows, compared = shown_of(layer), layer.tv is not None
    at = np.arange(len(rows))
    ours = np.array([100 * row.share for row in rows])
    other = np.array([100 * (row.reference_share or 0.0) for row in rows])
    ax.set_facecolor(theme.back)
    ax.barh(at - 0.2 * compared, ours, 0.38 if compared else 0.62, color=theme.ours)
    if compared:
        ax.barh(at + 0.2, other, 0.38, color=theme.reference)
    for y, row in enumerate(rows):
        ax.annotate(
            percent(row.share), (max(ours[y], other[y] * compared), y), xytext=(4, 0),
            textcoords="offset points", va="center", size=7.5, color=theme.soft,
        )  # fmt: skip
    labels = [_label(row) for row in rows]
    ax.set_yticks(at, labels, size=6.5 if "\n" in "".join(labels) else 8, color=theme.ink)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(0, max(ours.max(), other.max() if compared else 0.0) * 1.22 + 0.1)
    ax.set_xticks([])
    ax.tick_params(axis="y", length=0)
    ax.spines[:].set_visible(False)
    ax.set_title(title(layer.layer), loc="left", size=10, weight="bold", color=theme.ink)


def _label(row: LabelShare) -> str:
    """Write a label on two lines where it is long."""
    return "\n".join(_wrapped(shown.brief(row.label, 52), 26)[:2])


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width)
