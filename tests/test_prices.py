"""Price lists out of public tables: each schema by real rows, what cannot be kept, and the file that is written."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.commands import in_process, read_json
from prillm_or.cli import run
from prillm_or.errors import FaultsError
from prillm_or.files.markets import read_market
from prillm_or.prices.document import document
from prillm_or.prices.price_list import PriceList
from prillm_or.prices.tables import lists_from, read_table

DATA = Path(__file__).parent / "data" / "prices"
LITELLM, ENDPOINTS, MODELS_DEV = DATA / "litellm.json", DATA / "endpoints.json", DATA / "models.dev"


def lists(path: Path, *names: str) -> list[PriceList]:
    return lists_from(read_table(path), names)


def prices(path: Path, name: str) -> dict[str, float]:
    (found,) = lists(path, name)
    return {component: float(price) for component, price in found.price.items()}


def remarks(path: Path, name: str) -> tuple[str, ...]:
    (found,) = lists(path, name)
    return found.remarks


def refused(path: Path, *names: str) -> list[str]:
    with pytest.raises(FaultsError) as refusal:
        lists(path, *names)
    return list(refusal.value.problems)


def table(folder: Path, content: object) -> Path:
    path = folder / "table.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def row(folder: Path, **fields: object) -> Path:
    """A table of litellm's schema with one row, `a`."""
    return table(folder, {"a": {"litellm_provider": "a", "mode": "chat", **fields}})


def endpoint(folder: Path, **pricing: object) -> Path:
    """A table of the marketplace's schema with one endpoint, `a`."""
    return table(folder, {"data": {"id": "lab/model", "endpoints": [{"tag": "a", "pricing": pricing}]}})


def test_prices_by_the_token_become_those_of_a_million_to_the_digit() -> None:
    assert prices(LITELLM, "gpt-4o") == {"input": 2.5, "output": 10.0, "cached": 1.25}
    assert prices(LITELLM, "deepseek/deepseek-flash") == {"input": 0.3, "output": 1.2, "cached": 0.006}
    audio = {"input": 2.5, "output": 10.0, "input_audio": 32.0, "output_audio": 64.0}
    assert prices(LITELLM, "gpt-audio") == audio
    assert prices(LITELLM, "text-embedding-3-small") == {"input": 0.02, "output": 0.0}


def test_tiers_are_services_of_their_own() -> None:
    assert prices(LITELLM, "gpt-4o:priority") == {"input": 4.25, "output": 17.0, "cached": 2.125}
    usual = {"input": 10.0, "output": 50.0, "cached": 1.0, "cache_write": 12.5, "cache_write_12h": 25.0}
    assert prices(LITELLM, "gpt-6-astra") == usual | {"searches": 10_000.0}
    for tier, times in {"batch": 0.5, "flex": 0.5, "priority": 2.0, "ultrafast": 6.0, "eu": 1.1, "us": 1.1}.items():
        expected = {component: times * price for component, price in usual.items()}
        assert prices(LITELLM, f"gpt-6-astra:{tier}") == pytest.approx(expected | {"searches": 10_000.0}, rel=1e-15)
    assert prices(LITELLM, "claude-opus-5-5:fast")["cache_write_1h"] == 16.0


def test_what_a_tier_does_not_price_costs_what_it_does_without_and_that_is_said() -> None:
    batch = {"input": 2.0, "output": 10.0, "cached": 0.1, "cache_write": 2.5, "cache_write_1h": 8.0}
    assert prices(LITELLM, "claude-opus-5-5:batch") == batch | {"searches": 10_000.0}
    assert remarks(LITELLM, "claude-opus-5-5:batch") == ("priced as without the condition: cache_write_1h",)
    # The table lists thought at the price of other output, and for batch the price of output alone.
    assert "reasoning" not in prices(LITELLM, "gemini-2.5-flash:batch")


def test_longer_requests_are_lists_of_their_own() -> None:
    long = {"input": 20.0, "output": 75.0, "cached": 2.0, "cache_write": 25.0, "cache_write_12h": 50.0}
    assert prices(LITELLM, "gpt-6-astra:above-272k") == long | {"searches": 10_000.0}
    halved = {component: price / 2 for component, price in long.items()}
    assert prices(LITELLM, "gpt-6-astra:batch:above-272k") == halved | {"searches": 10_000.0}
    assert prices(LITELLM, "dashscope/qwen-flash") == {"input": 0.05, "output": 0.4}
    assert prices(LITELLM, "dashscope/qwen-flash:above-256k") == {"input": 0.25, "output": 2.0}
    said = "prices of requests of more than 256,000 tokens, not a service beside dashscope/qwen-flash"
    assert remarks(LITELLM, "dashscope/qwen-flash:above-256k") == (said,)


