"""Sampling from prompts that hold vectors."""
