"""Compiled functions without numba, which takes much of a worker's memory and half a second.

A process of its own compiles them once on a machine, and what that writes is kept. Others load it by
llvmlite alone, as numba does. Where none can be had, whoever asks does without.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flashsim_prod.errors import FlashSimError
from flashsim_prod.files import write_whole

#: is given what the function takes, numbers and addresses
Native = Callable[..., None]

#: compiling takes seconds, and longer where others have the machine
_PATIENCE_S = 900.0
_DIGEST = hashlib.sha256().digest_size


def natives(module: str) -> dict[str, Native] | None:
    """The functions that `module` compiles, or None where they cannot be had.

    Parameters
    ----------
    module : str
        Is imported by the process that compiles alone. Its function ``natives`` gives functions of numba's
        ``cfunc`` by name: they return nothing, and call nothing that is not compiled into them.
    """
    spec = find_spec("numba") and find_spec(module)
    if not spec or not spec.origin:
        return None
    try:
        name = f"{module.rpartition('.')[2]}-{_key(Path(spec.origin))[:16]}.code"
    except (OSError, ImportError, metadata.PackageNotFoundError):
        return None
    folders = list(_folders(Path(spec.origin)))
    for folder in folders:
        with suppress(OSError, ValueError, KeyError):
            return _loaded((folder / name).read_bytes())
    command = [sys.executable, "-m", __name__, module]
    try:
        made = subprocess.run(command, capture_output=True, check=True, timeout=_PATIENCE_S).stdout
        found = _loaded(made)
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return None
    for folder in folders:
        # a place that cannot be written to, or has no room, must not stop a job
        with suppress(OSError, FlashSimError):
            write_whole(folder / name, made)
            break
    return found


def private_folder() -> str | None:
    """A folder among the temporary files that nobody else can put code into."""
    folder = Path(tempfile.gettempdir()) / f"flashsim-prod-compiled-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return str(folder) if ours and not found.st_mode & 0o077 else None


def _folders(source: Path) -> Iterator[Path]:
    """Where code is kept: where numba is told to, beside what Python compiles, or among temporary files."""
    told = os.environ.get("NUMBA_CACHE_DIR")
    yield Path(told) if told else source.parent / "__pycache__"
    private = private_folder()
    if private is not None:
        yield Path(private)


def _key(source: Path) -> str:
    """What the code depends on: what it is made of, who compiles it, and for which processor."""
    import llvmlite.binding as llvm

    found = hashlib.sha256(source.read_bytes() + Path(__file__).read_bytes())
    for package in ("numba", "llvmlite"):
        found.update(metadata.version(package).encode())
    found.update(f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}".encode())
    return found.hexdigest()


def _machine() -> Any:
    """LLVM's target: this processor."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=3, reloc="pic", codemodel="small"
    )


def _loaded(made: bytes) -> dict[str, Native]:
    """The functions in what `_packed` gave; `ValueError` if it is anything else."""
    import llvmlite.binding as llvm

    digest, rest = made[:_DIGEST], made[_DIGEST:]
    if hashlib.sha256(rest).digest() != digest:
        raise ValueError("damaged")
    head, _, code = rest.partition(b"\n")
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return {
        name: _native(engine.get_function_address(symbol), words, engine)
        for name, (symbol, words) in json.loads(head).items()
    }


def _native(address: int, words: str, engine: object) -> Native:
    """Call of a function as numba compiles it: before its own arguments it takes two places for results."""
    kinds = [ctypes.c_void_p if word == "p" else ctypes.c_ssize_t for word in words]
    call = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *kinds)(address)
    result = (ctypes.c_void_p * 2)()
    where = ctypes.addressof(result)

    def native(*arguments: int, _kept: object = (result, engine)) -> None:
        call(where, where, *arguments)

    return native


def _packed(module: str) -> bytes:
    """The code of all functions of `module`, behind a head of what they are called and take."""
    head: dict[str, tuple[str, str]] = {}
    texts = []
    for name, made in import_module(module).natives().items():
        symbol = made.native_name.removeprefix("cfunc.")
        head[name] = (symbol, "".join("p" if "*" in str(one) else "i" for one in made._sig.args))
        texts.append((made.inspect_llvm(), symbol))
    rest = json.dumps(head).encode() + b"\n" + _object(texts)
    return hashlib.sha256(rest).digest() + rest


def _object(texts: Sequence[tuple[str, str]]) -> bytes:
    """One object file of functions, each of LLVM's code with its name, and of nothing else in that code.

    Raises
    ------
    ValueError
        If one is not there, or needs what is elsewhere: LLVM ends a process that lacks it.
    """
    import llvmlite.binding as llvm

    machine = _machine()
    whole = llvm.parse_assembly("")
    for text, symbol in texts:
        part = llvm.parse_assembly(text)
        if symbol not in {one.name for one in part.functions if not one.is_declaration}:
            raise ValueError(f"no function {symbol}")
        for one in (*part.functions, *part.global_variables):
            if not one.is_declaration and one.name != symbol:
                one.linkage = "internal"
        whole.link_in(part)
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(whole, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    for one in (*whole.functions, *whole.global_variables):
        if one.is_declaration and not one.name.startswith("llvm."):
            raise ValueError(f"{one.name} is elsewhere")
    found: bytes = machine.emit_object(whole)
    return found


if __name__ == "__main__":
    sys.stdout.buffer.write(_packed(sys.argv[1]))
