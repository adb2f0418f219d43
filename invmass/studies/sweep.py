"""One combination at several seeds: all claims, as rows; made anywhere, and the same everywhere."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from invmass.claims.record import error_record, verdict_record
from invmass.claims.registry import CLAIMS, answers
from invmass.errors import InvmassError, UsageError
from invmass.model.catalogue import all_cases
from invmass.runs.environment import configure_jax, software
from invmass.runs.experiment import Experiment, Settings
from invmass.sampling.registry import load_backend

Row = dict[str, Any]


class Combination(NamedTuple):
    """What is judged, where, and how; by names, so that it can be sent to another process."""

    case: str
    spec: str
    metric: str
    settings: Settings
    claims: tuple[str, ...] = ()  # all but the long ones if empty
    device: str | None = None
    x64: bool = False

    def experiment(self, seed: int) -> Experiment:
        """The combination at one seed.

        Raises:
            UsageError: the device is not there.
        """
        if problem := configure_jax(self.device, self.x64):
            raise UsageError(problem)
        settings = replace(self.settings, seed=seed)
        return Experiment(all_cases()[self.case], load_backend(self.spec), self.metric, settings)

    def cell(self, seed: int) -> str:
        """All that its rows at one seed depend on: rows with the same cell need not be made again.

        But for the machine: there, numbers may differ in their last bits.
        """
        backend, case = load_backend(self.spec), all_cases()[self.case]
        told = self._asdict() | {
            "settings": asdict(replace(self.settings, seed=seed)),
            "case_version": case.version,
            "software": software(backend),
        }
        return json.dumps(told, sort_keys=True)


class Stretch(NamedTuple):
    """A combination, and some seeds at which it is judged."""

    combination: Combination
    seeds: tuple[int, ...]


def judge_stretch(stretch: Stretch) -> list[Row]:
    """The rows of all verdicts, in the order of the seeds."""
    return [row for seed in stretch.seeds for row in _whole_cell(stretch.combination, seed)]


def lost_rows(stretch: Stretch, reason: str) -> list[Row]:
    """Rows that say why there is none, for each of the seeds."""
    combination = stretch.combination
    return [
        error_record(combination.experiment(seed), None, reason)
        | {"cell": combination.cell(seed), "cell_rows": 1}
        for seed in stretch.seeds
    ]


def _whole_cell(combination: Combination, seed: int) -> list[Row]:
    """Rows that tell how many they are, so that a part of them is not taken for the whole."""
    rows = list(_rows(combination.experiment(seed), combination.claims))
    return [row | {"cell": combination.cell(seed), "cell_rows": len(rows)} for row in rows]


def _rows(experiment: Experiment, claims: tuple[str, ...]) -> Iterator[Row]:
    began, library, concern = time.perf_counter(), 0.0, []
    for claim in claims:
        if reason := CLAIMS[claim].not_judged_reason(experiment):
            yield error_record(experiment, claim, reason) | {"status": "skipped"}
        else:
            concern.append(claim)
    if claims and not concern:
        return
    for claim, answer in answers(experiment, concern):
        row = (
            error_record(experiment, claim, str(answer))
            if isinstance(answer, InvmassError)
            else verdict_record(experiment, claim, answer)
        )
        yield row | {
            "seconds": time.perf_counter() - began,
            "library_seconds": experiment.library_seconds - library,
        }
        began, library = time.perf_counter(), experiment.library_seconds
