"""Fit: a network's weights from examples, with early stopping, and with checkpoints that a resumed run goes on from.

AdamW under a learning rate that warms up and falls along a cosine. The order of the examples depends on the seed and
the epoch alone, and a checkpoint holds weights, moments and history, so a run that was killed ends where it would have
ended (on the same machine with the same number of threads, to the last bit).

Reference: Loshchilov, Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, arXiv 1711.05101.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from prillm_or import __version__
from prillm_or.abstraction.training.examples import Example, stack
from prillm_or.errors import PrillmError
from prillm_or.output.saving import replace_file

_log = logging.getLogger(__name__)

Batch = Mapping[str, Tensor]

_WARM_UP = 0.1
_CLIP = 1.0
_DECAY = 1e-4
_SPREAD = 0.3
"""How far examples of unlike size may share a batch, as a share of the spread of sizes."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn."""

    epochs: int = 30
    patience: int = 8
    batch: int = 64
    rate: float = 3e-3
    seed: int = 0


@dataclass(frozen=True)
class Epoch:
    """Mean losses of one pass over the examples."""

    training: float
    validation: float


@dataclass(frozen=True, eq=False)
class Fitted:
    """Weights of the epoch with the lowest validation loss, and the history of all."""

    weights: dict[str, Tensor]
    history: tuple[Epoch, ...]


class Task(Protocol):
    """What is learned from a kind of examples."""

    def network(self) -> nn.Module:
        """New network; its random weights come from torch's global generator."""

    def losses(self, network: nn.Module, batch: Batch) -> Tensor:
        """Loss of each example of the batch, shape (B,)."""


def fit(
    task: Task,
    training: Sequence[Example],
    validation: Sequence[Example],
    schedule: Schedule,
    folder: Path,
    name: str,
) -> Fitted:
    """Learn `task`.

    Parameters
    ----------
    training, validation
        Examples to learn from, and those that say when to stop.
    folder, name
        Where the checkpoint is written after every epoch, and what the part is called; where there is one, the run
        goes on from it.

    Raises
    ------
    PrillmError
        When the checkpoint belongs to another run.
    """
    checkpoint = folder / f"{name}.safetensors"
    torch.manual_seed(schedule.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = task.network().to(device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=schedule.rate, weight_decay=_DECAY)
    counts = {"training": len(training), "validation": len(validation), "version": __version__}
    run = json.dumps({**asdict(schedule), **counts})
    best, history = _load(checkpoint, run, network, optimiser) if checkpoint.is_file() else ({}, [])
    sizes = np.array([sum(value.size for value in example.values()) for example in training], dtype=float)
    steps = schedule.epochs * math.ceil(len(training) / schedule.batch)
    while len(history) < schedule.epochs and not _stale(history, schedule.patience):
        network.train()
        total, step = 0.0, len(history) * math.ceil(len(training) / schedule.batch)
        for order in _batches(sizes, schedule, len(history)):
            for group in optimiser.param_groups:
                group["lr"] = schedule.rate * _pace(step / steps)
            loss = task.losses(network, _tensors([training[t] for t in order], device)).mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
            optimiser.step()
            total, step = total + loss.item() * len(order), step + 1
        history.append(Epoch(total / len(training), evaluate(task, network, validation, schedule.batch)))
        if min(history, key=lambda epoch: epoch.validation) is history[-1]:
            best = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
        _save(checkpoint, run, network, optimiser, best, history)
        _log.info("%s, epoch %d: loss %.3g, held out %.3g", name, len(history), *astuple(history[-1]))
    return Fitted(best, tuple(history))


def evaluate(task: Task, network: nn.Module, examples: Sequence[Example], batch: int) -> float:
    """Mean loss."""
    device = next(network.parameters()).device
    network.eval()
    with torch.no_grad():
        parts = [
            task.losses(network, _tensors(examples[t : t + batch], device)) for t in range(0, len(examples), batch)
        ]
    return float(torch.cat(parts).mean())


def _tensors(batch: Sequence[Example], device: torch.device) -> Batch:
    return {key: torch.from_numpy(value).to(device) for key, value in stack(batch).items()}


def _batches(sizes: np.ndarray, schedule: Schedule, epoch: int) -> Iterator[np.ndarray]:
    """Examples of like size together, for little padding; who meets whom, and in which order, changes by epoch."""
    rng = np.random.default_rng([schedule.seed, epoch])
    order = np.argsort(sizes + _SPREAD * np.ptp(sizes) * rng.random(len(sizes)))
    batches = [order[t : t + schedule.batch] for t in range(0, len(order), schedule.batch)]
    return (batches[t] for t in rng.permutation(len(batches)))


def _pace(done: float) -> float:
    """Learning rate at a share of the whole run, as a share of the highest."""
    if done < _WARM_UP:
        return 0.05 + 0.95 * done / _WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP)))


def _stale(history: Sequence[Epoch], patience: int) -> bool:
    losses = [epoch.validation for epoch in history]
    return len(losses) - (int(np.argmin(losses)) if losses else 0) > patience


def _save(
    path: Path,
    run: str,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    best: Mapping[str, Tensor],
    history: Sequence[Epoch],
) -> None:
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": value for name, value in state.items()}
    notes = {"run": run, "history": json.dumps([asdict(epoch) for epoch in history])}
    replace_file(path, save({name: value.cpu().contiguous() for name, value in tensors.items()}, notes))


def _load(
    path: Path, run: str, network: nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], list[Epoch]]:
    try:
        with safe_open(path, "pt") as file:
            notes = file.metadata() or {}
    except SafetensorError as failure:
        raise PrillmError(f"{path}: not a checkpoint: {failure}; remove it") from None
    if notes.get("run") != run:
        raise PrillmError(
            f"{path}: checkpoint of another run ({notes.get('run')}); remove it, or train with the same settings"
        )
    with safe_open(path, "pt") as file:
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "optimiser": {}}
        for key in file.keys():  # noqa: SIM118 - a file of tensors, no dictionary
            part, name = key.split(".", 1)
            parts[part][name] = file.get_tensor(key)
    network.load_state_dict(parts["network"])
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in parts["optimiser"].items():
        index, moment = name.split(".")
        state.setdefault(int(index), {})[moment] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return parts["best"], [Epoch(**epoch) for epoch in json.loads(notes["history"])]
