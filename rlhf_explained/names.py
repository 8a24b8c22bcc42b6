"""Floor 0: what the run's parts are called, in code and in its files."""

POLICIES = ("base", "sft", "ppo", "ppo_no_kl")

STAGES = ("pretrain", "sft", "preferences", "reward_model", "ppo", "ppo_no_kl", "evaluation")

CATEGORIES = ("helpful", "harmful", "off_topic", "rambling", "false", "broken")
"""What an answer can be. Each answer is exactly one of them (see `world.labeler.categorise`)."""
