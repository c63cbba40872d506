"""How a team stands among the others, and the sentence that says why it comes where it comes."""

from dataclasses import dataclass

from levare.decide.present import BY_USE, FIRST, LAST, Part


@dataclass(frozen=True)
class Standing:
    """
    How a team stands among the teams that are known: its share by weight, its share of all use, its place in the queue.

    `use` is effective: faded, with what runs. `borrowed` are the GPUs that it holds above its nominal quota. `part` is
    what it holds of its present share.
    """

    team: str
    weight: float
    weights: float
    """Of all teams."""
    use: float
    uses: float
    """Of all teams."""
    rank: int
    """1 for the team that comes first; teams that stand alike have the same."""
    rank_by_use: int
    """The same if use alone decided."""
    part: Part
    teams: int
    gpus: float
    borrowed: float
    running: int
    gpu_hours: float

    @property
    def entitled(self) -> float:
        return self.weight / self.weights

    @property
    def used(self) -> float:
        return self.use / self.uses if self.uses else 0.0

    @property
    def why(self) -> str:
        """Its place in the queue, in a sentence."""
        owed = f"Is owed {self.weight:g} of {self.weights:g} parts of the fleet"
        if self.teams == 1:
            return f"{owed}, for there is no other team; priority and age alone decide."
        if not self.uses:
            return f"{owed}; nobody has had anything lately, so priority and age decide."
        place = "comes first" if self.rank == 1 else f"comes after {_teams(self.rank - 1)}"
        but = "" if self.rank == self.rank_by_use else f", but {_BUT[self.part.band]}"
        return f"{owed} and has had {self.used:.0%} of what was used lately{but}, so it {place}."


_BUT = {
    FIRST: "holds less than half its share now",
    BY_USE: "others hold less than half or more than twice their share now",
    LAST: "holds more than twice its share now",
}


def _teams(number: int) -> str:
    return "1 other team" if number == 1 else f"{number} other teams"
