"""What people think of answers: kept, read from files, counted, and turned into training rows."""
