"""95 % intervals of estimates, as plain formulas with their sources. Shares: `queries.kinds.ratio.wilson_interval`."""

from __future__ import annotations

import math

from tallymark.queries.measures import Z, spread_interval


def mean_interval(
    mean: float | None, deviation: float | None, n: int | None, *, error: float = 0.0
) -> tuple[float | None, float | None]:
    """Return the 95 % interval of a mean of `n` values with a sample standard deviation; None below 2 values.

    The interval has no width only where all values are the same. `error` is the share of themselves by which the values may be wrong: by as much both ends lie farther out.

    The normal approximation of the central limit theorem: mean ± 1.96 s / √n. For few and very uneven values it is too
    narrow; a metric's minimum sample is there for that. See e.g. Casella and Berger, "Statistical Inference", 2nd
    edition (2002), section 10.1.
    """
    if mean is None or deviation is None or n is None or n < 2 or not math.isfinite(deviation):
        return None, None
    reach = Z * deviation / math.sqrt(n) + error * abs(mean)
    return spread_interval(mean, reach)
