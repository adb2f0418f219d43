"""A model of the user's own: its answer where Fisher information serves, and where it does not."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner

numpyro = pytest.importorskip("numpyro")
import numpyro.distributions as dist  # noqa: E402
from numpyro.infer import MCMC, NUTS  # noqa: E402

import invmass  # noqa: E402
from invmass.claims.reading import Reading  # noqa: E402
from invmass.cli.main import cli  # noqa: E402
from invmass.errors import NoModeError, SingularFisherError, UsageError  # noqa: E402
from invmass.runs.experiment import Settings  # noqa: E402
from invmass.user_model.adaptation import Adaptation  # noqa: E402
from invmass.user_model.non_centred import non_centred  # noqa: E402
from invmass.user_model.numpyro_model import NumPyroModel  # noqa: E402
from invmass.user_model.posterior_covariance import posterior_moments  # noqa: E402
from invmass.user_model.reference import COVARIANCE, WITH_PRIOR  # noqa: E402
from invmass.whitening import whiten  # noqa: E402

SETTINGS = Settings(replicates=512)
EFFECTS = np.array([3.0, -5.0])


def narrow(y):  # type: ignore[no-untyped-def]
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(x, 1e-4), obs=y)


def informed(y):  # type: ignore[no-untyped-def]
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(x, 1.0), obs=y)


def line(t, y):  # type: ignore[no-untyped-def]
    slope = numpyro.sample("slope", dist.Uniform(-5.0, 5.0))
    offset = numpyro.sample("offset", dist.Uniform(-5.0, 5.0))
    numpyro.sample("y", dist.Normal(slope * t + offset, 0.01), obs=y)


def centred(y):  # type: ignore[no-untyped-def]
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("group", len(y)):
        theta = numpyro.sample("theta", dist.Normal(0.0, tau))
        numpyro.sample("y", dist.Normal(theta, 10.0), obs=y)


def spike():  # type: ignore[no-untyped-def]
    weights = dist.Categorical(probs=jnp.array([0.999, 0.001]))
    parts = dist.Normal(jnp.array([40.0, 0.0]), jnp.array([1.0, 1e-4]))
    numpyro.sample("x", dist.MixtureSameFamily(weights, parts))


def ridge(y):  # type: ignore[no-untyped-def]
    anywhere = dist.ImproperUniform(dist.constraints.real, (), ())
    a, b = numpyro.sample("a", anywhere), numpyro.sample("b", anywhere)
    numpyro.sample("y", dist.Normal(a + b, 1.0), obs=y)


def line_data() -> tuple[np.ndarray, np.ndarray]:
    t = np.linspace(0.0, 10.0, 50)
    return t, 1.5 * t + 0.5 + 0.01 * np.random.default_rng(0).normal(size=50)


def entries(own: NumPyroModel, **given: object) -> dict[str, object]:
    adaptation = Adaptation(own, "dense", SETTINGS, **given)  # type: ignore[arg-type]
    return {entry.name: entry for entry in adaptation.entries()}


# -- below the regularisation floor


def test_narrow_model_is_no_match() -> None:
    answer = invmass.check(NumPyroModel(narrow, "map", np.array(0.0)), metric="dense")
    assert answer.status == "differs as documented"
    assert not answer.passed
    (found,) = answer.lines
    assert found["found"] == pytest.approx(991.0, rel=0.01)
    assert found["message"] == "regularisation 991"
    assert "below the regularisation floor of 9.9e-06" in str(answer)


def test_floor_is_told_before_anything_is_sampled() -> None:
    own = NumPyroModel(line, "map", *line_data())
    adaptation = Adaptation(own, "dense", SETTINGS)
    floor = adaptation.floor
    assert not adaptation._runs
    assert floor is not None
    assert floor.ratios["slope"] == pytest.approx(886, rel=0.01)
    assert len(floor.ratios) == 2
    assert "regularize_mass_matrix=False" in str(floor)
    usual, bare = (gradients_a_draw(own, regularise) for regularise in (True, False))
    assert floor.gradients == pytest.approx(usual, rel=0.25)
    assert floor.gradients_without == pytest.approx(bare, rel=0.25)
    assert usual > 2.5 * bare


def gradients_a_draw(own: NumPyroModel, regularise: bool) -> float:
    """Of NumPyro's NUTS on the model itself, with what it tunes."""
    kernel = NUTS(own.function, dense_mass=True, regularize_mass_matrix=regularise)
    mcmc = MCMC(
        kernel,
        num_warmup=1000,
        num_samples=200,
        num_chains=16,
        chain_method="vectorized",
        progress_bar=False,
    )
    with jax.enable_x64(True):
        mcmc.run(jax.random.key(0), *own.inputs[0], extra_fields=("num_steps",))
        return float(mcmc.get_extra_fields()["num_steps"].mean())


