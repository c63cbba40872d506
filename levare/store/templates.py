"""Templates of jobs and pipelines, which schedules and triggers of a manifest name. A revision is the one way in."""

from levare.store.declared import Kind
from levare.store.tables_declared import job_templates, pipeline_templates

JOBS = Kind("job", job_templates, lists="levare export")
PIPELINES = Kind("pipeline", pipeline_templates, lists="levare export")
