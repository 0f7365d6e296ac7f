"""A checkpoint of other people that is damaged is said to be that, in words of ours."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs torch: pip install "wherefrom[train]"')

from wherefrom.errors import WherefromError  # noqa: E402
from wherefrom.models import official  # noqa: E402
from wherefrom.models.named import load  # noqa: E402
from wherefrom.models.presto import Presto  # noqa: E402
from wherefrom.models.satclip import LocationEncoder  # noqa: E402

LIKE = {"a": torch.zeros(4000)}


def saved(*, zipped: bool = True) -> bytes:
    stream = io.BytesIO()
    state = {"a": torch.arange(4000.0)}
    torch.save(state, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (lambda b: b[: len(b) // 2], r"its 8,\d{3} bytes are no whole archive, it was cut off or"),
        (lambda b: b[:-1], r"its 17,\d{3} bytes are no whole archive"),
        (lambda b: b[:4], "its 4 bytes are no whole archive"),
        (lambda b: b + bytes(10**5), r"its 117,\d{3} bytes are no whole archive"),
        (lambda b: b[:-200] + bytes(100) + b[-100:], "are no whole archive"),
        (lambda b: b[:3000] + bytes(2000) + b[5000:], r"data/0 in it is not as it was written"),
        (lambda b: b[:3000] + b"\xff" + b[3001:], r"data/0 in it is not as it was written"),
        (lambda b: b[100:], "it is none or torn"),
        (lambda _: saved(zipped=False)[:-9], "it is none or torn"),
    ],
)
def test_a_damaged_checkpoint_is_read_or_refused_in_words_of_torch(
    tmp_path: Path, damaged: Callable[[bytes], bytes], reason: str
) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(damaged(saved()))
    with pytest.raises(WherefromError, match=f"{file} cannot be read as .*{reason}") as caught:
        official.plain_weights(file, LIKE)
    assert str(caught.value).endswith("fetch the file again")
    for word in ("miniz", "Pytorch", "Errno", "corrupted", "\n"):
        assert word not in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_that_is_whole_is_called_damaged(tmp_path: Path, zipped: bool) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(saved(zipped=zipped))
    assert official.plain_weights(file, LIKE)["a"][3999] == 3999


@pytest.mark.parametrize(
    ("err", "reason"),
    [
        (MemoryError(), "not enough memory"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            "not enough memory",
        ),
        (PermissionError(13, "Permission denied", "weights.pt"), "Permission denied"),
    ],
)
def test_a_lack_of_the_system_is_called_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, err: Exception, reason: str
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise err

    file = tmp_path / "weights.pt"
    file.write_bytes(saved())
    monkeypatch.setattr(torch, "load", fails)
    with pytest.raises(WherefromError, match=reason) as caught:
        official.plain_weights(file, LIKE)
    assert "fetch" not in str(caught.value)


# By name.


def test_weights_of_a_name_are_another_model(tmp_path: Path) -> None:
    presto, file = Presto(), tmp_path / "mine.pt"
    torch.save(presto.state_dict(), file)
    read = load("presto", path=file)
    assert not read.training
    assert all(map(torch.equal, read.state_dict().values(), presto.state_dict().values()))
    location = LocationEncoder(10, 8, 2, 4)
    names = ["layers.0", "layers.1", "last_layer"]
    state = {
        f"model.nnet.{name}.{kind}": value
        for name, layer in zip(names, location.layers, strict=True)
        for kind, value in layer.state_dict().items()
    }
    torch.save({"state_dict": state}, file)
    assert load("satclip-vit16-l10", path=file).harmonics.degrees == 10
    with pytest.raises(
        WherefromError, match=r"mine.pt has harmonics of L = 10, which 'satclip-vit"
    ):
        load("satclip-vit16-l40", path=file)
    with pytest.raises(WherefromError, match=r"mine.pt lacks the tensor encoder"):
        load("presto", path=file)
    with pytest.raises(WherefromError, match=r"unknown weights 'cropharvest': .*Known: .*presto"):
        load("cropharvest")


def test_the_published_weights_are_not_those_of_their_name(
    reference_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (reference_data / "presto" / "default_model.pt").is_file():
        pytest.skip(f"no Presto weights in {reference_data}")
    monkeypatch.setenv("WHEREFROM_DATA", str(reference_data / "presto"))
    known = np.load(reference_data / "presto" / "reference_outputs.npz")
    lonlat = torch.from_numpy(known["latlon"][:, ::-1].copy())
    x, world, month = (torch.from_numpy(known[k]) for k in ("x", "dynamic_world", "start_month"))
    with torch.no_grad():
        found = load("presto").embed(x, world, lonlat, month)
    assert np.abs(found.numpy() - known["embedding"]).max() < 1e-4
