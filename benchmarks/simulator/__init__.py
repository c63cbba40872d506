"""
Scheduling policies on one seeded synthetic month of a shared GPU fleet, side by side.

    python -m benchmarks.simulator [--days 30] [--seed N] [--load 0.9] [--fleet large|small] [--policies NAME ...]
                                   [--contention DAYS ALONE] [--json] [--quick] [--plot PATH.svg]

The clock is simulated: an instant is a `timedelta` since the month began. Only the policies differ between two
rows of a table: each sees the same jobs at the same instants, and each job takes the same time everywhere.
"""
