"""`check` and `judge` for notebooks: answers as tables, data frames and figures."""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from invmass.claims.reading import Reading
from invmass.claims.record import answer_record
from invmass.claims.registry import answers
from invmass.errors import UsageError
from invmass.model.case import Case
from invmass.model.catalogue import one_case
from invmass.recorded.reading import read
from invmass.results.reports import report_module
from invmass.results.status import BY_SEVERITY, Status
from invmass.runs.experiment import Experiment, Settings
from invmass.runs.plan import metrics_for
from invmass.sampling.backend import Backend
from invmass.sampling.registry import check_metrics, load_backend, without_regularisation
from invmass.studies.recorded_matrices import recorded_answers, recorded_experiment, recorded_record
from invmass.user_model.adaptation import Adaptation
from invmass.user_model.loading import load_numpyro_model
from invmass.user_model.metric_structure import METRICS, Structure
from invmass.user_model.numpyro_model import NumPyroModel
from invmass.user_model.records import entry_rows, verdict_row
from invmass.user_model.summary import about_covariance, in_words
from invmass.user_model.warm_start_saving import saving

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

COLUMNS = (
    "case", "backend", "metric", "claim", "status", "reading", "entry", "found", "low", "high",
    "expected", "margin", "scale", "replicates", "message",
)  # fmt: skip
_SHOWN = (
    "metric", "claim", "status", "reading", "entry", "found", "low", "high", "expected",
    "replicates",
)  # fmt: skip
_WORST_FIRST = (*BY_SEVERITY, *reversed(Reading))
_GREEN = (Status.PASS, Reading.MATCHES)


@dataclass(frozen=True)
class Answer:
    """Verdicts on a case or a model; a notebook shows them as a table and a figure.

    Attributes:
        title: the case or model, and the backend or the source of its matrices.
        lines: one for each verdict, or for each entry of a user's model; keys from `COLUMNS`.
        rows: verdicts as rows of a results folder, from which figures are drawn.
        notes: further remarks, in sentences.
    """

    title: str
    lines: Sequence[dict[str, Any]]
    rows: Sequence[dict[str, Any]]
    notes: Sequence[str] = ()

    @property
    def status(self) -> str:
        """The worst status of all lines: "fail", "error", "inconclusive" or "pass".

        For a user's model: "wrong", "undecided", "differs as documented" or "matches".
        """
        statuses = {line["status"] for line in self.lines}
        return str(next((status for status in _WORST_FIRST if status in statuses), Status.ERROR))

    @property
    def passed(self) -> bool:
        """Whether all claims pass, or all entries of a user's model match the inverse Fisher."""
        return self.status in _GREEN

    def to_frame(self) -> "pd.DataFrame":
        """The lines as a data frame with the columns `COLUMNS`, named as in `load_rows`."""
        import pandas as pd

        return pd.DataFrame(list(self.lines)).reindex(columns=list(COLUMNS))

    def plot(self) -> "Figure":
        """Plot M⁻¹ over the inverse Fisher: ellipses in two dimensions, otherwise all entries.

        Raises:
            UsageError: no matrix was judged against the inverse Fisher.
        """
        matrices = report_module("figures.matrices")
        from invmass.results.rows import as_table

        for case in dict.fromkeys(row["case"] for row in self.rows):
            table = as_table(self.rows)
            figure = matrices.ellipse_figure(table, case) or matrices.entry_figure(table, case)
            if figure:
                return figure
        raise UsageError(f"{self.title}: there is no verdict on the inverse Fisher to show")

    def __str__(self) -> str:
        table = self._shown().to_string(index=False)
        return "\n".join([f"{self.title}: {self.status}", table, *self._remarks()])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        matrices = report_module("figures.matrices")
        from invmass.results.rows import as_table

        table = as_table(self.rows)
        cases = dict.fromkeys(row["case"] for row in self.rows)
        drawn = (matrices.ellipses(table, case) or matrices.entries(table, case) for case in cases)
        parts = [
            f"<p><b>{html.escape(self.status)}</b>: {html.escape(self.title)}</p>",
            self._shown().to_html(index=False, border=0),
            *drawn,
            *(f"<p>{html.escape(note)}</p>" for note in self._remarks()),
        ]
        return f"<div>{''.join(parts)}</div>"

    def _shown(self) -> "pd.DataFrame":
        from invmass.results.wording import MISSING, number

        frame = self.to_frame()[list(_SHOWN)]
        numbers = ["found", "low", "high", "expected"]
        frame[numbers] = frame[numbers].map(lambda value: number(value, 4))
        return frame.astype(object).where(frame.notna(), MISSING)

    def _remarks(self) -> list[str]:
        """The messages of errors, followed by the notes."""
        broken = [line for line in self.lines if line["status"] == "error"]
        return [f"{line['metric']}, {line['claim']}: {line['message']}" for line in broken] + [
            *self.notes
        ]


