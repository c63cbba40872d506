"""Why a message was not delivered."""


class Undelivered(Exception):
    """In a sentence for people; it holds no secret. `is_final` where trying again is of no use."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final
