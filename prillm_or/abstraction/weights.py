"""Weights of trained networks: one safetensors file each, with what it was trained on in the file's own notes.

Safetensors holds plain arrays: nothing in such a file is executed or unpickled. The notes say which format and kind it
is; whatever does not fit the network of that kind is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, cast

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from prillm_or.errors import PrillmError
from prillm_or.files.names import find
from prillm_or.files.reading import check_size
from prillm_or.output.saving import replace_file

if TYPE_CHECKING:
    from torch import Tensor, nn

Kind = Literal["learned", "learned-paper"]

WEIGHTS_FORMAT = "prillm-or/abstraction@1"
SUFFIX = ".safetensors"

_Network = TypeVar("_Network", bound="nn.Module")


def write_weights(path: Path, kind: Kind, network: nn.Module, notes: Mapping[str, str]) -> None:
    """Write a network's weights, whole or not at all."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    replace_file(path, save(tensors, {"format": WEIGHTS_FORMAT, "kind": kind, **notes}))


def load_network(kind: Kind, make: type[_Network], weights: str | None) -> _Network:
    """A trained network, ready to be asked.

    Parameters
    ----------
    kind
        What the file must hold.
    make
        The network's class.
    weights
        A name of `models/abstraction/`, or the path of a file; None for the shipped weights of the kind.

    Raises
    ------
    PrillmError
        When the file cannot be read or holds something else.
    """
    path = find("models", weights if weights else f"abstraction/{kind}", (SUFFIX,))
    try:
        check_size(path)
        # mypy does not take a class for hashable here.
        return cast("_Network", _load(kind, make, path, path.stat().st_mtime_ns))  # type: ignore[arg-type]
    except ValueError as refusal:
        raise PrillmError(f"{path}: {refusal}") from None
    except OSError as failure:
        raise PrillmError(f"{path}: cannot be read: {failure.strerror or failure}; train one with `train`") from None


@lru_cache(maxsize=4)
def _load(kind: Kind, make: Callable[[], nn.Module], path: Path, _changed: int) -> nn.Module:
    tensors, notes = _read(path)
    if notes.get("format") != WEIGHTS_FORMAT:
        raise PrillmError(f"{path}: format: expected {WEIGHTS_FORMAT!r}, got {notes.get('format')!r}")
    if notes.get("kind") != kind:
        raise PrillmError(f"{path}: kind: expected weights of {kind}, got {notes.get('kind')!r}")
    network = make()
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    if wanted != found:
        odd = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        raise PrillmError(
            f"{path}: weights do not fit the network of {kind}, as older ones do not: {', '.join(odd[:3])}; "
            f"train it anew, `prillm-or train --kind {kind} --out {path.name}`, or use the weights that are shipped"
        )
    if any(not value.isfinite().all() for value in tensors.values()):
        raise PrillmError(f"{path}: weights are not all finite; train it anew")
    network.load_state_dict(tensors)
    return network.eval()


def _read(path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as failure:
        raise PrillmError(f"{path}: not a safetensors file: {failure}") from None
