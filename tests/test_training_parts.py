"""Parts of a training run: whose the folder is, who holds it, and what is left of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from prillm_or.abstraction.training.parts import held_parts, parts_of
from prillm_or.cli import run
from prillm_or.errors import PrillmError


def test_a_folder_of_parts_goes_when_all_went_well(tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    with held_parts(out) as parts:
        (parts / "chunk.npz").touch()
        (parts / "notes.txt").touch()
    assert [path.name for path in parts_of(out).iterdir()] == ["notes.txt"]
    (parts_of(out) / "notes.txt").unlink()
    with held_parts(out) as parts:
        (parts / "learned.safetensors").touch()
    assert not parts.exists()


def test_a_folder_of_parts_stays_when_a_run_ends_early_and_is_taken_up_again(tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"

    def stopped() -> None:
        with held_parts(out) as parts:
            (parts / "chunk.npz").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    with held_parts(out) as parts:
        assert (parts / "chunk.npz").exists()


def test_of_two_runs_with_one_output_the_second_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    with (
        held_parts(out),
        pytest.raises(PrillmError, match=r"parts: another training run is at work there"),
        held_parts(out),
    ):
        pass
    assert not parts_of(out).exists()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "w.safetensors"
    mine = parts_of(out)
    mine.mkdir()
    (mine / "thesis.npz").write_bytes(b"years of work")
    assert run(["train", "--out", str(out), "--scenarios", "100"]) == 2
    assert "holds something that no training run put there" in capsys.readouterr().err
    assert (mine / "thesis.npz").read_bytes() == b"years of work"


def test_a_symbolic_link_and_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    parts_of(tmp_path / "a").symlink_to(tmp_path / "elsewhere")
    parts_of(tmp_path / "b").touch()
    for name, says in (("a", "a symbolic link"), ("b", "File exists")):
        with pytest.raises(PrillmError, match=says), held_parts(tmp_path / name):
            pass
    assert list((tmp_path / "elsewhere").iterdir()) == []
