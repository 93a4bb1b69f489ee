"""Our environments as other projects' trainers take them. Stage: environment."""
