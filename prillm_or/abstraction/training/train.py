"""train: the network of an abstraction, from scenarios to a file of weights with its card and learning curves."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from prillm_or.errors import check_choice, check_count, checked_path, need_packages
from prillm_or.output.canvas import need_pictures
from prillm_or.output.checking import check_ours, check_outputs, checked_output
from prillm_or.output.saving import replace_file
from prillm_or.users.threads import cores
from prillm_or.workers.ctrl_c import without_ctrl_c
from prillm_or.workers.engine import Engine, engine_of

if TYPE_CHECKING:
    from prillm_or.abstraction.training.learn import Lesson
    from prillm_or.abstraction.training.outcome import Trained

_SCENARIOS = {"learned": 30_000, "learned-paper": 4_000}
_FEWEST = 100


def train(
    out: str | os.PathLike[str],
    *,
    kind: Literal["learned", "learned-paper"] = "learned",
    scenarios: int | None = None,
    epochs: int = 30,
    seed: int = 0,
    jobs: int | None = None,
    engine: Literal["local", "dask"] = "local",
    address: str | None = None,
) -> Trained:
    """Train the network of an abstraction, and write its weights.

    Beside the weights come a card (.md) and the learning curves (.svg). A run that was stopped goes on where it was
    when it is asked for again; what it needs for that lies in the folder `OUT.parts` until it is done.

    Parameters
    ----------
    out
        Where to write the weights: .safetensors.
    kind
        Whose network: of `learned`, or of `learned-paper`.
    scenarios
        To learn from, at least 100; None for 30000 of `learned` and 4000 of `learned-paper`.
    epochs
        Passes over them, at most.
    seed
        Of scenarios and weights.
    jobs
        Processes, and threads of the network; None for all cores.
    engine, address
        Who computes the examples: this machine, or the Dask cluster of that scheduler.

    Raises
    ------
    PrillmError
        When an argument is not what it has to be, a file cannot be written, or parts are those of another run.
    UnavailableError
        When torch or safetensors is missing.
    """
    out = _checked(checked_path("out", out), kind, scenarios, epochs, seed, jobs)
    lesson = _lesson(kind)
    from prillm_or.abstraction.training.card import card
    from prillm_or.abstraction.training.course import Course
    from prillm_or.abstraction.training.fit import Schedule
    from prillm_or.abstraction.training.learn import learn
    from prillm_or.abstraction.training.learning_picture import learning_picture
    from prillm_or.abstraction.training.parts import held_parts
    from prillm_or.abstraction.weights import write_weights

    scenarios = scenarios or _SCENARIOS[kind]
    course = Course(scenarios, Schedule(epochs=epochs, seed=seed), _engine(engine, jobs, address), jobs or cores())
    asked = f"prillm-or train --kind {kind} --scenarios {scenarios} --epochs {epochs} --seed {seed} --out {out.name}"
    with held_parts(out) as parts:
        began = time.perf_counter()
        trained = learn(kind, lesson, course, parts)
        text = card(kind, course, trained, asked, time.perf_counter() - began)
        replace_file(out.with_suffix(".md"), text.encode())
        replace_file(out.with_suffix(".svg"), learning_picture(trained.history, out.stem).encode())
        write_weights(out, kind, trained.network, {"command": asked})
    return trained


def _checked(out: Path, kind: str, scenarios: int | None, epochs: int, seed: int, jobs: int | None) -> Path:
    checked_output(out, (".safetensors",))
    beside = {out.with_suffix(".md"): "# Weights of `learned", out.with_suffix(".svg"): f'id="{out.stem}-'}
    check_outputs(out, *beside)
    check_ours(beside)
    check_choice("kind", kind, _SCENARIOS)
    for name, value, least in (
        ("scenarios", _FEWEST if scenarios is None else scenarios, _FEWEST),
        ("epochs", epochs, 1),
        ("seed", seed, 0),
        ("jobs", 1 if jobs is None else jobs, 1),
    ):
        check_count(name, value, least)
    return out


def _engine(name: str, jobs: int | None, address: str | None) -> Engine:
    """Where examples are computed; `jobs` counts the network's threads, too, which stay on this machine."""
    return engine_of(name, (jobs or cores()) if name == "local" else 1, address)


def _lesson(kind: str) -> Lesson:
    """What the network of a kind learns; torch is imported here."""
    need_packages("train", "torch", "safetensors", extra="learn")
    need_pictures("train")
    with without_ctrl_c():
        if kind == "learned":
            from prillm_or.abstraction.training.learned import AnchorLesson

            return AnchorLesson()
        from prillm_or.abstraction.training.learned_paper import PaperLesson

        return PaperLesson()
