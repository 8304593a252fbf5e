"""Files: markets in, results out, every refusal, and the schema of the instance format."""

from prillm_or.files.markets import INLINE_DELAYS, Instance, read_market, write_market
from prillm_or.files.results import result_from_json, result_to_json, write_json
from prillm_or.files.schema import instance_schema

__all__ = [
    "INLINE_DELAYS",
    "Instance",
    "instance_schema",
    "read_market",
    "result_from_json",
    "result_to_json",
    "write_json",
    "write_market",
]
