"""The car as the rest of the agent sees it: SI units, radians, and `None` for what is not known."""
