"""The details of a verdict, which page.js shows in a dialog."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from invmass.results import wording
from invmass.results.schema import INVERSE_FISHER
from invmass.whitening import whiten

from . import tables

MAX_ENTRIES = 12  # of one verdict
NEGLIGIBLE = 1e-12  # an expected correlation below this is rounding error, and shown as zero
BEHAVIOUR = {
    "window": "draws in the last window",
    "step_size": "step size",
    "gradients": "gradients of a warm-up",
    "acceptance": "mean acceptance statistic",
    "divergences": "divergences in a warm-up",
}


def details(rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The details of each newest verdict, by its row_id, beyond what the table of verdicts shows.

    Returns:
        Keys, if the row has something for them: "sentence", on the deviation; "facts", pairs of
        name and text; "entries", lines of `largest_deviations`, and "judged", the number of all
        entries; "message"; for verdicts on the inverse Fisher also "readings" and "parts" (lines of
        texts), "whitened", "ellipses" and "ellipses_in_x" (see `_pictures`), and "claims", the
        row_ids of all claims on the combination.
    """
    newest = tables.verdicts(rows).to_dict("records")
    entries = largest_deviations(rows)
    of_combination: dict[tuple[str, ...], list[str]] = {}
    for verdict in newest:
        of_combination.setdefault(_combination(verdict), []).append(verdict["row_id"])
    return {
        verdict["row_id"]: {
            name: value
            for name, value in (
                ("sentence", wording.deviation_sentence(verdict)),
                ("facts", _facts(verdict)),
                ("entries", entries.get(verdict["row_id"])),
                ("judged", len(tables.records(verdict["intervals"]))),
                ("message", _message(verdict["message"])),
                *(_inverse_fisher_details(verdict) if verdict["claim"] == INVERSE_FISHER else ()),
                ("claims", _claims(verdict, of_combination)),
            )
            if value
        }
        for verdict in newest
    }


def largest_deviations(rows: pd.DataFrame) -> dict[str, list[list[Any]]]:
    """The entries with the largest deviations of each verdict, by its row_id.

    Returns:
        Lines in the order of the entries: the texts entry, found, expected, deviation, interval
        and margin; then the numbers low, found and high as distances from the expected value, in
        margins, which are left out unless all are finite.
    """
    judged = tables.interval_list(rows)
    in_margins = tables.deviations_in_margins(judged)
    judged["in_margins"] = list(np.round(in_margins, 3))
    judged["distance"] = np.abs(in_margins[:, 1])
    judged["order"] = range(len(judged))
    far = judged.sort_values("distance", ascending=False, kind="stable").groupby("row_id")
    lines: dict[str, list[list[Any]]] = {}
    for entry in far.head(MAX_ENTRIES).sort_values("order").to_dict("records"):
        expected = entry["expected"] if abs(entry["expected"]) > NEGLIGIBLE else 0.0
        words = (
            wording.number(entry["found"]),
            wording.number(expected),
            wording.deviation(entry["deviation"], entry["scale"]),
            wording.deviation_interval(entry) or wording.MISSING,
            wording.margin(entry),
        )
        bar = entry["in_margins"].tolist() if np.isfinite(entry["in_margins"]).all() else []
        lines.setdefault(str(entry["row_id"]), []).append([entry["entry"], *words, *bar])
    return lines


def _message(message: Any) -> str:
    return wording.without_terminal_codes(message) if wording.has_value(message) else ""


