"""Training from beginning to end; ``train.py`` is where reading starts. Stage: train."""
