"""What the page tells of a verdict when it is opened; drawn there, by page.js."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from invmass.results import wording
from invmass.whitening import whiten

from . import tables

FURTHEST = 12  # entries told of one verdict
NEGLIGIBLE = 1e-12  # an expected correlation of so much is zero, in rounding error
CONDUCT = {
    "window": "draws in the last window",
    "step_size": "step size",
    "gradients": "gradients of a warm-up",
    "acceptance": "acceptance",
    "divergences": "divergences in a warm-up",
}


def details(rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Of each newest verdict, by its row_id, what its line in the table does not say.

    Keys, where the row has something for them: "told", a sentence; "facts", pairs of name and text;
    "entries", lines as `furthest_entries` makes them, and "judged", how many there are; "message";
    for verdicts on the inverse Fisher also "readings", "parts", "whitened", "ellipses", "mapped" as
    below, and "beside", the row_ids of all claims about the combination.
    """
    newest = tables.verdicts(rows).to_dict("records")
    entries = furthest_entries(rows)
    beside: dict[tuple[str, ...], list[str]] = {}
    for verdict in newest:
        beside.setdefault(_combination(verdict), []).append(verdict["row_id"])
    return {
        verdict["row_id"]: {
            name: value
            for name, value in (
                ("told", wording.told(verdict)),
                ("facts", _facts(verdict)),
                ("entries", entries.get(verdict["row_id"])),
                ("judged", len(tables.records(verdict["intervals"]))),
                ("message", verdict["message"] if wording.known(verdict["message"]) else ""),
                *(_matrices(verdict) if verdict["claim"] == tables.HEADLINE else ()),
                ("beside", _beside(verdict, beside)),
            )
            if value
        }
        for verdict in newest
    }


def furthest_entries(rows: pd.DataFrame) -> dict[str, list[list[Any]]]:
    """Of each verdict, by its row_id, the entries furthest from what was expected, in their order.

    A line is: entry, found, expected, deviation, interval and margin in words; then low, found and
    high as distances from what was expected, in margins, or nothing where there is no such number.
    """
    judged = tables.interval_list(rows)
    places = tables.offsets(judged)
    judged["place"] = list(np.round(places, 3))
    judged["distance"] = np.abs(places[:, 1])
    judged["order"] = range(len(judged))
    far = judged.sort_values("distance", ascending=False, kind="stable").groupby("row_id")
    lines: dict[str, list[list[Any]]] = {}
    for entry in far.head(FURTHEST).sort_values("order").to_dict("records"):
        expected = entry["expected"] if abs(entry["expected"]) > NEGLIGIBLE else 0.0
        words = (
            wording.number(entry["found"]),
            wording.number(expected),
            wording.deviation(entry["deviation"], entry["scale"]),
            wording.interval(entry) or wording.MISSING,
            wording.margin(entry),
        )
        place = entry["place"].tolist() if np.isfinite(entry["place"]).all() else []
        lines.setdefault(str(entry["row_id"]), []).append([entry["entry"], *words, *place])
    return lines


def _facts(verdict: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = {}
    if wording.known(verdict["replicates"]):
        cap = f" of at most {verdict['cap']:.0f}" if wording.known(verdict["cap"]) else ""
        facts["replicates"] = f"{verdict['replicates']:.0f}{cap}"
    if wording.known(verdict["alpha"]) and verdict["alpha"] > 0:
        facts["probability that the verdict is wrong"] = f"at most {wording.rate(verdict['alpha'])}"
    if wording.known(verdict["num_warmup"]):
        facts["warm-up steps"] = f"{verdict['num_warmup']:.0f}"
    facts |= {
        name: wording.number(verdict[column])
        for column, name in CONDUCT.items()
        if wording.known(verdict[column])
    }
    if wording.known(verdict["seed"]):
        facts["seed"] = f"{verdict['seed']:.0f}"
    facts["where"] = wording.setting(verdict["device"], verdict["dtype"])
    return list(facts.items())


def _matrices(verdict: Mapping[str, Any]) -> list[tuple[str, Any]]:
    parts = tables.records(verdict["parts"])
    readings = ("readings", _readings(verdict))
    return [readings, ("parts", _parts(parts)), *_pictures(verdict)]


def _readings(verdict: Mapping[str, Any]) -> list[list[str]]:
    """Entry, ratio to the inverse Fisher, interval, prediction, reading and reason, in words.

    The rows have the worst first.
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
        for entry in found[:FURTHEST]
    ]


def _parts(parts: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Entry, then its named parts and their product in percent; of the entries furthest from 1."""
    ratios = np.array([[part.get(name) for name in tables.PARTS] for part in parts], dtype=float)
    if not len(ratios):
        return []
    together = ratios.prod(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        furthest = np.argsort(-np.abs(np.log(together)), kind="stable")[:FURTHEST]
    return [
        [str(parts[i].get("entry")), *(wording.deviation(x - 1, "log") for x in line)]
        for i in sorted(furthest)
        for line in [(*ratios[i], together[i])]
    ]


def _pictures(verdict: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Of a dense metric whitened by the inverse Fisher, and of two coordinates as ellipses.

    "whitened": "tuned" (mean of those kept) and "expected" (the target), each (d, d).
    "ellipses": "names", and upper triangles (3,) of covariances: "fisher", "target", "mean", and
    "tuned", a list of them. "mapped": "names", and "curves" in x of the first three, of points.
    """
    given = [verdict[name] for name in ("inverse_fisher", "target", "tuned")]
    if not all(isinstance(value, list) and value for value in given):
        return []
    fisher, target, tuned = (np.array(value, dtype=float) for value in given)
    if not all(np.isfinite(x).all() for x in (fisher, target, tuned)):
        return []
    told: list[tuple[str, Any]] = []
    if target.ndim == 2:
        # what a metric of blocks leaves out is left out of the inverse Fisher too
        reference = np.where(target == 0, 0.0, fisher)
        if (np.linalg.eigvalsh(reference) > 0).all():
            whitened = {"tuned": tuned.mean(axis=0), "expected": target}
            told.append(
                (
                    "whitened",
                    {name: whiten(x, reference).round(3).tolist() for name, x in whitened.items()},
                )
            )
    if len(fisher) == 2:
        names = verdict["coordinates"] if isinstance(verdict["coordinates"], list) else ["", ""]
        covariances = {"fisher": fisher, "target": target, "mean": tuned.mean(axis=0)}
        ellipses = {name: _triangle(x) for name, x in covariances.items()}
        told.append(
            ("ellipses", {"names": names, **ellipses, "tuned": [_triangle(x) for x in tuned]})
        )
        if isinstance(mapped := verdict.get("mapped"), Mapping) and mapped.get("fisher"):
            told.append(("mapped", {"names": names, "curves": mapped}))
    return told


def _triangle(covariance: np.ndarray) -> list[float]:
    full = np.diag(covariance) if covariance.ndim == 1 else covariance
    return [float(f"{x:.4g}") for x in (full[0, 0], full[0, 1], full[1, 1])]


def _combination(verdict: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(verdict[name] for name in tables.COMBINATION)


def _beside(verdict: Mapping[str, Any], found: Mapping[tuple[str, ...], list[str]]) -> list[str]:
    """All claims about a combination, those that concern the backend with any metric included."""
    if verdict["claim"] != tables.HEADLINE:
        return []
    of_any = _combination({**verdict, "metric": ""})
    return [*found[_combination(verdict)], *(found.get(of_any, []) if verdict["metric"] else [])]
