"""Tables in the terminal lose no letter, whatever its width."""

import pytest

from invmass.terminal import table

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
