"""The variants that `sparsefast bench omp` measures, in the order of its tables."""

from sparsefast.bench.variant import Variant
from sparsefast.bench.variants import iht, nearest_code, ols, omp, omp_masked, positive, topk

VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        omp.VARIANT,
        ols.VARIANT,
        positive.VARIANT,
        omp_masked.VARIANT,
        topk.VARIANT,
        iht.VARIANT,
        nearest_code.VARIANT,
    )
}

__all__ = ["VARIANTS"]
