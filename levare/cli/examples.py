"""Each command as people use it: shown below its help, and tried by a test so that none is ever wrong."""

from collections.abc import Mapping

import click

EXAMPLES: Mapping[str, str] = {
    "demo": "levare demo --once",
    "up": "levare up -q",
    "submit": """
        levare submit --gpus 1 --name resnet -- python train.py --lr 0.1
        levare submit --gpus 2 --memory 64GiB --retries 2 --follow -- python train.py
        levare submit --sweep lr=0.1,0.01 --sweep seed=1..3 -- python train.py --lr {lr} --seed {seed}
    """,
    "rerun": "levare rerun k3v9x2m1qa --strict",
    "diff": "levare diff k3v9x2m1qa a1b2c3d4e5",
    "jobs": """
        levare jobs --state running --team vision
        levare cancel $(levare jobs -q --name resnet --state waiting)
    """,
    "show": "levare show k3v9x2m1qa --samples",
    "metrics": "levare metrics k3v9x2m1qa --stage train",
    "compare": "levare compare --schedule nightly --last 5",
    "why": "levare why k3v9x2m1qa",
    "logs": "levare logs -f k3v9x2m1qa",
    "wait": "levare wait --timeout 2h k3v9x2m1qa && echo done",
    "priority": "levare priority k3v9x2m1qa 8",
    "cancel": "levare cancel k3v9x2m1qa a1b2c3d4e5",
    "pipeline submit": "levare pipeline submit pipeline.yaml --dry-run",
    "pipeline wait": "levare pipeline wait --timeout 2h p7d2m9x4ka && echo done",
    "pipeline show": "levare pipeline show p7d2m9x4ka",
    "pipeline cancel": "levare pipeline cancel p7d2m9x4ka",
    "pipelines": "levare pipelines --limit 10",
    "schedules show": "levare schedules show nightly",
    "schedules set": "levare schedules set nightly --cron '0 2 * * *' --zone Europe/Berlin -- python train.py",
    "schedules calendar": "levare schedules calendar --days 7 --gpus 4 --for 2h",
    "schedules fires": "levare schedules fires nightly --outcome skipped",
    "schedules lint": "levare schedules lint nightly",
    "schedules next": "levare schedules next nightly --count 5",
    "schedules pause": "levare schedules pause nightly --reason 'the data is being moved'",
    "schedules remove": "levare schedules remove nightly --dry-run",
    "schedules resume": "levare schedules resume nightly",
    "schedules revisions": "levare schedules revisions nightly",
    "schedules run": "levare schedules run nightly --set epochs=1 --follow",
    "schedules why": "levare schedules why nightly --at 2030-12-24T02:00",
    "plan": "levare plan levare.yaml --out plan.json",
    "apply": "levare apply plan.json --reason 'more nodes'",
    "drift": "levare drift levare.yaml",
    "history": "levare history 12",
    "rollback": "levare rollback 11 --reason 'the quota was too small'",
    "export": "levare export --out levare.yaml",
    "top": "levare top --every 1",
    "nodes show": "levare nodes node-a --samples 24h",
    "nodes invite": "levare nodes invite --machine atlas --expires 30m",
    "nodes reap": "levare nodes reap node-a --dry-run",
    "node join": "levare node join https://levare.example:8420 CODE --label zone=a",
    "node run": "levare node run -q",
    "machines show": "levare machines show atlas",
    "machines drain": "levare machines drain atlas",
    "machines resume": "levare machines resume atlas",
    "machines forget": "levare machines forget atlas --dry-run",
    "pools show": "levare pools show gpu",
    "pools set": "levare pools set gpu pool.yaml",
    "pools scale": "levare pools scale gpu 2 --max 8",
    "pools remove": "levare pools remove gpu --dry-run",
    "drain": "levare drain node-a",
    "resume": "levare resume node-a",
    "teams show": "levare teams show vision",
    "teams set": "levare teams set vision --weight 2 --gpus 16",
    "teams remove": "levare teams remove vision --dry-run",
    "windows show": "levare windows show friday",
    "windows add": "levare windows add friday --node node-a --from 2030-12-20T18:00 --until 2030-12-20T20:00",
    "windows remove": "levare windows remove friday",
    "triggers show": "levare triggers show new-data",
    "triggers set": "levare triggers set new-data --event dataset.ready --cooldown 10m -- python train.py",
    "triggers activations": "levare triggers activations new-data --outcome held",
    "triggers pause": "levare triggers pause new-data --reason 'too many'",
    "triggers resume": "levare triggers resume new-data",
    "triggers remove": "levare triggers remove new-data --dry-run",
    "triggers simulate": "levare triggers simulate new-data --since 30d",
    "triggers why": "levare triggers why new-data",
    "events list": "levare events list --type dataset.ready",
    "events send": "levare events send dataset.ready --set dataset=churn",
    "alerts show": "levare alerts show 7",
    "alerts ack": "levare alerts ack 7 8 --note 'known'",
    "alerts history": "levare alerts history --rule hang",
    "alerts rules": "levare alerts rules hang",
    "alerts set": "levare alerts set hang rule.yaml",
    "alerts pause": "levare alerts pause hang --reason 'noisy'",
    "alerts resume": "levare alerts resume hang",
    "alerts remove": "levare alerts remove hang --dry-run",
    "alerts silence": "levare alerts silence --job k3v9x2m1qa --until +2h --reason 'known'",
    "alerts silences": "levare alerts silences --end 3",
    "alerts test": "levare alerts test hang --since 30d",
    "channels show": "levare channels show ops",
    "channels set": "levare channels set ops channel.yaml",
    "channels test": "levare channels test ops",
    "channels deliveries": "levare channels deliveries ops",
    "channels remove": "levare channels remove ops --dry-run",
    "validate": "levare validate levare.yaml",
    "schema": "levare schema > levare.schema.json",
    "receipt": "levare receipt k3v9x2m1qa --before a1b2c3d4e5",
    "families show": "levare families show vision/imagenet/resnet",
    "families release": "levare families release vision/imagenet/resnet",
    "audit": "levare audit --action job --since 7d",
    "audit verify": "levare audit verify",
    "report": "levare report --team vision --since 30d --markdown",
    "simulate": """
        levare simulate --since 30d --set teams.vision.quota.gpus=6
        levare simulate --since 14d --nodes node-a=2
    """,
    "tokens list": "levare tokens list",
    "tokens create": "levare tokens create laptop --team vision=member --expires 90d",
    "tokens revoke": "levare tokens revoke laptop",
    "doctor": """
        levare doctor
        levare doctor --chaos
    """,
    "api": """
        levare api /v1/jobs -p state=running -p limit=5
        levare api PUT /v1/nodes/node-a/state --data '{"state": "draining"}'
    """,
    "completion": 'eval "$(levare completion bash)"',
}


def lines(path: str) -> list[str]:
    """The examples of a command, by its words without the first; of a group those of its commands are enough."""
    return [line.strip() for line in EXAMPLES.get(path, "").strip().splitlines()]


def with_examples(command: click.Command, path: str) -> click.Command:
    """The command, and all below it, with their examples in their help."""
    for name, each in getattr(command, "commands", {}).items():
        with_examples(each, f"{path} {name}")
    found = lines(path)
    if found and not getattr(command, "has_examples", False):
        shown = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in found)
        command.epilog = f"{command.epilog}\n\n{shown}" if command.epilog else shown
        command.has_examples = True  # type: ignore[attr-defined]  # a command is loaded again by each call in one process
    return command
