"""The nearest orthogonal matrix, for many matrices at once, by a few matrix products.

Muon (Jordan et al. 2024) replaces a matrix U S Vᵀ by U Vᵀ with a Newton–Schulz iteration: with
X scaled to norm 1, X ← (a I + b G + c G²) X, where G = X Xᵀ. The polynomial acts on the singular
values alone and drives all of them towards 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

Coefficients = tuple[tuple[float, float, float], ...]
"""(a, b, c) of each iteration."""

JORDAN: Coefficients = ((3.4445, -4.7750, 2.0315),) * 5
"""Steepest at zero; singular values end between about 0.7 and 1.2 (Jordan et al. 2024)."""

EPSILON = 1e-7
"""Least norm that a matrix is divided by, so that a gradient of zero stays zero."""


def orthogonalise(
    matrices: Tensor, dtype: torch.dtype = torch.float32, coefficients: Coefficients = JORDAN
) -> Tensor:
    """Bring the singular values of each matrix close to 1.

    Parameters
    ----------
    matrices : Tensor
        A stack (N, rows, columns).
    dtype : torch.dtype
        What to compute in.
    coefficients : tuple
        Of the iterations, in order.

    Returns
    -------
    Tensor
        The same shape, of type ``dtype``.
    """
    norms = torch.linalg.matrix_norm(matrices, keepdim=True).clamp_min(EPSILON)
    x = (matrices / norms).to(dtype)
    rows, columns = matrices.shape[-2:]
    wide = x.mT if rows > columns else x  # G is then the smaller of the two Gram matrices
    short, long = min(rows, columns), max(rows, columns)
    # Of I iterations one form takes (2 long/short + 1) I products of short³, the other
    # 2 long/short + 4 I - 3. Rounding in bfloat16 makes small eigenvalues of G negative, which
    # the second form would blow up as it never sees X again.
    if dtype == torch.float32 and 2 * long > 3 * short:
        result = _by_gram_matrix(wide, coefficients)
    else:
        result = _by_iteration(wide, coefficients)
    return result.mT if rows > columns else result


def _by_iteration(x: Tensor, coefficients: Coefficients) -> Tensor:
    for a, b, c in coefficients:
        gram = torch.bmm(x, x.mT)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x


def _by_gram_matrix(x: Tensor, coefficients: Coefficients) -> Tensor:
    """Multiply the polynomials up first: they are in G alone, so G ← P G P follows without X."""
    gram = torch.bmm(x, x.mT)
    product: Tensor | None = None
    for number, (a, b, c) in enumerate(coefficients, 1):
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal(dim1=-2, dim2=-1).add_(a)
        product = polynomial if product is None else torch.bmm(product, polynomial)
        if number < len(coefficients):
            gram = torch.bmm(torch.bmm(polynomial, gram), polynomial)
    return x if product is None else torch.bmm(product, x)
