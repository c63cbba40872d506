"""Process web: reads state, records wishes. It never places a job and never sends a task."""
