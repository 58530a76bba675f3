"""How many requests are sent, in all and by whom.

PGTICK_FUZZ_CASES says how many in all; the long run is PGTICK_FUZZ_CASES=1000000 PYTEST_TIMEOUT=0.
"""

from __future__ import annotations

import os

CASES = int(os.environ.get("PGTICK_FUZZ_CASES", "20000"))
AT_BOUNDS = 2_000
"""What schemathesis finds at the bounds of the document, at least: it is the same however many are wanted."""
ALONG_LINKS = max(CASES // 20, 1_000)
"""What schemathesis draws along the document's links: in less, few are followed. It is slower than we are."""
IN_HISTORIES = max(CASES - AT_BOUNDS - ALONG_LINKS, 200)
"""What we draw."""
