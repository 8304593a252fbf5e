"""The instance format as classes: the one source of what a field may hold and of the shipped JSON Schema."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, SkipValidation, Tag

from prillm_or.market.market import Units

NUMBER, OBJECT, TEXT, LIST = TAGS = ("<number>", "<object>", "<text>", "<list>")
"""Tags of the ways to write a field; they show up in pydantic's locations and are removed from ours."""


def _one_or_each(value: object) -> str:
    return OBJECT if isinstance(value, dict) else NUMBER


def _text_or_list(value: object) -> str:
    return LIST if isinstance(value, list) else TEXT


def _list_or_each(value: object) -> str:
    return OBJECT if isinstance(value, dict) else LIST


def _storable(text: str) -> str:
    """Refuse half a surrogate pair, which JSON can escape and UTF-8 cannot hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair is not a character") from None
    return text


def _whole(value: float) -> float:
    if value != round(value):
        raise ValueError("expected a whole number >= 1")
    return value


def _without_dot(text: str) -> str:
    """Refuse a dot, which parts a provider from its component in the name of a decision."""
    if "." in text:
        raise ValueError("expected a name without a dot")
    return text


def _ordered(ends: list[float]) -> list[float]:
    if ends[0] > ends[1]:
        raise ValueError("expected the lower one first")
    return ends


def _writable(scores: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(scores, allow_nan=False)
    except ValueError:
        raise ValueError("expected finite numbers") from None
    return scores


Text = Annotated[str, AfterValidator(_storable)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
OneOrEach = Annotated[
    Annotated[NonNegative, Tag(NUMBER)] | Annotated[dict[str, NonNegative], Tag(OBJECT)],
    Discriminator(_one_or_each),
]
Caps = Annotated[
    Annotated[NonNegative, Tag(NUMBER)] | Annotated[dict[str, OneOrEach], Tag(OBJECT)], Discriminator(_one_or_each)
]
Ends = Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_ordered)]
Ranges = Annotated[Annotated[Ends, Tag(LIST)] | Annotated[dict[str, Ends], Tag(OBJECT)], Discriminator(_list_or_each)]
Count = Annotated[float, Field(ge=1, json_schema_extra={"multipleOf": 1}), AfterValidator(_whole)]
Component = Annotated[Text, AfterValidator(_without_dot)]
Decides = Annotated[
    Annotated[Literal["components", "factor"], Tag(TEXT)] | Annotated[list[Text], Field(min_length=1), Tag(LIST)],
    Discriminator(_text_or_list),
]


class Part(BaseModel):
    """A part of the file: nothing is converted, nothing unknown is let through."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class UnitLabels(Part):
    """Labels of the units; nothing is converted. What is left out has none."""

    currency: Text = Units.currency
    volume: Text = Units.volume
    delay: Text = Units.delay
    period: Text = Units.period


class Weights(Part):
    """Weights of price, congestion and delay. A user's own weights override the market's key by key."""

    price: Positive = 1.0
    congestion: NonNegative = 1.0
    delay: NonNegative = 1.0


class Leader(Part):
    """Who sets prices: at least one provider, and at least one rival is left."""

    providers: list[Text] = Field(min_length=1, description="Ids of the leader's providers.")
    decides: Decides = Field(
        default="components",
        description="What is set: the price of each component, those of some components, or a factor on price lists.",
    )
    price_cap: Caps = Field(
        description="Highest price, currency per volume unit, or factor: one number, or one for each of the leader's "
        "providers, or for each of its components that are decided."
    )


class User(Part):
    """One demand."""

    id: Text
    demand: Positive = Field(description="Volume units per period.")
    mix: dict[str, NonNegative] = Field(
        default_factory=dict, description="Units of each component in one unit of volume; one left out is 0."
    )
    count: Count = Field(default=1.0, description="How many equal users share the demand evenly.")
    dispersion: NonNegative = Field(
        default_factory=lambda: math.nan, description="In place of the market's; currency per volume unit."
    )
    values: dict[str, float] = Field(default_factory=dict, description="In place of the providers' own, by id.")
    weights: Weights = Field(default_factory=Weights)


class Provider(Part):
    """One priced service."""

    id: Text
    # NaN is how Market marks an absent price; as a factory it stays out of the JSON Schema, which cannot write it.
    price: OneOrEach = Field(
        default_factory=lambda: math.nan,
        description="Price today, currency per volume unit, of all components or by component; only what the leader "
        "decides may be left out.",
    )
    capacity: Positive = Field(
        default_factory=lambda: 1.0,
        description="Volume units per congestion unit; only where no user weighs congestion it may be left out.",
    )
    value: float = Field(default=0.0, description="Worth to users, currency per volume unit, of any sign.")
    unit_cost: OneOrEach = Field(
        default=0.0, description="Cost of serving, currency per volume unit, of all components or by component."
    )
    dispersion: NonNegative = Field(default=1.0, description="Multiplies that of its users.")


class DelaysFile(Part):
    """Delays kept beside the file."""

    npy: Text = Field(
        description="Relative path of an .npy file, or of a folder of them, that may not leave the folder of this file."
    )
    sha256: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of the .npy file, or of a folder's one after the other, 64 hexadecimal digits; with it, "
        "other content is refused.",
    )


class FitFields(Part):
    """What `calibrate` notes of the fit that a market comes from."""

    elasticity_range: Ends | None = Field(
        default=None, description="Own elasticities of the leader that the data do not tell apart."
    )
    best_price_range: Ranges | None = Field(
        default=None,
        description="Best prices that the data do not tell apart: of one decision, or by the name of each of several.",
    )
    scores: Annotated[dict[str, dict[str, Any]], AfterValidator(_writable)] = Field(
        default_factory=dict, description="By method: how well it predicts."
    )


class MarketFields(Part, title="MarketFile"):
    """One market: who wants what, who offers what, who leads."""

    format: Literal["prillm-or/market@1"]
    name: Text
    description: Text = Field(default="", description="Where the figures come from, with dates.")
    units: UnitLabels = Field(default_factory=UnitLabels)
    weights: Weights = Field(default_factory=Weights)
    dispersion: NonNegative = Field(
        default=0.0,
        description="How much dearer a provider becomes to a user from its first to its last unit of demand, beside "
        "congestion; currency per volume unit.",
    )
    components: list[Component] = Field(
        default_factory=list,
        min_length=1,
        description="What is billed apart; left out, a volume unit has one price.",
    )
    leader: Leader
    users: list[User] = Field(min_length=1)
    providers: list[Provider] = Field(min_length=1)
    # Checked in `files/delays.py`: pydantic would build a million errors for a million bad numbers.
    delays: Annotated[list[list[NonNegative]] | DelaysFile, SkipValidation] = Field(
        description="delays[i][j], in the delay unit: a row for each user, a column for each provider, in file order."
    )
    fit: FitFields | None = None


def instance_schema() -> dict[str, Any]:
    """JSON Schema of the instance format; what a schema cannot say (such as distinct ids) is left to `read_market`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **MarketFields.model_json_schema()}
