"""A user's own NumPyro model: its inverse Fisher, NumPyro's dictionary, and what is said of it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.contrib.control_flow import scan
from numpyro.infer import MCMC, NUTS

import invmass
from invmass.claims.reading import Reading
from invmass.cli.own_model import judge_file
from invmass.errors import SingularFisherError, UsageError
from invmass.model import fisher
from invmass.model.case import Case
from invmass.model.catalogue import all_cases
from invmass.model.precision import float64
from invmass.runs.experiment import Settings
from invmass.user_model.adaptation import Adaptation
from invmass.user_model.distribution_information import likelihood_of, rule_of
from invmass.user_model.loading import load_numpyro_model
from invmass.user_model.numpyro_model import NumPyroModel
from invmass.user_model.warm_start_saving import saving as saving_of

HERE = Path(__file__).parent


# -- information of the distributions

REAL, POSITIVE, UNIT, COUNTS = "real", "positive", "unit", "counts"
SCALARS: dict[str, tuple[Callable[[Any], Any], list[float], str | int]] = {
    "Normal": (lambda v: dist.Normal(v[0], v[1]), [1.5, 0.7], REAL),
    "Cauchy": (lambda v: dist.Cauchy(v[0], v[1]), [1.5, 0.7], REAL),
    "Laplace": (lambda v: dist.Laplace(v[0], v[1]), [np.sinh(5e-4), 0.7], REAL),
    "Logistic": (lambda v: dist.Logistic(v[0], v[1]), [1.5, 0.7], REAL),
    "StudentT": (lambda v: dist.StudentT(v[0], v[1], v[2]), [3.5, 1.5, 0.7], REAL),
    "HalfNormal": (lambda v: dist.HalfNormal(v[0]), [0.7], POSITIVE),
    "HalfCauchy": (lambda v: dist.HalfCauchy(v[0]), [0.7], POSITIVE),
    "Exponential": (lambda v: dist.Exponential(v[0]), [0.7], POSITIVE),
    "Gamma": (lambda v: dist.Gamma(v[0], v[1]), [2.5, 0.7], POSITIVE),
    "InverseGamma": (lambda v: dist.InverseGamma(v[0], v[1]), [4.5, 0.7], POSITIVE),
    "LogNormal": (lambda v: dist.LogNormal(v[0], v[1]), [0.3, 0.7], POSITIVE),
    "Beta": (lambda v: dist.Beta(v[0], v[1]), [2.5, 3.5], UNIT),
    "Poisson": (lambda v: dist.Poisson(v[0]), [3.5], COUNTS),
    "Geometric": (lambda v: dist.Geometric(probs=v[0]), [0.3], COUNTS),
    "GeometricLogits": (lambda v: dist.Geometric(logits=v[0]), [-0.3], COUNTS),
    "Bernoulli": (lambda v: dist.Bernoulli(probs=v[0]), [0.3], 2),
    "BernoulliLogits": (lambda v: dist.Bernoulli(logits=v[0]), [0.3], 2),
    "Binomial": (lambda v: dist.Binomial(7, probs=v[0]), [0.3], 8),
    "BinomialLogits": (lambda v: dist.Binomial(7, logits=v[0]), [0.3], 8),
    "Categorical": (lambda v: dist.Categorical(probs=jax.nn.softmax(v)), [0.3, 1.0, -0.4], 3),
    "CategoricalLogits": (lambda v: dist.Categorical(logits=v), [0.3, 1.0, -0.4], 3),
    "OrderedLogistic": (lambda v: dist.OrderedLogistic(v[0], v[1:]), [0.3, -1.0, 0.5], 3),
}


def points(support: str | int) -> tuple[np.ndarray, np.ndarray]:
    """Values and weights whose sum is an integral or a sum over the support."""
    if isinstance(support, int) or support == COUNTS:
        values = np.arange(support if isinstance(support, int) else 400)
        return values, np.ones(len(values))
    end = 15 if support == UNIT else 30  # where the tail still tells 1 - x from 0
    t = np.linspace(-end, end, 2_000 * end + 1)
    values, slopes = {
        REAL: (np.sinh(t), np.cosh(t)),
        POSITIVE: (np.exp(t), np.exp(t)),
        UNIT: (1 / (1 + np.exp(-t)), 1 / (2 + np.exp(t) + np.exp(-t))),
    }[support]
    return values, slopes * (t[1] - t[0])


def information(make, at, data=0.0, scale=None) -> np.ndarray:  # type: ignore[no-untyped-def]
    """`Jᵀ I(η) J` of a distribution that is a function of a vector."""
    with float64():
        at = jnp.asarray(at, dtype=float)
        slopes = jax.jacfwd(lambda v: likelihood_of(make(v), data, scale).parameters)(at)
        return np.asarray(likelihood_of(make(at), data, scale).information(slopes))


@pytest.mark.parametrize("name", SCALARS)
def test_information_is_the_variance_of_the_score(name: str) -> None:
    make, at, support = SCALARS[name]
    values, weights = points(support)
    with float64():
        at, values = jnp.asarray(at), jnp.asarray(values)
        density = jnp.exp(jax.vmap(lambda y: make(at).log_prob(y))(values)) * weights
        score = jax.vmap(jax.grad(lambda v, y: make(v).log_prob(y)), (None, 0))(at, values)
        seen = density > 0
        score = jnp.where(seen[:, None], score, 0.0)
        expected = np.asarray(jnp.einsum("n,ni,nj->ij", density, score, score))
        assert float(density.sum()) == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(information(make, at), expected, rtol=1e-5, atol=1e-8)


VECTORS = {
    "MultivariateNormal": lambda v: dist.MultivariateNormal(
        v[:2], scale_tril=jnp.array([[jnp.exp(v[2]), 0.0], [v[3], jnp.exp(v[4])]])
    ),
    "LowRankMultivariateNormal": lambda v: dist.LowRankMultivariateNormal(
        v[:2], v[2:4, None], jnp.exp(jnp.stack([v[4], v[4]]))
    ),
    "Dirichlet": lambda v: dist.Dirichlet(jnp.exp(v)),
}


@pytest.mark.parametrize("name", VECTORS)
def test_information_is_the_curvature_of_the_divergence(name: str) -> None:
    make = VECTORS[name]

    def full(v):  # type: ignore[no-untyped-def]
        made = make(v)
        if name != "LowRankMultivariateNormal":
            return made
        return dist.MultivariateNormal(made.loc, covariance_matrix=made.covariance_matrix)

    with float64():
        at = jnp.asarray([0.3, -0.7, 0.4, 0.6, -0.2])
        divergence = jax.hessian(lambda v: dist.kl_divergence(full(at), full(v)))(at)
    np.testing.assert_allclose(information(make, at), np.asarray(divergence), rtol=1e-8, atol=1e-10)


def test_multinomial_counts_its_trials() -> None:
    one = information(lambda v: dist.Categorical(logits=v), [0.3, 1.0, -0.4])
    for make in (
        lambda v: dist.Multinomial(9, logits=v),
        lambda v: dist.Multinomial(9, probs=jax.nn.softmax(v)),
    ):
        np.testing.assert_allclose(information(make, [0.3, 1.0, -0.4]), 9 * one, atol=1e-12)


def test_wrappers_weigh_each_draw() -> None:
    mask = np.array([[True, False, True], [True, True, True]])

    def rows(v):  # type: ignore[no-untyped-def]
        return dist.Normal(v[0], jnp.array([1.0, 2.0, 4.0])).expand([2, 3])

    def found(make, **more):  # type: ignore[no-untyped-def]
        return information(make, [0.5], **more)[0, 0]

    each = np.array([1.0, 1 / 4, 1 / 16])
    assert found(rows) == pytest.approx(2 * each.sum())
    assert found(lambda v: rows(v).mask(mask)) == pytest.approx((mask * each).sum())
    assert found(lambda v: rows(v).to_event(1).mask(np.array([True, False]))) == pytest.approx(
        each.sum()
    )
    assert found(rows, data=np.zeros((5, 2, 3))) == pytest.approx(10 * each.sum())
    assert found(rows, scale=0.5) == pytest.approx(each.sum())
    assert found(lambda v: rows(v).to_event(1), scale=np.array([3.0, 0.0])) == pytest.approx(
        3 * each.sum()
    )


def test_a_distribution_that_is_not_known_has_no_rule() -> None:
    assert rule_of(dist.NegativeBinomial2(3.0, 2.0)) is None
    assert rule_of(dist.TruncatedNormal(0.0, 1.0, low=0.0)) is None


# -- models


def notebook(y, covariance):  # type: ignore[no-untyped-def]
    x = numpyro.sample("x", dist.Uniform(-10.0, 10.0), sample_shape=(2,))
    numpyro.sample("y", dist.MultivariateNormal(x, covariance), obs=y)


MEAN, COVARIANCE = np.array([2.0, 1.0]), np.array([[1.0, 0.09], [0.09, 0.01]])
CHOSEN = np.diag([100.0, 1.0, 0.01])
CHOSEN[0, 2] = CHOSEN[2, 0] = 0.8


def gaussian(centre, covariance):  # type: ignore[no-untyped-def]
    """Sites b, a, c, whose joint posterior is N(centre, covariance) in the order a, b, c."""
    b = numpyro.sample("b", dist.Normal(0.0, 1e4))
    a = numpyro.sample("a", dist.Normal(0.0, 1e4))
    c = numpyro.sample("c", dist.Normal(0.0, 1e4))
    numpyro.sample("y", dist.MultivariateNormal(jnp.stack([a, b, c]), covariance), obs=centre)


def own_gaussian() -> NumPyroModel:
    return NumPyroModel(gaussian, "map", np.array([300.0, -20.0, 5.0]), CHOSEN)


def test_the_notebook_s_model_is_the_case_of_the_catalogue() -> None:
    case = all_cases()["notebook-uniform"]
    own = NumPyroModel(notebook, {"x": MEAN}, MEAN, covariance=COVARIANCE)
    expected = fisher.expected(case.posterior, case.truth, invert=True, flat=True)
    np.testing.assert_allclose(own.inverse_fisher, np.asarray(expected), rtol=1e-10)
    assert (own.kind, own.with_prior, own.coordinates) == ("expected", False, ("x[0]", "x[1]"))
    with float64():
        z = jnp.asarray(own.position)
        difference = [
            float(own.log_density(z + s) - case.posterior.log_density(z + s)) for s in (0.0, 0.7)
        ]
    assert difference[0] == pytest.approx(difference[1], abs=1e-10)


def test_the_mode_is_that_of_z_and_the_prior_adds_its_curvature() -> None:
    def model(y):  # type: ignore[no-untyped-def]
        scale = numpyro.sample("scale", dist.HalfNormal(100.0))
        numpyro.sample("y", dist.Normal(5.0, scale), obs=y)

    y = 5.0 + 30.0 * np.array([-1.0, 1.0] * 25)
    own = NumPyroModel(model, "map", y)
    with float64():
        slope = jax.grad(own.log_density)(jnp.asarray(own.position))
        curvature = -jax.hessian(own.log_density)(jnp.asarray(own.position))
    assert abs(float(slope[0])) < 1e-6
    assert own.inverse_fisher[0, 0] == pytest.approx(1 / 100)  # 2n in log σ, n = 50
    observed = NumPyroModel(model, {"scale": np.array(30.0)}, y, prior=True)
    z = np.log(30.0)
    prior = 2 * np.exp(2 * z) / 100.0**2  # of z - x²/(2·100²)
    assert 1 / observed.inverse_fisher[0, 0] == pytest.approx(100 + prior)
    assert float(curvature[0, 0]) > 0


def test_sites_within_a_scan_of_numpyro_are_taken_at_their_values() -> None:
    def model(y):  # type: ignore[no-untyped-def]
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))

        def step(last, y):  # type: ignore[no-untyped-def]
            x = numpyro.sample("x", dist.Normal(0.5 * last, 1.0))
            numpyro.sample("y", dist.Normal(x, scale), obs=y)
            return x, None

        scan(step, 0.0, y)

    values = {"scale": 2.0, "x": np.ones(5)}
    own = NumPyroModel(model, values, np.arange(5.0))
    information = np.diag([10.0, *[1 / 4] * 5])  # 2n in log σ, and 1/σ² for each x
    np.testing.assert_allclose(own.inverse_fisher, np.linalg.inv(information), rtol=1e-6)


def test_an_unknown_family_is_observed_and_says_why() -> None:
    y = np.array([3.0, 5.0, 8.0, 2.0])

    def model(y):  # type: ignore[no-untyped-def]
        mean = numpyro.sample("mean", dist.LogNormal(1.0, 2.0))
        shift = numpyro.sample("shift", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.NegativeBinomial2(mean, 2.0), obs=y)
        numpyro.sample("w", dist.Normal(shift, 1.0), obs=0.3)
        numpyro.sample("residual", dist.Normal(0.0, 1.0), obs=0.7 - shift)

    own = NumPyroModel(model, {"mean": 4.5, "shift": 0.2}, y)
    assert own.kind == "mixed"
    assert own.sources["w"] == "expected"
    assert own.sources["y"].startswith("observed: no Fisher information is known here of Neg")
    assert own.sources["residual"] == "observed: its value depends on the parameters"
    # at its own mean, the negative binomial's curvature in log mean is n·m·φ/(m + φ)
    expected = np.diag([4 * 4.5 * 2 / 6.5, 2.0])
    found = own.information.likelihood_information
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_a_hierarchical_model_takes_the_prior_and_a_singular_one_names_the_direction() -> None:
    def model(y):  # type: ignore[no-untyped-def]
        mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
        with numpyro.plate("group", 3):
            theta = numpyro.sample("theta", dist.Normal(0.0, 1.0))
            numpyro.sample("y", dist.Normal(mu + 2.0 * theta, 1.5), obs=y)

    own = NumPyroModel(model, "map", np.array([1.0, 4.0, 2.0]))
    assert own.with_prior
    with float64():
        hessian = -jax.hessian(own.log_density)(jnp.asarray(own.position))
    np.testing.assert_allclose(own.inverse_fisher, np.linalg.inv(hessian), rtol=1e-8)
    without = NumPyroModel(model, "map", *own.args, prior=False)
    with pytest.raises(SingularFisherError, match=r"mu.*theta\[0\]"):
        _ = without.inverse_fisher


def test_the_old_name_of_the_class_warns_and_names_the_new_one() -> None:
    centre = np.array([300.0, -20.0, 5.0])
    with pytest.warns(DeprecationWarning, match=r"invmass\.NumPyroModel\(model, truth, …\)"):
        old = Case.from_numpyro(gaussian, "map", centre, CHOSEN, prior=True)
    assert type(old) is invmass.NumPyroModel is NumPyroModel
    new = invmass.NumPyroModel(gaussian, "map", centre, CHOSEN, prior=True)
    np.testing.assert_array_equal(old.position, new.position)
    np.testing.assert_array_equal(old.inverse_fisher, new.inverse_fisher)


def test_arguments_of_the_model_may_have_any_name() -> None:
    def model(prior, model=None):  # type: ignore[no-untyped-def]
        x = numpyro.sample("x", dist.Normal(0.0, prior))
        numpyro.sample("y", dist.Normal(x, 1.0), obs=model)

    own = NumPyroModel.from_arguments(model, "map", (), {"prior": 2.0, "model": 1.0}, prior=True)
    assert own.inverse_fisher == pytest.approx(0.8)
    assert own.counting_prior(False).inverse_fisher == pytest.approx(1.0)


# -- NumPyro's dictionary


@pytest.mark.parametrize(
    ("structure", "keys", "x64"),
    [
        ("diagonal", [("a", "b", "c")], False),
        ("dense", [("a", "b", "c")], False),
        ([("c", "a")], [("c", "a"), ("b",)], True),
    ],
)
def test_numpyro_takes_the_dictionary_as_it_is(structure, keys, x64) -> None:  # type: ignore[no-untyped-def]
    own = own_gaussian()
    with jax.enable_x64(x64):
        given = own.inverse_mass_matrix(structure)
        assert list(given) == keys
        dense = {"diagonal": False, "dense": True}.get(str(structure), structure)
        kernel = NUTS(
            gaussian, inverse_mass_matrix=given, dense_mass=dense, adapt_mass_matrix=False
        )
        mcmc = MCMC(kernel, num_warmup=5, num_samples=1, progress_bar=False)
        copies = map(jnp.array, own.args)  # `precision.copy_for_tracing` says why
        mcmc.run(jax.random.key(0), *copies)
        back = mcmc.last_state.adapt_state.inverse_mass_matrix
    assert set(back) == set(keys)
    for names, block in own.inverse_mass_matrix(structure).items():
        np.testing.assert_array_equal(np.float32(back[names]), np.float32(block))
    if structure == [("c", "a")]:
        np.testing.assert_allclose(back["c", "a"], [[0.01, 0.8], [0.8, 100.0]], rtol=1e-4)


def test_a_structure_that_cannot_be_meant_is_an_error() -> None:
    own = own_gaussian()
    for structure, told in (
        ("block", "is 'diagonal', 'dense' or a list of tuples"),
        (["a"], "is 'diagonal', 'dense' or a list of tuples"),
        ([("a", "nope")], "unknown site 'nope'; the sites are: a, b, c"),
        ([("a",), ("b", "a")], "a site stands in two blocks"),
    ):
        with pytest.raises(UsageError, match=told):
            own.metric(structure)  # type: ignore[arg-type]


# -- adaptation


@pytest.fixture(scope="module")
def adaptation() -> Adaptation:
    return Adaptation(own_gaussian(), [("c", "a")], Settings(replicates=256))


def test_adaptation_finds_the_inverse_fisher_of_a_gaussian(adaptation: Adaptation) -> None:
    entries = {entry.name: entry for entry in adaptation.entries()}
    assert set(entries) == {"a", "b", "c", "c, a"}
    assert {entry.finding for entry in entries.values()} == {Reading.MATCHES}
    assert "matches within 10%" in str(entries["c, a"])


def test_an_inverse_fisher_that_is_wrong_differs_by_its_factor(adaptation: Adaptation) -> None:
    wrong = own_gaussian()
    right = adaptation.model.inverse_fisher
    factor = np.ones((3, 3)) + np.diag([3.0, 0.0, 0.0])
    wrong.__dict__["inverse_fisher"] = right * factor
    judged = Adaptation(wrong, adaptation.structure, adaptation.settings)
    judged._runs = adaptation._runs
    judged.run(1)
    entries = {entry.name: entry for entry in judged.entries()}
    assert entries["a"].finding is Reading.DIFFERS
    assert entries["a"].found == pytest.approx(1 / 4, rel=0.1)
    assert entries["b"].finding is Reading.MATCHES
    assert "differs as documented (prior 0.25): 0.2" in str(entries["a"])


def test_starting_from_the_inverse_fisher_saves(adaptation: Adaptation) -> None:
    saving = saving_of(adaptation)
    assert saving.good
    assert saving.supplied_steps == 75
    assert saving.found == 1.0
    assert 100 <= saving.steps <= 950
    assert saving.supplied_gradients < saving.gradients / 2
    assert 0 < saving.supplied_seconds < saving.seconds
    n, b = adaptation.nuts.last_window, 2
    root = np.sqrt(b / n)
    assert saving.threshold == pytest.approx(1.5 * ((1 + root) / (1 - root)) ** 2)


def test_a_warm_up_that_is_too_short_is_an_error() -> None:
    def model():  # type: ignore[no-untyped-def]
        numpyro.sample("x", dist.Normal(np.zeros(20), 1.0))

    with pytest.raises(UsageError, match="20 warm-up steps are too few for a block of 20"):
        Adaptation(NumPyroModel(model), "dense", Settings(num_warmup=20))


# -- bad input


def test_values_that_do_not_fit_the_model_are_errors() -> None:
    for truth, told in (
        ({"y": MEAN}, r"latent sites \(x\): missing \['x'\], unknown \['y'\]"),
        ({"x": np.array(2.0)}, r"site 'x' has shape \(2,\), its value \(\)"),
        ({"x": np.array([2.0, 11.0])}, "the value of site 'x', .*, is outside its support"),
        ("mode", "a dictionary of constrained values or 'map', not 'mode'"),
    ):
        with pytest.raises(UsageError, match=told):
            NumPyroModel(notebook, truth, MEAN, COVARIANCE)  # type: ignore[arg-type]
    edge = NumPyroModel(notebook, {"x": np.array([2.0, 10.0])}, MEAN, COVARIANCE)
    with pytest.raises(UsageError, match="site 'x' lies on the edge of its support"):
        _ = edge.position


def discrete():  # type: ignore[no-untyped-def]
    numpyro.sample("k", dist.Poisson(3.0))


def spherical():  # type: ignore[no-untyped-def]
    numpyro.sample("v", dist.ProjectedNormal(np.zeros(3)))


def without_latent_sites():  # type: ignore[no-untyped-def]
    numpyro.sample("y", dist.Normal(0.0, 1.0), obs=1.0)


def subsampled():  # type: ignore[no-untyped-def]
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    with numpyro.plate("data", 10, subsample_size=3):
        numpyro.sample("y", dist.Normal(mu, 1.0), obs=np.zeros(3))


def raises():  # type: ignore[no-untyped-def]
    raise KeyError("the column")


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (discrete, "site 'k' is discrete, and NUTS has no gradient for it"),
        (spherical, "site 'v': NumPyro has no bijection from the real numbers to its support"),
        (without_latent_sites, "the model has no latent site"),
        (subsampled, "plate 'data' takes a random subsample"),
        (raises, "the model 'raises' cannot be run: KeyError: 'the column'"),
        (notebook, "the model 'notebook' cannot be run: TypeError: .*missing 2 required"),
    ],
)
def test_a_model_that_nuts_cannot_move_is_an_error(model, told) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match=told):
        NumPyroModel(model)


def test_an_array_seen_in_both_precisions_is_told_with_its_remedy() -> None:
    def model():  # type: ignore[no-untyped-def]
        raise ValueError("Cannot lower jaxpr with verifier errors: …")  # what JAX says

    with pytest.raises(UsageError, match=r"'model' closes over a NumPy array .*clear_caches"):
        NumPyroModel(model)


def test_a_density_without_a_mode_is_an_error() -> None:
    def centred():  # type: ignore[no-untyped-def]
        tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
        numpyro.sample("theta", dist.Normal(np.zeros(4), tau))

    with pytest.raises(UsageError, match="no mode was found"):
        _ = NumPyroModel(centred).position


# -- the command


FILE = """
import numpy as np
import numpyro
import numpyro.distributions as dist


