"""Telemetry: which streams there are, how often they are sampled, how samples become batches."""
