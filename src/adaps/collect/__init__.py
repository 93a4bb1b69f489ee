"""Acting in copies of an environment, and what came of it. Stage: collect."""
