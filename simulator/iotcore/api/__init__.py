"""The AWS API over HTTP, as boto3 and the AWS CLI call it.

`Gateway` takes requests off the wire; everything else here is sans-I/O. The shapes of requests and
answers are those of the service models that botocore ships: `model` finds the operation, `reading`
makes members of a request, `answering` makes an answer of a result. `sigv4` says who asks,
`operations` holds what is served.
"""