def model(n, y=None):
    mu = numpyro.sample("mu", dist.Normal(0.0, 100.0))
    numpyro.sample("y", dist.Normal(mu, 2.0).expand([n]), obs=y)


model_args = (16,)


def model_kwargs():
    return {"y": np.full(16, 3.0)}


def other(y):
    model(16, y)


other_args = 3.0
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_a_file_gives_a_model_its_arguments(file: Path) -> None:
    own = load_numpyro_model(f"{file}:model")
    assert own.inverse_fisher == pytest.approx(4 / 16)
    assert own.position == pytest.approx(3.0, abs=1e-3)


def test_files_that_cannot_be_used_are_errors(file: Path) -> None:
    bad = file.with_name("bad.py")
    bad.write_text("import nothing_of_that_name", encoding="utf-8")
    for spec, told in (
        (f"{file}", r"which function of .*mine.py is the model\? Say .*mine.py:model"),
        (f"{file}x.py:model", "there is no file .*minex?.py"),
        (f"{file}:nope", "defines no function 'nope'; its functions are: model, model_kwargs, oth"),
        (f"{file}:other", "other_args must be a tuple or list, not float"),
        (f"{bad}:model", "bad.py cannot be run: ModuleNotFoundError: No module named 'nothing"),
    ):
        with pytest.raises(UsageError, match=told):
            load_numpyro_model(spec)
    file.write_text(FILE.replace("model_args", "unused"), encoding="utf-8")
    with pytest.raises(UsageError, match=r"missing a required argument: 'n'; define model_args"):
        load_numpyro_model(f"{file}:model")


