"""The benchmark: one module a topic, each comparing the service with a floor that does less.

A floor is the least that any implementation would have to do: the same rows, the same bytes, the
same pragmas, without the service. Floor and work alternate, so that both meet the same noise.
"""
