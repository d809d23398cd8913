"""Training of an AV and an AR: warm start and reinforcement learning."""
