"""What was found out about a user's model, in sentences."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from invmass.model.derivatives import USUAL
from invmass.user_model.adaptation import Adaptation
from invmass.user_model.entries import Entry
from invmass.user_model.numpyro_model import NumPyroModel
from invmass.user_model.reference import SMALL
from invmass.whitening import gap


def about_information(model: NumPyroModel) -> list[str]:
    """Lines on which information a model has, at which point, and how each part was found.

    Args:
        model: one that has an inverse Fisher information.
    """
    point = "the mode in z" if model.at_mode else "the given values"
    counted = "with the prior" if model.with_prior else "of the observations alone"
    if model.with_prior and model.prior is None:
        counted += ", because the observations alone leave it singular"
    lines = [f"inverse Fisher information at {point}: {model.kind}, {counted}"]
    lines += [f"  {name}: {source}" for name, source in model.sources.items()]
    if model.derivatives != USUAL:
        lines.append(f"  second derivatives: {model.derivatives}")
    return lines


def distinct_inverses(model: NumPyroModel) -> Mapping[str, np.ndarray]:
    """The inverse information with the prior and without, or one of both if they are alike."""
    inverses = model.inverses
    if len(inverses) == 2 and gap(*inverses.values()) < SMALL:  # the prior makes no difference
        return {"with the prior or without": model.inverse_fisher}
    return inverses


def about_covariance(adaptation: Adaptation) -> str:
    """How the posterior's covariance was found, where it takes the place of the inverse Fisher."""
    posterior = adaptation.posterior
    return (
        f"reference: the posterior's covariance, since {adaptation.why_no_fisher}. It comes from "
        f"{posterior.how}, R̂ {posterior.rhat:.4f}; NumPyro's NUTS finds the same. It is known to "
        f"{posterior.error.max():.1%}, which is added to the margin"
    )


def in_words(entries: Sequence[Entry], reference: str) -> str:
    """In one sentence which of the references M⁻¹ matches, all entries together.

    Args:
        entries: of one structure of the metric.
        reference: what the reference is called.
    """
    counts = Counter(entry.finding for entry in entries)
    found = ", ".join(f"{reading} ({count} of {len(entries)})" for reading, count in counts.items())
    sentence = f"{reference}: {found}"
    for name in entries[0].others:
        findings = {entry.others[name].finding for entry in entries}
        word = next(w for w in ("differs from", "undecided", "matches") if w.split()[0] in findings)
        sentence += f"; {name}: M⁻¹ {word} it" if word != "undecided" else f"; {name}: undecided"
    return sentence
