"""Whose resources they are: the account, Region and partition that ARNs are made of."""

from __future__ import annotations


class Account:
    """Whose ARNs the policies speak of.

    Args:
        region: Region name in ARNs.
        account_id: Account number in ARNs.
        partition: `aws`, `aws-cn` or `aws-us-gov`.
    """

    __slots__ = ("account_id", "arn_prefix", "partition", "region")

    def __init__(
        self, region: str = "us-east-1", account_id: str = "000000000000", partition: str = "aws"
    ) -> None:
        self.region = region
        self.account_id = account_id
        self.partition = partition
        self.arn_prefix = f"arn:{partition}:iot:{region}:{account_id}:"
