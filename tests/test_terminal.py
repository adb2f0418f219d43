"""Tables in the terminal lose no letter, whatever its width."""

import pytest

from invmass.cli.terminal import matrix, table

WORDS = [f"{letter * 12}end" for letter in "abcdefghij"]


def test_table_in_a_pipe_has_its_own_width(capsys: pytest.CaptureFixture[str]) -> None:
    table("wide", [dict(zip(WORDS, WORDS, strict=True))])
    header, line = (line for line in capsys.readouterr().out.splitlines() if "end" in line)
    assert all(word in header and word in line for word in WORDS)


def test_table_in_a_narrow_terminal_is_folded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    table("wide", [dict(zip(WORDS, WORDS, strict=True))])
    out = capsys.readouterr().out
    assert "…" not in out
    for letter in "abcdefghij":
        assert out.count(letter) >= 24, "twelve in the header, twelve in the line"


def test_what_rounding_leaves_of_a_zero_is_shown_as_zero(
    capsys: pytest.CaptureFixture[str],
) -> None:
    matrix("small", ["a", "b"], [[4e-20, 3e-33], [3e-31, 9e-20]])
    first, second = (line for line in capsys.readouterr().out.splitlines() if "e-20" in line)
    assert [cell.strip() for cell in first.split("│")[1:-1]] == ["a", "4e-20", "0"]
    assert [cell.strip() for cell in second.split("│")[1:-1]] == ["b", "3e-31", "9e-20"]


def test_title_longer_than_its_table_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    table("a title of many words", [{"a": 1}])
    assert capsys.readouterr().out.splitlines()[0] == "a title of many words"
