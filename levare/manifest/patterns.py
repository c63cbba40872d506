"""What texts may look like, and the same in words for whoever sends another one."""

from levare.written import LABEL

NO_NUL = r"^[^\x00]*$"
ONE_LINE = r"^[^\x00-\x1f\x7f]*$"
VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
MODEL = r"^[!-~]([ -~]*[!-~])?$"
CAPITALS = r"^[A-Z][A-Z0-9_]{0,62}$"
JOB_ID = r"^[0-9A-Za-z_-]{1,64}$"
DIRECTORY = r"^(/[^\x00]*)?$"
STEP = r"^[A-Za-z][A-Za-z0-9_-]{0,62}$"
NODE = r"^[a-z0-9-]{1,63}$"
POOL = r"^[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?$"
MACHINE = r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"
KEY = r"^[\x21-\x7e]{1,255}$"
RUN = r"^[0-9A-Za-z_]{1,64}(-[1-9][0-9]{0,5})?$"
WAY = r"^[^\x00]{1,128}:(min|max)$"
EVENT_ID = r"^[0-9]{1,18}$"
SIMULATED = r"^([1-9]|[1-5][0-9]|6[0-4])x([1-9][0-9]{0,6}([MmGgTt]|[MmGgTt]i[Bb])|[1-9][0-9]{2,6})$"
NEWS_ID = r"^[0-9]{1,18}-[0-9]{1,18}$"
SOMETHING = r"^[^\x00]+$"
VISIBLE = r"^[^\x00-\x1f\x7f]+$"
SAMPLE = r"^[a-z0-9_*?/.-]+(:[^\x00-\x1f\x7f]+)?$"
HOST = r"^[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$"
ADDRESS = r"^[^\s@<>\x00-\x1f\x7f]+@[^\s@<>\x00-\x1f\x7f]+$"
URL = r"^https?://[^\s/?#@]+([/?][^\s#]*)?$"
DOTTED = r"^[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$"
FILES = r"^/[^\x00]*$"
COMMIT = r"^[0-9a-f]{7,64}$"
DIGEST = r"^[0-9a-f]{1,64}$"
WHOLE_DIGEST = r"^[0-9a-f]{64}$"
LOCK = r"^[A-Za-z0-9_-]{8,64}$"
ANCHOR = r"^[1-9][0-9]{0,17}:[0-9a-f]{12,64}$"
AGO = r"^([0-9]{1,4}[smhdw]){1,3}$"

_WORDS = {
    LABEL: "1 to 63 letters, digits and . _ -, beginning with a letter or a digit",
    NO_NUL: "text without NUL",
    ONE_LINE: "one line of text without control characters",
    VARIABLE: "letters, digits and _, not beginning with a digit",
    CAPITALS: "the name of a secret: 1 to 63 capital letters, digits and _, beginning with a letter",
    MODEL: "a part of a model's name such as H100, without a space at its ends",
    JOB_ID: "the id of a job: 1 to 64 letters, digits and _ -",
    DIRECTORY: "an absolute path, or empty",
    SIMULATED: "a number of devices and a size such as 4x80GiB, of at most 64 devices",
    STEP: "1 to 63 letters, digits and _ -, beginning with a letter",
    NODE: "the name of a node: 1 to 63 small letters, digits and -",
    POOL: "the name of a pool: 1 to 24 small letters, digits and inner hyphens",
    MACHINE: "the name of a machine: 1 to 32 small letters, digits and inner hyphens",
    KEY: "1 to 255 visible characters, without spaces",
    RUN: "the id of a job such as k3v9x2m1qa, or of an attempt such as k3v9x2m1qa-1",
    WAY: "a metric and which way is better, as loss:min or score:max",
    EVENT_ID: "the id of an event: 1 to 18 digits",
    SOMETHING: "text without NUL, not empty",
    VISIBLE: "one line of text without control characters, not empty",
    SAMPLE: "the name of a number of a node, such as gpu*_temperature_celsius",
    HOST: "the name or the address of a host",
    ADDRESS: "an address such as ops@example.org",
    URL: "a URL such as https://hooks.example.org/levare, or {secret: NAME}",
    DOTTED: "a path such as data.dataset",
    FILES: "an absolute path",
    COMMIT: "a commit: 7 to 64 hexadecimal digits",
    DIGEST: "a digest: 1 to 64 hexadecimal digits",
    WHOLE_DIGEST: "a digest: 64 hexadecimal digits",
    LOCK: "the id of a lock: 8 to 64 letters, digits and _ -",
    ANCHOR: "a number and a digest such as 12:819046616ea3, as `levare audit verify` tells",
    AGO: "a duration such as 12h or 30d",
    NEWS_ID: "the id of an event such as 0-17",
}


def in_words(pattern: str) -> str:
    return _WORDS.get(pattern, f"text that matches {pattern}")