def test_line_differs_as_documented_and_matches_without_regularisation() -> None:
    own = NumPyroModel(line, "map", *line_data())
    usual = entries(own)
    assert {entry.finding for entry in usual.values()} == {Reading.DIFFERS}  # type: ignore[attr-defined]
    assert "regularisation" in usual["slope"].reason  # type: ignore[attr-defined]
    bare = entries(own, regularise=False)
    assert {entry.finding for entry in bare.values()} == {Reading.MATCHES}  # type: ignore[attr-defined]


def test_nothing_is_said_of_a_floor_that_does_not_matter() -> None:
    own = NumPyroModel(informed, "map", np.array(0.0))
    assert Adaptation(own, "dense", SETTINGS).floor is None


# -- with the prior and without


def test_answer_says_which_of_both_informations_is_matched() -> None:
    own = NumPyroModel(informed, "map", np.array(0.0))
    assert own.inverses["of the observations alone"] == pytest.approx(1.0)
    assert own.inverses["with the prior"] == pytest.approx(0.5)
    (entry,) = entries(own).values()
    assert entry.finding is Reading.DIFFERS  # type: ignore[attr-defined]
    assert entry.found == pytest.approx(0.5, rel=0.08)  # type: ignore[attr-defined]
    assert entry.reason == "prior 0.5"  # type: ignore[attr-defined]
    assert entry.others[WITH_PRIOR].finding == "matches"  # type: ignore[attr-defined]


def test_prior_is_counted_if_it_is_asked_for() -> None:
    own = NumPyroModel(informed, "map", np.array(0.0), prior=True)
    (entry,) = entries(own).values()
    assert entry.finding is Reading.MATCHES  # type: ignore[attr-defined]
    assert entry.others["inverse Fisher"].finding == "differs"  # type: ignore[attr-defined]
    own = NumPyroModel(informed, "map", np.array(0.0))
    assert invmass.check(own, metric="dense", prior=True).status == "matches"


