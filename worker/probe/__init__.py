"""
What this machine is and how it fares: the node, its GPUs, and the process tree of each attempt.

Numbers are named with their units, as in `levare.pulse`. What cannot be known is left out,
never guessed: a GPU without a power sensor has no power, a first sample has no rates.
"""
