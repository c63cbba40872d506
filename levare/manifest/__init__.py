"""What is declared: the models of its documents, and the files that hold them."""

from levare.manifest.kinds import declared
from levare.manifest.problems import InvalidManifest, Problem
from levare.manifest.reading import Manifest, read
from levare.manifest.writing import write

__all__ = ["InvalidManifest", "Manifest", "Problem", "declared", "read", "write"]
