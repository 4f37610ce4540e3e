"""Writes small wheels of the pinned names into FOLDER and prints the name and the hash of each."""

import hashlib
import os
import sys
import zipfile

WHEELS = {
    "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl": [
        "nvidia/cu13/lib/libcudart.so.13",
        "nvidia/cu13/include/cuda_runtime.h",
    ],
    "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl": [
        "nvidia/cu13/lib/libcupti.so.13",
        "nvidia/cu13/lib/libnvperf_host.so",
    ],
    "nvidia_cufile-1.15.1.6-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl": ["nvidia/cu13/lib/libcufile.so"],
    "nvidia_nvtx-13.0.85-py3-none-manylinux1_x86_64.manylinux_2_5_x86_64.whl": ["nvidia/cu13/lib/libnvtx.so"],
    "nvidia_nvjitlink-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl": ["nvidia/cu13/lib/libnvjitlink.so"],
    "nvidia_curand-10.4.0.35-py3-none-manylinux_2_27_x86_64.whl": ["nvidia/cu13/lib/libcurand.so"],
    "nvidia_nvshmem_cu13-3.4.5-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl": ["nvidia/cu13/lib/libnvshmem.so"],
    "nvidia_cuda_nvrtc-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl": ["nvidia/cu13/lib/libnvrtc.so"],
    "nvidia_cusparse-12.6.3.3-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl": ["nvidia/cu13/lib/libcusparse.so"],
    "nvidia_cusparselt_cu13-0.8.0-py3-none-manylinux2014_x86_64.whl": ["nvidia/cu13/lib/libcusparselt.so"],
    "nvidia_nccl_cu13-2.28.9-py3-none-manylinux_2_18_x86_64.whl": ["nvidia/cu13/lib/libnccl.so"],
    "nvidia_cusolver-12.0.4.66-py3-none-manylinux_2_27_x86_64.whl": ["nvidia/cu13/lib/libcusolver.so"],
    "nvidia_cufft-12.0.0.61-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl": ["nvidia/cu13/lib/libcufft.so"],
    "nvidia_cudnn_cu13-9.19.0.56-py3-none-manylinux_2_27_x86_64.whl": ["nvidia/cudnn/lib/libcudnn.so.9", "nvidia/cudnn/include/cudnn.h"],
    "nvidia_cublas-13.1.0.3-py3-none-manylinux_2_27_x86_64.whl": ["nvidia/cu13/lib/libcublas.so.13"],
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
        print(name, hashlib.sha256(file.read()).hexdigest())
