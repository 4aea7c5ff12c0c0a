"""Builds the native kernel beside its sources: one C file for each instruction set, with that set's flags.

    python setup.py build_ext --inplace          # what `make kernel` runs

Everything else about the package stands in pyproject.toml. The kernel is optional: without a compiler the package
installs without it, says so, and computes in PyTorch. It links neither Python nor PyTorch, so one wheel serves all
versions of Python. The extension for 3D Slicer builds the same files by AutofocusCore/kernels/native/CMakeLists.txt.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

NATIVE = "AutofocusCore/kernels/native"
MODULE = "AutofocusCore.kernels._native"
SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")

AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"]
X86_FLAGS = {  # of GCC and Clang; MSVC's are below, and other processors need none
    "kernel_avx2": ["-mavx2", "-mfma"],
    "kernel_avx512": AVX512,
    "kernel_avx512bf16": [*AVX512, "-mavx512bf16"],
}
MSVC_FLAGS = {"kernel_avx2": ["/arch:AVX2"], "kernel_avx512": ["/arch:AVX512"], "kernel_avx512bf16": ["/arch:AVX512"]}

UNALIGNED = "-Wa,-muse-unaligned-vector-move"
"""Of GCC for Windows, which keeps vectors on the stack as if that were aligned to 32 bytes there (its bug 54412)."""


def flags(source: str, compiler: str) -> list[str]:
    """The compiler's options for one source file."""
    name = Path(source).stem
    if compiler == "msvc":
        return ["/O2", "/std:c11", *(MSVC_FLAGS.get(name, []) if platform.machine() == "AMD64" else [])]
    common = ["-O3", "-g0", "-std=c11", "-fPIC", "-fvisibility=hidden"]
    if compiler == "mingw32" and "clang" not in os.environ.get("CC", "gcc"):
        common.append(UNALIGNED)
    if sys.platform == "darwin":  # the compiler may build for two processors at once
        return common + [part for flag in X86_FLAGS.get(name, []) for part in ("-Xarch_x86_64", flag)]
    return common + (X86_FLAGS.get(name, []) if platform.machine() in ("x86_64", "AMD64", "i686") else [])


class BuildKernel(build_ext):
    """Compiles each file with its own flags and links a plain shared library."""

    def get_ext_filename(self, fullname: str) -> str:
        """Where the library lies, without Python's version in its name."""
        return fullname.replace(".", "/") + SUFFIX

    def get_export_symbols(self, ext: Extension) -> list[str]:
        """None: the sources name what they export, and there is no PyInit function."""
        return []

    def build_extension(self, ext: Extension) -> None:
        """Compile and link; a failure leaves the package without a kernel."""
        try:
            objects = []
            for source in ext.sources:
                objects += self.compiler.compile(
                    [source], output_dir=self.build_temp, extra_postargs=flags(source, self.compiler.compiler_type)
                )
            target = Path(self.get_ext_fullpath(ext.name))
            target.parent.mkdir(parents=True, exist_ok=True)
            aside = target.with_name(f"new{target.name}")
            # Without a list of exports, MSVC's import library would lie beside the sources and get into the wheel.
            self.compiler.link_shared_object(objects, str(aside), export_symbols=[], target_lang="c")
            aside.replace(target)
        except Exception as error:
            self.warn(
                f"The native kernel was not built ({error}); the package computes in PyTorch, only slower. For the"
                " kernel, install a C compiler (GCC, Clang or MSVC), then install the package again or run make kernel."
            )
        else:
            self.announce(f"Built the native kernel {target.name}.", level=2)


class PlatformWheel(bdist_wheel):
    """A wheel for this platform and every version of Python."""

    def get_tag(self) -> tuple[str, str, str]:
        """The kernel asks nothing of Python."""
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[Extension(MODULE, sorted(str(path) for path in Path(NATIVE).glob("*.c")), optional=True)],
    cmdclass={"build_ext": BuildKernel, "bdist_wheel": PlatformWheel},
)
