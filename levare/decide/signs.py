"""
What the words of a log are signs of: patterns per class, read from top to bottom; the first that fits wins.

What is more special stands first. A line that only warns is no sign, nor is one that only reports that another process
has failed.
"""

import re
from collections.abc import Mapping, Sequence

from levare.model.failures import (
    ASSERTION,
    BAD_ARGUMENT,
    COMMAND_NOT_FOUND,
    CUDA_ERROR,
    DATA_NOT_FOUND,
    DISK_FULL,
    DISTRIBUTED_ERROR,
    FILE_LIMIT,
    GPU_MEMORY,
    HOST_MEMORY,
    IMPORT_ERROR,
    KILLED,
    NAN,
    NETWORK_ERROR,
    PERMISSION_DENIED,
    SEGFAULT,
    SHARED_MEMORY,
    TIMEOUT,
)

SIGNS: Mapping[str, Sequence[str]] = {
    SHARED_MEMORY: (
        r"insufficient shared memory",
        r"out of shared memory",
        r"unable to (?:write to file|open file|open shared memory object|mmap \d+ bytes from file) </torch",
        r"shm_open|/dev/shm.*No space left|No space left on device.*(?:/dev/shm|shm)",
    ),
    GPU_MEMORY: (
        r"\bCUDA out of memory",
        r"HIP out of memory",
        r"(?:torch|cuda|cupy\S*)\.OutOfMemoryError",
        r"^OutOfMemoryError: (?:CUDA|Out of memory allocating)",
        r"CUDA error: out of memory",
        r"CUDA_ERROR_OUT_OF_MEMORY",
        r"cudaErrorMemoryAllocation|cudaMalloc failed: out of memory",
        r"CU(?:BLAS|SOLVER|SPARSE|DNN)_STATUS_(?:ALLOC_FAILED|NOT_INITIALIZED.*out of memory)",
        r"RESOURCE_EXHAUSTED: (?:Out of memory|Failed to allocate|Attempting to (?:allocate|reserve))",
        r"RESOURCE_EXHAUSTED.*(?:GPU|HBM|device)",
        r"OOM when allocating tensor(?!.*device:CPU)",
        r"Unable to allocate .* on (?:the )?(?:GPU|device)",
        r"No available memory for the cache blocks",
        r"MPS backend out of memory",
        r"ncclUnhandledCudaError.*out of memory",
    ),
    HOST_MEMORY: (
        r"\b(?:_Array)?MemoryError\b",
        r"std::bad_alloc",
        r"Cannot allocate memory",
        r"can't allocate memory|not enough memory: you tried to allocate",
        r"Unable to allocate [\d.]+ [KMGTP]iB",
        r"OOM when allocating tensor.*device:CPU",
        r"DataLoader worker \(pid\(?s?\)? \d+\) is killed by signal: Killed",
        r"[Oo]ut of memory: Killed process",
        r"oom[-_]kill(?:er)?\b",
        r"java\.lang\.OutOfMemoryError",
        r"Memory cgroup out of memory",
        r"memory allocation of \d+ bytes failed",
        r"ray\.exceptions\.OutOfMemoryError|killed due to the node running low on memory",
    ),
    DISK_FULL: (
        r"No space left on device",
        r"\bENOSPC\b",
        r"Disk quota exceeded",
        r"\[Errno (?:27|28|122)\]|\bFile too large\b|File size limit exceeded",
        r"PytorchStreamWriter failed writing file",
        r"database or disk is full",
        r"not enough (?:free )?disk space|Not enough free space",
    ),
    FILE_LIMIT: (r"Too many open files", r"\bEMFILE\b", r"received 0 items of ancdata"),
    NAN: (
        r"(?i:\bloss (?:is|was|became|has become|went to|turned) (?:now )?(?:nan|inf))",
        r"(?i:\b(?:nan|infinite|non-?finite) (?:loss|values?|gradients?|grad norm))",
        r"loss (?:returned )?in `?training_step`? is (?:nan|None or nan|inf)",
        r"returned nan values in its \d+th output",
        r"[Ii]nvalid loss, terminating training",
        r"Monitored metric .* is not finite",
        r"(?:NaN|Inf)s? (?:or Infs? )?(?:found|detected|encountered|in (?:the )?(?:loss|gradients?|tensor|output))",
        r"(?:invalid value|FloatingPointError).*\bnan\b|FloatingPointError: .*(?:overflow|invalid value)",
        r"Minimum loss scale reached|loss scale already at minimum",
        r"Tensor had (?:NaN|Inf)|CheckNumerics",
        r"[Ii]nput (?:\w+ )?contains NaN",
        r"training (?:has )?diverged|\bdiverged\b.*\b(?:loss|nan)",
        r"The total norm .* is non-finite",
        r"not (?:all )?finite",
    ),
    IMPORT_ERROR: (
        r"\b(?:ModuleNotFoundError|ImportError)\b",
        r"No module named ",
        r"cannot import name ",
        r"error while loading shared libraries",
        r"No matching distribution found for|Could not find a version that satisfies",
        r"ResolutionImpossible|requirements are unsatisfiable",
        r"DistributionNotFound|PackageNotFoundError",
        r"undefined symbol: ",
        r"(?:GLIBC|GLIBCXX|CXXABI)_[\d.]+' not found",
    ),
    CUDA_ERROR: (
        r"CUDA error\b",
        r"CUDA_ERROR_(?!OUT_OF_MEMORY)\w+",
        r"\bcudaError(?!MemoryAllocation)[A-Z]\w+",
        r"cuDNN error|CUDNN_STATUS_(?!SUCCESS)\w+",
        r"CU(?:BLAS|SPARSE|SOLVER|FFT)_STATUS_(?!SUCCESS|ALLOC)\w+|cuFFT error|CUFFT_\w*(?:ERROR|FAIL)\w*",
        r"device-side assert",
        r"an illegal memory access|unspecified launch failure",
        r"uncorrectable ECC error",
        r"no kernel image is available",
        r"No CUDA GPUs are available|Found no NVIDIA driver|No GPU/TPU found",
        r"(?:CUDA|NVIDIA) driver (?:version is insufficient|on your system is too old)",
        r"Unable to determine the device handle for|Driver/library version mismatch|NVML_ERROR",
        r"fallen off the bus|NVRM: Xid",
        r"Torch not compiled with CUDA enabled",
        r"HIP error|hipError\w+",
        r"failed call to cuInit",
    ),
    BAD_ARGUMENT: (
        r"error: (?:unrecognized arguments|the following arguments are required|argument |ambiguous option)",
        r"error: (?:invalid choice|one of the arguments|expected .* argument|unexpected argument|No action)",
        r"(?:No such option|Missing (?:option|argument|parameter)|Got unexpected extra argument|No such command)",
        r"^(?:Error: )?Invalid value for ",
        r"(?:invalid|unknown|illegal|unrecognized) option\b",
        r"Unknown option: -|Unknown command line flag|UnrecognizedFlagError|Flags parsing error",
        r"are not used by the HfArgumentParser",
        r"Could not override |ConfigAttributeError|ConfigKeyError|ConfigCompositionException|MissingConfigException",
        r"Key '[^']+' is not in struct|MissingMandatoryValue|omegaconf\.errors\.",
        r"Could not consume arg",
        r"(?:yaml\.)?(?:scanner|parser)\.(?:Scanner|Parser)Error",
        r"(?:json\.decoder\.)?JSONDecodeError.*config|tomllib\.TOMLDecodeError",
        r"error: .*(?:Parser key|not expected|Problem with parsing)",
        r"MisconfigurationException",
        r"\d+ validation errors? for \w*(?:Config|Args|Arguments|Settings|Params)\b",
    ),
    COMMAND_NOT_FOUND: (
        r": command not found",
        r"^(?:/bin/)?(?:sh|bash|dash|zsh|env): (?:\d+: |line \d+: )?\W?[\w./+-]+\W?: (?:not found|No such file.*)$",
        r"exec: \S+: not found|executable file not found in",
        r"^env: .*No such file or directory",
        r"bad interpreter",
    ),
    PERMISSION_DENIED: (
        r"\bPermissionError\b",
        r"Permission denied",
        r"Operation not permitted",
        r"Read-only file system",
        r"GatedRepoError|Access to model .* is restricted|Cannot access gated repo",
        r"\b(?:401|403) (?:Client Error|Unauthorized|Forbidden)|HTTP Error (?:401|403)",
        r"AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|NoCredentialsError|Unable to locate credentials",
        r"Invalid (?:user token|API key|username or password)|AuthenticationError|wandb: ERROR .*(?:login|API key)",
    ),
    DATA_NOT_FOUND: (
        r"\bFileNotFoundError\b",
        r"No such file or directory",
        r"\b(?:NotADirectory|IsADirectory)Error\b",
        r"DatasetNotFoundError|Couldn't find (?:a dataset|any data file|file)|Dataset not found",
        r"RepositoryNotFoundError|RevisionNotFoundError|EntryNotFoundError(?!.*Local)",
        r"is not a local folder and is not a valid model identifier",
        r"NoSuchKey|NoSuchBucket|HeadObject operation: Not Found",
        r"Found (?:0|no) (?:valid )?(?:files?|images?|samples)",
        r"Unable to (?:synchronously )?open (?:file|object)",
        r"\b(?i:checkpoint|file|directory|dataset|path|config)\b.{0,200}\b(?:does(?: not|n't) exist|not (?:be )?found)",
        r"(?:does not|doesn't) appear to have a file named",
        r"404 Client Error|HTTP Error 404",
        r"\bStale file handle\b|Transport endpoint is not connected",
    ),
    SEGFAULT: (
        r"Segmentation fault",
        r"Fatal Python error: ",
        r"\(core dumped\)",
        r"double free or corruption|free\(\): invalid|malloc\(\): |corrupted size vs|munmap_chunk|stack smashing",
        r"Bus error|Illegal instruction|Floating point exception",
        r"SIGSEGV|signal: Segmentation|SIGABRT",
        r"terminate called (?:after throwing|without an active)",
        r"pure virtual method called",
    ),
    DISTRIBUTED_ERROR: (
        r"\bNCCL (?:error|WARN|communicator)|nccl(?:System|Internal|Remote)Error|ncclUnhandled|ncclInvalid",
        r"ProcessGroup(?:NCCL|Gloo|MPI)|Watchdog caught collective operation timeout|\[Gloo\]|gloo/transport|\bgloo\b",
        r"DistBackendError|DistStoreError|DistNetworkError|Rendezvous\w*Error|TCPStore|EtcdException",
        r"client socket has (?:failed|timed out)|server socket has failed to (?:bind|listen)",
        r"Timed out (?:waiting for clients|initializing process group)|[Bb]arrier timed out|store\.\w+ timed out",
        r"MPI_(?:ABORT|ERR\w*|Abort)|mpirun (?:has exited|detected|noticed)|PMIX ERROR",
        r"Horovod has been shut down|HorovodInternalError",
        r"collective (?:operation|mismatch)|desync",
        r"(?:coordination|distributed) service.*(?:error|heartbeat)|DEADLINE_EXCEEDED",
        r"Rabit|\[rabit\]|tracker.*(?:timeout|refused)",
    ),
    NETWORK_ERROR: (
        r"\b(?:ConnectionError|ConnectionRefusedError|ConnectionResetError|ConnectTimeout|ReadTimeout(?:Error)?)\b",
        r"Max retries exceeded|urlopen error|\bURLError\b|NewConnectionError|MaxRetryError",
        r"ProtocolError|IncompleteRead",
        r"Temporary failure in name resolution|Name or service not known|Could not resolve|getaddrinfo failed",
        r"Connection (?:refused|reset|timed out|aborted)|Network is unreachable|No route to host",
        r"Read timed out|\bSSLError\b|CERTIFICATE_VERIFY_FAILED|SSL: |EOF occurred in violation",
        r"couldn't connect to|LocalEntryNotFoundError|OfflineModeIsEnabled",
        r"cannot find the requested files in the (?:local|disk) cache",
        r"\b(?:429|5\d\d) (?:Client|Server) Error|HTTP Error (?:429|5\d\d)|HfHubHTTPError",
        r"EndpointConnectionError|SlowDown|ServiceUnavailable|RequestTimeout",
        r"unable to access 'https?://|Failed to (?:download|fetch|connect)|curl: \(\d+\)|wget: ",
        r"ChunkedEncodingError|RemoteDisconnected|ServerDisconnectedError|ClientConnectorError",
        r"Address already in use",
    ),
    TIMEOUT: (r"\bDUE TO TIME LIMIT\b", r"\bTimeLimitExceeded\b"),
    ASSERTION: (r"\bAssertionError\b", r"Assertion [`'\"].* failed", r"\bCheck failed: "),
    KILLED: (
        r"^(?:\S+: line \d+: +\d+ )?(?:Killed|Terminated)\b",
        r"\bKeyboardInterrupt\b",
        r"worker process managed by the executor was unexpectedly terminated|BrokenProcessPool",
        r"exited unexpectedly",
        r"received (?:signal|SIG)\w*\b.*(?:15|TERM)|SignalException: .*signal: 15|got signal: 15",
    ),
}
SYMPTOMS = (DISTRIBUTED_ERROR, NETWORK_ERROR, KILLED, SEGFAULT, ASSERTION)
"""What often only follows from something else: where there is another sign that one counts, of these the first."""