def test_metrics_and_blocks_that_cannot_be_meant_are_errors(file: Path) -> None:
    for metrics, blocks, told in (
        (("full",), (), "unknown metric 'full'; NumPyro's are: diagonal, dense"),
        ((), ("mu,nu",), "unknown site 'nu'; the sites are: mu"),
    ):
        with pytest.raises(UsageError, match=told):
            judge_file(f"{file}:model", metrics, blocks, Settings(), as_json=True)


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(HERE.parent), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_check_judges_a_file_and_speaks_json(file: Path) -> None:
    words = ("-m", "invmass", "check", f"{file.name}:model")
    answer = run(file.parent, *words, "--metric", "diagonal", "--json")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    told = json.loads(answer.stdout)
    assert told["kind"] == "expected"
    assert told["sources"] == {"y": "expected"}
    (metric,) = told["metrics"]
    assert metric["inverse_mass_matrix"] == [{"sites": ["mu"], "values": [pytest.approx(0.25)]}]
    (entry,) = metric["entries"]
    assert entry["finding"] == "matches"
    assert entry["low"] < 1.0 < entry["high"] * 1.05
    assert metric["saving"]["supplied_gradients"] > 0
    refused = run(file.parent, *words, "--backend", "tfp")
    assert refused.returncode == 2
    assert "leave out --claim, --results, and any --backend but numpyro" in refused.stderr


def test_the_script_of_the_documentation_runs(tmp_path: Path) -> None:
    script = str(HERE.parent / "benchmarks" / "own_model.py")
    answer = run(tmp_path, script, "notebook", "hubble")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    for line in (
        "the notebook's model: expected information, metric dense",
        "Hubble's law: expected information, metric dense",
        "  x[0]: matches within 15%",
        "  slope: differs as documented (geometry 1.3",
        "from the identity a good one is found after",
        "  slope 4",
    ):
        assert line in answer.stdout
