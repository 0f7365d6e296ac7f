"""SatCLIP: a location encoder trained by contrast with what the place looks like from above.

Klemmer et al., *SatCLIP: Global, General-Purpose Location Embeddings with Satellite Imagery*,
arXiv 2311.17179. Written from the published facts; names of parameters differ from the official
code, weights and outputs do not (see `LocationEncoder.load_official`).
"""

from __future__ import annotations

import argparse
import itertools
import math
import pathlib
import pickle
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from wherefrom.errors import WherefromError

__all__ = [
    "LocationEncoder",
    "SphericalHarmonics",
    "legendre",
]

# Places evaluated together: the working set of one degree then stays in a core's second-level
# cache. A GPU wants few large launches instead.
_BLOCK = {"cpu": 1024, "other": 65536}


def legendre(degrees: int, theta: np.ndarray) -> np.ndarray:
    """Evaluate the fully normalised associated Legendre functions by the stable recurrence.

    Parameters
    ----------
    degrees : int
        Number of degrees L; l runs from 0 to L - 1.
    theta : (N,) float64 array
        Colatitude in radians, measured from the south pole. Values outside [0, pi] continue the
        functions along the meridian circle.

    Returns
    -------
    (L, L, N) float64 array
        ``P[l, m]`` without the Condon-Shortley phase, zero for m > l, normalised so that
        P(l, m) times sqrt(2) cos(m phi) has unit norm on the sphere.

    Notes
    -----
    Forward column recurrence of Holmes & Featherstone (2002), J. Geodesy 76, 279-299, eq. 11:
    no factorials, no alternating sums, error about 2e-14 at L = 40.

    Examples
    --------
    >>> P = legendre(3, np.array([0.5]))
    >>> bool(np.isclose(P[1, 0, 0], np.sqrt(3 / (4 * np.pi)) * np.cos(0.5)))
    True
    """
    x, s = np.cos(theta), np.sin(theta)
    P = np.zeros((degrees, degrees, len(theta)))
    P[0, 0] = math.sqrt(1 / (4 * math.pi))
    for m in range(1, degrees):
        P[m, m] = math.sqrt((2 * m + 1) / (2 * m)) * s * P[m - 1, m - 1]
    for m in range(degrees - 1):
        P[m + 1, m] = math.sqrt(2 * m + 3) * x * P[m, m]
    for l in range(2, degrees):  # noqa: E741 - the name in every textbook
        square = np.arange(l - 1, dtype=np.float64)[:, None] ** 2
        a = np.sqrt((4 * l * l - 1) / (l * l - square))
        b = np.sqrt(((l - 1) ** 2 - square) / (4 * (l - 1) ** 2 - 1))
        P[l, : l - 1] = a * (x * P[l - 1, : l - 1] - b * P[l - 2, : l - 1])
    return P


