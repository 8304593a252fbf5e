"""Folders: what raw tables give, as observation folders below one new folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from prillm_or.calibration.observation_files import Form, write_observations
from prillm_or.calibration.openrouter import apps, price_changes, providers
from prillm_or.calibration.openrouter.imported import Imported, Part
from prillm_or.calibration.openrouter.raw import read_raw
from prillm_or.output.saving import new_folder

_PAID = "`price_input` and `price_output` are what was paid for a token of input, after caching, and of output; "
_COMPONENTS: Mapping[Part, str] = {
    "providers": f"{_PAID}`mixes` holds the model's own mix of each day, by which `price` blends them.\n",
    "apps": f"{_PAID}`price` blends them by the model's own mix. `mixes` is imputed: what an app asks of a model is "
    "not known; it is taken to be what all the model's users ask.\n",
}
"""What the README says of prices by component."""


def import_openrouter(folder: Path, parts: Sequence[Part] = ("providers", "apps")) -> list[Imported]:
    """Make observations of raw tables.

    Parameters
    ----------
    folder
        Holds a subfolder for each source, as `prillm_or.calibration.openrouter.raw.TABLES` names them.
    parts
        "providers": providers competing within one model, a panel of days for each model; "apps": apps choosing among
        models, one average day for each market; "hourly" and "logged": providers within each model in which a price
        changed, by the hour, or by midnights with the changes that a log confirms.

    Raises
    ------
    ObservationsError
        When a table is missing or faulty, or gives no market; it lists every fault.
    UnavailableError
        When pandas is not installed.
    """
    makers = {
        "providers": (providers.NEEDS, providers.panels),
        "apps": (apps.NEEDS, apps.markets),
        "hourly": (price_changes.HOURLY, price_changes.hourly),
        "logged": (price_changes.LOGGED, price_changes.logged),
    }
    needed = dict.fromkeys(name for part in parts for name in makers[part][0])
    tables = read_raw(folder, list(needed))
    made = [imported for part in parts for imported in makers[part][1](tables)]
    return [replace(one, observations=replace(one.observations, description=one.about.text)) for one in made]


def write_imported(imported: Sequence[Imported], out: Path, form: Form = "csv", *, components: bool = False) -> None:
    """Write `out/KIND/NAME` for each and a README.md with the list of them, whole or not at all.

    Parameters
    ----------
    components
        Whether to write the prices of input and of output, too: columns `price_COMPONENT` of `providers`, and a table
        `mixes` of the shares of components in the tokens of a user.

    Raises
    ------
    PrillmError
        When there is something in `out` already, or it cannot be written.
    """
    with new_folder(out) as place:
        for one in imported:
            (place / one.kind).mkdir(exist_ok=True)
            kept = components and one.by_component is not None
            by_component, said = (one.by_component, f"\n{_COMPONENTS[one.kind]}") if kept else (None, "")
            folder = place / one.kind / one.observations.name
            write_observations(
                one.observations, folder, form, one.about.readme(one.observations.name) + said, by_component
            )
        (place / "README.md").write_text(_contents(imported), encoding="utf-8")


def _contents(imported: Sequence[Imported]) -> str:
    lines = [
        "# Observation folders",
        "",
        "Made by `prillm-or import-openrouter`. The README.md of each says what is observed, derived, imputed, chosen.",
        "`providers/`: providers competing within one model. `apps/`: apps choosing among models. `hourly/` and "
        "`logged/`: providers within a model in which a price changed.",
        "",
        "| folder | days | users | providers | cells | flow per day, 1e9 tokens |",
        "|---|---|---|---|---|---|",
    ]
    for one in imported:
        seen = one.observations
        size = f"{seen.T} | {seen.n} | {seen.m} | {int(seen.cells.sum())} | {seen.flow.sum() / seen.T:.4g}"
        lines.append(f"| {one.kind}/{seen.name} | {size} |")
    return "\n".join(lines) + "\n"