def test_a_longer_band_costs_what_a_shorter_one_does_where_it_says_nothing(tmp_path: Path) -> None:
    path = row(
        tmp_path,
        input_cost_per_token=1e-6,
        output_cost_per_token=4e-6,
        cache_read_input_token_cost=1e-7,
        input_cost_per_token_above_128k_tokens=2e-6,
        cache_read_input_token_cost_above_128k_tokens=2e-7,
        input_cost_per_token_above_512k_tokens=3e-6,
        output_cost_per_token_priority=8e-6,
    )
    assert prices(path, "a:above-512k") == {"input": 3.0, "output": 4.0, "cached": 0.2}
    assert prices(path, "a:priority") == {"input": 1.0, "output": 8.0, "cached": 0.1}


def test_what_cannot_be_kept_is_named() -> None:
    free, others = remarks(LITELLM, "gemini-2.5-flash")
    assert free.startswith('not kept: search_free_requests {"count": 1500, "period": "day"')
    assert others.startswith("has other prices under conditions: gemini-2.5-flash:batch, gemini-2.5-flash:flex")
    hours, written, _ = remarks(LITELLM, "deepseek/deepseek-flash")
    assert hours.startswith('not kept: off_peak_pricing.windows [{"hours_utc": ["00:00-01:00", ')
    assert written == "cache_write is listed at 0: taken as input"
    assert prices(LITELLM, "deepseek/deepseek-flash:off-peak") == {"input": 0.15, "output": 0.6, "cached": 0.003}


def test_searches_of_several_sizes_are_several_components() -> None:
    found = prices(LITELLM, "perplexity/sonar")
    assert {name: price for name, price in found.items() if name.startswith("searches")} == {
        "searches_low": 5_000.0,
        "searches_medium": 8_000.0,
        "searches_high": 12_000.0,
    }


def test_searches_of_one_price_and_free_tokens_are_kept(tmp_path: Path) -> None:
    path = row(tmp_path, input_cost_per_token=0, output_cost_per_token=0, search_context_cost_per_query=0.5)
    assert prices(path, "a") == {"input": 0.0, "output": 0.0, "searches": 500_000.0}


def test_an_unknown_price_is_named_and_one_of_nothing_is_not(tmp_path: Path) -> None:
    path = row(tmp_path, input_cost_per_token=1e-6, output_cost_per_token=0, cost_per_dream=0.5, cost_per_wish=0.0)
    assert remarks(path, "a") == ("not kept: cost_per_dream 0.5",)
    assert refused(LITELLM, "medlm-large") == [
        "medlm-large: has no price that we can keep: not kept: input_cost_per_character 5e-06; not kept: "
        "output_cost_per_character 1.5e-05"
    ]


def test_endpoints_of_a_model_by_their_tags() -> None:
    assert prices(ENDPOINTS, "baidu/fp8") == {"input": 0.2072, "output": 0.3108, "cached": 0.02072}
    alibaba = {"input": 0.3705, "output": 1.1115, "cached": 0.0741, "cache_write": 0.46345}
    assert prices(ENDPOINTS, "alibaba") == alibaba
    # The marketplace writes 0 where nothing is billed apart.
    assert "reasoning" not in prices(ENDPOINTS, "siliconflow/fp8")
    assert remarks(ENDPOINTS, "siliconflow/fp8") == ("reasoning is listed at 0: taken as output",)


def test_endpoints_with_prices_under_conditions(tmp_path: Path) -> None:
    overrides = [
        {"min_prompt_tokens": 200_000, "prompt": "0.000005", "completion": "0.00002"},
        {"utc_start": 1630, "utc_end": 30, "prompt": "0.000001"},
        {"weather": "rain", "prompt": "0.1"},
    ]
    path = endpoint(
        tmp_path, prompt="0.000002", completion="0.00001", input_cache_read="0.0000002", overrides=overrides
    )
    assert prices(path, "a:above-200k") == {"input": 5.0, "output": 20.0, "cached": 0.2}
    assert prices(path, "a:utc-1630-0030") == {"input": 1.0, "output": 10.0, "cached": 0.2}
    assert remarks(path, "a")[0] == 'not kept: overrides[2] {"weather": "rain", "prompt": "0.1"}'


