"""Why a message was not delivered."""

from datetime import timedelta


class Undelivered(Exception):
    """
    In a sentence for people; it holds no secret.

    `is_final` where trying again is of no use; before a `pause` is over the receiver wants to hear nothing.
    """

    def __init__(self, reason: str, *, is_final: bool = False, pause: timedelta = timedelta()) -> None:
        super().__init__(reason)
        self.is_final, self.pause = is_final, pause
