"""Evaluations of explanations, each registered by name over one explanation table."""