def _facts(verdict: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = {}
    if wording.has_value(verdict["replicates"]):
        cap = f" of at most {verdict['cap']:.0f}" if wording.has_value(verdict["cap"]) else ""
        facts["replicates"] = f"{verdict['replicates']:.0f}{cap}"
    if wording.has_value(verdict["alpha"]) and verdict["alpha"] > 0:
        facts["probability that the verdict is wrong"] = (
            f"at most {wording.error_rate(verdict['alpha'])}"
        )
    if wording.has_value(verdict["num_warmup"]):
        facts["warm-up steps"] = f"{verdict['num_warmup']:.0f}"
    facts |= {
        name: wording.number(verdict[column])
        for column, name in BEHAVIOUR.items()
        if wording.has_value(verdict[column])
    }
    if wording.has_value(verdict["seed"]):
        facts["seed"] = f"{verdict['seed']:.0f}"
    facts["device"] = wording.device_and_dtype(verdict["device"], verdict["dtype"])
    return list(facts.items())


def _inverse_fisher_details(verdict: Mapping[str, Any]) -> list[tuple[str, Any]]:
    parts = tables.records(verdict["parts"])
    readings = ("readings", _readings(verdict))
    return [readings, ("parts", _parts(parts)), *_pictures(verdict)]


def _readings(verdict: Mapping[str, Any]) -> list[list[str]]:
    """Texts: entry, ratio to the inverse Fisher, interval, predicted ratio, reading and reason.

    In the order of the row, which is the worst first.
    """
    found = tables.records(verdict.get("readings"))
    return [
        [
            entry["entry"],
            wording.ratio(entry["ratio"], entry["scale"]),
            f"{wording.number(entry['low'])} to {wording.number(entry['high'])}",
            wording.ratio(entry["predicted"], entry["scale"]),
            entry["reading"],
            entry["reason"] or wording.MISSING,
        ]
        for entry in found[:MAX_ENTRIES]
    ]


def _parts(parts: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Texts: entry, its named parts and their product, in percent; of the largest deviations."""
    ratios = np.array([[part.get(name) for name in tables.PARTS] for part in parts], dtype=float)
    if not len(ratios):
        return []
    together = ratios.prod(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        furthest = np.argsort(-np.abs(np.log(together)), kind="stable")[:MAX_ENTRIES]
    return [
        [str(parts[i].get("entry")), *(wording.deviation(x - 1, "log") for x in line)]
        for i in sorted(furthest)
        for line in [(*ratios[i], together[i])]
    ]


def _pictures(verdict: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The matrices that page.js draws, as pairs of key and value.

    Returns:
        "whitened", for a dense metric: "tuned" (the mean over the replicates of the row) and
        "expected" (the target), both whitened by the inverse Fisher, shape (d, d).
        "ellipses", in two dimensions: "names" of the coordinates; "fisher", "target" and "mean" as
        upper triangles of a covariance, shape (3,); and "tuned", a list of such triangles.
        "ellipses_in_x", likewise: "names", and "curves": points of shape (n, 2) for "fisher",
        "target" and "mean".
    """
    given = [verdict[name] for name in ("inverse_fisher", "target", "tuned")]
    if not all(isinstance(value, list) and value for value in given):
        return []
    fisher, target, tuned = (np.array(value, dtype=float) for value in given)
    if not all(np.isfinite(x).all() for x in (fisher, target, tuned)):
        return []
    pictures: list[tuple[str, Any]] = []
    if target.ndim == 2:
        # a block metric has zeros between blocks; they are set in the inverse Fisher too
        reference = np.where(target == 0, 0.0, fisher)
        if (np.linalg.eigvalsh(reference) > 0).all():
            whitened = {"tuned": tuned.mean(axis=0), "expected": target}
            pictures.append(
                (
                    "whitened",
                    {name: whiten(x, reference).round(3).tolist() for name, x in whitened.items()},
                )
            )
    if len(fisher) == 2:
        names = verdict["coordinates"] if isinstance(verdict["coordinates"], list) else ["", ""]
        covariances = {"fisher": fisher, "target": target, "mean": tuned.mean(axis=0)}
        ellipses = {name: _triangle(x) for name, x in covariances.items()}
        pictures.append(
            ("ellipses", {"names": names, **ellipses, "tuned": [_triangle(x) for x in tuned]})
        )
        if isinstance(mapped := verdict.get("mapped"), Mapping) and mapped.get("fisher"):
            pictures.append(("ellipses_in_x", {"names": names, "curves": mapped}))
    return pictures


def _triangle(covariance: np.ndarray) -> list[float]:
    full = np.diag(covariance) if covariance.ndim == 1 else covariance
    return [float(f"{x:.4g}") for x in (full[0, 0], full[0, 1], full[1, 1])]


def _combination(verdict: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(verdict[name] for name in tables.COMBINATION)


def _claims(
    verdict: Mapping[str, Any], of_combination: Mapping[tuple[str, ...], list[str]]
) -> list[str]:
    """The row_ids of all claims on the combination, and of those that concern no one metric."""
    if verdict["claim"] != INVERSE_FISHER:
        return []
    ids = list(of_combination[_combination(verdict)])
    if verdict["metric"]:
        ids += of_combination.get(_combination({**verdict, "metric": ""}), [])
    return ids
