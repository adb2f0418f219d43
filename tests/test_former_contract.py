"""A backend that is written for a former contract is told what changed, and what to write."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from invmass.errors import UsageError
from invmass.sampling.former_contract import MOVED
from invmass.sampling.registry import load_backend

OLD = """
from invmass.sampling.backend import Backend

class Mine(Backend):
    name = "mine"
    estimators = {{}}
    {attribute}

    def warm_up({arguments}): ...
    def sample(self, case, tuned, keys, num_samples): ...
"""
NEW_ARGUMENTS = "self, request"
OLD_ARGUMENTS = "self, case, metric, keys, starts, num_warmup, supplied=None"


@pytest.fixture
def refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Callable[[str], str]:
    """The error with which a module of this source is refused; "" if it is not."""
    monkeypatch.syspath_prepend(tmp_path)
    name = f"former_{abs(hash(request.node.name))}"  # load_backend remembers what it loaded

    def told(source: str) -> str:
        (tmp_path / f"{name}.py").write_text(source)
        try:
            load_backend(f"{name}:Mine")
        except UsageError as error:
            return str(error)
        return ""

    return told


def test_present_contract_is_not_refused(refusal: Callable[[str], str]) -> None:
    assert refusal(OLD.format(arguments=NEW_ARGUMENTS, attribute="")) == ""


def test_method_that_has_the_name_of_a_former_attribute_is_not_refused(
    refusal: Callable[[str], str],
) -> None:
    method = "def metropolis(self): ..."
    assert refusal(OLD.format(arguments=NEW_ARGUMENTS, attribute=method)) == ""


@pytest.mark.parametrize("arguments", [OLD_ARGUMENTS, f"{OLD_ARGUMENTS}, *, kept=True"])
def test_former_arguments_of_warm_up_are_refused(
    refusal: Callable[[str], str], arguments: str
) -> None:
    told = refusal(OLD.format(arguments=arguments, attribute=""))
    assert "is written for a former contract" in told
    assert "warm_up(self, case, metric, keys, starts, num_warmup, supplied, kept) is now" in told
    assert "warm_up(self, request)" in told
    assert "request.inverse_mass_matrix (was supplied)" in told
    assert "request.adapt_metric (false where kept was true)" in told
    assert "supports_fixed_metric = True" in told
    assert "docs/adding_backends.md" in told
    assert "lacks" not in told


def test_lacks_is_refused(refusal: Callable[[str], str]) -> None:
    told = refusal(OLD.format(arguments=NEW_ARGUMENTS, attribute="lacks = {}"))
    assert "lacks is now unsupported" in told
    assert "supports_fixed_metric = False" in told
    assert "warm_up(" not in told


def test_metropolis_is_refused(refusal: Callable[[str], str]) -> None:
    told = refusal(OLD.format(arguments=NEW_ARGUMENTS, attribute="metropolis = True"))
    assert "metropolis is now has_accept_reject" in told


def test_why_lacking_is_refused(refusal: Callable[[str], str]) -> None:
    method = "def why_lacking(self, metric): return None"
    told = refusal(OLD.format(arguments=NEW_ARGUMENTS, attribute=method))
    assert "is written for a former contract" in told
    assert "why_lacking(self, metric) is now unsupported_reason" in told


def test_all_changes_are_told_at_once(refusal: Callable[[str], str]) -> None:
    attributes = "lacks, metropolis = {}, True"
    told = refusal(OLD.format(arguments=OLD_ARGUMENTS, attribute=attributes))
    assert told.count("\n- ") == 3


@pytest.mark.parametrize(
    ("statement", "old", "new"),
    [
        ("from invmass.backends.backend import Backend", "backends.backend", "sampling.backend"),
        ("import invmass.geometry.estimators", "geometry.estimators", "adaptation.estimators"),
        ("from invmass.geometry import families", "geometry.families", "model.distributions"),
        ("from invmass.cases.case import Case", "cases.case", "model.case"),
        (
            "from invmass.verdicts.claims import CLAIMS",
            "verdicts.claims",
            "claims.registry, invmass.claims.base",
        ),
        (
            "from invmass.cases.motion import Motion",
            "cases.motion.Motion",
            "model.affine.AffineMap",
        ),
        (
            "from invmass.geometry.families import Given, Normal",
            "geometry.families.Given",
            "model.distributions.ConditionalPrior",
        ),
        (
            "from invmass.sampling.backend import Lack",
            "sampling.backend.Lack",
            "sampling.backend.Unsupported",
        ),
        (
            "from importlib import import_module; import_module('invmass.geometry.estimators')",
            "geometry.estimators",
            "adaptation.estimators",
        ),
    ],
)
def test_former_place_of_a_module_is_answered_by_its_new_one(
    refusal: Callable[[str], str], statement: str, old: str, new: str
) -> None:
    told = refusal(f"{statement}\n")
    assert "cannot be loaded" in told
    assert f"\n- invmass.{old} is now invmass.{new}\n" in f"{told}\n"


def test_module_that_the_source_does_not_spell_out_is_answered_by_the_page(
    refusal: Callable[[str], str],
) -> None:
    told = refusal("for m in ['geometry']: __import__(f'invmass.{m}.mode')\n")
    assert "is now" not in told
    assert told.endswith("The contract is described in docs/adding_backends.md.")


def test_all_modules_that_moved_are_told_at_once(refusal: Callable[[str], str]) -> None:
    told = refusal(
        "from invmass.geometry.estimators import WELFORD_DIAGONAL\n"
        "from invmass.backends.hmc.schedule import last_window, stan_schedule\n"
        "from invmass.backends.backend import Backend, Draws, Lack, Tuned\n"
    )
    assert told.count(" is now ") == 4
    assert "invmass.backends.backend.Lack is now invmass.sampling.backend.Unsupported" in told
    assert "invmass.backends.hmc.schedule is now invmass.adaptation.windows" in told


@pytest.mark.parametrize("name", ["a_library_that_is_not_there", "invmass.sampling.nowhere"])
def test_other_import_that_fails_is_told_as_it_is(refusal: Callable[[str], str], name: str) -> None:
    told = refusal(f"import {name}\n")
    assert f"No module named '{name}'" in told
    assert "is now" not in told


@pytest.mark.parametrize(
    ("use", "old", "new"),
    [
        ("replace(WELFORD_DENSE, fewest=10)", "fewest", "min_draws_per_dim"),
        ("replace(WELFORD_DENSE, **{'fewest': 10})", "fewest", "min_draws_per_dim"),
        ("Estimator(WELFORD_DENSE.rule, fewest=10)", "fewest", "min_draws_per_dim"),
        ("WELFORD_DENSE.fewest", "fewest", "min_draws_per_dim"),
        ("WELFORD_DENSE.on_sites({})", "on_sites", "for_layout"),
        ("Estimator.shaped", "shaped", "restrict"),
    ],
)
def test_former_member_of_an_estimator_is_answered_by_its_new_name(
    refusal: Callable[[str], str], use: str, old: str, new: str
) -> None:
    told = refusal(
        "from dataclasses import replace\n"
        "from invmass.adaptation.estimators import WELFORD_DENSE, Estimator\n"
        f"{use}\n"
    )
    assert "cannot be loaded" in told
    assert told.count(" is now ") == 1
    assert f"\n- Estimator.{old} is now Estimator.{new}\n" in told


def test_former_members_are_told_with_the_modules(refusal: Callable[[str], str]) -> None:
    told = refusal(
        "from invmass.geometry.estimators import WELFORD_DENSE\n"
        "estimators = {'dense': replace(WELFORD_DENSE, fewest=10)}\n"
        "def target(slices): return WELFORD_DENSE.on_sites(slices)\n"
    )
    assert "invmass.geometry.estimators is now invmass.adaptation.estimators" in told
    assert "Estimator.fewest is now" in told
    assert "Estimator.on_sites is now" in told
    assert "shaped" not in told


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("len(3)", "TypeError: object of type 'int' has no len()"),
        ("def f(:", "SyntaxError: invalid syntax"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("dict().shaped", "'dict' object has no attribute 'shaped'"),
    ],
)
def test_any_other_fault_of_a_module_is_told_as_it_is(
    refusal: Callable[[str], str], source: str, fault: str
) -> None:
    told = refusal(f"{source}\n")
    assert f"cannot be loaded: {fault}" in told
    assert "is now" not in told


@pytest.mark.parametrize(
    "place", [place for places in MOVED.values() for place in places.split(", ")]
)
def test_every_new_place_is_there(place: str) -> None:
    module, _, name = place.rpartition(".")
    assert hasattr(import_module(module), name) or find_spec(place)
