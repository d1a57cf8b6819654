"""Read models: current jobs, drives and servers, each thrown away and rebuilt at will.

A projection is a pure function from an aggregate's state to the rows that show it; the state is
folded by the same `evolve` that decides. So rows that were written live, one event at a time, and
rows that were rebuilt from the whole ledger cannot differ.
"""
