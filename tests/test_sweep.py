"""A sweep gives the same rows wherever it runs, and loses nothing when something dies."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from affinity import CAN_KEEP, on_all_cores

from invmass.cli.grid import seeds_of
from invmass.errors import UsageError
from invmass.results.rows import load_rows

HERE = Path(__file__).parent
CHANGING = ("row_id", "run_id", "time", "seconds", "library_seconds", "cores")
SMALL = ("--case", "gaussian_mean", "--metric", "diagonal", "--backend", "hmc")


def command(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "invmass", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(HERE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def sweep(folder: Path, *words: str) -> tuple[int, str]:
    process = command(folder, "sweep", *SMALL, *words)
    told, _ = process.communicate(timeout=600)
    return process.returncode, told


def compared(folder: Path) -> list[str]:
    """All that a seed decides, as text: the same bit for bit."""
    rows = load_rows(folder / "invmass-results")
    kept = rows.drop(columns=list(CHANGING)).sort_values(["cell", "claim"])
    return [json.dumps(row, sort_keys=True) for row in kept.to_dict("records")]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep in one process."""
    folder = tmp_path_factory.mktemp("here")
    status, told = sweep(folder, "--seeds", "0-3")
    assert status == 0, told
    return folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A scheduler with two workers on this machine; its address and the folder of their files."""
    pytest.importorskip("distributed")
    folder = tmp_path_factory.mktemp("cluster")
    file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    local = ["--host", "127.0.0.1", "--no-dashboard"]
    environment = os.environ | {"PYTHONPATH": str(HERE), "INVMASS_KILLED_ONCE": f"{folder}/killed"}
    started = [
        subprocess.Popen(
            [*dask, "scheduler", *local, "--port", "0", "--scheduler-file", str(file)], **quiet
        )
    ]
    with on_all_cores():
        started += [
            subprocess.Popen(
                [*dask, "worker", *local, "--nthreads", "1", "--scheduler-file", str(file),
                 "--local-directory", str(folder)],
                env=environment, **quiet,
            )
            for _ in range(2)
        ]  # fmt: skip
    while not file.exists():
        time.sleep(0.1)
    yield json.loads(file.read_text())["address"], folder
    for process in started:
        process.terminate()
    for process in started:
        process.wait(30)


def test_rows_are_the_same_in_processes_and_in_a_later_run(here: Path, tmp_path: Path) -> None:
    status, told = sweep(tmp_path, "--seeds", "0-3", "--jobs", "2")
    assert status == 0, told
    assert "the probability that any of 32 verdicts is wrong is at most" in told
    assert compared(tmp_path) == compared(here)


def test_rows_are_the_same_on_a_dask_cluster(
    here: Path, tmp_path: Path, cluster: tuple[str, Path]
) -> None:
    status, told = sweep(tmp_path, "--seeds", "0-3", "--scheduler", cluster[0])
    assert status == 0, told
    assert compared(tmp_path) == compared(here)
    if CAN_KEEP:  # to as many cores as a worker has threads
        assert set(load_rows(tmp_path / "invmass-results")["cores"]) == {1}


def test_killed_worker_loses_nothing(here: Path, tmp_path: Path, cluster: tuple[str, Path]) -> None:
    """A worker is killed in the middle of a task; another is given the task."""
    words = ("--backend", "faults.breaking:KilledOnce", "--scheduler", cluster[0])
    status, told = sweep(tmp_path, *words, "--seeds", "0-3")
    assert (cluster[1] / "killed").exists()
    assert status == 0, told
    rows = load_rows(tmp_path / "invmass-results")
    assert set(rows["status"]) == {"pass"}
    assert rows.groupby("backend").size().to_dict() == {"hmc": 32, "killed-once": 32}
    assert [row for row in compared(tmp_path) if row in set(compared(here))] == compared(here)


def test_task_that_hangs_on_a_cluster_is_tried_once(
    tmp_path: Path, cluster: tuple[str, Path]
) -> None:
    words = ("--backend", "faults.breaking:Hangs", "--scheduler", cluster[0], "--time-limit", "20")
    began = time.monotonic()
    status, _ = sweep(tmp_path, *words, "--seeds", "0")
    assert status == 1
    assert time.monotonic() - began < 60
    rows = load_rows(tmp_path / "invmass-results").set_index("backend")
    assert "no answer within the limit" in rows.loc["hangs", "message"]
    assert set(rows.loc["hmc", "status"]) == {"pass"}


def test_named_claim_is_skipped_where_it_is_not_judged(tmp_path: Path) -> None:
    words = ("--claim", "equivariant", "--claim", "density agrees")
    status, told = sweep(tmp_path, *words)
    assert status == 0, told
    assert "hmc: 1 × skipped, it is judged on quadratic_fit" in told
    assert "any of 1 verdicts" in told
    status, told = sweep(tmp_path, *words[:2], "--seeds", "1")
    assert status == 1, told  # nothing was executed


def test_killed_sweep_goes_on_where_it_was(here: Path, tmp_path: Path) -> None:
    process = command(tmp_path, "sweep", *SMALL, "--seeds", "0-3")
    results = tmp_path / "invmass-results"
    while not any(file.stat().st_size for file in results.glob("*.jsonl")):
        time.sleep(0.05)
        assert process.poll() is None, process.stdout.read()  # type: ignore[union-attr]
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    kept = len(load_rows(results))
    assert 0 < kept < 32
    status, told = sweep(tmp_path, "--seeds", "0-3")
    assert status == 0, told
    assert f"{kept // 8} cell(s) were in the results folder already" in told
    assert compared(tmp_path) == compared(here)


def test_terminated_sweep_leaves_no_process_behind(tmp_path: Path) -> None:
    hangs = ("--backend", "faults.breaking:Hangs")
    process = command(tmp_path, "sweep", *SMALL[:4], *hangs, "--jobs", "1")
    parent = psutil.Process(process.pid)
    while not any("spawn_main" in " ".join(child.cmdline()) for child in parent.children()):
        time.sleep(0.05)
        assert process.poll() is None, process.stdout.read()  # type: ignore[union-attr]
    children = parent.children()
    process.terminate()
    assert process.wait(30) == 128 + signal.SIGTERM
    assert not psutil.wait_procs(children, 30)[1]


def test_lost_task_is_an_error_that_the_next_run_tries_again(tmp_path: Path) -> None:
    words = ("--backend", "faults.breaking:Killed", "--backend", "faults.breaking:Hangs")
    limits = ("--jobs", "2", "--time-limit", "30")
    status, told = sweep(tmp_path, *words, *limits, "--seeds", "0")
    assert status == 1
    rows = load_rows(tmp_path / "invmass-results").set_index("backend")
    assert set(rows.loc["hmc", "status"]) == {"pass"}
    assert "its process was lost" in rows.loc["killed", "message"]
    assert "no answer within the limit" in rows.loc["hangs", "message"]
    assert "error: invmass check gaussian_mean --backend faults.breaking:Killed" in told
    status, told = sweep(tmp_path, *words[:2], *limits[:2], "--seeds", "0")
    assert status == 1
    assert "1 cell(s) were in the results folder already" in told


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", [3]), ("0-2", [0, 1, 2]), ("5,0-1,1", [5, 0, 1])]
)
def test_seeds_are_numbers_and_ranges(text: str, seeds: list[int]) -> None:
    assert seeds_of(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "-1", "1-", "3-2", "1;2"])
def test_bad_seeds_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--seeds"):
        seeds_of(text)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--jobs", "2", "--scheduler", "tcp://127.0.0.1:9"), "give one"),
        (("--scheduler", "tcp://127.0.0.1:9"), "no Dask scheduler answers at tcp://127.0.0.1:9"),
        (("--claim", "nope"), "unknown claim 'nope'; the claims are: inverse Fisher"),
    ],
)
def test_bad_places_and_claims_are_one_message(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    if "9" in words[-1] and len(words) == 2:
        pytest.importorskip("distributed")
    status, output = sweep(tmp_path, *words)
    assert status == 2, output
    assert told in output
    assert "Traceback" not in output


def test_row_is_repeated_bit_for_bit(here: Path, tmp_path: Path) -> None:
    rows = load_rows(here / "invmass-results")
    row = rows[(rows["claim"] == "converges to its target") & (rows["seed"] == 2)].iloc[0]
    results = str(here / "invmass-results")
    process = command(tmp_path, "repeat", row["row_id"], "--results", results)
    told, _ = process.communicate(timeout=300)
    assert process.returncode == 0, told
    assert f"the same as in row {row['row_id']}, bit for bit" in told
    assert "draws are right" not in told  # it repeats this verdict alone
    (file,) = (here / "invmass-results").glob("*.jsonl")
    lines = map(json.loads, file.read_text().splitlines())
    (written,) = (line for line in lines if line["row_id"] == row["row_id"])
    written |= {"found": np.nextafter(written["found"], 2.0), "row_id": "changed"}
    path = tmp_path / "rows" / "rows.jsonl"
    path.parent.mkdir()
    path.write_text(json.dumps(written) + "\n")
    process = command(tmp_path, "repeat", "changed", "--results", str(path.parent))
    told, _ = process.communicate(timeout=300)
    assert "not as in row changed: found differ" in told
    process = command(tmp_path, "repeat", "nope", "--results", results)
    told, _ = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "no row 'nope'" in told
