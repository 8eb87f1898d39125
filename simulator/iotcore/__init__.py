"""Stand-in for AWS IoT Core: the broker, the services behind its reserved topics, the AWS API.

`broker` is the sans-I/O message broker, `services` what is behind `$aws/` topics, `cloud.Cloud` all
of one account; `server.CoreServer` is the asyncio and TLS shell around them, and
`assembly.stand_in` puts everything together from a configuration. What the stand-in does on each
violation follows the AWS IoT Core developer guide; where the guide is silent the choice is named in
`broker.choices` or in the docstring of the code that makes it.
"""
