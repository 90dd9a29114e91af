"""Places in fewer numbers: the subspace that the descriptors of a map span."""

from __future__ import annotations

import numpy as np

from netvlad_core.search import Rows

# Numbers kept of each place by default, in a map of more places than that.
STORED_DIMENSION = 512
# More rows hardly move the subspace, and their products take minutes.
_MOST_ROWS = 2048
# Directions of a smaller share of the variance than this are rounding: places may have equal images.
_LEAST_SHARE = 1e-7


def principal_directions(descriptors: Rows, dimension: int) -> np.ndarray:
    """The subspace that holds most of a map's descriptors: PCA without a mean.

    Nothing is centred, and coordinates in the subspace are not normalised again: so the inner product with a
    place stays what it is in D dimensions, and a query that has little in common with the map stays unlike
    all of it. Normalised, it would resemble some place by chance, which doubled the wrong poses of single
    images.

    Parameters
    ----------
    descriptors : (N, D) float. Of more than 2048 rows as many are taken, evenly.
    dimension : P wanted.

    Returns
    -------
    (P, D) float32, orthonormal, the most important first; fewer rows if the descriptors span no more.
    """
    rows = np.unique(np.linspace(0, len(descriptors) - 1, _MOST_ROWS).round().astype(int))
    sample = np.asarray(descriptors[rows], np.float32)
    # The right singular vectors of the sample by way of its Gram matrix, which is the smaller one.
    values, vectors = np.linalg.eigh((sample @ sample.T).astype(np.float64))
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = min(dimension, int((values > _LEAST_SHARE * values.sum()).sum()))
    directions = (vectors[:, :kept].T.astype(np.float32) @ sample) / np.sqrt(values[:kept, None])
    # Once more orthonormal, since the weak ones have lost digits.
    basis, triangle = np.linalg.qr(directions.T.astype(np.float64))
    return (basis * np.sign(np.diag(triangle))).T.astype(np.float32)
