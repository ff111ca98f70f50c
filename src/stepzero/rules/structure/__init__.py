"""Family 7: structure and intent."""
