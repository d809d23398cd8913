"""The pair: vectors to text (AV), text to vectors (AR), scores, checkpoints and readings."""
