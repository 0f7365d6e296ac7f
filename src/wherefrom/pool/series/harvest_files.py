"""CropHarvest's files as they are published: labels.geojson, features and test features."""

from __future__ import annotations

import gzip
import importlib
import io
import json
import tarfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom import earth
from wherefrom.errors import WherefromError
from wherefrom.pool.series.pixels import BANDS, NO_CLASS, PixelSeries
from wherefrom.pool.series.units import said_of
from wherefrom.progress import progress

__all__ = ["FEBRUARY", "STEPS", "Files", "Label", "Pixel", "TestFile", "padded_classes"]

STEPS = 12
#: Series end on 1 February and have 12 steps of 30 days: the first is in February.
FEBRUARY = 1
#: Sources of the catalog.
LABELS, FEATURES, TESTS = "cropharvest", "cropharvest-features", "cropharvest-test-features"


@dataclass(frozen=True)
class Label:
    """One place of ``labels.geojson``; `label` is empty where the crop is not known."""

    file: str
    lon: float
    lat: float
    is_crop: bool
    is_test: bool
    label: str


@dataclass(frozen=True, eq=False)
class Pixel:
    """One series: (12, 18) float32, and the centre of its pixel in degrees."""

    values: NDArray[np.float32]
    lon: float
    lat: float


@dataclass(frozen=True, eq=False)
class TestFile:
    """One file of test places: x (N, 12, 18), y (N,) of 1, 0 and -1 for no label, degrees (N,)."""

    __test__ = False  # else pytest takes it for a test

    name: str
    x: NDArray[np.float32]
    y: NDArray[np.int64]
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    dynamic_world: NDArray[np.uint8]


@dataclass(frozen=True)
class Files:
    """Where the parts lie: ``labels.geojson``, and folders or archives of features."""

    geojson: Path
    features: Path
    test_features: Path | None = None

    @classmethod
    def of(cls, folder: Path | str | None, *, tests: bool = False) -> Files:
        """Find the parts in a folder, or through the catalog if none is given."""
        _h5py()
        if folder is None:
            last = earth.path_of(TESTS) if tests else None
            return cls(earth.path_of(LABELS), earth.path_of(FEATURES), last)
        root = Path(folder)
        if not root.is_dir():
            raise WherefromError(f"{root} is no folder: name the one that holds labels.geojson")
        return cls(
            _there(root / "labels.geojson"),
            _part(root, "features", "arrays"),
            _part(root, "test_features", "") if tests else None,
        )

    def labels(self) -> list[Label]:
        """Read the places, in the order of the file, none of which may be incomplete."""
        try:
            features = json.loads(self.geojson.read_bytes())["features"]
            rows = [feature["properties"] for feature in features]
        except (ValueError, KeyError, TypeError) as err:
            raise WherefromError(
                f"{self.geojson} is no whole GeoJSON of features ({type(err).__name__}: {err}); "
                "get it again"
            ) from err
        return [_label(row, f"{self.geojson}: row {i}") for i, row in enumerate(rows)]

    def arrays(self, wanted: Collection[str]) -> dict[str, Pixel]:
        """Read the series of some places, named ``{index}_{dataset}``: those that are there."""
        found: dict[str, Pixel] = {}
        with progress() as bar:
            task = bar.add_task("reading series", total=len(wanted))
            for path, data in _members(self.features, "arrays"):
                if path.stem not in wanted:
                    continue
                where = f"{self.features}: {path}"
                with _opened(data, where) as file:
                    values = _values(file, "array", where)
                    if values.shape != (STEPS, len(BANDS)):
                        raise WherefromError(
                            f"{where}: array has shape {values.shape}, not {STEPS} steps x "
                            f"{len(BANDS)} bands ({', '.join(BANDS)})"
                        )
                    place = [_degrees(file, f"instance_{name}", where) for name in ("lon", "lat")]
                found[path.stem] = Pixel(values.astype(np.float32), *place)
                bar.advance(task)
        return found

    def series(self, arrays: Mapping[str, Pixel], names: Sequence[str]) -> PixelSeries:
        """Gather the series of some places, which may repeat; `arrays` are those that were read."""
        raw = np.stack([arrays[name].values for name in names])
        lon, lat = (np.array([getattr(arrays[one], n) for one in names]) for n in ("lon", "lat"))
        classes = self.dynamic_world(set(names))
        none = np.full(STEPS, NO_CLASS, dtype=np.uint8)
        dynamic_world = np.stack([classes.get(name, none) for name in names])
        with said_of(self.features, names):
            return PixelSeries.from_array(raw, lon, lat, FEBRUARY, dynamic_world)

    def dynamic_world(self, wanted: Collection[str]) -> dict[str, NDArray[np.uint8]]:
        """Read Dynamic World's classes of some places, (12,) each, where they are published."""
        folder = self.geojson.parent / "features" / "dynamic_world_arrays"
        found = {}
        for name in wanted:
            path = folder / f"{name}.npy"
            if not path.is_file():
                continue
            try:
                classes = np.load(path, allow_pickle=False)
            except (OSError, ValueError, EOFError) as err:
                raise WherefromError(f"{path} is not a readable array: {err}") from err
            if classes.ndim != 1 or not classes.size:
                raise WherefromError(f"{path}: its shape is {classes.shape}, not ({STEPS},)")
            found[name] = padded_classes(classes[None], STEPS)[0]
        return found

    def tests(self, beginning: str) -> list[TestFile]:
        """Read the test files whose names begin so, of which there must be one, in their order."""
        assert self.test_features is not None
        found = [
            self._test(path, data, f"{self.test_features}: {path}")
            for path, data in _members(self.test_features, "")
            if path.name.startswith(beginning)
        ]
        if not found:
            raise WherefromError(f"{self.test_features} holds no test file {beginning}*.h5")
        return sorted(found, key=lambda test: test.name)

    def _test(self, path: PurePosixPath, data: Path | bytes, where: str) -> TestFile:
        with _opened(data, where) as file:
            x, y, lon, lat = (_values(file, name, where) for name in ("x", "y", "lons", "lats"))
        if x.shape != (len(y), STEPS, len(BANDS)) or lon.shape != y.shape or lat.shape != y.shape:
            raise WherefromError(
                f"{where}: x has shape {x.shape}, y {y.shape}, lons {lon.shape}, lats {lat.shape}; "
                f"(N, {STEPS}, {len(BANDS)}) and (N,) are due"
            )
        y = np.where(np.isnan(y), -1, y)
        bad = np.flatnonzero(~np.isin(y, (-1, 0, 1)))
        if bad.size:
            raise WherefromError(
                f"{where}: y of row {bad[0]} is {y[bad[0]]:g}; labels are 1, 0 and -1 for none"
            )
        classes = np.full(x.shape[:2], NO_CLASS, dtype=np.uint8)
        beside = self.geojson.parent / "test_dynamic_world_features" / path.name
        if beside.is_file():
            with _opened(beside, str(beside)) as file:
                stored = _values(file, "x", str(beside))
            if stored.ndim != 2 or len(stored) != len(y):
                raise WherefromError(f"{beside}: x has shape {stored.shape}, not ({len(y)}, 12)")
            classes = padded_classes(stored, STEPS)
        return TestFile(path.stem, x.astype(np.float32), y.astype(np.int64), lon, lat, classes)


