"""Worker processes: what they are asked and answer, what they may take, how they are ended."""
