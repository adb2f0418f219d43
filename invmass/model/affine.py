"""Affine maps of a linear fit: they must not change what a sampler tunes, except for the units."""

from dataclasses import dataclass, replace

import numpy as np

from invmass.errors import UsageError
from invmass.model.case import Case
from invmass.model.distributions import Normal
from invmass.model.posterior import Observation, Site

_FLAT = 1e4  # of the moved prior over the distance moved: it pulls by nothing that could be seen


@dataclass(frozen=True)
class AffineMap:
    """`x[i] = scale · w[i - turn] + shift · sd`, from old coordinates w to new ones.

    Attributes:
        name: what it does, in a word or two.
        shift: in units of the largest standard deviation of the new coordinates.
        scale: c, common to all coordinates.
        turn: by how many places the coordinates move on, the last ones becoming the first. Not a
            reversal, which many a wrong order would follow.
    """

    name: str
    shift: float = 0.0
    scale: float = 1.0
    turn: int = 0

    def points(self, points: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        """Rows of old coordinates as rows of new ones, given Cov(w); shape (N, d)."""
        return self.scale * self._ordered(points) + self._distance(covariance)

    def metrics_back(self, metrics: np.ndarray) -> np.ndarray:
        """Metrics of the new coordinates as those of the old ones; shape (R, d) or (R, d, d)."""
        axes = tuple(range(1, metrics.ndim))
        return np.roll(metrics, (-self.turn,) * len(axes), axes) / self.scale**2

    def case(self, case: Case, covariance: np.ndarray) -> Case:
        """The same posterior in the new coordinates, as a case of the same structure.

        It shares the compiled programs of the old one. The design's columns change places and
        are divided by the scale, and the data move along; the prior becomes flat.

        Args:
            case: a fit that is linear in one real site: `Observation.constants` is its design.
            covariance: Cov(w), shape (d, d).

        Raises:
            UsageError: the case is no such fit.
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
        moved_design = self._ordered(design) / self.scale
        truth = self.points(np.asarray(case.truth[site_name], dtype=float)[None], covariance)[0]
        offset = moved_design @ np.full(len(truth), self._distance(covariance))
        width = _FLAT * max(float(np.max(np.abs(truth))), 1.0)
        return replace(
            case,
            name=f"{case.name}, {self.name}",
            sites={site_name: Site(Normal(0.0, width), site.shape)},
            observations={
                observed_name: Observation(
                    observed.family, np.asarray(observed.data) + offset, (moved_design,)
                )
            },
            truth={site_name: truth},
        )

    def _ordered(self, rows: np.ndarray) -> np.ndarray:
        return np.roll(rows, self.turn, axis=1)

    def _distance(self, covariance: np.ndarray) -> float:
        return self.shift * self.scale * float(np.sqrt(np.max(np.diag(covariance))))
