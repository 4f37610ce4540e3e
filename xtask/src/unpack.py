"""Takes libtorch out of its wheels: (cpu | cuda) VERSION FOLDER (WHEEL SHA256)...

For the CPU, lib/ and include/ come to lie in FOLDER. With CUDA they lie in FOLDER/torch, beside FOLDER/nvidia, as in a Python
environment: the libraries find each other that way.
"""

import hashlib
import os
import shutil
import sys
import zipfile

# Only a program that trains on a GPU loads these.
CUDA_PARTS = ("libtorch_cuda", "libc10_cuda", "libtorch_nvshmem")
# Only Python loads this.
PYTHON_PART = "libtorch_python"
CUDA_LIBRARIES = ("libcudart.so.13", "libcupti.so.13")


def check(wheel, expected):
    """Removes a wheel that is not the pinned file, so that the next fetch starts it afresh."""
    digest = hashlib.sha256()
    with open(wheel, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    if digest.hexdigest() != expected:
        os.remove(wheel)
        sys.exit(f"{wheel} was not the pinned file: its SHA-256 is {digest.hexdigest()}, not {expected}; removed")


def place(build, member):
    """Where a member of a wheel belongs, or None."""
    *folders, name = member.split("/")
    if not name or ".." in folders:
        return None
    of_torch = folders[:2] in (["torch", "lib"], ["torch", "include"]) and not name.startswith(PYTHON_PART)
    of_nvidia = folders[:1] == ["nvidia"] and folders[-1:] == ["lib"]
    if build == "cuda":
        return os.path.join(*folders, name) if of_torch or of_nvidia else None
    if of_torch and not name.startswith(CUDA_PARTS):
        return os.path.join(*folders[1:], name)
    if of_nvidia and name in CUDA_LIBRARIES:
        return os.path.join("lib", name)
    return None


def main(build, version, folder, *wheels):
    wheels = list(zip(wheels[::2], wheels[1::2]))
    for wheel, expected in wheels:
        print(f"checking {os.path.basename(wheel)}", flush=True)
        check(wheel, expected)
    for wheel, _ in wheels:
        print(f"unpacking {os.path.basename(wheel)}", flush=True)
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                target = place(build, member)
                if target is None:
                    continue
                target = os.path.join(folder, target)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with archive.open(member) as source, open(target, "wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
    libtorch = os.path.join(folder, "torch") if build == "cuda" else folder
    with open(os.path.join(libtorch, "build-version"), "w") as file:
        file.write(version + "\n")
    # The folder is renamed into place next: a power cut must not then leave it with empty files.
    os.sync()


try:
    main(*sys.argv[1:])
except (OSError, zipfile.BadZipFile) as error:
    sys.exit(str(error))
