"""ITK's own readers in a process of their own: `python -m AutofocusCore.io.native_reader request.json`.

A hostile or damaged file can make ITK's readers of rare formats, and GDCM's decoders of compressed DICOM, crash, hang
or fill the memory. That ends this process and not the one that computes.

The request: "files" (each a path), "reader" (ITK's name of the one reader that may be used), "frame" (index or null),
"out" (a folder), and the limits "seconds" (of the processor), "wait" (times as many on the clock) and "bytes". Into
the folder go `about.json` (size, spacing, origin, direction, components, kind of each file) and `voxels-<n>.npy`,
unless only "about" is wanted; or `error.txt`.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import Any


def limit(seconds: int, wait: int, nbytes: int) -> None:
    """End this process when it takes too long or too much memory, where the system can do that."""
    if hasattr(signal, "alarm"):
        signal.alarm(wait * seconds)
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        most = int(used.ru_utime + used.ru_stime) + 1 + seconds
        resource.setrlimit(resource.RLIMIT_CPU, (most, most + 2))
        resource.setrlimit(resource.RLIMIT_AS, (nbytes, nbytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def read(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Read the files of a request; returns the header of each."""
    import numpy as np
    import SimpleITK as sitk

    sitk.ProcessObject.GlobalWarningDisplayOff()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    found = []
    for index, path in enumerate(request["files"]):
        reader = sitk.ImageFileReader()
        reader.SetImageIO(request["reader"])
        reader.SetFileName(path)
        reader.ReadImageInformation()
        size = list(reader.GetSize())
        about = {
            "size": size,
            "spacing": reader.GetSpacing(),
            "origin": reader.GetOrigin(),
            "direction": reader.GetDirection(),
            "components": reader.GetNumberOfComponents(),
            "kind": sitk.GetPixelIDValueAsString(reader.GetPixelID()),
        }
        found.append(about)
        (Path(request["out"]) / "about.json").write_text(json.dumps(found))
        if request["about"]:
            continue
        if request["most"] and int(np.prod(size, dtype=np.float64)) * about["components"] > request["most"]:
            raise MemoryError
        frame = request["frame"]
        if len(size) > 4 or (len(size) == 4 and frame is None and size[3] > 1):
            continue  # the caller has to say which volume
        if len(size) == 4:
            frame = frame or 0
            if frame >= size[3]:
                continue
            reader.SetExtractIndex([0, 0, 0, frame])
            reader.SetExtractSize([*size[:3], 0])
        np.save(Path(request["out"]) / f"voxels-{index}.npy", sitk.GetArrayFromImage(reader.Execute()))
    return found


def main() -> int:
    """Serve one request; the exit status is 0 where all of it was done."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    import SimpleITK  # noqa: F401  (its loading counts for nobody's time)

    limit(request["seconds"], request["wait"], request["bytes"])
    try:
        read(request)
    except MemoryError:
        (Path(request["out"]) / "error.txt").write_text("memory")
        return 1
    except Exception as error:
        (Path(request["out"]) / "error.txt").write_text(str(error) or type(error).__name__, encoding="utf-8")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
