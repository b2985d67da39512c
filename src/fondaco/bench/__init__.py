"""`fondaco bench`: what it costs and how fast it is, side by side in one run on a throw-away stack.

Real PostgreSQL with its usual safety, the real web and worker processes, the real sandbox; the load is a
process of its own. Machines are shared and differ: ratios within one run mean something, seconds do not.
"""
