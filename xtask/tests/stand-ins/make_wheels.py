"""Writes small wheels of the pinned names into FOLDER and prints their hashes, in the order of `wheels::WHEELS`."""

import hashlib
import os
import sys
import zipfile

WHEELS = {
    "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.whl": [
        "nvidia/cu13/lib/libcudart.so.13",
        "nvidia/cu13/include/cuda_runtime.h",
    ],
    "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl": [
        "nvidia/cu13/lib/libcupti.so.13",
        "nvidia/cu13/lib/libnvperf_host.so",
    ],
    "torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl": [
        "torch/__init__.py",
        "torch/bin/protoc",
        "torch/include/torch/csrc/api/include/torch/torch.h",
        "torch/lib/",
        "torch/lib/../../escape.so",
        "torch/lib/libc10.so",
        "torch/lib/libc10_cuda.so",
        "torch/lib/libgomp.so.1",
        "torch/lib/libtorch.so",
        "torch/lib/libtorch_cpu.so",
        "torch/lib/libtorch_cuda.so",
        "torch/lib/libtorch_cuda_linalg.so",
        "torch/lib/libtorch_nvshmem.so",
        "torch/lib/libtorch_python.so",
    ],
}

for name, members in WHEELS.items():
    wheel = os.path.join(sys.argv[1], name)
    with zipfile.ZipFile(wheel, "w") as archive:
        for member in members:
            archive.writestr(member, "" if member.endswith("/") else member)
    with open(wheel, "rb") as file:
        print(hashlib.sha256(file.read()).hexdigest())
