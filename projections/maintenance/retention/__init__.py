"""Retention at work: what is due is planned, discarded, and moved to archives."""
