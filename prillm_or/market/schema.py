"""The instance format as classes: the one source of what a field may hold and of the shipped JSON Schema."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, SkipValidation, Tag

from prillm_or.market.market import Units

NUMBER, OBJECT = "<number>", "<object>"
"""Tags of the two ways to write caps or delays; they show up in pydantic's locations and are removed from ours."""


def _one_or_each(value: object) -> str:
    return OBJECT if isinstance(value, dict) else NUMBER


def _storable(text: str) -> str:
    """Refuse half a surrogate pair, which JSON can escape and UTF-8 cannot hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair is not a character") from None
    return text


Text = Annotated[str, AfterValidator(_storable)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
OneOrEach = Annotated[
    Annotated[NonNegative, Tag(NUMBER)] | Annotated[dict[str, NonNegative], Tag(OBJECT)],
    Discriminator(_one_or_each),
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
    congestion: Positive = 1.0
    delay: NonNegative = 1.0


class Leader(Part):
    """Who sets prices: at least one provider, and at least one rival is left."""

    providers: list[Text] = Field(min_length=1, description="Ids of the leader's providers.")
    price_cap: OneOrEach = Field(
        description="Highest price, currency per volume unit: one number, or one for each of the leader's providers."
    )


class User(Part):
    """One demand."""

    id: Text
    demand: Positive = Field(description="Volume units per period.")
    weights: Weights = Field(default_factory=Weights)


class Provider(Part):
    """One priced service."""

    id: Text
    # NaN is how Market marks an absent price; as a factory it stays out of the JSON Schema, which cannot write it.
    price: NonNegative = Field(
        default_factory=lambda: math.nan,
        description="Price today, currency per volume unit; only the leader's providers may leave it out.",
    )
    capacity: Positive = Field(description="Volume units per congestion unit.")
    value: float = Field(default=0.0, description="Worth to users, currency per volume unit, of any sign.")
    unit_cost: NonNegative = Field(default=0.0, description="Cost of serving, currency per volume unit.")


class DelaysFile(Part):
    """Delays kept beside the file."""

    npy: Text = Field(description="Relative path of an .npy file that may not leave the folder of this file.")
    sha256: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of the .npy file, 64 hexadecimal digits; with it, a file of other content is refused.",
    )


class MarketFields(Part, title="MarketFile"):
    """One market: who wants what, who offers what, who leads."""

    format: Literal["prillm-or/market@1"]
    name: Text
    description: Text = Field(default="", description="Where the figures come from, with dates.")
    units: UnitLabels = Field(default_factory=UnitLabels)
    weights: Weights = Field(default_factory=Weights)
    leader: Leader
    users: list[User] = Field(min_length=1)
    providers: list[Provider] = Field(min_length=1)
    # Checked in `files/delays.py`: pydantic would build a million errors for a million bad numbers.
    delays: Annotated[list[list[NonNegative]] | DelaysFile, SkipValidation] = Field(
        description="delays[i][j], in the delay unit: a row for each user, a column for each provider, in file order."
    )


def instance_schema() -> dict[str, Any]:
    """JSON Schema of the instance format; what a schema cannot say (such as distinct ids) is left to `read_market`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **MarketFields.model_json_schema()}
