"""The figures of the lessons, one file a lesson, each function named for what it shows."""
