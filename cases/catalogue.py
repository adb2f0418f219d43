"""Every family of cases, in the order in which they are shown."""

from collections.abc import Callable, Iterable

from invmass.model.case import Case

from . import (
    curved,
    gaussian,
    hierarchy,
    priors,
    real_data,
    regression,
    scaling,
    univariate,
)

FAMILIES: tuple[Callable[[], Iterable[Case]], ...] = (
    gaussian.correlated_gaussians,
    univariate.one_normal,
    regression.curves,
    priors.prior_only,
    curved.far_from_gaussian,
    hierarchy.hierarchies,
    real_data.on_real_data,
    scaling.gaussians,
    scaling.paired,
)