def _empty(shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Allocate a tensor; on a CPU by NumPy, which asks the system for large pages.

    Touching fresh small pages costs more than the harmonics themselves.
    """
    if device.type == "cpu" and dtype in (torch.float32, torch.float64):
        return torch.from_numpy(np.empty(shape, "f4" if dtype == torch.float32 else "f8"))
    return torch.empty(shape, dtype=dtype, device=device)


@lru_cache(maxsize=32)
def _series(degrees: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
    """Fourier series along the meridian of the functions of each degree.

    Entry l has shape (2 (l // 2 + 1), 2 l + 1): rows cos(k theta), sin(k theta) for the k of the
    parity of l up to l (the other coefficients vanish), columns m = -l .. l.
    """
    nodes = 4 * degrees
    P = legendre(degrees, np.arange(nodes) * (2 * np.pi / nodes))
    spectrum = np.fft.rfft(P, axis=-1) / nodes
    cosine, sine = 2 * spectrum.real, -2 * spectrum.imag
    cosine[..., 0] /= 2
    tables = []
    for l in range(degrees):  # noqa: E741
        order = np.abs(np.arange(-l, l + 1))
        k = np.arange(l % 2, l + 1, 2)
        # pi for m = 0 where sqrt(1) is meant: a slip of the official code (its issue 33) that is
        # baked into the released weights.
        scale = np.where(order == 0, np.pi, np.sqrt(2))
        table = np.stack([cosine[l][order][:, k], sine[l][order][:, k]], axis=-1)
        table = table.reshape(2 * l + 1, -1).T * scale
        tables.append(torch.from_numpy(np.ascontiguousarray(table)).to(device, dtype))
    return tuple(tables)


class SphericalHarmonics(nn.Module):
    """Real spherical harmonics of a place, as SatCLIP's "analytic" encoding defines them.

    Column ``l * l + l + m`` holds degree l and order m, l < `degrees`, -l <= m <= l. There are no
    parameters. The m = 0 columns are pi times the orthonormal ones: the official code has this
    slip and its released weights were trained with it.

    Parameters
    ----------
    degrees : int
        Number of degrees L >= 1. SatCLIP's released models use 10 and 40.

    Notes
    -----
    A normalised Legendre function of degree l is a trigonometric polynomial of degree l in the
    colatitude. The functions of one degree are therefore one small matrix product with a table
    that `legendre` yields once, and each row of the result is multiplied by cos or sin of
    m * longitude. Unlike the recurrence itself this writes its result in its final layout, keeps
    float32 accurate to about 1e-6 at L = 40, and is differentiable everywhere, poles included.

    Examples
    --------
    >>> lon, lat = torch.tensor([13.4, 0.0]), torch.tensor([52.5, 90.0])
    >>> SphericalHarmonics(10)(lon, lat).shape
    torch.Size([2, 100])
    """

    def __init__(self, degrees: int) -> None:
        super().__init__()
        if degrees < 1:
            raise WherefromError(f"degrees of spherical harmonics must be 1 or more, not {degrees}")
        self.degrees = degrees

    def forward(self, lon: Tensor, lat: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Evaluate all harmonics at N places.

        Parameters
        ----------
        lon, lat : (N,) float32 or float64 tensors
            Degrees. Longitudes beyond 180 wrap.
        dtype : torch.dtype, optional
            Of the result; by default that of `lon`. Angles are always reduced in the precision
            of `lon`, so float64 degrees with a float32 result lose nothing to large multiples.

        Returns
        -------
        (N, degrees ** 2) tensor
        """
        dtype = dtype or lon.dtype
        size = _BLOCK["cpu" if lon.device.type == "cpu" else "other"]
        if torch.is_grad_enabled() and (lon.requires_grad or lat.requires_grad):
            return torch.cat(list(self._degrees(lon, lat, dtype)), dim=1)
        out = _empty((len(lon), self.degrees**2), dtype, lon.device)
        with torch.no_grad():
            for start in range(0, len(lon), size):
                block = slice(start, start + size)
                self._fill(lon[block], lat[block], out[block])
        return out

    def _waves(self, lon: Tensor, lat: Tensor, dtype: torch.dtype) -> tuple[list[Tensor], Tensor]:
        """Give the meridian waves, for even and odd degrees, and the waves along the parallel."""
        n = torch.arange(self.degrees, dtype=lon.dtype, device=lon.device)
        along = torch.deg2rad(lon + 180)[:, None] * n
        across = torch.deg2rad(lat + 90)[:, None] * n
        pair = torch.stack([across.cos(), across.sin()], dim=2).to(dtype)
        meridian = [pair[:, parity::2].flatten(1) for parity in (0, 1)]
        parallel = torch.cat([along[:, 1:].sin().flip(1), along.cos()], dim=1).to(dtype)
        return meridian, parallel

    def _degrees(self, lon: Tensor, lat: Tensor, dtype: torch.dtype) -> Iterator[Tensor]:
        L = self.degrees
        meridian, parallel = self._waves(lon, lat, dtype)
        for l, table in enumerate(_series(L, dtype, lon.device)):  # noqa: E741
            yield meridian[l % 2][:, : len(table)] @ table * parallel[:, L - 1 - l : L + l]

    def _fill(self, lon: Tensor, lat: Tensor, out: Tensor) -> None:
        """Do as `_degrees` does, into `out`, through one buffer that stays in cache."""
        L = self.degrees
        meridian, parallel = self._waves(lon, lat, out.dtype)
        buffer = out.new_empty(len(lon) * (2 * L - 1))
        for l, table in enumerate(_series(L, out.dtype, out.device)):  # noqa: E741
            part = buffer[: len(lon) * (2 * l + 1)].view(len(lon), 2 * l + 1)
            torch.mm(meridian[l % 2][:, : len(table)], table, out=part)
            columns = out[:, l * l : (l + 1) ** 2]
            torch.mul(part, parallel[:, L - 1 - l : L + l], out=columns)


class LocationEncoder(nn.Module):
    """Embedding of a place: spherical harmonics, then a network of sines (SIREN).

    Parameters
    ----------
    degrees : int
        Degrees of the harmonics; more degrees, finer detail.
    width : int, default 512
        Units of each sine layer.
    depth : int, default 2
        Number of sine layers; a linear layer follows them.
    out : int, default 256
        Length of the embedding.
    dropout : float, default 0.5
        Rate of dropout on the pre-activations, i.e. before the sine, of the sine layers in train
        mode. The official code fixes 0.5.
    generator : torch.Generator, optional
        Source of the initial weights; by default a fresh one with seed 0.

    Notes
    -----
    First layer sin(30 z), later ones sin(z). Weights and biases start uniform within 1 / fan-in
    (first) and sqrt(6 / fan-in) (others), as in Sitzmann et al., *SIREN*, arXiv 2006.09661. The
    embedding is not normalised to unit length.

    Examples
    --------
    >>> encoder = LocationEncoder(10).eval()
    >>> lon, lat = torch.tensor([13.4]), torch.tensor([52.5])
    >>> encoder(lon, lat).shape
    torch.Size([1, 256])
    """

    first_frequency = 30.0

    def __init__(
        self,
        degrees: int,
        width: int = 512,
        depth: int = 2,
        out: int = 256,
        *,
        dropout: float = 0.5,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise WherefromError(f"dropout must lie in [0, 1), not {dropout}")
        if depth < 1:
            raise WherefromError(f"depth of the location encoder must be 1 or more, not {depth}")
        self.harmonics = SphericalHarmonics(degrees)
        self.dropout = dropout
        sizes = [degrees**2] + [width] * depth + [out]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        generator = generator or torch.Generator().manual_seed(0)
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, nn.Linear)
            bound = 1 / layer.in_features if i == 0 else math.sqrt(6 / layer.in_features)
            for parameter in (layer.weight, layer.bias):
                nn.init.uniform_(parameter, -bound, bound, generator=generator)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights, and so of the embedding."""
        return next(self.parameters()).dtype

    def forward(self, lon: Tensor, lat: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Embed N places.

        Parameters
        ----------
        lon, lat : (N,) float32 or float64 tensors
            Degrees; give float64 for full accuracy. They need not match the weights' precision.
        generator : torch.Generator, optional
            Source of dropout; needed in train mode if the rate is above 0, unused otherwise.

        Returns
        -------
        (N, out) tensor of the weights' precision
        """
        return self.from_harmonics(self.harmonics(lon, lat, self.dtype), generator)

    def from_harmonics(self, harmonics: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Embed places whose harmonics, shape (N, degrees ** 2), are at hand.

        The harmonics of a fixed set of places are worth keeping while an encoder trains on it.
        """
        x = harmonics
        *sines, last = self.layers
        for i, layer in enumerate(sines):
            assert isinstance(layer, nn.Linear)
            w0 = self.first_frequency if i == 0 else 1.0
            z = torch.addmm(layer.bias, x, layer.weight.t(), beta=w0, alpha=w0)
            if self.training and self.dropout > 0:
                if generator is None:
                    raise ValueError("dropout in train mode needs a torch.Generator (or eval())")
                # `rand` is four times as fast as `bernoulli_` on a CPU.
                kept = torch.rand(z.shape, generator=generator, device=z.device) >= self.dropout
                z = z * (kept.to(z.dtype) / (1 - self.dropout))
            x = torch.sin(z)
        result: Tensor = last(x)
        return result

    @classmethod
    def load_official(
        cls, path: pathlib.Path | str, dtype: torch.dtype = torch.float64
    ) -> LocationEncoder:
        """Read the location encoder of a released SatCLIP checkpoint.

        Parameters
        ----------
        path : Path or str
            A Lightning checkpoint, e.g. ``satclip-vit16-l40.ckpt`` of
            https://huggingface.co/microsoft/SatCLIP-ViT16-L40. Only plain data are unpickled:
            a file cannot run code. The image encoder in it is not read.
        dtype : torch.dtype, default torch.float64
            Precision of the encoder; the official code uses float64.

        Returns
        -------
        LocationEncoder
            In eval mode; degrees, width, depth and out are read off the shapes of the weights.

        Raises
        ------
        WherefromError
            If the file is absent, is no checkpoint, holds anything but plain data, or was trained
            with another encoding.
        """
        weights = _official_weights(pathlib.Path(path))
        first, last = weights[0][0], weights[-1][0]
        encoder = cls(math.isqrt(first.shape[1]), first.shape[0], len(weights) - 1, last.shape[0])
        with torch.no_grad():
            encoder.to(dtype)
            for layer, (weight, bias) in zip(encoder.layers, weights, strict=True):
                assert isinstance(layer, nn.Linear)
                layer.weight.copy_(weight)
                layer.bias.copy_(bias)
        return encoder.eval()


def _official_weights(path: pathlib.Path) -> list[tuple[Tensor, Tensor]]:
    """Read weight and bias of each layer, checked, from a Lightning checkpoint."""
    want = "a SatCLIP checkpoint (*.ckpt) as released at https://huggingface.co/microsoft"
    try:
        with torch.serialization.safe_globals([argparse.Namespace, pathlib.PosixPath]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as err:
        raise WherefromError(f"no file {path}: give the path of {want}") from err
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as err:
        reason = str(err).strip().splitlines()[0] if str(err).strip() else type(err).__name__
        raise WherefromError(f"{path} cannot be read as {want}: {reason}") from err
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise WherefromError(f"{path} has no 'state_dict': give {want}")
    settings = content.get("hyper_parameters") or {}
    for name, known in (
        ("le_type", "sphericalharmonics"),
        ("harmonics_calculation", "analytic"),
        ("pe_type", "siren"),
    ):
        if settings.get(name, known) != known:
            raise WherefromError(
                f"{path} was trained with {name} = {settings[name]!r}; only {known!r} is supported"
            )
    # The network is stored twice (model.nnet and model.location.nnet share their storage).
    found = {key[key.index("nnet.") + 5 :]: value for key, value in state.items() if "nnet." in key}
    depth = sum(key.startswith("layers.") and key.endswith(".weight") for key in found)
    names = [f"layers.{i}" for i in range(depth)] + ["last_layer"]
    layers = []
    for name in names:
        if f"{name}.weight" not in found or f"{name}.bias" not in found:
            raise WherefromError(f"{path} lacks the tensor nnet.{name}: give {want}")
        layers.append((found[f"{name}.weight"], found[f"{name}.bias"]))
    width = layers[0][0].shape[-1]
    fits = depth > 0 and math.isqrt(width) ** 2 == width
    for i, (weight, bias) in enumerate(layers):
        fits &= weight.ndim == 2 and weight.shape[1] == width and bias.shape == weight.shape[:1]
        if not fits:
            raise WherefromError(
                f"{path}: nnet.{names[i]} has shapes {tuple(weight.shape)}, {tuple(bias.shape)}, "
                "which no network of sines on spherical harmonics has"
            )
        width = weight.shape[0]
    return layers
