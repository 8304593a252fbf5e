"""Gradients through the users' equilibrium: in units of equilibria, and against general differentiable QP layers.

The days of a market differ by prices and demands, its capacities stay, which spares the layers a parameter. A gradient
is that of the squared-flow loss by the offsets g, which is all a fit of weights and values needs. Cold starts afresh;
warm goes to and fro between two vectors of values 1 % apart, each time from the supports of the other.

The layers solve the programme of `peers.py` in its dense form, flows alone,

    min  sum_ij g_ij f_ij + 1/2 f^T H f,   H = kron(1 1^T + I, diag(1 / alpha)),   sum_j f_ij = D_i,   f >= 0,

with volumes in units of the mean demand. Each is asked for what it needs to get gradients near ours (its own defaults
where they do). `pip install proxsuite cvxpylayers qpax; pip install --no-deps --no-build-isolation qpth`; a layer that
is not there is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from benchmarks.clock import medians
from benchmarks.report import Table, Target, span, target_table
from prillm_or.market.synthetic import Shape, generate
from prillm_or.users.differentiable import Warm, equilibrium_flows
from prillm_or.users.equilibrium import solve_users
from prillm_or.users.problem import UserProblem, bare_users

_SIZES = ((8, 13, 64), (20, 20, 30))
_SHAPES: tuple[Shape, ...] = ("uniform", "heavy", "market")
_STEP = 0.01


@dataclass(frozen=True, eq=False)
class Days:
    """T days of one market: `offsets` (T, n, m), the same after a small step, `capacity` (T, m), `demand` (T, n).

    `observed` (T, n, m): flows that the fit aims at.
    """

    offsets: Tensor
    stepped: Tensor
    capacity: Tensor
    demand: Tensor
    observed: Tensor


@dataclass(frozen=True)
class Row:
    """Medians: equilibria of all days by `solve_users` one by one and by the layer, and a gradient of the loss."""

    size: str
    days: int
    shape: str
    start: str
    one_by_one_ms: float
    equilibria_ms: float
    gradient_ms: float
    ratio: float
    ratio_one_by_one: float


@dataclass(frozen=True)
class DifferencesRow:
    """One gradient by finite differences takes one forward pass more than there are parameters."""

    size: str
    days: int
    fit: str
    parameters: int
    gradient_ms: float
    differences_ms: float
    ratio: float


@dataclass(frozen=True)
class LayerRow:
    """A step is forward and backward; errors are the largest of flows and of gradients, relative to the largest."""

    layer: str
    version: str
    step_ms: float
    times_ours_cold: float
    times_ours_warm: float
    flow_error: float
    gradient_error: float


def measure(quick: bool) -> Iterator[Table]:
    """Gradients in equilibria, finite differences, layers, then the targets."""
    shapes = _SHAPES[:1] if quick else _SHAPES
    rows = [row for size in _SIZES for shape in shapes for row in _rows(*size, shape)]
    yield Table("gradient of the loss", rows, "ratio: gradient over the layer's equilibria of the same days and start")
    differences = [row for size in _SIZES for row in _differences(*size)]
    yield Table("finite differences", differences, "both cold, on the layer's own equilibria")
    layers = list(_layer_rows(_generate(8, 13, 64, "uniform")))
    yield Table("differentiable QP layers, 8x13, batch 64", layers, "a step of the loss, uniform market")
    ratios = [row.ratio for row in rows]
    targets = [Target("gradient / equilibria", max(ratios), 3.0, at_least=False, range=span(ratios))]
    targets += [
        Target(f"{row.size}, {row.parameters} parameters: differences / gradient", row.ratio, row.parameters / 3, True)
        for row in differences
    ]
    peers = [row for row in layers if not row.layer.startswith("ours")]
    if peers:
        fastest = min(peers, key=lambda row: row.step_ms)
        targets.append(Target(f"{fastest.layer} / ours, cold", fastest.times_ours_cold, 10.0, at_least=True))
    yield target_table(targets)


def _generate(users: int, providers: int, days: int, shape: Shape) -> Days:
    """Days of one generated market: prices within a fifth, demands within a half, flows 20 % off."""
    market, rng = generate(users, providers, shape, 1), np.random.default_rng(1)
    price = market.price * rng.uniform(0.8, 1.25, (days, providers))
    demand = torch.from_numpy(market.demand * rng.uniform(0.5, 1.5, (days, users)))
    capacity = torch.from_numpy(np.tile(market.capacity, (days, 1)))

    def offsets(value: np.ndarray[Any, np.dtype[np.float64]]) -> Tensor:
        delay = market.delay_weight[:, None] * market.delay
        own = market.price_weight[:, None] * price[:, None] + delay - value
        return torch.from_numpy(own / market.congestion_weight[:, None])

    here, there = offsets(market.value), offsets(market.value * rng.uniform(1 - _STEP, 1 + _STEP, providers))
    flow = equilibrium_flows(here, capacity, demand)
    noise = torch.from_numpy(np.exp(0.2 * rng.standard_normal(flow.shape)))
    return Days(here, there, capacity, demand, flow * noise)


def _gradient(days: Days, flows: Callable[[Tensor], Tensor], at: Tensor) -> tuple[Tensor, Tensor]:
    """Flows and the gradient of the loss by the offsets `at`."""
    given = at.detach().requires_grad_()
    flow = flows(given)
    (gradient,) = torch.autograd.grad((flow - days.observed).square().sum(), given)
    return flow.detach(), gradient


def _ours(days: Days, warm: Warm | None = None) -> Callable[[Tensor], Tensor]:
    return lambda offsets: equilibrium_flows(offsets, days.capacity, days.demand, warm=warm)


def _to_and_fro(days: Days, action: Callable[[Tensor], object]) -> Callable[[], object]:
    points = [days.offsets, days.stepped]

    def turn() -> object:
        points.reverse()
        return action(points[0])

    return turn


def _rows(users: int, providers: int, count: int, shape: Shape) -> Iterator[Row]:
    days = _generate(users, providers, count, shape)
    here, there = ([_problem(days, at, day) for day in range(count)] for at in (days.offsets, days.stepped))
    solved = [solve_users(problem, np.zeros(0)) for problem in there]
    kept = {"forward": Warm(), "gradient": Warm()}
    seconds = medians(
        {
            "cold one by one": lambda: [solve_users(problem, np.zeros(0)) for problem in here],
            "cold forward": lambda: _ours(days)(days.offsets),
            "cold gradient": lambda: _gradient(days, _ours(days), days.offsets),
            "warm one by one": lambda: [solve_users(p, np.zeros(0), s) for p, s in zip(here, solved, strict=True)],
            "warm forward": _to_and_fro(days, _ours(days, kept["forward"])),
            "warm gradient": _to_and_fro(days, lambda at: _gradient(days, _ours(days, kept["gradient"]), at)),
        }
    )
    for start in ("cold", "warm"):
        alone, forward, gradient = (1e3 * seconds[f"{start} {what}"] for what in ("one by one", "forward", "gradient"))
        size = f"{users}x{providers}"
        yield Row(size, count, shape, start, alone, forward, gradient, gradient / forward, gradient / alone)


def _problem(days: Days, at: Tensor, day: int) -> UserProblem:
    offsets = at[day].numpy()
    least = offsets.min(axis=1, keepdims=True)
    return bare_users(offsets - least, days.capacity[day].numpy(), days.demand[day].numpy())


def _differences(users: int, providers: int, count: int) -> Iterator[DifferencesRow]:
    days = _generate(users, providers, count, "uniform")
    for fit, parameters in (("common weights", 1 + providers), ("users' own weights", 3 * users + providers - 2)):

        def differences(passes: int = parameters + 1) -> None:
            for _ in range(passes):
                _ours(days)(days.offsets)

        actions: dict[str, Callable[[], object]] = {
            "gradient": lambda: _gradient(days, _ours(days), days.offsets),
            "differences": differences,
        }
        seconds = medians(actions, rounds=5)
        own, other = 1e3 * seconds["gradient"], 1e3 * seconds["differences"]
        yield DifferencesRow(f"{users}x{providers}", count, fit, parameters, own, other, other / own)


class Layer(Protocol):
    """A differentiable QP layer."""

    name: str
    package: str

    def __init__(self, days: Days) -> None: ...

    def gradient(self) -> tuple[Tensor, Tensor]:
        """Flows (T, n, m) and gradient of the loss by the offsets, in units of the days' volume."""


