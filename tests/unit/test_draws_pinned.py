"""Draws stay the same, byte by byte, from version to version.

The hashes were taken when pools lay in memory as a whole and draws were made in one go.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from wherefrom import draw, keys
from wherefrom.compose import Composition
from wherefrom.earth.sphere import uniform_on_sphere
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool

MANY = 1_200_000
#: Spec, n, seed -> hash of ids, multiplicities and probabilities, and of the plan.
PINNED = {
    ("some", "none", 5, 0): ("e3b0c44298fc1c14", "5143070613d7e33c"),
    ("some", "uniform", 300, 0): ("5e9f80af93e2c4f3", "927290805ab0a4a8"),
    ("some", "uniform", 3000, 4): ("2e60e433f528ace2", "598cf59fddfd182b"),
    ("some", "uniform-area", 200, 1): ("86d5199b380d216d", "6919e62d0f775730"),
    ("some", "uniform-area:cell_km=2500", 1000, 2): ("7655dbece68cdb6b", "2af63f5003ce93ad"),
    ("some", "stratified:layer=use,short=cap", 1000, 0): ("5af9bdfeaaef01c3", "1d004e4d06bca9b1"),
    ("some", "stratified:layer=use,short=redistribute", 1501, 3): (
        "453eacd9a39f9d4d",
        "c13cf9c2afd8668d",
    ),
    ("some", "stratified:layer=use,short=repeat", 2001, 1): (
        "148fc9d984d571cc",
        "281bcd9491e5826f",
    ),
    ("some", "stratified:layer=use", 3, 7): ("dd6e48ac7ae4a5e6", "bffedd86fe3871c0"),
    ("some", "stratified:layer=use,allocation=proportional", 777, 2): (
        "26b35909ccb256f0",
        "0c743dff28702aed",
    ),
    ("some", "stratified:layer=use,weights=a:2.5;none:1;Asia, west:0.1;b:0", 200, 5): (
        "47c89b366e4be1d7",
        "4cf8b2e60e59d54d",
    ),
    ("some", "stratified:layer=use,weights=a:1;none:3,short=repeat", 9000, 5): (
        "25f5f80e931f96d9",
        "aafb519957b602be",
    ),
    ("some", "only:layer=use,label=d:e", 50, 0): ("a275870bc3f2b035", "7cdd00ee6710820f"),
    ("some", "only:layer=use,label=c,short=repeat", 5000, 0): (
        "990bea0c46d1f870",
        "d1a7ee4a6a7c7d72",
    ),
    ("some", "only:layer=use,label=c,short=cap", 5000, 0): ("6b44ae6813adbe40", "86719c95e7db9ca6"),
    ("some", "clustered:around=forest,clusters=40,radius_km=900", 100, 6): (
        "0ba57901efc8a3b5",
        "22673b09b67c6fc2",
    ),
    ("some", "clustered:around=forest,short=cap", 2000, 1): (
        "2caba3ce013bd1c7",
        "0f47810c8540d272",
    ),
    ("some", "clustered:around=cities,radius_km=200", 100, 0): (
        "581fe0adb539b8b7",
        "6fc1126c541e50b1",
    ),
    (
        "some",
        "clustered:around=cities,clusters=60,radius_km=400,min_population=1000000,short=cap",
        500,
        1,
    ): ("b6f750dccee4469d", "bc9757927cbc61a1"),
    ("named", "uniform", 100, 0): ("036e05cce7ced383", "10637123bbcd2fa7"),
    ("named", "stratified:layer=use,short=cap", 400, 1): ("ff86cb9892f97395", "5055341b18ef2aee"),
    ("named", "clustered:around=forest", 100, 2): ("505f0b007fafd6ca", "ba7c678cffa60c81"),
    ("many", "uniform", 5000, 0): ("20ff509f77913946", "84576908f1df6d45"),
    ("many", "uniform-area:cell_km=100", 20000, 1): ("fde4af5fa6144db4", "43e3fde173e47813"),
    ("many", "stratified:layer=use", 7000, 0): ("34956d017d00921d", "0d5f724711d51dff"),
    ("many", "stratified:layer=use,short=repeat", 1000000, 0): (
        "cb07de4185f7b504",
        "85da84625dd10510",
    ),
    ("many", "clustered:around=forest,clusters=9,radius_km=2000", 3000, 3): (
        "7f0c53c8d0804775",
        "cc31153751711633",
    ),
}


def columns(places: int) -> dict[str, Any]:
    """Places on the sphere with labels of very unequal sizes, some without."""
    rng = np.random.default_rng(17)
    lon, lat = uniform_on_sphere(places, rng)
    codes = np.minimum(rng.geometric(0.4, places), 7)
    names = ["ü", "b", "Asia, west", "d:e", "a", "none", "c", ""]
    use = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(names))
    forest = pa.array(np.where(rng.random(places) < 0.3, "forest", ""))
    ids = rng.permutation(places) * 5 - 7
    return {"id": ids, "lon": lon, "lat": lat, "use": use, "forest": forest}


@pytest.fixture(scope="module")
def pools() -> dict[str, Pool]:
    """Number the places in one pool, name them in another, and have more than a block in one."""
    some = columns(3000)
    named = {**some, "id": [f"tile-{i}" for i in some["id"]]}
    made = {"some": some, "named": named, "many": columns(MANY)}
    return {name: Pool.from_table(pa.table(given)) for name, given in made.items()}


def hashes(composition: Composition) -> tuple[str, str]:
    content = hashlib.sha256("\0".join(map(str, composition.ids.tolist())).encode())
    content.update(composition.multiplicity.tobytes())
    content.update(composition.inclusion_probability.tobytes())
    told = {
        name: value
        for name, value in composition.provenance.items()
        if name not in ("pool", "layers", "made_by", "sampler")
    }
    return content.hexdigest()[:16], keys.key_of(told)


@pytest.mark.parametrize(("which", "spec", "n", "seed"), PINNED, ids=str)
def test_draw_has_changed_since_it_was_pinned(
    pools: dict[str, Pool], which: str, spec: str, n: int, seed: int
) -> None:
    try:
        composition = draw(pools[which], spec, n, seed)
    except WherefromError as err:
        if "cities" not in spec:
            raise
        pytest.skip(f"no list of cities: {err}")
    assert hashes(composition) == PINNED[which, spec, n, seed]


def test_list_of_ids_has_changed_since_it_was_pinned(
    pools: dict[str, Pool], tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("id,multiplicity\n-7,1\n8,3\n3,1\n-7,1\n")
    composition = draw(pools["some"], f"ids:file={tmp_path}/a.csv")
    assert composition.ids.tolist() == [-7, 3, 8]
    assert composition.multiplicity.tolist() == [2, 1, 3]
    assert composition.inclusion_probability.tolist() == [2.0, 1.0, 3.0]
