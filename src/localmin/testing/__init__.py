"""Contract tests and slow, obvious reference versions, shipped for those who write new methods."""
