"""Floor 1, the student's world: questions, the ways to answer them, and a judge who knows."""