def padded_classes(classes: NDArray[Any], steps: int) -> NDArray[Any]:
    """Bring Dynamic World's classes (N, any) to (N, steps) as Presto does (presto.md 1.4).

    Shorter ones are filled up by their first step, longer ones cut.
    """
    at = np.arange(steps)
    return classes[:, np.where(at < classes.shape[1], at, 0)]


def _h5py() -> Any:
    try:
        return importlib.import_module("h5py")
    except ModuleNotFoundError as err:
        raise WherefromError(
            'CropHarvest needs h5py: pip install "wherefrom[cropharvest]"'
        ) from err


def _there(path: Path) -> Path:
    if not path.is_file():
        raise WherefromError(
            f"no such file: {path}; place it there, from {earth.source(LABELS).address}"
        )
    return path


def _part(root: Path, name: str, inner: str) -> Path:
    """Return the unpacked folder, else the archive."""
    unpacked = root / name
    if (unpacked / inner).is_dir():
        return unpacked
    return _there(root / f"{name}.tar.gz")


def _members(place: Path, parent: str) -> Iterator[tuple[PurePosixPath, Path | bytes]]:
    """Give the name and content of each h5 file of a folder or an archive."""
    if place.is_dir():
        for path in sorted((place / parent).glob("*.h5")):
            yield PurePosixPath(path.relative_to(place).as_posix()), path
        return
    try:
        # As a stream: 70,000 members need no index, and nothing is unpacked on the disk.
        with gzip.open(place) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if name.suffix != ".h5" or (parent and name.parent.name != parent):
                    continue
                content = archive.extractfile(member)
                if content is not None:
                    yield name, content.read()
            # tarfile takes a torn header for the end; gzip knows whether more was to come.
            while stream.read(2**20):
                pass
    except (tarfile.TarError, EOFError, OSError, zlib.error) as err:
        raise WherefromError(f"{place} is a torn archive ({err}): get it again") from err


@contextmanager
def _opened(data: Path | bytes, where: str) -> Iterator[Any]:
    """Open one h5 file; what HDF5 says of a torn one becomes one clear error."""
    try:
        with _h5py().File(io.BytesIO(data) if isinstance(data, bytes) else data, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError) as err:
        raise WherefromError(f"{where} is no whole HDF5 file ({err}): get it again") from err


def _values(file: Any, name: str, where: str) -> NDArray[np.float64]:
    if name not in file:
        raise WherefromError(f"{where} lacks the dataset {name!r}; it has {', '.join(file)}")
    values: NDArray[np.float64] = np.asarray(file[name][()], dtype=np.float64)
    return values


def _degrees(file: Any, name: str, where: str) -> float:
    if name not in file.attrs:
        raise WherefromError(f"{where} lacks the attribute {name!r}")
    return float(file.attrs[name])


def _label(row: dict[str, Any], where: str) -> Label:
    needed = ("index", "dataset", "lon", "lat", "is_crop", "is_test")
    lacking = [name for name in needed if row.get(name) is None]
    if lacking:
        raise WherefromError(f"{where} lacks {lacking[0]!r}")
    for name in ("is_crop", "is_test"):
        if row[name] not in (0, 1):  # booleans are 0 and 1 too
            raise WherefromError(f"{where}: {name} is {row[name]!r}, neither 0 nor 1")
    try:
        lon, lat, index = float(row["lon"]), float(row["lat"]), int(row["index"])
    except (TypeError, ValueError) as err:
        raise WherefromError(f"{where}: lon, lat and index must be numbers: {err}") from err
    label = row.get("label") or ""
    file = f"{index}_{row['dataset']}"
    return Label(file, lon, lat, bool(row["is_crop"]), bool(row["is_test"]), str(label))