def test_command_takes_prior_and_no_regularise(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(
        "import numpyro, numpyro.distributions as dist\n"
        "def model():\n"
        "    x = numpyro.sample('x', dist.Normal(0, 1))\n"
        "    numpyro.sample('y', dist.Normal(x, 1e-3), obs=0.0)\n",
        encoding="utf-8",
    )
    words = ["check", f"{path}:model", "--metric", "dense", "--prior", "--no-regularise", "--json"]
    shown = CliRunner().invoke(cli, words)
    assert shown.exit_code == 0, shown.output
    answer = json.loads(shown.stdout)
    assert answer["with_prior"] is True
    assert answer["regularised"] is False
    assert [entry["finding"] for entry in answer["metrics"][0]["entries"]] == ["matches"]
    with_case = CliRunner().invoke(cli, ["check", "fine_mean", "--prior"])
    assert isinstance(with_case.exception, UsageError)


# -- where no Fisher information serves


def exact_covariance() -> np.ndarray:
    """Of (log tau, theta) of the centred model, by a sum over log tau: theta is normal given it."""
    u = np.linspace(-25.0, 25.0, 200_001)
    variance = np.exp(2 * u)
    log_density = u - np.log1p(variance / 25)
    for y in EFFECTS:
        log_density -= 0.5 * y**2 / (100 + variance) + 0.5 * np.log(100 + variance)
    weights = np.exp(log_density - log_density.max())
    weights /= weights.sum()
    shrinkage = variance / (100 + variance)
    centre = u - weights @ u
    means = shrinkage[:, None] * EFFECTS
    overall = weights @ means
    found = np.empty((3, 3))
    found[0, 0] = weights @ centre**2
    found[0, 1:] = found[1:, 0] = (weights * centre) @ means
    found[1:, 1:] = (weights[:, None] * means).T @ means - np.outer(overall, overall)
    found[1:, 1:] += np.eye(2) * 100 * (weights @ shrinkage)
    return found


@pytest.fixture(scope="module")
def hierarchy() -> Adaptation:
    return Adaptation(NumPyroModel(centred, "map", EFFECTS), "dense", SETTINGS)


def test_covariance_of_a_centred_hierarchy_is_that_of_quadrature(hierarchy: Adaptation) -> None:
    """The neck is too narrow for any sampler of the model as it is stated; M⁻¹ shows it."""
    assert "may rise without bound" in str(hierarchy.why_no_fisher)
    assert hierarchy.reference_name == COVARIANCE
    found = hierarchy.posterior
    assert not found.trouble
    assert "non-centred" in found.how
    exact = exact_covariance()
    apart = whiten(found.covariance[None], exact)[0] - np.eye(3)
    assert np.all(np.abs(apart) < found.error)
    assert found.error.max() < 0.1
    entry = {each.name: each for each in hierarchy.entries()}["tau"]
    assert entry.finding is Reading.WRONG
    assert entry.margin > SETTINGS.tolerance  # the error of the reference is counted
    assert entry.found == pytest.approx(0.54, abs=0.1)


def test_non_centred_model_is_the_same_posterior() -> None:
    own = NumPyroModel(centred, "map", EFFECTS)
    other, back = non_centred(own)  # type: ignore[misc]
    assert set(other.sites) == {"tau", "theta_decentered"}
    with jax.enable_x64(True):
        z = jnp.asarray([0.3, -1.0, 2.0])
        mapped = back(z)
        volume = jnp.linalg.slogdet(jax.jacfwd(back)(z))[1]
        difference = other.log_density(z) - own.log_density(mapped) - volume
        again = jnp.asarray([-2.0, 0.5, 0.1])
        difference -= other.log_density(again) - own.log_density(back(again))
        difference += jnp.linalg.slogdet(jax.jacfwd(back)(again))[1]
    np.testing.assert_allclose(mapped, [0.3, -np.exp(0.3), 2 * np.exp(0.3)])
    assert float(difference) == pytest.approx(0.0, abs=1e-10)
    assert non_centred(NumPyroModel(line, "map", *line_data())) is None


def test_mode_far_from_the_chains_does_not_serve() -> None:
    adaptation = Adaptation(NumPyroModel(spike, "map"), "dense", SETTINGS)
    assert adaptation.model.inverse_fisher == pytest.approx(1e-8, rel=1e-3)  # of the spike
    (entry,) = adaptation.entries()
    assert "standard deviations apart in x" in str(adaptation.why_no_fisher)
    assert adaptation.posterior.covariance == pytest.approx(1.0, rel=0.05)
    assert entry.finding is Reading.MATCHES


def test_direction_without_density_is_named() -> None:
    own = NumPyroModel(ridge, "map", np.array(1.0))
    with pytest.raises(NoModeError, match=r"flat along \+1·a -1·b"):
        _ = own.position
    with pytest.raises(UsageError, match=r"\+1·a -1·b.*covariance is not known"):
        list(Adaptation(own, "dense", SETTINGS).entries())


def test_indefinite_information_at_a_given_point_is_named() -> None:
    at = {"tau": np.array(0.01), "theta": np.array([1.0, 1.0])}
    own = NumPyroModel(centred, at, EFFECTS)
    with pytest.raises(SingularFisherError, match="indefinite") as told:
        _ = own.inverse_fisher
    assert "'map'" not in str(told.value)  # which sent there and back
    assert own.why_no_fisher is not None


def test_samplers_that_disagree_are_no_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    from invmass.user_model import posterior_covariance

    own = NumPyroModel(informed, "map", np.array(0.0))
    starts = np.random.default_rng(0).normal(size=(64, 1))
    right = posterior_covariance._nuts
    monkeypatch.setattr(posterior_covariance, "_nuts", lambda *given: 1.2 * right(*given))
    found = posterior_moments(own, starts, 0, 0.1, 1e-6)
    assert "two samplers disagree about the posterior" in found.trouble
    monkeypatch.undo()
    assert not posterior_moments(own, starts, 0, 0.1, 1e-6).trouble


# -- derivatives


@jax.custom_vjp
def sine(x):  # type: ignore[no-untyped-def]
    return jnp.sin(x)


sine.defvjp(lambda x: (jnp.sin(x), x), lambda x, slope: (slope * jnp.cos(x),))


def called(function, x):  # type: ignore[no-untyped-def]
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    return jax.pure_callback(function, shape, x, vmap_method="expand_dims")


@jax.custom_vjp
def called_sine(x):  # type: ignore[no-untyped-def]
    return called(np.sin, x)


called_sine.defvjp(lambda x: (called(np.sin, x), x), lambda x, slope: (slope * called(np.cos, x),))


def looped(x):  # type: ignore[no-untyped-def]
    """sin(x) by a loop that reverse mode cannot go back through."""
    return jax.lax.while_loop(lambda c: c[0] < 1, lambda c: (c[0] + 1, jnp.sin(c[1])), (0, x))[1]


def bent(through):  # type: ignore[no-untyped-def]
    def model():  # type: ignore[no-untyped-def]
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(through(x), 0.1), obs=0.3)

    return model


