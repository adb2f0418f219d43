"""Shift, rescale or permute the coordinates of a linear regression.

A sampler must tune the same metric in the new coordinates, up to the same change of coordinates.
"""

from dataclasses import dataclass, replace

import numpy as np

from invmass.errors import UsageError
from invmass.model.case import Case
from invmass.model.distributions import Normal
from invmass.model.posterior import Observation, Site

# Standard deviation of the new prior over the largest coordinate: wide enough to be negligible.
_FLAT = 1e4


@dataclass(frozen=True)
class AffineMap:
    """The map `x[i] = scale · w[i - turn] + shift · sd` from old coordinates w to new ones x.

    Attributes:
        name: a short description.
        shift: in units of the largest standard deviation of the new coordinates.
        scale: factor common to all coordinates.
        turn: number of positions of a cyclic permutation: coordinate i becomes coordinate
            i + turn, modulo d. A reversal would not do: it is its own inverse, and hides errors.
    """

    name: str
    shift: float = 0.0
    scale: float = 1.0
    turn: int = 0

    def points(self, points: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        """Map points from old to new coordinates.

        Args:
            points: rows w, shape (N, d).
            covariance: Cov(w), shape (d, d).

        Returns:
            Rows x, shape (N, d).
        """
        return self.scale * self._ordered(points) + self._distance(covariance)

    def metrics_back(self, metrics: np.ndarray) -> np.ndarray:
        """Transform M⁻¹ from new to old coordinates; shape (R, d) or (R, d, d)."""
        axes = tuple(range(1, metrics.ndim))
        return np.roll(metrics, (-self.turn,) * len(axes), axes) / self.scale**2

    def case(self, case: Case, covariance: np.ndarray) -> Case:
        """The same posterior in the new coordinates, except for a flat prior.

        The columns of the design matrix are permuted and divided by the scale, and the data are
        shifted accordingly. The new case has the same structure, and so shares the compiled
        programs of the old one.

        Args:
            case: a regression that is linear in one real site with a normal prior. The only entry
                of `Observation.constants` is the design matrix, shape (n, d).
            covariance: Cov(w), shape (d, d).

        Raises:
            UsageError: the case is not such a regression.
        """
        sites, observations = list(case.sites.items()), list(case.observations.items())
        if len(sites) != 1 or len(observations) != 1 or len(observations[0][1].constants) != 1:
            raise UsageError(
                f"case {case.name!r} cannot be moved: it needs one real site, and one observation "
                "whose only constant is the design"
            )
        (site_name, site), (observed_name, observed) = sites[0], observations[0]
        (design,) = observed.constants
        is_mean = isinstance(observed.family(case.truth, design), Normal)
        suits = np.ndim(design) == 2 and np.shape(design)[1:] == site.shape
        if not (isinstance(site.prior, Normal) and is_mean and suits):
            raise UsageError(
                f"case {case.name!r} cannot be moved: its site needs a normal prior and one "
                "coordinate for each column of the design"
            )
        new_design = self._ordered(design) / self.scale
        truth = self.points(np.asarray(case.truth[site_name], dtype=float)[None], covariance)[0]
        offset = new_design @ np.full(len(truth), self._distance(covariance))
        width = _FLAT * max(float(np.max(np.abs(truth))), 1.0)
        return replace(
            case,
            name=f"{case.name}, {self.name}",
            sites={site_name: Site(Normal(0.0, width), site.shape)},
            observations={
                observed_name: Observation(
                    observed.family, np.asarray(observed.data) + offset, (new_design,)
                )
            },
            truth={site_name: truth},
        )

    def _ordered(self, rows: np.ndarray) -> np.ndarray:
        return np.roll(rows, self.turn, axis=1)

    def _distance(self, covariance: np.ndarray) -> float:
        return self.shift * self.scale * float(np.sqrt(np.max(np.diag(covariance))))
