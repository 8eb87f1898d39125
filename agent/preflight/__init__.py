"""`morai-agent check`: finds out, step by step, whether the agent could do its work here.

Each module looks at one neighbour (identity, machine, broker, simulator) and returns findings;
`audit` joins them. None of them changes anything, and none prints.
"""
