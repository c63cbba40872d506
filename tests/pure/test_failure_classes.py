"""From the last words of a training to the class of its failure."""

import os
import random
import time
from collections import Counter
from typing import get_args

import pytest

from levare.decide.failures import Diagnosis, Facts, diagnose
from levare.decide.lastwords import MOST_BYTES, lines_of
from levare.decide.signs import SIGNS
from levare.manifest.values import FailureName
from levare.model.failures import FAILURE_CLASSES
from levare.written import FAILURES
from tests.pure.last_words import BAR, HEAD, TRAIN, WORDS, Words

NAMES = sorted({words.name for words in WORDS})


def of(text: str | bytes, exit_code: int | None = 1, signal: int | None = None, **more: object) -> Diagnosis:
    log = text if isinstance(text, bytes) else text.encode()
    facts: dict[str, object] = {"outcome": "failed", "reason": f"Exited with code {exit_code}."} | more
    return diagnose(Facts(exit_code=exit_code, signal=signal, log=log, **facts))  # pyright: ignore[reportArgumentType]


def of_words(words: Words) -> Diagnosis:
    return of(words.text, words.exit_code, words.signal)


@pytest.mark.parametrize("name", NAMES)
def test_last_words_of_each_class_are_understood(name: str):
    mine = [words for words in WORDS if words.name == name]
    wrong = [(found, words.text[-300:]) for words in mine if (found := of_words(words).name) != name]

    assert not wrong, f"{len(wrong)} of {len(mine)} last words of {name}"


def test_there_are_enough_last_words_of_enough_classes():
    counts = Counter(words.name for words in WORDS)

    assert len(WORDS) >= 100
    assert len(counts) >= 18
    assert counts["unknown"] <= 2


def test_evidence_is_the_very_line_at_its_offset():
    for words in WORDS:
        evidence_is_at_its_offset(words)


def evidence_is_at_its_offset(words: Words):
    prefix = b"x" * 7 + b"\n"
    found = of(prefix + words.text.encode(), words.exit_code, words.signal, offset=1000)

    for each in found.evidence:
        if each.source == "log":
            at = (each.offset or 0) - 1000
            line = (prefix + words.text.encode())[at:].split(b"\n")[0].decode()
            assert each.text.split(" ... ")[0] in line
    assert found.evidence


def test_colours_and_a_log_that_is_cut_off_at_the_front_change_nothing():
    for words in WORDS:
        coloured = "\n".join(f"\x1b[1;31m{line}\x1b[0m" if line else line for line in words.text.split("\n"))
        long = "epoch 1 step 1 loss 0.3 is fine\n" * 2100 + coloured

        assert of(long, words.exit_code, words.signal).name == words.name, words.text


def test_a_class_of_its_own_comes_before_what_was_raised_from_it():
    inner = HEAD + '  File "a.py", line 1, in f\nOSError: [Errno 28] No space left on device\n'
    outer = HEAD + "  File \"a.py\", line 9, in g\nFileNotFoundError: [Errno 2] No such file: 'x'\n"
    cause = "\nThe above exception was the direct cause of the following exception:\n\n"
    handled = "\nDuring handling of the above exception, another exception occurred:\n\n"

    assert of(inner + cause + outer).name == "disk_full"
    assert of(inner + handled + outer).name == "data_not_found"


def test_an_exception_that_was_dealt_with_long_before_does_not_count():
    early = HEAD + '  File "a.py", line 1, in f\nOSError: [Errno 28] No space left on device\n'

    assert of(early + "step\n" * 60 + TRAIN + "KeyError: 'x'\n").name == "exception"


def test_the_type_of_an_exception_is_told():
    found = of(TRAIN + "mylib.errors.BadShape: 3 is not 4\n")

    assert (found.name, found.exception) == ("exception", "mylib.errors.BadShape")


def test_a_traceback_that_begins_behind_a_progress_bar_is_found():
    found = of(BAR + TRAIN + "KeyError: 'x'\n")

    assert found.evidence[0].text == "KeyError: 'x'"
    assert all("Epoch 3" not in line.text for line in lines_of(BAR.encode() + b"\r" + TRAIN.encode()))


KILLED, CRASHED = ("Killed by signal 9.", 137, 9), ("Killed by signal 11.", 139, 11)
NOT_FOUND = "Could not start: The command x was not found on this node."
LACKED = "Killed while this machine ran out of memory."


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (Facts("lost", "Its node did not renew its lease for 30 s."), "node_lost"),
        (Facts("preempted", "Made room."), "preemption"),
        (Facts("timed_out", "Ran longer than its limit of 3 s.", log=b"ValueError: x\n"), "timeout"),
        (Facts("out_of_memory", "Used more than the 64 MiB of memory it asked for.", 137, 9), "host_memory"),
        (Facts("failed", NOT_FOUND, 127, started=False), "command_not_found"),
        (Facts("failed", "Its node could not start it: disk.", None, started=False), "cannot_start"),
        (Facts("failed", *KILLED, kernel=["Out of memory: Killed process 12 (python)"]), "host_memory"),
        (Facts("failed", *KILLED, error=LACKED), "host_memory"),
        (Facts("failed", *CRASHED, kernel=["NVRM: Xid (PCI:0000:41:00): 79, GPU has fallen"]), "cuda_error"),
        (Facts("failed", "Exited with code 1.", 1, metrics={"loss": "NaN"}), "nan"),
        (Facts("failed", "Exited with code 1.", 1, metrics={"loss": "Infinity", "lr": 0.1}), "nan"),
        (Facts("failed", "Killed by signal 25.", 153, 25), "disk_full"),
        (Facts("failed", "Exited with code 124.", 124), "timeout"),
    ],
)
def test_who_ended_it_knows_why(facts: Facts, name: str):
    assert diagnose(facts).name == name


def test_what_was_killed_has_no_last_words():
    assert of(TRAIN + "ValueError: handled\nstep 2\n", 137, 9).name == "killed"


def test_noise_is_not_understood_and_costs_little():
    noise = random.Random(1).randbytes(1_000_000)
    begun = time.process_time()

    found = of(noise)
    of(b"a" * 5_000_000)
    of(f"[rank0]: {HEAD}" * 20_000)
    of("NCCL: " * 500_000)

    assert found.name == "unknown"
    assert time.process_time() - begun < 1.0


def test_only_the_end_of_a_log_is_looked_at():
    lines = lines_of(b"first\n" + b"x\n" * MOST_BYTES, offset=5)

    assert "first" not in [line.text for line in lines]
    assert lines[-1].offset == 5 + 6 + 2 * (MOST_BYTES - 1)


def test_every_class_is_named_titled_and_has_a_next_step():
    assert tuple(sorted(FAILURE_CLASSES)) == tuple(sorted(FAILURES)) == tuple(sorted(get_args(FailureName)))
    assert set(SIGNS) <= set(FAILURE_CLASSES)
    for each in FAILURE_CLASSES.values():
        assert each.title
        assert each.next_step.endswith((".", "requeue.", "it."))


def test_letters_of_all_planes_stay_in_the_last_lines():
    text = "\N{HUGGING FACE} Transformers: ünï 漢 \N{CJK UNIFIED IDEOGRAPH-2000B}"

    assert [line.text for line in lines_of(f"{text}\x00\x7f\n".encode())] == [text]


def test_control_characters_do_not_reach_the_evidence():
    found = of("\x1b]0;title\x07\x1b[31mValueError: a\x00b\x08c\x1b[K\n")

    assert found.evidence[0].text.isprintable()
    assert os.linesep not in found.evidence[0].text
