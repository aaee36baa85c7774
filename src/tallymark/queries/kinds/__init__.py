"""The kinds of question there are. Adding one is a file here and a line in `KINDS`.

`parse` decodes into them by their tag, `run` builds and shapes through the methods that all of them have, and the
contract test runs over `KINDS`. Kinds do not know each other.
"""

from __future__ import annotations

from typing import Final

from tallymark.queries.kinds.change import Change
from tallymark.queries.kinds.funnel import Funnel
from tallymark.queries.kinds.histogram import Histogram
from tallymark.queries.kinds.ratio import Ratio
from tallymark.queries.kinds.trend import Trend

KINDS: Final = (Trend, Ratio, Funnel, Change, Histogram)
Question = Trend | Ratio | Funnel | Change | Histogram
