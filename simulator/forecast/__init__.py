"""Before a run: what a scenario will ask of AWS IoT Core, whether that fits, and what it costs.

`demand` does the arithmetic, `quotas` and `prices` hold it against dated tables, `outlook` joins
them. Pure but for `tables`, which reads the data files. Nothing here connects to anything.
"""
