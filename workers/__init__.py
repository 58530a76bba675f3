"""pgtick's workers: the ticker, the worker and the handlers that it runs.

`from workers import handler, Context, Permanent, RetryAfter` is all that a module of handlers needs.
"""

from __future__ import annotations

from workers.registry import Context, Permanent, RetryAfter, handler

__all__ = ["Context", "Permanent", "RetryAfter", "handler"]
