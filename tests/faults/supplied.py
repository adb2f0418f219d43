"""Right samplers that do something else with a supplied metric than to keep and use it."""

from dataclasses import replace

import numpy as np

from faults.wrapped import Wrapped, unsupplied
from invmass.sampling.backend import Tuned, WarmUpRequest


class IgnoresSupplied(Wrapped):
    """Tunes a metric of its own, whatever it is handed."""

    name = "ignores-supplied"

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        return super().warm_up(unsupplied(request))


class KeepsSuppliedUnused(Wrapped):
    """Gives a supplied metric back, but moves with another."""

    name = "keeps-supplied-unused"

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        tuned, supplied = super().warm_up(unsupplied(request)), request.inverse_mass_matrix
        if supplied is None:
            return tuned
        shape = tuned.inverse_mass_matrix.shape
        return replace(tuned, inverse_mass_matrix=np.broadcast_to(supplied, shape), window=0)


class UsesTheDiagonalOfSupplied(Wrapped):
    """Gives a supplied dense metric back, but moves with its diagonal."""

    name = "diagonal-of-supplied"

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        supplied = request.inverse_mass_matrix
        if supplied is None or supplied.ndim == 1:
            return super().warm_up(request)
        diagonal = np.diag(np.diag(supplied))
        tuned = super().warm_up(replace(request, inverse_mass_matrix=diagonal))
        shape = tuned.inverse_mass_matrix.shape
        return replace(tuned, inverse_mass_matrix=np.broadcast_to(supplied, shape))
