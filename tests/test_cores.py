"""Processes side by side keep to cores of their own, and say on how many they were."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from affinity import all_cores, on_all_cores
from faults.wrapped import Wrapped

from invmass.results.rows import load_rows

HERE = Path(__file__).parent
ALL = all_cores()
CORES = len(ALL)
pytestmark = pytest.mark.skipif(CORES < 2, reason="there are no cores to share out")
KEEP = """
import os
from invmass.runs.cores import pin_to_cores
pin_to_cores({number})
print(*os.sched_getaffinity(0), flush=True)
input()
"""


class Kept:
    """A process that keeps to so many cores until it is told to end."""

    def __init__(self, folder: Path, number: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", KEEP.format(number=number)],
            env=os.environ | {"TMPDIR": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.cores = {int(core) for core in self.process.stdout.readline().split()}

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Kept]]:
    started = []

    def start(number: int = 1) -> Kept:
        with on_all_cores():
            started.append(Kept(tmp_path, number))
        return started[-1]

    yield start
    for kept in started:
        kept.kill()


def test_each_process_has_a_core_of_its_own_and_what_a_dead_one_had(
    start: Callable[..., Kept],
) -> None:
    kept = [start() for _ in range(CORES)]
    assert all(len(one.cores) == 1 for one in kept)
    assert set.union(*(one.cores for one in kept)) == ALL
    kept[0].kill()
    assert start().cores == kept[0].cores
    more = [start() for _ in range(CORES)]  # than there are cores: two on each
    assert set.union(*(one.cores for one in more)) == ALL


def test_several_cores_are_different_ones(start: Callable[..., Kept]) -> None:
    assert len(start(CORES - 1).cores) == CORES - 1
    assert start(CORES).cores == start(CORES + 1).cores == ALL  # all that there are


class Watched(Wrapped):
    """Leaves word of the cores of its process."""

    name = "watched"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        word = " ".join(map(str, os.sched_getaffinity(0)))
        (Path(os.environ["WORD"]) / str(os.getpid())).write_text(word, encoding="utf-8")
        return matrix


@pytest.mark.parametrize("command", ["validate", "sweep"])
def test_jobs_are_kept_apart(command: str, tmp_path: Path) -> None:
    words = ["--case", "gaussian_mean", "--case", "gaussian_scale", "--metric", "diagonal"]
    word = tmp_path / "word"
    word.mkdir()
    with on_all_cores():
        subprocess.run(
            [sys.executable, "-m", "invmass", command, "--backend", "test_cores:Watched", *words,
             "--jobs", "2", "--results", str(tmp_path / "rows")],
            env=os.environ | {"PYTHONPATH": str(HERE), "TMPDIR": str(tmp_path), "WORD": str(word)},
            cwd=tmp_path,
            check=True,
            timeout=300,
        )  # fmt: skip
    told = [path.read_text(encoding="utf-8").split() for path in word.iterdir()]
    assert len(told) >= 2
    assert {len(cores) for cores in told} == {CORES // 2}
    assert len({core for cores in told for core in cores}) == CORES // 2 * 2
    assert set(load_rows(tmp_path / "rows")["cores"]) == {CORES // 2}
