"""What a run is told to do, from words and files. Stage: settings."""
