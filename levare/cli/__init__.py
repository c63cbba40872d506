"""The command line: a module per noun, loaded when it is called for."""

import os
import sys

import click

from levare.cli.group import Commands, Lazy

levare = Commands(
    "levare",
    [
        Lazy("demo", "Try levare on this machine: simulated GPUs, a real training job.", "levare.cli.demo"),
        Lazy("up", "Run levare on this machine until Ctrl-C.", "levare.cli.up"),
        Lazy("submit", "Submit a command as a job and print the job's id.", "levare.cli.submit"),
        Lazy("rerun", "Run a job again exactly as it ran.", "levare.cli.reruns"),
        Lazy("diff", "Show what differs between two runs.", "levare.cli.reruns"),
        Lazy("jobs", "List jobs, newest first.", "levare.cli.jobs"),
        Lazy("show", "Show a job: its request, attempts and metrics.", "levare.cli.show"),
        Lazy("metrics", "Show what a training tells, with curves.", "levare.cli.metrics"),
        Lazy("compare", "Compare jobs, or the runs of a schedule or family.", "levare.cli.metrics"),
        Lazy("why", "Say why a job waits, until when, and what would start it.", "levare.cli.why"),
        Lazy("logs", "Print what a job has written, or follow it.", "levare.cli.logs"),
        Lazy("wait", "Wait until jobs have ended; exit with their code.", "levare.cli.wait"),
        Lazy("cancel", "Cancel jobs.", "levare.cli.jobs"),
        Lazy("priority", "Let a job that waits come earlier or later.", "levare.cli.jobs"),
        Lazy("pipeline", "Submit, wait for, show and cancel pipelines: jobs in an order.", "levare.cli.pipelines"),
        Lazy("pipelines", "List pipelines, newest first.", "levare.cli.pipelines"),
        Lazy(
            "schedules",
            "List schedules, set, pause and run them, see what became of each time.",
            "levare.cli.schedules",
        ),
        Lazy("plan", "Say what a manifest would change, and what that does.", "levare.cli.plans"),
        Lazy("apply", "Declare what a manifest says, or exactly a saved plan.", "levare.cli.plans"),
        Lazy("drift", "Say what is declared otherwise than the manifest says.", "levare.cli.drift"),
        Lazy("history", "List the revisions of all that is declared, or show one.", "levare.cli.history"),
        Lazy("rollback", "Go back to what was declared at a revision.", "levare.cli.plans"),
        Lazy("export", "Write all that is declared as a manifest.", "levare.cli.history"),
        Lazy("top", "Watch nodes, GPUs and running jobs.", "levare.cli.top"),
        Lazy("nodes", "List the nodes with what is free on them.", "levare.cli.nodes"),
        Lazy("node", "On a machine: join a fleet, and run what pools ask for.", "levare.cli.node"),
        Lazy("machines", "List the machines that joined; drain and forget them.", "levare.cli.machines"),
        Lazy("pools", "How many workers run where: list, set, scale.", "levare.cli.pools"),
        Lazy("drain", "Give a node nothing new; what runs there runs on.", "levare.cli.nodes"),
        Lazy("resume", "Let a drained node take jobs again.", "levare.cli.nodes"),
        Lazy("teams", "Show what each team is owed and has had; set weights and quotas.", "levare.cli.teams"),
        Lazy("windows", "Keep nodes for a time: for maintenance, or for a team.", "levare.cli.windows"),
        Lazy("triggers", "Start jobs when something happens, with brakes.", "levare.cli.triggers"),
        Lazy("events", "Send events to the triggers, and list them.", "levare.cli.events"),
        Lazy("alerts", "What is not as it should be; rules, silences, back-tests.", "levare.cli.alerts"),
        Lazy("channels", "How people are told of alerts: webhooks, mail and others.", "levare.cli.channels"),
        Lazy("validate", "Check a manifest where it is written; tell all that is wrong.", "levare.cli.validate"),
        Lazy("schema", "Print the JSON Schema of manifests, for editors.", "levare.cli.validate"),
        Lazy("receipt", "Tell why a job started when it did, and not another one.", "levare.cli.receipt"),
        Lazy("families", "List families of jobs: how long they take, which are held.", "levare.cli.families"),
        Lazy("audit", "List who changed what, when, from where; verify that record.", "levare.cli.audit"),
        Lazy("report", "Asked for against used, idle GPUs, failures, right sizes.", "levare.cli.report"),
        Lazy("simulate", "Play the past again under other quotas, weights or nodes.", "levare.cli.simulate"),
        Lazy("tokens", "List, create and revoke the tokens that open the API.", "levare.cli.tokens"),
        Lazy("api", "Ask the API anything, as /docs lists it.", "levare.cli.api"),
        Lazy("doctor", "Check that everything that levare needs works.", "levare.cli.doctor"),
        Lazy("completion", "Print the script that lets a shell complete commands.", "levare.cli.completion"),
    ],
    help="Schedule and monitor training on shared machines.",
    epilog="LEVARE_URL and LEVARE_TOKEN say which API is asked; without them it is this machine's own.",
)
click.version_option(package_name="levare", message="%(prog)s %(version)s")(levare)


def main() -> None:
    """The `levare` of a shell: what its terminal cannot show is replaced, and a reader that has gone is no error."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue]
    try:
        try:
            levare.main(prog_name="levare")
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it exits
        sys.exit(1)
