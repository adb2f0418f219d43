"""What was found out about a user's model, in sentences."""

from collections import Counter
from collections.abc import Sequence

from invmass.user_model.adaptation import Adaptation, Entry


def on_the_covariance(adaptation: Adaptation) -> str:
    """What the posterior's covariance rests on, where it takes the place of the inverse Fisher."""
    posterior = adaptation.posterior
    return (
        f"reference: the posterior's covariance, since {adaptation.why_no_fisher}. It comes from "
        f"{posterior.how}, R̂ {posterior.rhat:.4f}; NumPyro's NUTS finds the same. It is known to "
        f"{posterior.error.max():.1%}, which is added to the margin"
    )


def in_words(entries: Sequence[Entry], reference: str) -> str:
    """In one sentence which of the references M⁻¹ matches, all entries together."""
    counts = Counter(entry.finding for entry in entries)
    told = ", ".join(f"{reading} ({count} of {len(entries)})" for reading, count in counts.items())
    sentence = f"{reference}: {told}"
    for name in entries[0].others:
        findings = {entry.others[name].finding for entry in entries}
        word = next(w for w in ("differs from", "undecided", "matches") if w.split()[0] in findings)
        sentence += f"; {name}: M⁻¹ {word} it" if word != "undecided" else f"; {name}: undecided"
    return sentence
