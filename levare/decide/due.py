"""What becomes of the due instants of a schedule: run or skipped, each with a reason."""

RUN, SKIPPED = "run", "skipped"
OUTCOMES = (RUN, SKIPPED)
