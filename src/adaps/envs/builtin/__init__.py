"""The three environments of the paper. Stage: environment."""