WRAPPERS = re.compile(
    r"ChildFailedError|ProcessRaisedException|ProcessExitedException|CalledProcessError|RayTaskError|TrialError"
    r"|SystemExit|TuneError|JobFailedError|NonZeroExitCode|WorkerCrashedError|TrainingFailedError"
)
"""Exceptions that only say that another process has failed."""
HARMLESS = re.compile(
    r"\bwarn(?:ing)?s?\b|\w+Warning\b|\bWARN\b(?! Call)|\bDEBUG\b|\bignor(?:ed|ing)\b|\bskipp(?:ed|ing)\b"
    r"|\b(?:re)?trying\b|\bfall(?:ing|s)? back\b|\bfallback\b|\boptional\b|Unable to register"
    r"|Could not load dynamic library"
    r"|if you (?:want|see)|^\s*(?:#|//|>>> )",
    re.IGNORECASE,
)
"""Lines that mention trouble that somebody has dealt with."""
SERIOUS = re.compile(r"NCCL WARN|loss (?:is|became) nan|\bERROR\b|\bFATAL\b|\bCRITICAL\b|rror:", re.IGNORECASE)
"""What counts although it looks harmless."""
FRAME = re.compile(
    r'^\s*(?:[|+] )?\s*File ".*", line \d+, in |^\s+(?:raise|return|assert|import|from|with|self|if|except) '
)
"""A line of a traceback that shows code: the code may name any error."""

_COMPILED = [(name, re.compile("|".join(f"(?:{each})" for each in patterns))) for name, patterns in SIGNS.items()]


def sign_in(text: str) -> str | None:
    """The class that a line is a sign of."""
    return next((name for name, pattern in _COMPILED if pattern.search(text)), None)


def is_harmless(text: str) -> bool:
    return bool(FRAME.search(text)) or (bool(HARMLESS.search(text)) and not SERIOUS.search(text))
