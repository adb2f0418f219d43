"""Where sites stand among coordinates, and NumPyro's dictionary of a metric over them."""

import jax
import numpy as np
import pytest

from invmass.adaptation.condition_number import condition
from invmass.adaptation.estimators import RUNNING_COVARIANCE, WELFORD_DENSE, WELFORD_DIAGONAL
from invmass.errors import UsageError
from invmass.model.layout import CoordinateLayout
from invmass.user_model.metric_structure import MetricStructure, chosen_structures
from invmass.whitening import whiten_points

LAYOUT = CoordinateLayout({"a": (2, 2), "b": (), "c": (1,)})
MATRIX = np.arange(36.0).reshape(6, 6) + np.arange(36.0).reshape(6, 6).T


def test_coordinates_follow_the_sites_row_by_row() -> None:
    assert LAYOUT.coordinates == ("a[0,0]", "a[0,1]", "a[1,0]", "a[1,1]", "b", "c[0]")
    assert LAYOUT.dimension == 6
    assert LAYOUT.slices["b"] == slice(4, 5)
    np.testing.assert_array_equal(LAYOUT.indices(["c", "a"]), [5, 0, 1, 2, 3])


def test_unflatten_is_the_inverse_of_flatten() -> None:
    vector = np.arange(6.0)
    sites = LAYOUT.unflatten(vector)
    np.testing.assert_array_equal(sites["a"], [[0.0, 1.0], [2.0, 3.0]])
    np.testing.assert_array_equal(LAYOUT.flatten(sites), vector)


def test_values_that_do_not_fit_the_layout_are_errors() -> None:
    values = {"a": np.zeros((2, 2)), "b": np.zeros(()), "c": np.zeros(1)}
    with pytest.raises(UsageError, match=r"missing \['c'\], unknown \['d'\]"):
        LAYOUT.flatten({"a": values["a"], "b": values["b"], "d": values["c"]})
    with pytest.raises(UsageError, match=r"site 'b' has shape \(3,\), expected \(\)"):
        LAYOUT.flatten(values | {"b": np.zeros(3)})
    with pytest.raises(UsageError, match="expected a vector of 6 coordinates"):
        LAYOUT.unflatten(np.zeros(5))


@pytest.mark.parametrize("structure", ["diagonal", "dense", [("c", "a")], [("b",), ("c",)]])
def test_matrix_survives_the_way_through_numpyro_s_dictionary(structure) -> None:  # type: ignore[no-untyped-def]
    metric = MetricStructure(LAYOUT, structure)
    blocks = {names: np.asarray(block) for names, block in metric.dictionary(MATRIX).items()}
    np.testing.assert_array_equal(metric.matrix(blocks), metric.restrict(MATRIX))
    # JAX sorts the keys; replicates and windows are leading axes
    stacked = jax.tree.map(lambda block: np.broadcast_to(block, (3, 2, *block.shape)), blocks)
    assert metric.matrix(stacked).shape == (3, 2, 6, 6)
    np.testing.assert_array_equal(metric.matrix(stacked)[1, 1], metric.restrict(MATRIX))


def test_blocks_are_dense_and_the_other_sites_diagonal() -> None:
    metric = MetricStructure(LAYOUT, [("c", "a")])
    assert metric.dense_mass == [("c", "a")]
    assert metric.largest_block == 5
    assert metric.name == "c,a"
    assert np.count_nonzero(metric.entries) == 5 * 5 + 1
    assert metric.dictionary(MATRIX)["c", "a"][0, 0] == MATRIX[5, 5]


def test_options_choose_structures() -> None:
    assert chosen_structures((), ()) == ["diagonal", "dense"]
    assert chosen_structures((), ("a,b", "c")) == [[("a", "b"), ("c",)]]
    assert chosen_structures(("dense",), ("c",)) == ["dense", [("c",)]]


def test_regularisation_leaves_a_share_to_the_data() -> None:
    n, variances = 100, np.array([1.0, 1e-6])
    expected = n / (n + 5) * variances / (n / (n + 5) * variances + 1e-3 * 5 / (n + 5))
    np.testing.assert_allclose(WELFORD_DIAGONAL.data_share(variances, n), expected)
    np.testing.assert_allclose(WELFORD_DENSE.data_share(np.diag(variances), n), expected)
    np.testing.assert_allclose(RUNNING_COVARIANCE.data_share(np.diag(variances), n), 1.0)


def test_condition_number_takes_any_leading_axes() -> None:
    metrics = np.broadcast_to(np.diag([1.0, 4.0]), (3, 2, 2, 2))
    np.testing.assert_allclose(condition(metrics, np.eye(2)), np.full((3, 2), 4.0))
    assert condition(metrics[0, 0], np.diag([1.0, 4.0])) == pytest.approx(1.0)
    np.testing.assert_allclose(condition(np.ones((3, 2)), np.array([1.0, 5.0])), 5.0)


def test_whitened_points_are_in_units_of_the_covariance() -> None:
    mean, covariance = np.array([1.0, -2.0]), np.array([[2.0, 0.6], [0.6, 0.5]])
    points = mean + np.eye(2) @ np.linalg.cholesky(covariance).T
    np.testing.assert_allclose(whiten_points(points, mean, covariance), np.eye(2), atol=1e-15)
