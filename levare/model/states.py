"""The states of jobs and attempts, and whose a GPU is."""

BLOCKED, WAITING = "blocked", "waiting"
PLACED, STARTING, RUNNING = "placed", "starting", "running"
SUCCEEDED, FAILED, CANCELLED = "succeeded", "failed", "cancelled"
TIMED_OUT, OUT_OF_MEMORY, PREEMPTED, LOST = "timed_out", "out_of_memory", "preempted", "lost"
LIVE = (PLACED, STARTING, RUNNING)
"""An attempt in one of these states holds its devices; a job in one of them has such an attempt."""
FINAL = (SUCCEEDED, FAILED, CANCELLED)
"""A job in one of these states never changes again."""
ENDINGS = (SUCCEEDED, FAILED, TIMED_OUT, OUT_OF_MEMORY, CANCELLED, PREEMPTED, LOST)
JOB_STATES = (BLOCKED, WAITING, *LIVE, *FINAL)
ATTEMPT_STATES = (*LIVE, *ENDINGS)
SUCCESS, FAILURE, ALWAYS = "success", "failure", "always"
NEED_OUTCOMES = (SUCCESS, FAILURE, ALWAYS)
"""How a needed job has to end."""
FREE, OURS, FOREIGN, ORPHAN = "free", "ours", "foreign", "orphan"
"""Whose a GPU is: nobody's, a live attempt's, that of processes not of levare, or of what an attempt left behind."""
OWNERSHIPS = (FREE, OURS, FOREIGN, ORPHAN)
TAKEN = (FOREIGN, ORPHAN)
"""A GPU that is so is not offered to anyone."""
