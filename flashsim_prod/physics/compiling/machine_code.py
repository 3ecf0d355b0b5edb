"""Compiled functions without their compiler: numba and LLVM take much of a worker's memory and half a second.

A process of its own compiles them, once on a machine, to code that runs wherever in memory it lies. What
that writes is kept, and is all that others load. Where none can be had, whoever asks does without.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import mmap
import os
import platform
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

from flashsim_prod.errors import FlashSimError
from flashsim_prod.files import write_whole

#: is given what the function takes, numbers and addresses
Native = Callable[..., None]

#: compiling takes seconds, and longer where others have the machine
_PATIENCE_S = 300.0
_DIGEST = hashlib.sha256().digest_size
#: functions and constants begin at a multiple of it
_ALIGNED = 64
#: ELF: sections are symbols, constants among them; relative to where it stands, 32 bits wide
_PROGBITS, _SYMTAB, _RELA, _RELATIVE = 1, 2, 4, 2


def natives(module: str) -> dict[str, Native] | None:
    """The functions that `module` compiles, or None where this machine has no way to load them.

    Parameters
    ----------
    module : str
        Is imported by the process that compiles alone. Its function ``natives`` gives functions of numba's
        ``cfunc`` by name: they return nothing, and call nothing that is not compiled into them.
    """
    spec = find_spec("numba") and find_spec(module)
    if not spec or not spec.origin or (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return None
    try:
        name = f"{module.rpartition('.')[2]}-{_key(Path(spec.origin))[:16]}.code"
    except (OSError, metadata.PackageNotFoundError):
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
    found = hashlib.sha256(source.read_bytes() + Path(__file__).read_bytes())
    for package in ("numba", "llvmlite"):
        found.update(metadata.version(package).encode())
    about = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    found.update("".join(line for line in about if line.startswith(("model", "flags"))).encode())
    return found.hexdigest()


def _loaded(made: bytes) -> dict[str, Native]:
    """The functions in what `_packed` gave; `ValueError` if it is anything else."""
    digest, rest = made[:_DIGEST], made[_DIGEST:]
    if hashlib.sha256(rest).digest() != digest:
        raise ValueError("damaged")
    head, _, code = rest.partition(b"\n")
    memory = mmap.mmap(-1, len(code), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(code)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return {name: _native(base + at, words, memory) for name, (at, words) in json.loads(head).items()}


def _native(address: int, words: str, memory: mmap.mmap) -> Native:
    """Call of a function as numba compiles it: before its own arguments it takes two places for results."""
    kinds = [ctypes.c_void_p if word == "p" else ctypes.c_ssize_t for word in words]
    call = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *kinds)(address)
    result = (ctypes.c_void_p * 2)()
    where = ctypes.addressof(result)

    def native(*arguments: int, _kept: object = (result, memory)) -> None:
        call(where, where, *arguments)

    return native


def _packed(module: str) -> bytes:
    """The code of all functions of `module`, with a head that says where they are and what they take."""
    head, code = {}, b""
    for name, made in import_module(module).natives().items():
        head[name] = (len(code), "".join("p" if "*" in str(one) else "i" for one in made._sig.args))
        code += _alone(_object(made.inspect_llvm()), made.native_name.removeprefix("cfunc."))
    rest = json.dumps(head).encode() + b"\n" + code
    return hashlib.sha256(rest).digest() + rest


def _object(text: str) -> bytes:
    """An ELF object of LLVM's code `text`, for this processor."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=3, reloc="pic", codemodel="small"
    )
    found: bytes = machine.emit_object(llvm.parse_assembly(text))
    return found


def _alone(elf: bytes, name: str) -> bytes:
    """The function `name` of an object file with the constants that it reads behind it.

    Raises
    ------
    ValueError
        If it needs anything else.
    """
    start, number = struct.unpack_from("<Q", elf, 0x28)[0], struct.unpack_from("<H", elf, 0x3C)[0]
    # name, type, flags, address, offset, size, link, info, alignment, size of an entry
    sections = [struct.unpack_from("<IIQQQQIIQQ", elf, start + 64 * i) for i in range(number)]
    table = next(one for one in sections if one[1] == _SYMTAB)
    names = sections[table[6]][4]
    # name, info, other, section, value, size
    symbols = [struct.unpack_from("<IBBHQQ", elf, table[4] + 24 * i) for i in range(table[5] // 24)]
    wanted = name.encode() + b"\0"
    found = [one for one in symbols if elf.startswith(wanted, names + one[0]) and one[5]]
    if len(found) != 1:
        raise ValueError(f"no function {name}")
    _, _, _, own, first, size = found[0]
    offset = sections[own][4] + first
    code = bytearray(elf[offset : offset + size])
    placed: dict[int, int] = {}
    for relocations in sections:
        if relocations[1] != _RELA or relocations[7] != own:
            continue
        for entry in range(relocations[5] // 24):
            at, info, addend = struct.unpack_from("<QQq", elf, relocations[4] + 24 * entry)
            if not first <= at < first + size:
                continue
            _, _, _, section, value, _ = symbols[info >> 32]
            if info & 0xFFFFFFFF != _RELATIVE or not _is_constant(sections, section):
                raise ValueError(f"{name} needs more than constants")
            if section not in placed:
                code += bytes(-len(code) % _ALIGNED)
                placed[section] = len(code)
                begin = sections[section][4]
                code += elf[begin : begin + sections[section][5]]
            here = at - first
            struct.pack_into("<i", code, here, placed[section] + value + addend - here)
    return bytes(code + bytes(-len(code) % _ALIGNED))


def _is_constant(sections: list[tuple[int, ...]], number: int) -> bool:
    """Whether a section holds what is read alone: no code, and nothing that is written."""
    is_a_section = 0 < number < len(sections)
    return is_a_section and sections[number][1] == _PROGBITS and not sections[number][2] & (1 | 4)


if __name__ == "__main__":
    sys.stdout.buffer.write(_packed(sys.argv[1]))
