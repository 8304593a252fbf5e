"""How much of a public table of prices is kept: `python -m benchmarks.price_tables TABLE`, one of litellm's.

Of the chat models that it prices by the token: how many keep every number they have, and how many of these have no
prices by length or hour.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from prillm_or.market.checks import member
from prillm_or.market.faults import Faults
from prillm_or.prices.tables import read_table


def main() -> None:
    """See the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    table = read_table(parser.parse_args().table)
    priced = kept = simple = faulty = 0
    for name, row in table.rows.items():
        if member(row, "mode") != "chat":
            continue
        faults = Faults()
        lists = table.read(name, row, faults)
        if not any({"input", "output"} & set(each.price) for each in lists.values()):
            continue
        priced, faulty = priced + 1, faulty + bool(faults.lines())
        whole = not faults.lines() and not any("not kept" in remark for remark in lists[name].remarks)
        kept += whole
        simple += whole and not any(":above-" in each or ":off-peak" in each for each in lists)
    print(f"{priced} chat models priced by the token, {faulty} of them with faults")
    print(f"{kept} keep every number ({kept / priced:.1%}), {simple} of these without prices by length or hour")


if __name__ == "__main__":
    main()
