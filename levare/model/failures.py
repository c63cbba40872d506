"""The classes of failures: what each is called, whether a retry can cure it, where, and what to do next."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class FailureClass:
    """
    A kind of cause. `retried` says whether a retry is worth it where the job does not say.

    `elsewhere` says that the cause may lie in the machine, so that the next attempt should be on another one.
    """

    name: str
    title: str
    next_step: str
    retried: bool = True
    elsewhere: bool = False


HOST_MEMORY, GPU_MEMORY, SHARED_MEMORY = "host_memory", "gpu_memory", "shared_memory"
NAN, CUDA_ERROR, DISTRIBUTED_ERROR = "nan", "cuda_error", "distributed_error"
DISK_FULL, FILE_LIMIT, NETWORK_ERROR = "disk_full", "file_limit", "network_error"
IMPORT_ERROR, BAD_ARGUMENT, COMMAND_NOT_FOUND = "import_error", "bad_argument", "command_not_found"
DATA_NOT_FOUND, PERMISSION_DENIED, CANNOT_START = "data_not_found", "permission_denied", "cannot_start"
ASSERTION, EXCEPTION, SEGFAULT, KILLED = "assertion", "exception", "segfault", "killed"
TIMEOUT, NODE_LOST, PREEMPTION, UNKNOWN = "timeout", "node_lost", "preemption", "unknown"

_ALL = (
    FailureClass(
        HOST_MEMORY,
        "ran out of main memory",
        "Ask for more with --memory, or let retries do that with --memory-growth 1.5; fewer data-loader workers, "
        "smaller batches or memory-mapped data need less.",
    ),
    FailureClass(
        GPU_MEMORY,
        "ran out of GPU memory",
        "Make the batch smaller (and accumulate gradients), use mixed precision or activation checkpointing, or ask "
        "for GPUs with more memory: --gpu-memory, --gpu-model.",
    ),
    FailureClass(
        SHARED_MEMORY,
        "ran out of shared memory (/dev/shm)",
        "Use fewer data-loader workers, torch.multiprocessing.set_sharing_strategy('file_system'), or have the "
        "administrator make /dev/shm larger.",
        elsewhere=True,
    ),
    FailureClass(
        NAN,
        "diverged: NaN or infinite values",
        "Go back to the last good checkpoint with a lower learning rate, clip gradients, and look at the data of the "
        "steps before it; torch.autograd.set_detect_anomaly names the operation.",
    ),
    FailureClass(
        CUDA_ERROR,
        "failed in CUDA or its driver",
        "Run it again with CUDA_LAUNCH_BLOCKING=1 to see the true line. If it fails on one GPU or node only, look at "
        "dmesg for XID errors there and `levare drain` the node.",
        elsewhere=True,
    ),
    FailureClass(
        DISTRIBUTED_ERROR,
        "lost the connection among its processes (NCCL, Gloo, MPI)",
        "Look for the process that failed first: the others only report that it is gone. Without one, set "
        "NCCL_DEBUG=INFO and look at the network between the nodes.",
        elsewhere=True,
    ),
    FailureClass(
        DISK_FULL,
        "met a full disk, a quota or a limit of file size",
        "Make room or write to another disk; --scratch asks for a node with that much free. Keep fewer checkpoints.",
        elsewhere=True,
    ),
    FailureClass(
        FILE_LIMIT,
        "had too many files open",
        "Close what is read, use fewer data-loader workers, or raise the limit: ulimit -n.",
        elsewhere=True,
    ),
    FailureClass(
        NETWORK_ERROR,
        "could not reach or lost something on the network",
        "Try again later, with --retries and --backoff; better, download models and data once to a shared disk before "
        "training.",
        elsewhere=True,
    ),
    FailureClass(
        IMPORT_ERROR,
        "lacks a module or a library",
        "Install it into the environment that the job runs in, or submit from the right environment: VIRTUAL_ENV and "
        "PATH go with a job.",
        retried=False,
    ),
    FailureClass(
        BAD_ARGUMENT,
        "was called with wrong arguments",
        "Correct the command or the configuration and submit it again; `--help` of the script says what it takes.",
        retried=False,
    ),
    FailureClass(
        COMMAND_NOT_FOUND,
        "names a program that is not there",
        "Give the path of the program, or a PATH in the job's env; on another node it may not be installed: --require.",
        retried=False,
    ),
    FailureClass(
        DATA_NOT_FOUND,
        "misses a file, a folder or a data set",
        "Correct the path, or run it where the data is: is the disk mounted on that node? --require chooses by label.",
        retried=False,
    ),
    FailureClass(
        PERMISSION_DENIED,
        "was refused access",
        "Give the user of the worker access to the file, or the job the credentials that it lacks (--env).",
        elsewhere=True,
    ),
    FailureClass(
        CANNOT_START,
        "could not be started by its node",
        "The sentence above says what hinders it; another node may be able to start it.",
        elsewhere=True,
    ),
    FailureClass(
        ASSERTION,
        "failed an assertion",
        "Look at the assertion: something that the code takes for granted does not hold.",
    ),
    FailureClass(
        EXCEPTION,
        "ended by an exception",
        "Look at the last lines of the traceback, and at what has changed since the last good run.",
    ),
    FailureClass(
        SEGFAULT,
        "crashed in native code",
        "Run it again with PYTHONFAULTHANDLER=1 to see where. Often two packages were built against different "
        "versions of a library: see what changed among the dependencies.",
        elsewhere=True,
    ),
    FailureClass(
        KILLED,
        "was killed from outside",
        "Somebody or something ended it: ask who works on that node, and look at its log (journalctl, dmesg).",
    ),
    FailureClass(
        TIMEOUT,
        "ran into its limit of time",
        "Give it more with --timeout, save checkpoints and let it resume with --retries, or find out why it is slower "
        "than before.",
    ),
    FailureClass(
        NODE_LOST,
        "was lost with its node",
        "Look why the node fell silent: power, network, memory. --on-lost requeue starts it again elsewhere.",
        elsewhere=True,
    ),
    FailureClass(
        PREEMPTION,
        "was stopped by levare, to go on later",
        "Nothing to do: it goes back to the queue by itself. --no-preempt protects a job that cannot resume.",
    ),
    FailureClass(
        UNKNOWN,
        "failed for no reason that is known",
        "Look at the whole log; let the script say on its last lines why it ends.",
    ),
)
FAILURE_CLASSES: Mapping[str, FailureClass] = {each.name: each for each in _ALL}
