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
from invmass.runs.cell import Cell
from invmass.runs.environment import configure_jax, software
from invmass.runs.experiment import Experiment, Settings
from invmass.sampling.registry import load_backend

Row = dict[str, Any]


class Combination(NamedTuple):
    """A cell, how and where it is judged; by names, so that it can be sent to another process.

    Attributes:
        cell: case, backend and metric.
        settings: of its verdicts; the seed is given apart.
        claims: those that are judged; all but the long ones if empty.
        device: "cpu", "gpu" or "tpu"; None for JAX's choice.
        x64: whether the samplers run in float64.
    """

    cell: Cell
    settings: Settings
    claims: tuple[str, ...] = ()
    device: str | None = None
    x64: bool = False

    def experiment(self, seed: int) -> Experiment:
        """The combination at one seed.

        Raises:
            UsageError: the device is not there.
        """
        if problem := configure_jax(self.device, self.x64):
            raise UsageError(problem)
        case, backend = all_cases()[self.cell.case], load_backend(self.cell.spec)
        return Experiment(case, backend, self.cell.metric, replace(self.settings, seed=seed))

    def row_key(self, seed: int) -> str:
        """All that its rows at one seed depend on, as their field "cell" has it.

        Rows with the same key need not be made again; but on another machine numbers may differ in
        their last bits.
        """
        backend, case = load_backend(self.cell.spec), all_cases()[self.cell.case]
        facts = {
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
        return json.dumps(facts, sort_keys=True)


class SeedBatch(NamedTuple):
    """A combination, and some seeds at which it is judged one after the other."""

    combination: Combination
    seeds: tuple[int, ...]


def judge_seeds(batch: SeedBatch) -> list[Row]:
    """The rows of all verdicts, in the order of the seeds."""
    return [row for seed in batch.seeds for row in _all_rows(batch.combination, seed)]


def lost_rows(batch: SeedBatch, reason: str) -> list[Row]:
    """Rows that say why there is no verdict, for each of the seeds."""
    combination = batch.combination
    return [
        error_record(combination.experiment(seed), None, reason)
        | {"cell": combination.row_key(seed), "cell_rows": 1}
        for seed in batch.seeds
    ]


def _all_rows(combination: Combination, seed: int) -> list[Row]:
    """The rows at one seed; each says how many there are, so that a part is not taken for all."""
    rows = list(_rows(combination.experiment(seed), combination.claims))
    return [row | {"cell": combination.row_key(seed), "cell_rows": len(rows)} for row in rows]


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
