"""Findings of the spatial statistics: repetition, rounding, clusters, gaps, latitude."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wherefrom.auditing.findings import LEAST, SIGMAS, Commands, Finding, chance_tv
from wherefrom.auditing.wording import kilometres, percent, times

if TYPE_CHECKING:
    from wherefrom.auditing.mapped import PlacesMap
    from wherefrom.auditing.space import Space

__all__ = ["cells_finding", "land_findings", "row_findings"]

#: Chance below which a test of one statistic counts, so that all of them together rarely err.
RARE = 1e-4
#: Ripley's test has 99 simulations and can say no less.
RARE_SIMULATED = 0.01
#: Coordinates on a lattice as coarse as this or coarser are named: 0.1 degrees is 11 km.
COARSE = 0.1
#: Range in km at which the effective number of places is judged: about that of biomes' borders.
RANGE = 100.0
#: The uniform control of the effective number is itself known to some 2 %.
LEAST_EFFECTIVE = 0.05
#: Times the uniform median distance from land beyond which there are gaps: one control is noisy.
FARTHER = 1.1


def row_findings(space: Space, commands: Commands) -> list[Finding]:
    """Find rows that repeat a place, stand at 0/0, or lie on a lattice of degrees.

    These hold whatever the pool is compared with.

    Parameters
    ----------
    space : Space
    commands : Commands

    Returns
    -------
    list of Finding
    """
    found = []
    repeated = space.duplicates
    if repeated.at_zero:
        share = repeated.at_zero / repeated.rows
        rows = f"{repeated.at_zero:,} rows ({percent(share)}) are" if share < 1 else "All rows are"
        text = f"{rows} at 0° E 0° N, at sea: what missing coordinates leave behind."
        found.append(Finding("null-island", share, text, commands.clean()))
    if repeated.repeats > LEAST:
        text = f"{percent(repeated.repeats)} of the rows repeat the place of an earlier row"
        if repeated.most:
            most = repeated.most[0]
            text += f" (most often {most.lon:g}, {most.lat:g}: {most.rows:,} rows)"
        found.append(Finding("duplicates", repeated.repeats, f"{text}.", commands.clean()))
    near = repeated.within_1km - max(repeated.uniform_within_1km, repeated.repeats)
    if near > max(LEAST, SIGMAS * repeated.within_1km_se):
        text = (
            f"{percent(repeated.within_1km)} of the rows have another one within 1 km; of as many "
            f"places uniform on land {percent(repeated.uniform_within_1km)} would."
        )
        command = commands.draw("grid:spacing_km=2", "thinned")
        found.append(Finding("near-duplicates", near, text, command))
    return found + _striping(space, commands)


def land_findings(space: Space, commands: Commands) -> list[Finding]:
    """Find what sets the places apart from as many places uniform by area on land.

    Parameters
    ----------
    space : Space
    commands : Commands

    Returns
    -------
    list of Finding
    """
    even = commands.draw("uniform-area", "even")
    found = []
    latitude = space.latitude
    if latitude.p < RARE and latitude.ks > LEAST:
        many = "many" if latitude.ks_more_south else "few"
        text = (
            f"Latitude: {percent(latitude.ks)} of the places too {many} lie "
            f"south of {_parallel(latitude.ks_at)}; their mean latitude is "
            f"{_parallel(latitude.mean)}, that of land {_parallel(latitude.land_mean)}."
        )
        found.append(Finding("latitude", latitude.ks, text, even))
    found += _gaps(space, commands)
    effective = next((size for size in space.effective if size.range_km == RANGE), None)
    pattern = space.ripley
    if effective is not None and pattern is not None and space.nearest is not None:
        lost = 1 - effective.share
        noise = SIGMAS * effective.se / max(effective.uniform, 1)
        if pattern.clustered and pattern.p <= RARE_SIMULATED and lost > LEAST_EFFECTIVE + noise:
            at = pattern.radii_km.index(pattern.strongest_km)
            text = (
                f"Clusters: {times(pattern.ratio[at])} times as many pairs of places within "
                f"{kilometres(pattern.strongest_km)} as uniform places have. Where values are "
                f"alike over {RANGE:g} km, the places are worth {effective.effective:,.0f} "
                f"independent ones; as many uniform places are worth {effective.uniform:,.0f}."
            )
            found.append(Finding("clusters", lost, text, even))
    return found


def cells_finding(places: PlacesMap, commands: Commands) -> list[Finding]:
    """Find whether places lie in cells of equal area as the land does, beyond chance.

    Parameters
    ----------
    places : PlacesMap
    commands : Commands

    Returns
    -------
    list of Finding
        One or none.
    """
    mean, sd = chance_tv(places.reference, max(1, round(places.effective)))
    beyond = float(np.abs(places.share - places.reference).sum()) / 2 - mean
    if beyond <= max(LEAST, SIGMAS * sd):
        return []
    half = np.sort(places.share)[::-1].cumsum()
    cells = int(np.searchsorted(half, 0.5)) + 1
    land = int((places.reference > 0).sum())
    text = (
        f"Density: {percent(beyond)} of the places would have to lie in other cells of "
        f"{kilometres(places.cells.area_km2**0.5)} to be spread as the land is. Half of the places "
        f"lie in {cells:,} of {land:,} cells with land."
    )
    return [Finding("density", beyond, text, commands.draw("uniform-area", "even"))]


def _gaps(space: Space, commands: Commands) -> list[Finding]:
    """Find whether more of the land is far from every place than with uniform places."""
    cover = space.coverage
    if cover.median_km <= FARTHER * cover.uniform_median_km:
        return []
    # Of places at random, the share of land farther than r falls as exp(-pi density r^2).
    beyond = {cover.median_km: 0.5, cover.p90_km: 0.1, 100.0: cover.beyond_100_km}
    excess = max(
        share - 0.5 ** ((km / max(cover.uniform_median_km, 1e-9)) ** 2)
        for km, share in beyond.items()
    )
    if excess <= LEAST:
        return []
    text = (
        f"Gaps: half of the land is farther than {kilometres(cover.median_km)} from every place, "
        f"with as many uniform places {kilometres(cover.uniform_median_km)}"
    )
    if cover.gaps:
        gap = cover.gaps[0]
        text += f"; the farthest, at {gap.lon:.1f}, {gap.lat:.1f}, {kilometres(gap.km)}"
    return [Finding("gaps", excess, f"{text}.", commands.build())]


def _striping(space: Space, commands: Commands) -> list[Finding]:
    """Name the coarsest lattice that many coordinates lie on, else the strongest stripes."""
    for rounded in space.striping.rounded:
        if rounded.step >= COARSE and rounded.both > 0.5:
            text = (
                f"{percent(rounded.both)} of the places lie on a lattice of {rounded.step:g}° "
                f"({kilometres(111.2 * rounded.step)} from south to north): coordinates were "
                "rounded, or they are the nodes of a grid in degrees, denser towards the poles."
            )
            command = commands.draw("uniform-area", "even")
            return [Finding("rounded", rounded.both, text, command)]
    stripes = [
        period
        for period in space.striping.periods
        if period.p < RARE**2 and period.amplitude > LEAST and period.degrees > COARSE / 2
    ]
    found = []
    for period in stripes:
        axis = "longitude" if period.axis == "lon" else "latitude"
        text = (
            f"Stripes: {axis} repeats itself every {period.degrees:.3g}°, by "
            f"{percent(period.amplitude)} of the places."
        )
        command = commands.draw(f"grid:spacing_km={max(1, round(111.2 * period.degrees))}", "grid")
        found.append(Finding(f"stripes-{period.axis}", period.amplitude, text, command))
    return found


def _parallel(degrees: float) -> str:
    return f"{abs(degrees):.1f}° {'N' if degrees >= 0 else 'S'}"