def test_all_models_of_the_marketplace_by_their_ids(tmp_path: Path) -> None:
    pricing = {"prompt": "0.000002", "completion": "0.00001", "request": "0.005"}
    path = table(
        tmp_path, {"data": [{"id": "lab/model", "pricing": pricing}, {"id": "auto", "pricing": {"prompt": "-1"}}]}
    )
    assert prices(path, "lab/model") == {"input": 2.0, "output": 10.0, "requests": 5_000.0}
    assert refused(path, "auto") == ['auto.pricing.prompt: expected a number >= 0, got "-1"']


def test_conditions_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    fields = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
    path = row(tmp_path, **fields, tiered_pricing=[{"range": ["some", 9], **fields}])
    assert remarks(path, "a")[0].startswith('not kept: tiered_pricing [{"range": ["some", 9]')
    overrides = [{"min_prompt_tokens": float("inf"), "prompt": "1"}, {"utc_start": 30.5, "prompt": "1"}]
    path = endpoint(tmp_path, prompt="0.1", completion="0.1", overrides=overrides)
    assert [each.partition(" {")[0] for each in remarks(path, "a")] == [f"not kept: overrides[{k}]" for k in range(2)]
    cost = {"input": 1, "output": 2, "tiers": [{"input": 3, "tier": {"size": -1}}]}
    path = table(tmp_path, {"p": {"models": {"m": {"cost": cost}}}})
    assert remarks(path, "p/m")[0].startswith('not kept: cost.tiers["0"] {"input": 3')


def test_a_tag_that_comes_again_is_numbered(tmp_path: Path) -> None:
    twins = [{"tag": "a", "pricing": {"prompt": price, "completion": price}} for price in ("0.000001", "0.000002")]
    path = table(tmp_path, {"data": {"id": "lab/model", "endpoints": twins}})
    assert (prices(path, "a")["input"], prices(path, "a#2")["input"]) == (1.0, 2.0)


@pytest.mark.parametrize("below", [".", "providers"])
def test_files_of_models_dev(below: str) -> None:
    folder = MODELS_DEV / below
    assert prices(folder, "openai/gpt-5.5") == {"input": 5.0, "output": 30.0, "cached": 0.5}
    assert prices(folder, "openai/gpt-5.5:above-272k") == {"input": 10.0, "output": 45.0, "cached": 1.0}
    fast = {"input": 20.0, "output": 100.0, "cached": 2.0, "cache_write": 25.0}
    assert prices(folder, "openai/gpt-6-astra:fast") == fast
    audio = {"input": 0.3, "output": 2.5, "cached": 0.03, "input_audio": 1.0}
    assert prices(folder, "google/gemini-2.5-flash") == audio


def test_one_provider_and_one_file_of_models_dev(tmp_path: Path) -> None:
    one = MODELS_DEV / "providers" / "openai"
    assert prices(one, "openai/gpt-5.5")["cached"] == 0.5
    assert prices(one / "models" / "gpt-5.5.toml", "gpt-5.5")["cached"] == 0.5
    shutil.copytree(one / "models", tmp_path / "a" / "models" / "models")  # an id may have folders, of any name
    assert prices(tmp_path, "a/models/gpt-5.5")["cached"] == 0.5


def test_the_json_of_models_dev_says_what_its_files_say(tmp_path: Path) -> None:
    tiers = [{"input": 20, "output": 75, "cache_read": 2, "tier": {"type": "context", "size": 272000}}]
    old = {"input": 20, "output": 75, "cache_read": 2}
    cost = {"input": 10, "output": 50, "cache_read": 1, "tiers": tiers, "context_over_200k": old, "per_minute": 3}
    path = table(tmp_path, {"openai": {"id": "openai", "models": {"gpt": {"cost": cost}, "none": {"name": "none"}}}})
    assert prices(path, "openai/gpt:above-272k") == {"input": 20.0, "output": 75.0, "cached": 2.0}
    assert remarks(path, "openai/gpt") == (
        "not kept: cost.per_minute 3",
        "has other prices under conditions: openai/gpt:above-272k",
    )
    assert refused(path, "openai/none") == ['["openai/none"]: no table `cost`: it has no price']
    del cost["tiers"]
    path = table(tmp_path, {"openai": {"models": {"gpt": {"cost": cost}}}})
    assert prices(path, "openai/gpt:above-200k")["input"] == 20.0


