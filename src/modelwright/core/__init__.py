"""What every stage stands on: errors, settings, files, artifacts, the workspace, the store."""
