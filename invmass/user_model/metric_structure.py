"""Which entries of a metric NumPyro tunes, and the dictionary in which NumPyro takes a metric."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from invmass.errors import UsageError
from invmass.model.distributions import Array
from invmass.model.layout import CoordinateLayout

METRICS = ("diagonal", "dense")
Structure = str | Sequence[tuple[str, ...]]  # one of `METRICS`, or dense blocks of sites


class Block(NamedTuple):
    """Sites whose coordinates stand together in a metric, and whether their block is dense."""

    sites: tuple[str, ...]
    dense: bool


@dataclass(frozen=True, eq=False)
class MetricStructure:
    """A metric that NumPyro tunes: diagonal, dense, or dense blocks of sites.

    Args:
        layout: the coordinates.
        structure: "diagonal", "dense", or a list of tuples of sites, each of them a dense block;
            the other sites are diagonal, as with NumPyro's `dense_mass`.

    Raises:
        UsageError: no such structure, an unknown site, or a site in two blocks.
    """

    layout: CoordinateLayout
    structure: Structure

    def __post_init__(self) -> None:
        _ = self.blocks

    @property
    def name(self) -> str:
        """The structure in a word: "diagonal", "dense", or the sites of its blocks."""
        return structure_name(self.structure)

    @cached_property
    def blocks(self) -> list[Block]:
        """The blocks, in NumPyro's order."""
        structure, everything = self.structure, tuple(self.layout.shapes)
        if structure in METRICS:
            return [Block(everything, structure == "dense")]
        if isinstance(structure, str) or not all(isinstance(names, tuple) for names in structure):
            raise UsageError(
                "the structure of a metric is 'diagonal', 'dense' or a list of tuples of sites, "
                f"not {structure!r}"
            )
        named = [name for names in structure for name in names]
        unknown = [name for name in named if name not in everything]
        if unknown or len(set(named)) < len(named):
            problem = f"unknown site {unknown[0]!r}" if unknown else "a site stands in two blocks"
            raise UsageError(f"{problem}; the sites are: {', '.join(everything)}")
        rest = tuple(name for name in everything if name not in named)
        dense = [Block(tuple(names), True) for names in structure if names]
        return dense + [Block(rest, False)] * bool(rest)

    @property
    def dense_mass(self) -> list[tuple[str, ...]]:
        """What NumPyro's `dense_mass` must be for this structure."""
        return [names for names, dense in self.blocks if dense]

    @cached_property
    def entries(self) -> np.ndarray:
        """Whether the metric has an entry there, shape (d, d)."""
        entries = np.eye(self.layout.dimension, dtype=bool)
        for names, dense in self.blocks:
            if dense:
                indices = self.layout.indices(names)
                entries[np.ix_(indices, indices)] = True
        return entries

    @property
    def largest_block(self) -> int:
        """Number of coordinates of the largest block."""
        return int(self.entries.sum(axis=1).max())

    def restrict(self, matrix: np.ndarray) -> np.ndarray:
        """A matrix, (d, d), with zeros where the metric has no entries."""
        return np.where(self.entries, matrix, 0.0)

    def dictionary(self, matrix: Array) -> dict[tuple[str, ...], jax.Array]:
        """A matrix, (d, d), as NumPyro takes it: `NUTS(model, inverse_mass_matrix=…)`.

        Returns:
            By the sites of each block, its matrix, or its diagonal where it is diagonal; in the
            precision that JAX computes in now. A new dictionary each time, because NumPyro writes
            into the one that it is given.
        """
        matrices = {}
        for names, dense in self.blocks:
            indices = self.layout.indices(names)
            block = matrix[np.ix_(indices, indices)]
            matrices[names] = jnp.array(block if dense else jnp.diagonal(block), dtype=float)
        return matrices

    def matrix(self, dictionary: Mapping[tuple[str, ...], np.ndarray]) -> np.ndarray:
        """NumPyro's dictionary, with any leading axes, as matrices of shape (…, d, d)."""
        first = self.blocks[0]
        shape = dictionary[first.sites].shape
        lead = shape[: len(shape) - (2 if first.dense else 1)]
        whole = np.zeros((*lead, self.layout.dimension, self.layout.dimension))
        for names, dense in self.blocks:
            i, block = self.layout.indices(names), dictionary[names]
            if dense:
                whole[..., i[:, None], i] = block
            else:
                whole[..., i, i] = block
        return whole


def structure_name(structure: Structure) -> str:
    """A structure in a word: "diagonal", "dense", or the sites of its blocks."""
    return structure if isinstance(structure, str) else "; ".join(map(",".join, structure))


def chosen_structures(metrics: Sequence[str], blocks: Sequence[str]) -> list[Structure]:
    """The structures that the options of a command ask for.

    Args:
        metrics: of `METRICS`; all of them if there are neither metrics nor blocks.
        blocks: comma-separated sites, each of them a dense block of one more metric.

    Raises:
        UsageError: a metric that NumPyro does not tune.
    """
    unknown = [metric for metric in metrics if metric not in METRICS]
    if unknown:
        raise UsageError(f"unknown metric {unknown[0]!r}; NumPyro's are: {', '.join(METRICS)}")
    structures: list[Structure] = [*(metrics or (() if blocks else METRICS))]
    if blocks:
        structures.append([tuple(block.split(",")) for block in blocks])
    return structures
