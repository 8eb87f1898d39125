"""X.509 identities of vehicles: development CA, keys and CSRs, inspection and checks."""
