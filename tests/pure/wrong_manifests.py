"""Manifests of which each has one thing wrong: where `§` stands, and what is to be said of it."""

# ruff: noqa: E501  # a short manifest reads best on one line

JOB = "job: {command: [python, train.py]}"

WRONG = {
    # no YAML, or none that may be read
    "a tab that indents": ("version: 1\nteams:\n§\tvision: {}\n", "is no YAML"),
    "a bracket that is not closed": ("version: 1\nteams: {vision: {weight: [1§}}\n", "is no YAML"),
    "a colon too many": ("version: 1\nteams: a§: b\n", "is no YAML"),
    "a quote that is not closed": ('version: 1\nteams: §"vision\n', "is no YAML"),
    "a control character": ("version: 1\nteams: {§\x07}\n", "control character"),
    "a second document": ("version: 1\n§---\nversion: 1\n", "second document"),
    "a name that is said twice": (
        "version: 1\nteams:\n  vision: {}\n  §vision: {}\n",
        "vision is said twice, first in line 3",
    ),
    "a field that is said twice": ("version: 1\nteams: {vision: {weight: 1, §weight: 2}}\n", "weight is said twice"),
    "an alias of nothing": ("version: 1\nteams: {vision: §*usual}\n", "*usual stands for nothing"),
    "an alias of itself": ("version: 1\nteams: &all {vision: §*all}\n", "*all stands for itself"),
    "a merge of YAML 1.1": ("version: 1\nteams: {a: &a {}, b: {§<<: *a}}\n", "<< merges nothing"),
    "a tag": ("version: 1\nteams: §!python/object {}\n", "has the tag !python/object"),
    "a list as a name": ("version: 1\nteams: {§[a]: {}}\n", "a list cannot be a name"),
    "too many levels": ("version: 1\nteams: " + "[" * 39 + "§[" + "]" * 40 + "\n", "nested too deeply"),
    # no manifest
    "a list": ("§- version: 1\n", "must be a mapping, and is a list"),
    "nothing": ("§", "is empty"),
    "no version": ("§teams: {}\n", "has no version"),
    "another version": ("version: §2\n", "there is no version 2"),
    "an unknown key": ("version: 1\n§schedule: {}\n", "no key schedule; did you mean schedules?"),
    "a section that is a list": ("version: 1\nteams: §[vision]\n", "must be a mapping of names"),
    # names and fields
    "a name that is none": ("version: 1\nteams: {§my team: {}}\n", "is no name of a team"),
    "a name of a pool that is none": ("version: 1\npools: {§Big: {workers: 1}}\n", "is no name of a pool"),
    "a word of the API as a name": (
        f"version: 1\nschedules: {{§lint: {{every: 1h, {JOB}}}}}\n",
        "is a word of the API",
    ),
    "an object that is a text": (
        "version: 1\nteams: {vision: §big}\n",
        "the team vision must be a mapping, and is text",
    ),
    "an unknown field": ("version: 1\nteams: {vision: {§wieght: 2}}\n", "no field wieght; did you mean weight?"),
    "an unknown field inside": (
        "version: 1\nteams: {vision: {quota: {§gpu: 2}}}\n",
        "no field gpu; did you mean gpus?",
    ),
    "a field that is missing": ("version: 1\npools: {big: §{select: {}}}\n", "the pool big needs workers"),
    "a field that is misspelt and needed": ("version: 1\njobs: {a: {§comand: [ls]}}\n", "did you mean command?"),
    # values
    "a text for a number": ("version: 1\njobs: {a: {command: [ls], gpus: §two}}\n", "gpus must be a whole number"),
    "a number for a text": ("version: 1\njobs: {a: {command: [sleep, §5]}}\n", "command[1] must be text"),
    "a text for a flag": ("version: 1\njobs: {a: {command: [ls], spread: §yes}}\n", "spread must be true or false"),
    "too small a number": ("version: 1\njobs: {a: {command: [ls], gpus: §-1}}\n", "gpus must be at least 0"),
    "too large a number": ("version: 1\njobs: {a: {command: [ls], priority: §10}}\n", "priority must be at most 9"),
    "a part of a GPU": ("version: 1\njobs: {a: {command: [ls], gpus: §0.5}}\n", "gpus must be a whole number"),
    "an empty command": ("version: 1\njobs: {a: {command: §[]}}\n", "command must be at least 1 long"),
    "a choice that is none": (
        f"version: 1\nschedules: {{a: {{every: 1h, overlap: §wait, {JOB}}}}}\n",
        "overlap must be one of",
    ),
    "a duration that is none": ("version: 1\njobs: {a: {command: [ls], timeout: §2 hours}}\n", "is not a duration"),
    "a size that is none": ("version: 1\njobs: {a: {command: [ls], memory: §16 gigs}}\n", "is not a size"),
    "a size without its unit": ("version: 1\njobs: {a: {command: [ls], memory: §16}}\n", "has no unit"),
    "a unit under the name of another": (
        "version: 1\njobs: {a: {command: [ls], timeout_seconds: §2h}}\n",
        "must be a whole number; with a unit it is called timeout",
    ),
    "the same twice with a unit": (
        "version: 1\njobs: {a: {command: [ls], timeout: 2h, §timeout_seconds: 7200}}\n",
        "timeout_seconds and timeout say the same",
    ),
    "a time without a zone": (
        f"version: 1\nschedules: {{a: {{at: §2030-01-01T00:00, {JOB}}}}}\n",
        "a time with a zone",
    ),
    "a relative folder": ("version: 1\njobs: {a: {command: [ls], cwd: §here}}\n", "cwd must be an absolute path"),
    "a secret as it is": (
        "version: 1\nchannels: {ops: {webhook: {url: 'https://a.example', key: §hunter2}}}\n",
        "webhook.key must be {secret: NAME}",
    ),
    "a secret of a job by a name that is none": (
        "version: 1\njobs: {a: {command: [ls], env: {KEY: {secret: §key}}}}\n",
        "env.KEY.secret must be the name of a secret",
    ),
    "an address that is none": (
        "version: 1\nchannels: {ops: {email: {host: a, sender: §me, to: [a@b.example]}}}\n",
        "email.sender must be an address",
    ),
    "a plan": ('§{"version": 1, "base": 3, "digest": "a", "changes": []}\n', "is a saved plan, and no manifest"),
    # what cannot be meant
    "two kinds of times": (
        f"version: 1\nschedules: {{a: {{cron: §0 3 * * *, every: 1h, {JOB}}}}}\n",
        "one of cron, every and at, and this has cron and every",
    ),
    "no work": ("version: 1\nschedules: {§a: {every: 1h}}\n", "one of job and pipeline, and this has neither"),
    "an hour that does not exist": (
        f"version: 1\nschedules: {{a: {{cron: §0 25 * * *, {JOB}}}}}\n",
        "hour of a cron expression cannot be '25'",
    ),
    "a zone that does not exist": (
        f"version: 1\nschedules: {{a: {{every: 1h, zone: §Europe/Berlim, {JOB}}}}}\n",
        "There is no time zone 'Europe/Berlim'; did you mean Europe/Berlin",
    ),
    "a variable without quotes in braces": (
        "version: 1\njobs: {a: {command: [ls], cwd: $§{HERE}}}\n",
        "within braces a text with ${...} stands in quotes",
    ),
    "a deadline that comes again and again": (
        "version: 1\nschedules: {a: {every: 1h, job: {command: [ls], deadline: §2030-01-01T00:00:00Z}}}\n",
        "is one time, and a schedule runs many times",
    ),
    "a schedule that is never due": (f"version: 1\nschedules: {{a: {{cron: §0 0 30 2 *, {JOB}}}}}\n", "never due"),
    "a schedule that ends before it starts": (
        f"version: 1\nschedules: {{a: {{every: 1h, starts: 2031-01-01T00:00:00Z, ends: §2030-01-01T00:00:00Z, {JOB}}}}}\n",
        "ends before it starts",
    ),
    "a calendar that admits nothing": (
        f"version: 1\nschedules: {{a: {{cron: §0 3 * * MON, calendar: {{days: TUE}}, {JOB}}}}}\n",
        "never due",
    ),
    "a trigger that looks for nothing": (f"version: 1\ntriggers: {{a: {{when: §{{}}, {JOB}}}}}\n", "exactly one thing"),
    "a pattern that RE2 refuses": (
        "version: 1\nalerts: {a: {when: {log: {pattern: §(?=a)}}}}\n",
        "is no pattern",
    ),
    "a label that is wanted and avoided": (
        "version: 1\njobs: {a: {command: [ls], require: {zone: a}, avoid: {zone: §a}}}\n",
        "is required as well",
    ),
    "a window that ends before it starts": (
        "version: 1\nwindows: {w: {nodes: [a], starts: 2031-01-01T00:00:00Z, ends: §2030-01-01T00:00:00Z}}\n",
        "must be later than starts",
    ),
    # references
    "a template that does not exist": (
        "version: 1\njobs: {digits: {command: [ls]}}\nschedules: {a: {every: 1h, job: §digit}}\n",
        "there is no job digit; did you mean digits?",
    ),
    "a pipeline that does not exist": (
        "version: 1\nschedules: {a: {every: 1h, pipeline: §p}}\n",
        "there is no pipeline p",
    ),
    "a channel that does not exist": (
        "version: 1\nalerts: {a: {when: {failure: {}}, channels: [§ops]}}\n",
        "there is no channel ops",
    ),
    "a schedule that does not exist": (
        "version: 1\nalerts: {a: {when: {failure: {schedule: §nightly}}}}\n",
        "there is no schedule nightly",
    ),
    "a step that does not exist": (
        "version: 1\npipelines: {p: {jobs: [{step: a, command: [ls]}, {step: b, command: [ls], needs: [§c]}]}}\n",
        "there is no step c",
    ),
    "a step that is there twice": (
        "version: 1\npipelines: {p: {jobs: [{step: a, command: [ls]}, {step: §a, command: [ls]}]}}\n",
        "the step a is there twice",
    ),
    "steps that need each other": (
        "version: 1\npipelines: {p: {jobs: [{step: a, command: [x], needs: §[b]}, {step: b, command: [x], needs: [a]}]}}\n",
        "a -> b -> a",
    ),
    "triggers that start each other": (
        f"version: 1\ntriggers:\n  a: {{when: {{ended: §{{trigger: b}}}}, {JOB}}}\n  b: {{when: {{ended: {{trigger: a}}}}, {JOB}}}\n",
        "a -> b -> a",
    ),
    "a trigger that starts itself": (
        "version: 1\ntriggers: {a: {when: {ended: §{name: x}}, job: {name: x, command: [ls]}}}\n",
        "a -> a",
    ),
    # templates
    "a parameter that nobody declared": (
        "version: 1\njobs: {t: {command: [ls], parameters: {epochs: 1}}}\nschedules: {a: {every: 1h, job: t, parameters: {§epoch: 2}}}\n",
        "t has no parameter epoch; did you mean epochs?",
    ),
    "a parameter that is missing": (
        "version: 1\njobs: {t: {command: [ls], parameters: {data: }}}\nschedules: {a: {every: 1h, job: §t}}\n",
        "t needs data",
    ),
    "a parameter of another type": (
        "version: 1\njobs: {t: {command: [ls], parameters: {epochs: 1}}}\nschedules: {a: {every: 1h, job: t, parameters: {epochs: §many}}}\n",
        "must be a whole number",
    ),
    "a parameter that is no choice": (
        "version: 1\njobs: {t: {command: [ls], parameters: {size: {default: s, choices: [s, l]}}}}\nschedules: {a: {every: 1h, job: t, parameters: {size: §m}}}\n",
        "must be one of s, l",
    ),
    "a default that is no choice": (
        "version: 1\njobs: {t: {command: [ls], parameters: {size: {default: §m, choices: [s, l]}}}}\n",
        "parameters.size.default must be one of s, l",
    ),
    "braces that name nothing": (
        'version: 1\njobs: {t: {command: [echo, §"{epoch}"], parameters: {epochs: 1}}}\n',
        "{epoch} is no parameter",
    ),
    "braces that name nothing, in a template that is named": (
        'version: 1\njobs: {t: {command: [echo, §"{epoch}"], parameters: {epochs: 1}}}\nschedules: {a: {every: 1h, job: t}}\n',
        "{epoch} is no parameter",
    ),
    "an argument that only the event knows": (
        'version: 1\njobs: {t: {command: [echo, "{d}"], parameters: {d: a}}}\ntriggers: {a: {when: {event: {}}, job: §t, parameters: {d: {from: data.d}}}}\n',
        "is known only when the event comes",
    ),
    # pools
    "more GPUs than any pool has": (
        "version: 1\npools: {big: {workers: 2, offers: {gpus: 4}}}\njobs: {a: {command: [ls], gpus: §8}}\n",
        "no pool could ever run this",
    ),
    "more memory than any pool has": (
        "version: 1\npools: {big: {workers: 2, offers: {memory: 64GiB}}}\njobs: {a: {command: [ls], memory: §65GiB}}\n",
        "no pool could ever run this",
    ),
    "a pool that does not exist": (
        "version: 1\npools: {big: {workers: 2}}\njobs: {a: {command: [ls], require: §{pool: bigger}}}\n",
        "no pool could ever run this",
    ),
    # variables and environments
    "a variable that is not declared": (
        'version: 1\nvariables: {GPUS: 1}\njobs: {a: {command: [ls], gpus: §"${GPU}"}}\n',
        "${GPU} names no variable; did you mean GPUS?",
    ),
    "a variable without a value": ("version: 1\nvariables: {§GPUS: {type: integer}}\n", "GPUS has no value"),
    "a variable of no type": ("version: 1\nvariables: {GPUS: {type: §whole, default: 1}}\n", "type must be one of"),
    "an environment of something unknown": (
        "version: 1\nschedules: {}\nenvironments: {staging: {§schedule: {}}}\n",
        "an environment has no key schedule; did you mean schedules?",
    ),
    "an environment that changes what is not there": (
        "version: 1\nteams: {vision: {}}\nenvironments: {staging: {teams: {§visoin: {weight: 2}}}}\n",
        "visoin; did you mean vision?",
    ),
    "an environment that makes something wrong": (
        "version: 1\nteams: {vision: {}}\nenvironments: {staging: {teams: {vision: {weight: §0}}}}\n",
        "weight must be at least 0.001",
    ),
}