@pytest.mark.parametrize(
    ("through", "how"),
    [
        (jnp.sin, "forward over reverse mode"),
        (sine, "forward over reverse mode"),
        (called_sine, "central differences of the gradient"),
        (looped, "forward over forward mode"),
    ],
)
def test_derivatives_are_taken_by_whichever_mode_there_is(through, how: str) -> None:  # type: ignore[no-untyped-def]
    right, own = NumPyroModel(bent(jnp.sin)), NumPyroModel(bent(through))
    assert own.derivatives == how
    assert own.forward_mode == (through is looped)
    np.testing.assert_allclose(own.position, right.position, atol=1e-8)
    for name, inverse in right.inverses.items():
        np.testing.assert_allclose(own.inverses[name], inverse, rtol=1e-7)
    if through is looped:
        assert Adaptation(own, "dense", SETTINGS).run(0).all_gradients.min() > 0


def test_function_without_a_derivative_is_not_the_model_s_fault() -> None:
    with pytest.raises(UsageError, match=r"JAX cannot differentiate it, which NUTS needs") as told:
        _ = NumPyroModel(bent(lambda x: called(np.sin, x))).position
    assert "cannot be run" not in str(told.value)


def test_mode_search_survives_overflow() -> None:
    def steep(y):  # type: ignore[no-untyped-def]
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Poisson(jnp.exp(300.0 * x)), obs=y)

    own = NumPyroModel(steep, "map", np.array(3.0))
    (x,) = own.position
    assert 300 * np.exp(300 * x) + x == pytest.approx(900, rel=1e-8)
    assert own.inverses["of the observations alone"] == pytest.approx(
        1 / (300**2 * np.exp(300 * x))
    )


def test_mode_is_found_whatever_the_units() -> None:
    def scales():  # type: ignore[no-untyped-def]
        numpyro.sample("wide", dist.Normal(3.0, 1e4))
        numpyro.sample("narrow", dist.Normal(0.0, 1e-5))

    own = NumPyroModel(scales)
    np.testing.assert_allclose(own.position, [0.0, 3.0], atol=1e-6)
    np.testing.assert_allclose(np.diag(own.inverse_fisher), [1e-10, 1e8], rtol=1e-6)


def test_direction_that_is_wrong_does_not_hide_behind_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In units of the information of the observations its share is small; it is sixfold."""
    turn = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2)
    prior = turn @ np.diag([9.0, 0.01 / 0.99]) @ turn  # with y ~ N(x, 1): variances 0.9 and 0.01

    def correlated():  # type: ignore[no-untyped-def]
        x = numpyro.sample("x", dist.MultivariateNormal(jnp.zeros(2), jnp.asarray(prior)))
        numpyro.sample("y", dist.Normal(x, 1.0).to_event(1), obs=jnp.zeros(2))

    draws = np.random.default_rng(0).normal(size=(512, 225, 2))

    def told(small: float) -> set[Reading]:
        adaptation = Adaptation(NumPyroModel(correlated), "dense", SETTINGS)
        scaled = draws * np.sqrt([0.9, small]) @ turn
        matrices = np.einsum("rni,rnj->rij", scaled, scaled) / 225
        monkeypatch.setattr(adaptation, "tuned", lambda count: matrices[:count])
        return {entry.finding for entry in adaptation.entries()}

    assert told(0.01) == {Reading.DIFFERS}
    assert Reading.WRONG in told(0.06)


def test_masked_site_is_sampled_as_it_is_stated() -> None:
    def masked():  # type: ignore[no-untyped-def]
        tau = numpyro.sample("tau", dist.HalfNormal(1.0))
        with numpyro.handlers.mask(mask=jnp.array([True, True])):
            numpyro.sample("theta", dist.Normal(jnp.zeros(2), tau))

    assert non_centred(NumPyroModel(masked, {"tau": np.array(1.0), "theta": np.zeros(2)})) is None


def test_without_regularisation_a_block_must_fit_into_the_shortest_window() -> None:
    def many():  # type: ignore[no-untyped-def]
        numpyro.sample("x", dist.Normal(0.0, 1.0).expand([25]).to_event(1))

    with pytest.raises(UsageError, match="the 25 draws of the shortest window leave a block of 25"):
        Adaptation(NumPyroModel(many), "dense", SETTINGS, regularise=False)
    Adaptation(NumPyroModel(many), "diagonal", SETTINGS, regularise=False)
