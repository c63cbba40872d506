"""What is declared: the models of its documents, and the files that hold them."""

from levare.manifest.kinds import declared
from levare.manifest.problems import InvalidManifest, Problem
from levare.manifest.reading import FILE, Manifest, check, read
from levare.manifest.writing import write

__all__ = ["FILE", "InvalidManifest", "Manifest", "Problem", "check", "declared", "read", "write"]
