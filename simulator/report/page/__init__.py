"""A run as one self-contained HTML page: verdict, charts over time, tables, map.

`render` is all that others need. The page is derived from a `Result` and its `Verdict` and from
nothing else; it loads nothing, so it can be kept, mailed and opened offline.
"""

from simulator.report.page.rendering import render

__all__ = ["render"]
