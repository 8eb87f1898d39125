"""What a run found out: the fold of its records, the verdict, and every form it is reported in.

All of it is derived from the records of `simulator.load.records`; nothing here measures anything.
"""
