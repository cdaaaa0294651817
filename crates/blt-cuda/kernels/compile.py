#!/usr/bin/env python3
"""Compiles the CUDA C++ of this folder to the PTX that the crate carries.

    pip install --target /tmp/nvidia nvidia-cuda-nvrtc-cu12==12.4.127
    python3 compile.py /tmp/nvidia          # writes ../ptx/*.ptx
    python3 compile.py /tmp/nvidia --check PTXAS   # and assembles them, to see registers and spills

NVRTC 12.4 makes PTX 8.4, which drivers from 550 on accept. No CUDA toolkit is needed, here or where the program runs.
"""
import ctypes
import hashlib
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
# name: (architecture, element type, sources)
MODULES = {
    "float32": ("compute_70", "F32", ["common.cuh", "elementwise.cu", "float32.cu"]),
    "ampere_bf16": ("compute_80", "BF16", ["common.cuh", "elementwise.cu", "fused.cuh", "ampere.cu"]),
    "ampere_f16": ("compute_80", "F16", ["common.cuh", "elementwise.cu", "fused.cuh", "ampere.cu"]),
    "hopper_bf16": ("sm_90a", "BF16", ["common.cuh", "fused.cuh", "hopper.cu"]),
    "hopper_f16": ("sm_90a", "F16", ["common.cuh", "fused.cuh", "hopper.cu"]),
}


def compile_ptx(nvrtc, source, architecture, element):
    program = ctypes.c_void_p()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None) == 0
    options = [f"--gpu-architecture={architecture}", f"--define-macro=ELEMENT_{element}", "--std=c++17", "--device-int128"]
    options = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
    failed = nvrtc.nvrtcCompileProgram(program, len(options), options)
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    if failed:
        sys.exit(log.value.decode())
    nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size))
    ptx = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetPTX(program, ptx)
    return ptx.value.decode()


def main():
    folder = pathlib.Path(sys.argv[1])
    nvrtc = ctypes.CDLL(str(next(folder.rglob("libnvrtc.so.12"))))
    (HERE.parent / "ptx").mkdir(exist_ok=True)
    for name, (architecture, element, sources) in MODULES.items():
        source = "\n".join((HERE / file).read_text() for file in sources)
        digest = hashlib.sha256(source.encode()).hexdigest()
        lines = compile_ptx(nvrtc, source, architecture, element).splitlines()
        # Comments only name files and lines of the compiler's input.
        ptx = [line for line in lines if line.strip() and not line.lstrip().startswith("//")]
        path = HERE.parent / "ptx" / f"{name}.ptx"
        path.write_text(f"// sha256 of the sources: {digest}\n" + "\n".join(ptx) + "\n")
        if sys.argv[2:3] == ["--check"]:
            target = architecture.replace("compute_", "sm_").replace("sm_70", "sm_75")
            subprocess.run([sys.argv[3], "-v", f"-arch={target}", path, "-o", "/dev/null"], check=True)


if __name__ == "__main__":
    main()
