"""What was found out about a user's model, as JSON and as rows of a results folder."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from invmass.claims.reading import Reading
from invmass.claims.record import SHOWN_DIMENSION, SHOWN_REPLICATES
from invmass.results.schema import INVERSE_FISHER
from invmass.results.status import Status
from invmass.user_model.adaptation import Adaptation
from invmass.user_model.entries import Entry
from invmass.user_model.numpyro_model import NumPyroModel
from invmass.user_model.warm_start_saving import Saving
from invmass.user_model.warm_up_runs import STARTS

_STATUS_FROM_WORST = {
    Reading.WRONG: Status.FAIL,
    Reading.UNDECIDED: Status.INCONCLUSIVE,
    Reading.DIFFERS: Status.PASS,
    Reading.MATCHES: Status.PASS,
}


def model_record(model: NumPyroModel) -> dict[str, Any]:
    """The inverse Fisher information of a model as JSON, or why there is none."""
    record: dict[str, Any] = {"coordinates": list(model.coordinates), "starts": STARTS}
    if model.why_no_fisher:
        return record | {"why_no_fisher": model.why_no_fisher}
    return record | {
        "x": {name: value.tolist() for name, value in model.point.items()},
        "z": model.position.tolist(),
        "kind": model.kind,
        "sources": dict(model.sources),
        "derivatives": model.derivatives,
        "with_prior": model.with_prior,
        "inverse_fisher_z": model.inverse_fisher.tolist(),
        "inverses_z": {name: inverse.tolist() for name, inverse in model.inverses.items()},
    }


def metric_record(
    adaptation: Adaptation, entries: Sequence[Entry], saving: Saving
) -> dict[str, Any]:
    """One metric as JSON, which has no tuples as keys.

    Args:
        adaptation: of the metric.
        entries: all of its entries.
        saving: what starting from its reference saves.
    """
    structure, metric = adaptation.structure, adaptation.metric
    blocks = metric.dictionary(adaptation.reference)
    return {
        "metric": structure if isinstance(structure, str) else [list(names) for names in structure],
        "reference": adaptation.reference_name,
        "why_no_fisher": adaptation.why_no_fisher,
        "floor": asdict(adaptation.floor) if adaptation.floor else None,
        "inverse_mass_matrix": [
            {"sites": list(names), "values": np.asarray(block).tolist()}
            for names, block in blocks.items()
        ],
        "dense_mass": [list(names) for names in metric.dense_mass],
        "entries": [asdict(entry) for entry in entries],
        "divergences": adaptation.divergences,
        "saving": asdict(saving),
    }


def entry_rows(adaptation: Adaptation, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """One row for each entry, with the columns of an answer in a notebook."""
    return [_common(adaptation) | _interval(entry) for entry in entries]


def verdict_row(adaptation: Adaptation, entries: Sequence[Entry]) -> dict[str, Any]:
    """One row for all entries, with what a picture of the tuned metrics needs."""
    readings = {entry.finding for entry in entries}
    status = next(status for reading, status in _STATUS_FROM_WORST.items() if reading in readings)
    return (
        _common(adaptation)
        | {"kind": "verdict", "status": status, "intervals": list(map(_interval, entries))}
        | {"coordinates": list(adaptation.model.coordinates)}
        | _matrices(adaptation)
    )


def _common(adaptation: Adaptation) -> dict[str, Any]:
    name, metric = adaptation.model.name, adaptation.metric.name
    return {"case": name, "backend": "numpyro", "metric": metric, "claim": INVERSE_FISHER}


def _interval(entry: Entry) -> dict[str, Any]:
    return (
        asdict(entry)
        | {"entry": entry.name, "expected": entry.predicted, "message": entry.reason}
        | {"status": str(entry.finding), "reading": str(entry.finding)}
    )


def _matrices(adaptation: Adaptation) -> dict[str, Any]:
    """Tuned metrics and their reference; nothing of many coordinates, which no picture shows."""
    model = adaptation.model
    if model.dimension > SHOWN_DIMENSION:
        return {}
    tuned = adaptation.tuned(SHOWN_REPLICATES)
    diagonal = not adaptation.metric.dense_mass
    posterior = adaptation.posterior if adaptation.why_no_fisher else None
    shown = np.diagonal(tuned, axis1=1, axis2=2) if diagonal else tuned
    return {
        "inverse_fisher": (posterior.covariance if posterior else model.inverse_fisher).tolist(),
        "position": (posterior.mean if posterior else model.position).tolist(),
        "tuned": shown.tolist(),
    }
