"""Other projects' environments, made to fit. Stage: environment."""
