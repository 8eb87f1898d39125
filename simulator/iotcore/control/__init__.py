"""The AWS IoT control plane on the registry: the operations of the `iot` API, without HTTP.

`plane.ControlPlane` is what an HTTP API mounts.
"""
