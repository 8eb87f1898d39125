"""The quotas of AWS IoT Core as dated tables, for whoever forecasts them or enforces them.

`table` has the values, `files` reads the shipped tables and a user's own, `wording` says what a
refusal means. Knows nothing about who asks.
"""