class _Dense:
    """The programme as matrices, volumes in units of the mean demand; `observed` in them, too."""

    def __init__(self, days: Days) -> None:
        self.shape = days.offsets.shape
        count, n, m = self.shape
        self.unit = float(days.demand.mean())
        slope = torch.diag(self.unit / days.capacity[0])
        self.hessian = torch.kron(torch.ones(n, n, dtype=torch.float64) + torch.eye(n, dtype=torch.float64), slope)
        self.rows = torch.kron(torch.eye(n, dtype=torch.float64), torch.ones(1, m, dtype=torch.float64))
        self.right = days.demand / self.unit
        self.cost = (days.offsets - days.offsets.amin(2, keepdim=True)).reshape(count, n * m)
        self.observed = (days.observed / self.unit).reshape(count, n * m)
        self.eye = torch.eye(n * m, dtype=torch.float64)
        self.zeros = torch.zeros(count, n * m, dtype=torch.float64)

    def gradient(self, solve: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Through torch's autograd."""
        cost = self.cost.detach().requires_grad_()
        flow = solve(cost)
        (gradient,) = torch.autograd.grad((flow - self.observed).square().sum(), cost)
        return self.in_volume(flow.detach(), gradient)

    def in_volume(self, flow: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Back to the days' unit: the loss is a square of volumes."""
        return self.unit * flow.reshape(self.shape), self.unit**2 * gradient.reshape(self.shape)


class QpLayer:
    """ProxSuite's QPLayer, augmented Lagrangian, one thread."""

    name, package = "QPLayer", "proxsuite"

    def __init__(self, days: Days) -> None:
        self._dense = _Dense(days)
        # The default of its backward pass, 1e-4, is its own error of the gradient.
        self._solve = import_module("proxsuite.torch.qplayer").QPFunction(eps_backward=1e-8)

    def gradient(self) -> tuple[Tensor, Tensor]:
        """Forward and backward."""
        d = self._dense
        high = d.zeros + 1e20
        return d.gradient(lambda cost: self._solve(d.hessian, cost, d.rows, d.right, d.eye, d.zeros, high)[0])


class Qpth:
    """Qpth (OptNet), batched interior point."""

    name, package = "qpth", "qpth"

    def __init__(self, days: Days) -> None:
        self._dense = _Dense(days)
        self._solve = import_module("qpth.qp").QPFunction(verbose=-1, check_Q_spd=False)

    def gradient(self) -> tuple[Tensor, Tensor]:
        """Forward and backward."""
        d = self._dense
        return d.gradient(lambda cost: self._solve(d.hessian, cost, -d.eye, d.zeros, d.rows, d.right))


class CvxpyLayers:
    """Cvxpylayers, cone programmes by diffcp, derivatives by dense factorisation."""

    name, package = "cvxpylayers", "cvxpylayers"

    def __init__(self, days: Days) -> None:
        self._dense = _Dense(days)
        cp: Any = import_module("cvxpy")
        _, n, m = self._dense.shape
        root = np.sqrt(self._dense.unit / days.capacity[0].numpy())
        flow, cost, demand = cp.Variable((n, m)), cp.Parameter((n, m)), cp.Parameter(n)
        squares = cp.sum_squares(cp.sum(flow, axis=0) @ np.diag(root)) + cp.sum_squares(flow @ np.diag(root))
        problem = cp.Problem(
            cp.Minimize(cp.sum(cp.multiply(cost, flow)) + squares / 2), [cp.sum(flow, axis=1) == demand, flow >= 0]
        )
        layer = import_module("cvxpylayers.torch").CvxpyLayer
        self._layer = layer(problem, parameters=[cost, demand], variables=[flow])

    def gradient(self) -> tuple[Tensor, Tensor]:
        """Forward and backward."""
        d = self._dense
        options = {"solve_method": "Clarabel", "mode": "dense", "n_jobs_forward": 1, "n_jobs_backward": 1}

        def solve(cost: Tensor) -> Tensor:
            flow: Tensor = self._layer(cost.reshape(d.shape), d.right, solver_args=options)[0]
            return flow.reshape(cost.shape)

        return d.gradient(solve)


class Qpax:
    """Qpax, interior point in JAX, compiled and mapped over the batch."""

    name, package = "qpax", "qpax"

    def __init__(self, days: Days) -> None:
        jax: Any = import_module("jax")
        jax.config.update("jax_enable_x64", True)
        qpax: Any = import_module("qpax")
        d = self._dense = _Dense(days)
        hessian, rows, right, cost, observed, eye, zeros = (
            jax.numpy.asarray(part.numpy()) for part in (d.hessian, d.rows, d.right, d.cost, d.observed, d.eye, d.zeros)
        )

        def loss(cost: Any, right: Any, observed: Any) -> Any:
            # Its derivatives are those of a relaxed problem; a small target leaves their bias below ours.
            flow = qpax.solve_qp_primal(hessian, cost, rows, right, -eye, zeros[0], solver_tol=1e-8, target_kappa=1e-10)
            return ((flow - observed) ** 2).sum(), flow

        batched = jax.jit(jax.vmap(jax.grad(loss, has_aux=True)))
        self._given = cost, right, observed
        self._run: Callable[..., Any] = lambda *given: jax.block_until_ready(batched(*given))

    def gradient(self) -> tuple[Tensor, Tensor]:
        """Forward and backward."""
        gradient, flow = self._run(*self._given)
        return self._dense.in_volume(torch.from_numpy(np.array(flow)), torch.from_numpy(np.array(gradient)))


_LAYERS: tuple[type[Layer], ...] = (QpLayer, Qpth, CvxpyLayers, Qpax)


def _layer_rows(days: Days) -> Iterator[LayerRow]:
    warm = Warm()
    actions: dict[str, Callable[[], Any]] = {
        "ours, cold": lambda: _gradient(days, _ours(days), days.offsets),
        "ours, warm": _to_and_fro(days, lambda at: _gradient(days, _ours(days, warm), at)),
    }
    versions = dict.fromkeys(actions, import_module("prillm_or").__version__)
    for kind in _LAYERS:
        try:
            actions[kind.name] = kind(days).gradient
        except ImportError:
            continue
        versions[kind.name] = import_module("importlib.metadata").version(kind.package)
    flow, gradient = actions["ours, cold"]()
    seconds = medians(actions, rounds=5)
    for name, action in actions.items():
        own_flow, own_gradient = (flow, gradient) if name == "ours, warm" else action()
        yield LayerRow(
            name,
            versions[name],
            1e3 * seconds[name],
            seconds[name] / seconds["ours, cold"],
            seconds[name] / seconds["ours, warm"],
            float((own_flow - flow).abs().max() / flow.max()),
            float((own_gradient - gradient).abs().max() / gradient.abs().max()),
        )
