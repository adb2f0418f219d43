"""Rows of all verdicts on one combination at several seeds, in any process."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from invmass.claims.record import error_record, verdict_record
from invmass.claims.registry import CLAIMS, answers
from invmass.errors import InvmassError, UsageError
from invmass.model.catalogue import all_cases
from invmass.runs.cell import Cell
from invmass.runs.environment import configure_jax, software
from invmass.runs.experiment import Experiment, Settings
from invmass.sampling.registry import load_backend

Row = dict[str, Any]


class Combination(NamedTuple):
    """A cell with its settings and device, all given by name so that they can be pickled.

    Attributes:
        cell: case, backend and metric.
        settings: of the verdicts; the seed is replaced by that of each run.
        claims: names of the claims to judge; if empty, all except the long ones.
        device: "cpu", "gpu" or "tpu"; None for the default device of JAX.
        x64: whether the samplers run in float64.
    """

    cell: Cell
    settings: Settings
    claims: tuple[str, ...] = ()
    device: str | None = None
    x64: bool = False

    def experiment(self, seed: int) -> Experiment:
        """The experiment at one seed; sets JAX's device and precision.

        Raises:
            UsageError: JAX does not find the device.
        """
        if problem := configure_jax(self.device, self.x64):
            raise UsageError(problem)
        case, backend = all_cases()[self.cell.case], load_backend(self.cell.spec)
        return Experiment(case, backend, self.cell.metric, replace(self.settings, seed=seed))

    def row_key(self, seed: int) -> str:
        """Everything that the rows at one seed depend on, as JSON: the column "cell" of a row.

        Rows with the same key need not be computed again, although another machine may give
        numbers that differ in their last bits.
        """
        backend, case = load_backend(self.cell.spec), all_cases()[self.cell.case]
        inputs = {
            "case": self.cell.case,
            "spec": self.cell.spec,
            "metric": self.cell.metric,
            "settings": asdict(replace(self.settings, seed=seed)),
            "claims": self.claims,
            "device": self.device,
            "x64": self.x64,
            "case_version": case.version,
            "software": software(backend),
        }
        return json.dumps(inputs, sort_keys=True)


class SeedBatch(NamedTuple):
    """A combination, and the seeds at which one process judges it in turn."""

    combination: Combination
    seeds: tuple[int, ...]


def judge_seeds(batch: SeedBatch) -> list[Row]:
    """The rows of all verdicts, in the order of the seeds."""
    return [row for seed in batch.seeds for row in _all_rows(batch.combination, seed)]


def lost_rows(batch: SeedBatch, reason: str) -> list[Row]:
    """For each seed a row with the reason why there is no verdict."""
    combination = batch.combination
    return [
        error_record(combination.experiment(seed), None, reason)
        | {"cell": combination.row_key(seed), "cell_rows": 1}
        for seed in batch.seeds
    ]


def _all_rows(combination: Combination, seed: int) -> list[Row]:
    """The rows at one seed, each with their number, by which an incomplete set is recognised."""
    rows = list(_rows(combination.experiment(seed), combination.claims))
    return [row | {"cell": combination.row_key(seed), "cell_rows": len(rows)} for row in rows]


def _rows(experiment: Experiment, claims: tuple[str, ...]) -> Iterator[Row]:
    started, library, judged = time.perf_counter(), 0.0, []
    for claim in claims:
        if reason := CLAIMS[claim].not_judged_reason(experiment):
            yield error_record(experiment, claim, reason) | {"status": "skipped"}
        else:
            judged.append(claim)
    if claims and not judged:
        return
    for claim, answer in answers(experiment, judged):
        row = (
            error_record(experiment, claim, str(answer))
            if isinstance(answer, InvmassError)
            else verdict_record(experiment, claim, answer)
        )
        yield row | {
            "seconds": time.perf_counter() - started,
            "library_seconds": experiment.library_seconds - library,
        }
        started, library = time.perf_counter(), experiment.library_seconds
