"""What the stand-in is doing, for programs, for Prometheus and for people.

`document` is the shape of it, `observer` fills it in, `exposition` says it in Prometheus' terms,
`pages` serves it under `/_core/` and decides who may ask.
"""
