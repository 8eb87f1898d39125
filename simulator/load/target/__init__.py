"""Where a run goes and as whom: targets, identities, and what this machine allows."""