def test_lists_of_services_have_the_same_components() -> None:
    written = document(lists(LITELLM, "gpt-4o", "claude-opus-5-5", "deepseek/deepseek-flash"), "")
    assert written["components"] == ["input", "output", "cached", "cache_write", "cache_write_1h", "searches"]
    first, second, third = (each["price"] for each in written["providers"])
    assert first == {
        **{"input": 2.5, "output": 10.0, "cached": 1.25},
        **{"cache_write": 2.5, "cache_write_1h": 2.5, "searches": 0.0},
    }
    assert second["cache_write_1h"] == 8.0
    assert third["cache_write"] == 0.3
    notes = {note["text"]: note["providers"] for note in written["notes"]}
    others = ["gpt-4o", "deepseek/deepseek-flash"]
    assert notes["billed as other tokens: cache_write as input, cache_write_1h as cache_write"] == others
    assert notes["not listed, taken as 0: searches"] == others


def test_a_component_that_tells_nothing_is_left_out() -> None:
    assert document(lists(LITELLM, "gpt-audio", "dashscope/qwen-flash"), "")["components"] == [
        *("input", "output", "input_audio", "output_audio")
    ]
    assert document(lists(LITELLM, "dashscope/qwen-flash"), "")["components"] == ["input", "output"]


def test_unknown_ids_are_told_the_nearest_all_at_once() -> None:
    assert refused(LITELLM, "gpt4o", "gpt-4o:bach", "dreams", "openai/gpt-4o:batch") == [
        "no service has the id 'gpt4o'; did you mean gpt-4o?",
        "gpt-4o has no prices ':bach'; there are gpt-4o, gpt-4o:batch, gpt-4o:priority",
        "no service has the id 'dreams'; there are 10, such as gpt-4o, gpt-6-astra, claude-opus-5-5",
        "no service has the id 'openai/gpt-4o:batch'; did you mean gpt-4o?",
    ]


