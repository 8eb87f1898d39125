"""Probes: clients that go to the edges of quotas and see what a broker does there.

`talker` is one MQTT 5 client that hides nothing, `ground` makes those of one side of a quota, the
acts do what `simulator.scenario.edges` names, and `prober` goes through them in order.
"""
