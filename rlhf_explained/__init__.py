"""RLHF explained by running it: a tiny language model from pretraining to PPO."""
