"""Verdicts on recorded matrices: each claim is tested once, with all recorded replicates."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from invmass.adaptation.estimators import ESTIMATORS, Regularisation
from invmass.claims.converges_to_its_target import ConvergesToItsTarget
from invmass.claims.inverse_fisher import InverseFisher
from invmass.claims.inverse_fisher_of_x import InverseFisherOfX
from invmass.claims.inverse_fisher_of_z_at_x import InverseFisherOfZAtX
from invmass.claims.record import answer_record
from invmass.claims.registry import CLAIMS, answers
from invmass.claims.sequential import Verdict
from invmass.claims.tuned_matrix_contract import TunedMatrixContract
from invmass.errors import InvmassError, UsageError
from invmass.model.case import Case
from invmass.recorded.recorded import FILE, STAN, Recorded, RecordedSampler, as_tuned
from invmass.runs.experiment import Experiment, Settings

# Claims that need nothing but the tuned matrices.
ON_MATRICES = (
    InverseFisher.name,
    ConvergesToItsTarget.name,
    InverseFisherOfX.name,
    InverseFisherOfZAtX.name,
    TunedMatrixContract.name,
)


def recorded_experiment(
    recorded: Recorded,
    case: Case,
    estimator: str | None = None,
    window: int | None = None,
    space: str | None = None,
    settings: Settings | None = None,
    sampler: str = FILE,
) -> Experiment:
    """An experiment whose replicates are the recorded matrices.

    Args:
        recorded: the matrices of R replicates.
        case: the posterior that they were tuned on.
        estimator: a name in `ESTIMATORS`; by default the one that the file states.
        window: number of draws in the last window; by default the one that the file states.
        space: the unconstrained space, as `transforms_of` names it; by default the one that the
            file states, or else Stan's.
        settings: tolerance and false-alarm rate; seed, cap and length of warm-up are not used.
        sampler: name of the sampler in the rows.

    Raises:
        UsageError: the estimator or window is unknown or unsuitable, or R is below two.
        BackendFaultError: a matrix is not a valid metric.
    """
    name = estimator or recorded.estimator
    if name is None or name not in ESTIMATORS:
        problem = f"unknown estimator {name!r}" if name else "it is not known by which rule"
        raise UsageError(
            f"{recorded.origin}: {problem}; --estimator takes one of: {', '.join(ESTIMATORS)}"
        )
    rule = ESTIMATORS[name]
    if rule.dense is not recorded.dense:
        kinds = {True: "dense, of shape (R, d, d)", False: "diagonal, of shape (R, d)"}
        raise UsageError(
            f"{recorded.origin}: the matrices are {kinds[recorded.dense]}, and those of {name} are "
            f"{kinds[rule.dense]}; choose another --estimator"
        )
    replicates = len(recorded.inverse_mass_matrix)
    if replicates < 2:
        raise UsageError(
            f"{recorded.origin} holds {('no', 'one')[replicates]} replicate, which says nothing of "
            "the error: give several chains, each of them tuned by itself"
        )
    draws = window if window is not None else recorded.window
    if rule.regularisation is Regularisation.NONE:
        draws = draws or 1  # without regularisation nothing depends on the window
    if draws is None or draws < 1:
        raise UsageError(
            f"{recorded.origin}: {name} shrinks by the number of draws in its last window, which "
            + ("is not known" if draws is None else f"cannot be {draws}")
            + ": give --window (Stan's is 500 of 1,000 warm-up steps)"
        )
    return Experiment(
        case,
        RecordedSampler(space or recorded.space or STAN, sampler),
        name,
        settings or Settings(),
        recorded=as_tuned(recorded, case.dimension, draws),
    )


def recorded_answers(experiment: Experiment) -> Iterator[tuple[str, Verdict | InvmassError]]:
    """A verdict, or an error, for each claim of `ON_MATRICES` that applies.

    See `invmass.claims.registry.answers`.
    """
    return answers(
        experiment,
        [name for name in ON_MATRICES if CLAIMS[name].not_judged_reason(experiment) is None],
    )


def recorded_record(
    experiment: Experiment, claim: str, answer: Verdict | InvmassError, files: Sequence[str] = ()
) -> dict[str, Any]:
    """The row of one verdict.

    Columns about the sampler's run, such as device, seed and step size, are empty.

    Args:
        experiment: as `recorded_experiment` returns it.
        claim: name of the claim.
        answer: the verdict on the claim, or the error that prevented it.
        files: paths of the files; with them the row has the command that repeats the verdict.
    """
    record = answer_record(experiment, claim, answer)
    settings = experiment.settings
    unknown = ("spec", "device", "platform", "devices", "dtype", "seed", "num_warmup", "command")
    record |= dict.fromkeys((*unknown, "step_size", "gradients", "acceptance", "divergences"))
    if files:
        backend = experiment.backend
        assert isinstance(backend, RecordedSampler)
        words = ["invmass", "judge", *files, "--case", experiment.case.name]
        words += ["--estimator", experiment.metric, "--space", backend.space]
        words += ["--window", str(experiment.tuned(1).window), "--sampler", backend.name]
        words += ["--tolerance", str(settings.tolerance)]
        words += ["--false-alarm", str(settings.false_alarm)]
        record["command"] = shlex.join(words)
    return record
