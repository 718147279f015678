"""Records of runs and their states, under the names a Prefect program imports them by."""
