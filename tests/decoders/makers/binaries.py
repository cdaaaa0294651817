"""Executables and objects: ELF by gcc, PE by mingw, Mach-O and WebAssembly written here field by field."""

import struct
import tempfile
from pathlib import Path

from environment import output

PROGRAM = """
#include <stdio.h>
int counter = 42;
static const char greeting[] = "the keeper lit the lamp";
int twice(int value) { return 2 * value; }
int sum_to(int limit) { int sum = 0; for (int i = 0; i <= limit; i++) sum += twice(i) / 2; return sum; }
int main(void) { printf("%s %d\\n", greeting, sum_to(counter)); return 0; }
"""
LIBRARY = "int twice(int value) { return 2 * value; }\nint thrice(int value) { return value + twice(value); }\n"
OVERLAY = b"OVERLAY: bytes after the end that the headers know of\n" * 3


def compiled(*arguments, source=PROGRAM, compiler="gcc", overlay=b""):
    """`SRC` and `OUT` stand for the files. The source's name is fixed, since it is kept in the object."""

    def make(path):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "program.c").write_text(source)
            names = {"SRC": "program.c", "OUT": path.resolve()}
            # Without the map, debug information would name the temporary folder.
            output(compiler, f"-ffile-prefix-map={folder}=.", *[names.get(part, part) for part in arguments], cwd=folder)
        if overlay:
            path.write_bytes(path.read_bytes() + overlay)

    return make


def library(path):
    with tempfile.TemporaryDirectory() as folder:
        for name in ("twice", "a_member_with_a_rather_long_name"):
            Path(folder, f"{name}.c").write_text(LIBRARY.replace("twice", name))
            output("gcc", "-O1", "-c", f"{name}.c", cwd=folder)
        objects = sorted(found.name for found in Path(folder).glob("*.o"))
        output("ar", "rcsD", path.resolve(), *objects, cwd=folder)


# Mach-O, by <mach-o/loader.h>: one segment with two sections, a symbol table of one name.
X86_64, ARM64 = 0x01000007, 0x0100000C


def macho(cpu):
    """The file's bytes and its sections as [name, offset, size]."""
    code = b"\xb8\x2a\x00\x00\x00\xc3" if cpu == X86_64 else struct.pack("<II", 0x52800540, 0xD65F03C0)
    text = code + b"\x90" * (-len(code) % 16)
    data = b"the keeper lit the lamp\0"
    names = b"\0_main\0\0"
    segment_size, symbols_size = 72 + 2 * 80, 24
    start = 32 + segment_size + symbols_size
    start += -start % 16
    data_at = start + len(text)
    symbols_at = data_at + len(data)
    names_at = symbols_at + 16
    header = struct.pack("<8I", 0xFEEDFACF, cpu, 3 if cpu == X86_64 else 0, 1, 2, segment_size + symbols_size, 0x2000, 0)

    def section(name, segment, address, size, offset, flags):
        name, segment = name.encode(), segment.encode()
        return struct.pack("<16s16sQQ8I", name, segment, address, size, offset, 0, 0, 0, flags, 0, 0, 0)

    size = symbols_at - start
    segment = struct.pack("<II16sQQQQ4I", 0x19, segment_size, b"", 0, size, start, size, 7, 7, 2, 0)
    segment += section("__text", "__TEXT", 0, len(text), start, 0x80000400)
    segment += section("__cstring", "__TEXT", len(text), len(data), data_at, 2)
    symbols = struct.pack("<6I", 2, symbols_size, symbols_at, 1, names_at, len(names))
    entry = struct.pack("<IBBHQ", 1, 0x0F, 1, 0, 0)
    body = (header + segment + symbols).ljust(start, b"\0") + text + data + entry + names
    return body, [["__text", start, len(text)], ["__cstring", data_at, len(data)]]


def fat():
    """Two architectures in one file, by <mach-o/fat.h>, big-endian; offsets are multiples of 2 to the power of `align`."""
    align, body, sections = 8, b"", []
    header = struct.pack(">II", 0xCAFEBABE, 2)
    offset = 1 << align
    for cpu in (X86_64, ARM64):
        part, inner = macho(cpu)
        header += struct.pack(">5I", cpu, 3 if cpu == X86_64 else 0, offset, len(part), align)
        sections += [[name, offset + at, size] for name, at, size in inner]
        body = body.ljust(offset, b"\0") + part
        offset = len(body) + -len(body) % (1 << align)
    return header + body[len(header):], sections


def wasm():
    """A module that exports `twice`, by the core specification 5.5; its sections as [id, offset of the content, size]."""
    function_type = b"\x01\x60\x01\x7f\x01\x7f"  # one type, i32 to i32
    exports = b"\x01\x05twice\x00\x00"
    body = b"\x00\x20\x00\x20\x00\x6a\x0b"  # no locals, local.get 0 twice, i32.add, end
    custom = b"\x04notewritten by hand"
    content = [(1, function_type), (3, b"\x01\x00"), (7, exports), (10, b"\x01" + bytes([len(body)]) + body), (0, custom)]
    module, sections = b"\0asm\x01\0\0\0", []
    for kind, payload in content:
        sections.append([kind, len(module) + 2, len(payload)])
        module += bytes([kind, len(payload)]) + payload
    return module, sections


def make(fixtures):
    executable = ["-O1", "-o", "OUT", "SRC"]
    fixtures.add("program.elf", "binary", "elf", compiled(*executable, overlay=OVERLAY), overlay=len(OVERLAY))
    fixtures.add("stripped.elf", "binary", "elf", compiled("-s", *executable))
    fixtures.add("object.o", "binary", "elf", compiled("-O1", "-g", "-c", "SRC", "-o", "OUT"))
    shared = compiled("-O1", "-shared", "-fPIC", "-o", "OUT", "SRC", source=LIBRARY)
    fixtures.add("library.so", "binary", "elf", shared)
    fixtures.add("library.a", "binary", "ar", library)
    mingw = "x86_64-w64-mingw32-gcc"
    windows = compiled("-O1", "-Wl,--no-insert-timestamp", *executable, compiler=mingw, overlay=OVERLAY)
    fixtures.add("program.exe", "binary", "pe", windows, overlay=len(OVERLAY))
    dll = compiled("-O1", "-s", "-shared", "-Wl,--no-insert-timestamp", "-o", "OUT", "SRC", source=LIBRARY, compiler=mingw)
    fixtures.add("library.dll", "binary", "pe", dll)
    thin, thin_sections = macho(X86_64)
    both, both_sections = fat()
    module, module_sections = wasm()
    fixtures.add("thin.macho", "binary", "macho", lambda _: thin, sections=thin_sections)
    fixtures.add("fat.macho", "binary", "macho", lambda _: both, sections=both_sections)
    fixtures.add("module.wasm", "binary", "wasm", lambda _: module, sections=module_sections)
