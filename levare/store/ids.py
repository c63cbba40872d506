"""Ids that nobody can guess."""

from secrets import randbits

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: nothing that reads like something else
_LENGTH = 10


def new_id() -> str:
    """Ten characters, 50 random bits."""
    bits = randbits(5 * _LENGTH)
    return "".join(_ALPHABET[bits >> 5 * place & 31] for place in range(_LENGTH))
