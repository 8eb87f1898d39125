"""The two versions of MQTT, behind one interface.

The broker works with the packets of MQTT 5; a dialect reads what a client sends into those and
writes what a client understands.
"""
