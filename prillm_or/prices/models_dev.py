"""models.dev: a folder of TOML files, one for each provider and model, or the JSON made of it; USD per 1e6 tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path

from prillm_or.files.documents import parse_toml
from prillm_or.files.reading import read_content
from prillm_or.market.checks import entries, member
from prillm_or.market.faults import Faults, Where
from prillm_or.prices.price_list import Condition, PriceList, lists_of, not_kept, read_prices, whole

_COMPONENTS = {
    "input": "input",
    "output": "output",
    "cache_read": "cached",
    "cache_write": "cache_write",
    "reasoning": "reasoning",
    "input_audio": "input_audio",
    "output_audio": "output_audio",
}
_BANDS, _OLD_BAND, _OLD_LENGTH = "tiers", "context_over_200k", 200_000
_MODELS = "models"
_KNOWN = {*_COMPONENTS, "tier", "context"}


def models_dev_rows(document: object) -> dict[str, object]:
    """Models of the JSON by `PROVIDER/MODEL`; none of another document."""
    return {
        f"{provider}/{model}": row
        for provider, part in (document.items() if isinstance(document, dict) else ())
        if isinstance(models := member(part, _MODELS), dict)
        for model, row in models.items()
    }


def models_dev_files(path: Path) -> dict[str, object]:
    """Files by `PROVIDER/MODEL`: of a checkout, its folder `providers`, or one provider's; one file by its name."""
    if path.is_file():
        return {path.stem: path}
    path = path.absolute()
    places = ((path / "providers", f"*/{_MODELS}"), (path, f"*/{_MODELS}"), (path, _MODELS))
    for folder, models in places:
        if files := sorted(folder.glob(f"{models}/**/*.toml")):
            start = folder.parent if models == _MODELS else folder
            return {_id_of(file.relative_to(start)): file for file in files}
    return {}


def _id_of(file: Path) -> str:
    """`PROVIDER/MODEL` of a file `PROVIDER/models/MODEL.toml`."""
    provider, _, *model = file.with_suffix("").parts
    return "/".join((provider, *model))


def read_models_dev(name: str, row: object, faults: Faults) -> dict[str, PriceList]:
    """Price lists of a model, by id."""
    if isinstance(row, Path):
        try:
            document: object = parse_toml(read_content(row))
        except ValueError as refusal:
            faults.add((name,), f"{row.name}: {refusal}")
            return {}
        return read_models_dev(name, document, faults)
    cost = member(row, "cost")
    if not isinstance(cost, dict):
        faults.add((name,), "no table `cost`: it has no price")
        return {}
    prices: dict[Condition, dict[str, Decimal]] = {}
    lost = []
    for condition, at, fields in _parts(row, cost):
        prices.setdefault(condition, {}).update(read_prices(fields, _COMPONENTS, (name, *at), faults, 1))
        lost += [not_kept((*at, field), fields[field]) for field in fields if field not in _KNOWN]
    return lists_of(name, prices, lost)


def _parts(row: object, cost: Mapping[str, object]) -> Iterator[tuple[Condition, Where, Mapping[str, object]]]:
    """The usual prices, and those under conditions: of longer requests, and of other ways to be served."""
    yield Condition(), ("cost",), {field: value for field, value in cost.items() if field not in (_BANDS, _OLD_BAND)}
    if isinstance(old := cost.get(_OLD_BAND), dict) and _BANDS not in cost:  # else it repeats one of them
        yield Condition(above=_OLD_LENGTH), ("cost", _OLD_BAND), old
    for k, band in enumerate(entries(cost.get(_BANDS))):
        above = whole(member(member(band, "tier"), "size") or member(member(band, "context"), "min"))
        if isinstance(band, dict) and above is not None:
            yield Condition(above=above), ("cost", _BANDS, k), band
        else:
            yield Condition(), ("cost", _BANDS), {str(k): band}
    modes = member(member(row, "experimental"), "modes")
    for tier, mode in modes.items() if isinstance(modes, dict) else ():
        if isinstance(fields := member(mode, "cost"), dict):
            yield Condition(tier), ("experimental", "modes", tier, "cost"), fields
