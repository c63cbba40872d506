"""The last lines of trainings in `last_words.txt`, with the classes that they are given there."""

import re
from dataclasses import dataclass
from pathlib import Path

HEAD = "Traceback (most recent call last):\n"
TRAIN = HEAD + '  File "/home/ann/run/train.py", line 88, in <module>\n    main()\n'
BAR = "".join(f"\rEpoch 3:  {n}%|{'█' * (n // 10):10}| {n}/100 [00:{n // 2:02}<00:30,  2.01it/s]" for n in range(64))
_ENTRY = re.compile(r"^=== (\w+)(?: exit=(\d+))?(?: signal=(\d+))?\n", re.MULTILINE)


@dataclass(frozen=True)
class Words:
    name: str
    text: str
    exit_code: int = 1
    signal: int | None = None


def all_words() -> list[Words]:
    parts = _ENTRY.split((Path(__file__).parent / "last_words.txt").read_text())[1:]
    return [
        Words(name, text.replace("{a progress bar}", BAR), int(code or 1), int(signal) if signal else None)
        for name, code, signal, text in zip(*(parts[place::4] for place in range(4)), strict=True)
    ]


WORDS = all_words()
