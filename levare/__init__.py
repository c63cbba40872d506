"""
levare: scheduling and monitoring of training on shared machines.

Training code says `import levare` and calls `log`, `params`, `progress`, `checkpoint`,
`output` and `stopping`; scripts use `Client`. The import costs a training process next to nothing: the
client and what it stands on are loaded when `Client` is first named.
"""

from levare.run import checkpoint, log, output, params, progress, stopping

TYPE_CHECKING = False  # `typing` alone would cost more than all of this
if TYPE_CHECKING:
    from levare.client import Client

    __version__: str

__all__ = ["Client", "checkpoint", "log", "output", "params", "progress", "stopping"]


def __getattr__(name: str) -> object:
    if name == "Client":
        from levare.client import Client

        return Client
    if name == "__version__":
        return _version()
    raise AttributeError(f"module 'levare' has no attribute {name!r}")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("levare")
    except PackageNotFoundError:  # run from a checkout that nobody has installed
        return "0"
