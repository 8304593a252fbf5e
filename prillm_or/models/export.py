"""export: the reformulated programme as a file for other tools."""

from __future__ import annotations

import secrets
from pathlib import Path

from prillm_or.errors import CombinationError, PrillmError
from prillm_or.market.market import Market
from prillm_or.models.formulation import Build
from prillm_or.models.window import whole_window

ENDINGS = (".lp", ".mps", ".nl")


def export_model(market: Market, build: Build, path: Path) -> None:
    """Write the programme that a formulation makes of a market, squares and products as they are, with its names.

    Parameters
    ----------
    build
        Builds the formulation, for all decisions.
    path
        Ends in .lp, .mps or .nl; written whole or not at all.

    Raises
    ------
    PrillmError
        When the ending is another, the formulation has rows that no file format of Pyomo's holds, or the file cannot
        be written.
    """
    if path.suffix not in ENDINGS:
        raise PrillmError(f"{path}: expected a name that ends in {', '.join(ENDINGS)}")
    formulation = build(market, whole_window(market))
    if getattr(formulation.model, "indicators", None):
        raise CombinationError(f"{formulation.name}: no file format of Pyomo's holds indicator rows; export kkt-bigm")
    if formulation.profit is not None:
        formulation.profit.use_squares()
    temporary = path.with_name(f".{secrets.token_hex(4)}{path.name}")
    try:
        formulation.model.write(str(temporary), io_options={"symbolic_solver_labels": True})
        temporary.replace(path)
    except OSError as error:
        raise PrillmError(f"{path}: cannot be written: {error.strerror}") from None
    except (RuntimeError, ValueError) as error:
        raise CombinationError(f"{formulation.name} cannot be written as {path.suffix}: {error}") from None
    finally:
        for leftover in path.parent.glob(f"{temporary.stem}.*"):
            leftover.unlink(missing_ok=True)
