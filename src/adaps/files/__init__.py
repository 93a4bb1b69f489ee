"""Everything that reads or writes the disk. Stage: files."""
