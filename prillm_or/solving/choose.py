"""choose: who computes; names resolved, `auto` decided, and solver, model and market checked to go together."""

from __future__ import annotations

from dataclasses import dataclass

from prillm_or.errors import CombinationError, argument
from prillm_or.market.market import Market
from prillm_or.models.capabilities import Capability
from prillm_or.models.registry import MODELS, ModelProfile, model_needs, model_profile
from prillm_or.solvers.registry import (
    SOLVERS,
    SolverProfile,
    capabilities,
    solver_profile,
    solvers_for,
    solvers_with,
)

_PREFERRED = ("highs", "scip", "gurobi", "ipopt")
_NOT_CONCAVE = "kkt-bilinear"
_LOCAL = "ascent"


@dataclass(frozen=True)
class Choice:
    """Who computes: a solver and, if it is algebraic, the model it gets."""

    solver: SolverProfile
    model: ModelProfile | None


def choose(market: Market, solver: str, model: str | None) -> Choice:
    """Resolve `auto`, and check that solver, model and market go together.

    Raises
    ------
    CombinationError, UnknownNameError, UnavailableError
        When they do not, a name is unknown, or a package is missing.
    """
    chosen = None if model is None else model_profile(model)
    profile = solver_profile(_automatic(market, chosen) if solver == "auto" else solver)
    asked = {Capability.SEVERAL_PRICES} if len(market.decisions) > 1 else set()
    asked |= set() if market.plain else {Capability.PRICE_LISTS}
    if lacking := asked - capabilities(profile.solver):
        several = f"the leader sets {len(market.decisions)} prices, solver {solver} takes one"
        lists = f"the leader sets components of a price list or factors, solver {solver} takes plain prices alone"
        able = solvers_with(asked)
        able.sort(key=lambda name: name == _LOCAL)
        why = several if Capability.SEVERAL_PRICES in lacking else lists
        raise CombinationError(f"{market.name}: {why}; use {argument('solver')} with {' or '.join(able)}")
    if SOLVERS[profile.solver].algebraic:
        chosen = chosen or _default_model(profile.solver)
        able = solvers_for(chosen.formulation)
        if profile.solver not in able:
            raise CombinationError(
                f"solver {profile.solver} cannot take the model {chosen.name}; {' or '.join(able)} can"
            )
        _refuse_not_concave(market, profile.solver, chosen.formulation)
    elif chosen is not None:
        able = solvers_for(chosen.formulation)
        raise CombinationError(
            f"solver {profile.solver} takes no model: leave {argument('model')} out, or use {argument('solver')} with "
            f"{' or '.join(able)}"
        )
    return Choice(profile, chosen)


def _refuse_not_concave(market: Market, solver: str, formulation: str) -> None:
    """Refuse a model with a concave profit where users' weights make it not concave, and name what the solver takes."""
    from prillm_or.models.concave import not_concave
    from prillm_or.models.curvature import concavity

    if Capability.CONVEX_MIQP not in model_needs(formulation) or (kappa := concavity(market)) <= 1:
        return
    able = solvers_for(_NOT_CONCAVE)
    own = ("path", "bisect") if len(market.decisions) == 1 else ("branch",)
    ways = [argument("solver", name) for name in own]
    if able:
        other = "" if solver in able else f" with {argument('solver', able[0])}"
        ways.insert(0, argument("model", _NOT_CONCAVE) + other)
    raise CombinationError(f"{not_concave(market, kappa)}; use {' or '.join(ways)}")


def _automatic(market: Market, model: ModelProfile | None) -> str:
    """The fastest that proves the gap: `path`, or `branch` of several prices; of a model, the first that takes it."""
    if model is not None:
        able = solvers_for(model.formulation)
        return next((name for name in _PREFERRED if name in able), _PREFERRED[0])
    return "path" if len(market.decisions) == 1 else "branch"


def _default_model(solver: str) -> ModelProfile:
    """The first formulation that the solver can take."""
    return model_profile(next(name for name in MODELS if solver in solvers_for(name)))
