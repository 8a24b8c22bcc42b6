"""Floor 3, the lessons: one stage of RLHF a file, none of which knows the others."""