def check(
    model_or_case: str | Case | NumPyroModel | Callable[..., Any],
    backend: str | Backend = "numpyro",
    metric: str | Structure | None = None,
    claims: str | Sequence[str] = (),
    *,
    prior: bool | None = None,
    regularise: bool = True,
    **settings: Any,
) -> Answer:
    """Judge a case or a user's NumPyro model, as `invmass check` does.

    Args:
        model_or_case: a case or its name; or a NumPyro model, as a function without arguments, as
            `NumPyroModel(model, …)` or as "path/to/file.py:model".
        backend: a backend or its name; for a user's model only "numpyro".
        metric: the metric kind to judge; by default, all that the backend tunes. For a user's
            model "diagonal", "dense" or a list of tuples of sites.
        claims: names of the claims to judge; by default, all except the long ones.
        prior: for a user's model, whether the information includes the curvature of the prior; by
            default, only if the information of the observations alone is singular.
        regularise: whether the library regularises its estimates; only NumPyro can switch
            regularisation off.
        settings: `seed`, `tolerance`, `false_alarm`, `replicates`, `num_warmup`.

    Returns:
        The verdicts, or for a user's model the readings of all entries of M⁻¹.

    Raises:
        UsageError: an argument has an unknown name or an invalid value.
        BackendUnavailableError: the backend's library is not installed.
    """
    chosen = _settings(settings)
    claims = [claims] if isinstance(claims, str) else claims
    judged = _model_or_case(model_or_case, prior)
    if isinstance(judged, NumPyroModel):
        if claims or backend != "numpyro":
            raise UsageError(
                "a NumPyro model is judged with NumPyro alone: leave out claims and backend"
            )
        return _model_answer(judged, metric, chosen, regularise)
    if prior is not None:
        raise UsageError("prior is for NumPyro models: a case says itself if its prior is counted")
    library = load_backend(backend) if isinstance(backend, str) else backend
    library.check_available()
    metrics = [] if metric is None else [str(metric)]
    check_metrics([library], metrics)
    metrics = metrics if regularise else without_regularisation(library, metrics)
    rows = [
        answer_record(experiment, claim, answer)
        for name in metrics_for(judged, library, metrics)
        for experiment in [Experiment(judged, library, name, chosen)]
        for claim, answer in answers(experiment, claims)
    ]
    if not rows:
        raise UsageError(f"{library.name} tunes no metric {metric!r} that suits {judged.name}")
    return Answer(f"{judged.name} by {library.name}", rows, rows)


def judge(
    source: Any,
    case: str | Case,
    estimator: str | None = None,
    *,
    window: int | None = None,
    space: str | None = None,
    **settings: Any,
) -> Answer:
    """Judge recorded inverse mass matrices of any sampler, as `invmass judge` does.

    Args:
        source: a path, several paths, or an InferenceData in memory.
        case: the case, or its name, that the matrices were tuned on.
        estimator: the adaptation rule, a name from `invmass.adaptation.estimators.ESTIMATORS`.
        window: number of draws in the last window, if the source does not record it.
        space: the unconstrained space of the matrices: "stan", "stan-2.36" or a backend's name.
        settings: `tolerance`, `false_alarm`.

    Returns:
        The verdicts on the recorded matrices.

    Raises:
        UsageError: the matrices do not fit the case, or an argument has an unknown value.
    """
    problem = one_case(case) if isinstance(case, str) else case
    recorded = read(source, problem)
    experiment = recorded_experiment(
        recorded, problem, estimator, window, space, _settings(settings)
    )
    rows = [
        recorded_record(experiment, claim, answer) for claim, answer in recorded_answers(experiment)
    ]
    title = f"{experiment.batch} replicates of {experiment.metric} from {recorded.origin}"
    return Answer(f"{problem.name}: {title}", rows, rows)


def _settings(given: dict[str, Any]) -> Settings:
    unknown = [name for name in given if name not in Settings.__dataclass_fields__]
    if unknown:
        known = ", ".join(Settings.__dataclass_fields__)
        raise UsageError(f"unknown setting {unknown[0]!r}; the settings are: {known}")
    return Settings(**given)


def _model_or_case(given: Any, prior: bool | None) -> Case | NumPyroModel:
    if isinstance(given, NumPyroModel) and prior is not None:
        return given.counting_prior(prior)
    if isinstance(given, Case | NumPyroModel):
        return given
    if isinstance(given, str):
        is_file = given.endswith(".py") or given.rpartition(":")[0].endswith(".py")
        return load_numpyro_model(given, prior) if is_file else one_case(given)
    if callable(given):
        return NumPyroModel(given, prior=prior)
    raise UsageError(
        f"a case, its name or a NumPyro model can be checked, not {type(given).__name__}"
    )


def _model_answer(
    model: NumPyroModel, metric: str | Structure | None, settings: Settings, regularise: bool
) -> Answer:
    """Readings of M⁻¹ for each structure, and the warm-up steps that a warm start saves."""
    structures: list[Structure] = list(METRICS) if metric is None else [metric]
    for structure in structures:
        model.metric(structure)  # raises an error for a wrong name before any sampling starts
    lines, rows, notes = [], [], []
    for structure in structures:
        adaptation = Adaptation(model, structure, settings, regularise)
        entries = list(adaptation.entries())
        lines += entry_rows(adaptation, entries)
        rows.append(verdict_row(adaptation, entries))
        name = adaptation.metric.name
        notes.append(f"{name}: {in_words(entries, adaptation.reference_name)}")
        notes += [f"{name}: {adaptation.floor}"] if adaptation.floor else []
        notes += [about_covariance(adaptation)] if adaptation.why_no_fisher else []
        notes.append(f"{name}: {saving(adaptation)}")
    return Answer(f"{model.name} by numpyro", lines, rows, notes)
