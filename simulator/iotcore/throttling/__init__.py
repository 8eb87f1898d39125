"""The quotas of AWS IoT Core in force: rates as token buckets, sizes and counts as `Limits`.

`account` implements `joints.Quotas`, `bounds` turns a table into `Limits`, `talkers` remembers who
was refused. Pure.
"""
