"""Floor 1, the networks: a small GPT with a value head or a reward head."""
