"""From what the API has taken to what the store records."""

from levare.intake import submission
from levare.manifest.pipelines import PipelineRequest
from levare.manifest.teams import TeamRequest
from levare.manifest.windows import WindowRequest
from levare.store.pipelines import PipelineWish
from levare.store.teams import Declared
from levare.store.windows import Wish


def pipeline_wish(body: PipelineRequest) -> PipelineWish:
    return PipelineWish(name=body.name, steps=[(job.step, submission(job)) for job in body.jobs])


def team_wish(body: TeamRequest) -> Declared:
    projects = {name: each.quota() for name, each in body.projects.items()}
    users = {name: each.quota() for name, each in body.users.items()}
    return Declared(body.weight, body.quota.quota(), projects, users, dict(body.members))


def window_wish(body: WindowRequest) -> Wish:
    return Wish(body.nodes, body.starts, body.ends, body.team, body.user, body.reason)
