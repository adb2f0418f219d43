"""Rows are read as they were written, whatever happens to a file."""

import threading
import warnings
from pathlib import Path

import pytest
from report_rows import VERDICTS, verdict, written

from invmass.errors import RowsError
from invmass.results.rows import RowWriter, load_rows, read_rows
from invmass.results.schema import INVERSE_FISHER


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    frame = load_rows(written(tmp_path / "results", *VERDICTS))
    assert len(frame) == len(VERDICTS)
    assert frame["row_id"].is_unique
    for row, original in zip(frame.to_dict("records"), VERDICTS, strict=True):
        assert {name: row[name] for name in original if original[name] is not None} == {
            name: value for name, value in original.items() if value is not None
        }


def test_a_truncated_last_line_is_passed_over_with_one_warning(tmp_path: Path) -> None:
    folder = written(tmp_path, *VERDICTS[:3])
    (path,) = folder.glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-40])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frame = load_rows(folder)
    assert len(caught) == 1
    assert f"{path.name}:3" in str(caught[0].message)
    assert list(frame["metric"]) == ["dense", "diagonal"]


def test_two_writers_in_one_folder_lose_nothing(tmp_path: Path) -> None:
    def write(name: str) -> None:
        written(tmp_path, *(verdict(name, "hmc", "dense", seed=seed) for seed in range(50)))

    writers = [threading.Thread(target=write, args=(name,)) for name in ("one", "two")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    frame = load_rows(tmp_path)
    assert frame["run_id"].nunique() == 2
    for name in ("one", "two"):
        assert list(frame.loc[frame["case"] == name, "seed"]) == list(range(50))


def test_a_writer_that_wrote_nothing_leaves_no_file(tmp_path: Path) -> None:
    RowWriter(tmp_path).close()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_a_rows_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RowsError, match="--results"):
        RowWriter(tmp_path / "file" / "results")


@pytest.mark.parametrize("content", [None, "", "not json\n", "[1, 2]\n", '{"case": "no kind"}\n'])
@pytest.mark.filterwarnings("ignore:.*unreadable")
def test_a_folder_without_rows_is_a_rows_error_with_its_remedy(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "broken.jsonl").write_text(content)
    with pytest.raises(RowsError, match=r"invmass validate --results"):
        load_rows(tmp_path)


def test_claims_of_older_rows_have_the_names_of_today(tmp_path: Path) -> None:
    old = ("matches the inverse Fisher", "disagrees as predicted", "density agrees")
    writer = RowWriter(tmp_path)
    writer.append(*({"kind": "verdict", "claim": claim} for claim in old))
    writer.close()
    assert [row["claim"] for row in read_rows(tmp_path)] == [
        INVERSE_FISHER,
        INVERSE_FISHER,
        "density agrees",
    ]