def test_faults_of_the_rows_that_are_asked_for_are_listed(tmp_path: Path) -> None:
    bad = {"litellm_provider": "a", "input_cost_per_token": -1, "output_cost_per_token": "much"}
    path = table(tmp_path, {"a": bad, "b": bad | {"input_cost_per_token": {}}, "c": [1], "d": {"litellm_provider": ""}})
    assert refused(path, "a", "b", "c", "d") == [
        "a.input_cost_per_token: expected a number >= 0, got -1",
        'a.output_cost_per_token: expected a number >= 0, got "much"',
        "b.input_cost_per_token: expected a number >= 0, got an empty object",
        'b.output_cost_per_token: expected a number >= 0, got "much"',
        "c: expected an object, got a list",
        "d: has no price that we can keep: none",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON: "),
        (b"[1, 2]", "not a table of prices that is known: expected the JSON of litellm's table, "),
        (b'{"format": "prillm-or/market@1"}', "not a table of prices that is known: "),
        (b'{"data": []}', "not a table of prices that is known: "),
        (b'{"a": {"litellm_provider": "a"}, "a": 1}', "a: appears twice in its object; keep one"),
        (b"\x1f\x8b\x08", "is gzipped; give it a name that ends in .json.gz"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "table.json"
    path.write_bytes(content)
    with pytest.raises(FaultsError, match=f"^{re.escape(f'{path}: {message}')}"):
        read_table(path)


TIER = {"input": 20, "tier": {"type": "context", "size": 272000}}
COST = {"input": 10, "output": 50, "tiers": [TIER]}
OVERRIDES = [{"min_prompt_tokens": 200_000, "prompt": "0.1"}, {"utc_start": 100, "utc_end": 400, "prompt": "0.1"}]
TABLES = (
    *(path.read_text(encoding="utf-8") for path in (LITELLM, ENDPOINTS)),
    json.dumps({"openai": {"models": {"gpt": {"cost": COST, "experimental": {"modes": {"fast": {"cost": COST}}}}}}}),
    json.dumps({"data": [{"id": "a", "pricing": {"prompt": "1", "completion": "2", "overrides": OVERRIDES}}]}),
    json.dumps(document([PriceList("a", {"input": Decimal(1)}, ("why",))], "")),
)
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from([-1, 7, 10**400, "1e999", "\ud800"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)


def places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every object and list of a document, with each of its keys or positions."""
    for key in list(content) if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ():
        yield content, key
        yield from places(content[key])


@given(st.sampled_from(TABLES), JUNK, st.floats(0, 1, exclude_max=True))
def test_whatever_a_table_holds_there_are_lists_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, text: str, junk: object, place: float
) -> None:
    content = json.loads(text)
    found = list(places(content))
    holder, key = found[int(place * len(found))]
    holder[key] = junk
    path = table(tmp_path_factory.mktemp("junk"), content)
    with suppress(FaultsError):
        assert document(lists(path, *read_table(path).rows), "")["providers"]


def test_files_that_are_not_there_or_not_toml_are_refused(tmp_path: Path) -> None:
    for name in ("none.json", "none.toml"):
        with pytest.raises(FaultsError, match="cannot be read: No such file"):
            read_table(tmp_path / name)
    with pytest.raises(FaultsError, match=r"no files PROVIDER/models/MODEL.toml in this folder"):
        read_table(tmp_path)
    broken = tmp_path / "broken.toml"
    broken.write_text("[cost", encoding="utf-8")
    assert refused(broken, "broken")[0].startswith("broken: broken.toml: not a TOML file: ")


def test_the_command_writes_what_a_market_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "table.json.gz", tmp_path / "lists.json"
    path.write_bytes(gzip.compress(LITELLM.read_bytes()))
    command = ["prices", str(path), "--providers", "gpt-4o, gpt-4o:batch", "--out", str(out)]
    assert run(command) == 0
    written = read_json(out)
    assert written["format"] == "prillm-or/prices@1"
    assert written["units"] == {"currency": "USD", "volume": "1e6 tokens"}
    assert written["components"] == ["input", "output", "cached"]
    assert written["providers"][0] == {"id": "gpt-4o", "price": {"input": 2.5, "output": 10.0, "cached": 1.25}}
    shown = " ".join(capsys.readouterr().out.split())
    assert "gpt-4o:batch input 1.25, output 5, cached 1.25" in shown
    assert "* gpt-4o: has other prices under conditions: gpt-4o:batch, gpt-4o:priority" in shown
    before = out.read_bytes()
    assert run(command) == 0
    assert out.read_bytes() == before


def test_what_was_written_is_a_table_again(tmp_path: Path) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    ids = "claude-opus-5-5,gpt-6-astra,gemini-2.5-flash"
    assert run(["prices", str(LITELLM), "--providers", ids, "--out", str(first)]) == 0
    assert run(["prices", str(first), "--providers", ids, "--out", str(second)]) == 0
    once, again = read_json(first), read_json(second)
    assert once["components"] == again["components"]
    assert once["providers"] == again["providers"]
    assert once["notes"] == again["notes"]


def test_lists_that_are_pasted_make_a_market(tmp_path: Path) -> None:
    written = document(lists(LITELLM, "gpt-4o", "gpt-audio"), "")
    market = {
        **{key: written[key] for key in ("components", "units")},
        **{"format": "prillm-or/market@1", "name": "pasted", "delays": [[1.0, 2.0]]},
        "leader": {"providers": ["gpt-4o"], "decides": ["output"], "price_cap": 20.0},
        "users": [{"id": "app", "demand": 1.0, "mix": {"input": 0.25, "output": 0.25, "cached": 0.5}}],
        "providers": [each | {"capacity": 1.0} for each in written["providers"]],
    }
    read = read_market(table(tmp_path, market)).market
    assert read.components == ("input", "output", "cached", "input_audio", "output_audio")
    assert read.price.tolist() == [[2.5, 10.0, 1.25, 2.5, 10.0], [2.5, 10.0, 2.5, 32.0, 64.0]]
    assert (read.price @ read.mix[0]).tolist() == [3.75, 4.375]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--providers", "gpt-4o,,a", "--out", "o.json"),
            "--providers: expected different ids, with commas between them;",
        ),
        (("--providers", "a,b,a", "--out", "o.json"), "'a' is given twice"),
        (("--providers", "a", "--out", "o.csv"), "o.csv: expected a file name that ends in .json"),
        (("--providers", "a", "--out", "none/o.json"), "none/o.json: the folder none does not exist"),
        (("--out", "o.json"), "Missing option '--providers'"),
    ],
)
def test_bad_arguments_are_one_line(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["prices", str(LITELLM), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert not Path("o.json").exists()


def test_the_table_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "table.json"
    shutil.copy(LITELLM, path)
    assert run(["prices", str(path), "--providers", "gpt-4o", "--out", str(path)]) == 2
    assert "is read, too" in capsys.readouterr().err
    assert path.read_bytes() == LITELLM.read_bytes()


@pytest.mark.wheel
def test_prices_in_a_real_process(tmp_path: Path) -> None:
    done = in_process("prices", str(ENDPOINTS), "--providers", "alibaba,baidu/fp8", "--out", "o.json", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert read_json(tmp_path / "o.json")["components"] == ["input", "output", "cached", "cache_write"]
    lost = in_process("prices", str(ENDPOINTS), "--providers", "alibabba", "--out", "o.json", folder=tmp_path)
    assert lost.returncode == 2
    assert lost.stderr == f"{ENDPOINTS}: no service has the id 'alibabba'; did you mean alibaba?\n"
