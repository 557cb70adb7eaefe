# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What texts of public reports mean: each row with words of the cause and of the remedy. Names in them are made up."""

from __future__ import annotations

import re

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor import causes as doctor_causes
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor.cause import Cause

NONE = Cause("", "not known", "")
HOOK = (
    "failed to create shim task: OCI runtime create failed: unable to start container process: error "
    "during container init: error running prestart hook #0: exit status 1, stdout: , stderr: Auto-detected mode as "
    "'legacy'\nnvidia-container-cli: "
)
CRUN = "Error: crun: cannot stat `/usr/lib64/{}`: No such file or directory: OCI runtime attempted to invoke a command"
COUNT = "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before? Error "
NCCL_INFO = "gpu1:27907:27907 [1] NCCL INFO NVLS multicast support is available on dev 3\n"
NO_PLUGIN = (
    "gpu1:820398:820398 [0] NCCL INFO NET/Plugin : dlerror=libnccl-net.so: cannot open shared object file: No such "
    "file or directory No plugin found (libnccl-net.so), using internal implementation\n"
)

CONTAINERS = [
    (HOOK + "requirement error: unsatisfied condition: cuda>=13.0, please update your driver", "newer than", "branch"),
    (
        HOOK + "requirement error: unsatisfied condition: cuda>=11.8, please update your driver",
        "newer than",
        "older CUDA",
    ),
    (HOOK + "requirement error: unsatisfied condition: driver>=535", "newer than the driver", "nvidia_driver_branch"),
    (HOOK + "requirement error: unsatisfied condition: brand = tesla", "a kind of card", "NVIDIA_REQUIRE_CUDA"),
    (HOOK + "initialization error: nvml error: driver/library version mismatch", "module of before", "reboot"),
    (HOOK + "initialization error: nvml error: driver not loaded: unknown", "module is not loaded", "modprobe"),
    (HOOK + "initialization error: nvml error: insufficient permissions", "may not read", "/dev/nvidia"),
    (HOOK + "initialization error: nvml error: unknown error", "lost its devices", "recreate"),
    (HOOK + "initialization error: load library failed: libnvidia-ml.so.1: cannot open", "is not found", "install"),
    (HOOK + "initialization error: driver rpc error: timed out", "in time", "persistenced"),
    (HOOK + "initialization error: WSL environment detected but no adapters were found", "make the GPUs", "nvidia-smi"),
    (HOOK + "device error: 1: unknown device: unknown", "not there", "nvidia-smi -L"),
    (HOOK + "device error: GPU-b2004b5d: unknown device", "not there", "new plan"),
    (
        HOOK + "mount error: failed to add device rules: unable to find any existing device filters attached to the "
        "cgroup: bpf_prog_query(BPF_CGROUP_DEVICE) failed: operation not permitted",
        "may not let the container use",
        "no-cgroups",
    ),
    (
        HOOK + "mount error: failed to add device rules: load program: permission denied: 0: R1=ctx(off=0,imm=0)",
        "device files",
        "cdi",
    ),
    (HOOK + "container error: cgroup subsystem devices not found", "too old for cgroup 2", "newer toolkit"),
    (HOOK + "ldcache error: open failed: /sbin/ldconfig.real: no such file or directory", "ldconfig", "config.toml"),
    (HOOK + "ldcache error: process /sbin/ldconfig failed with error code: 1", "ldconfig", "@/sbin"),
    ("docker: Error response from daemon: unknown or invalid runtime name: nvidia.", "no NVIDIA runtime", "toolkit"),
    ("docker: Error response from daemon: Unknown runtime specified nvidia.", "no NVIDIA runtime", "toolkit"),
    ('failed to create containerd task: no runtime for "nvidia" is configured', "no NVIDIA runtime", "toolkit"),
    ('could not select device driver "" with capabilities: [[gpu]].', "no NVIDIA runtime", "toolkit"),
    ('could not select device driver "cdi" with capabilities: [[gpu]].', "CDI switched off", "daemon.json"),
    ("failed to discover GPU vendor from CDI: no known GPU vendor found", "no CDI specification", "refresh"),
    ("Error: setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=all", "there is none, or", "refresh"),
    (
        "error modifying OCI spec: failed to inject CDI devices: unresolvable CDI devices runtime.nvidia.com/gpu=all",
        "older than the GPUs",
        "refresh",
    ),
    ("Error: stat nvidia.com/gpu=all: no such file or directory", "too old for CDI", "newer"),
    (CRUN.format("libEGL_nvidia.so.550.54.14"), "another version of the driver", "nvidia-ctk cdi generate"),
    (CRUN.format("libnvidia-ml.so.535.161.07"), "another version of the driver", "nvidia-ctk cdi generate"),
    (
        "failed to fulfil mount request: open /usr/bin/nvidia-cuda-mps-control: no such file or directory",
        "driver",
        "cdi",
    ),
    (
        'failed to inject devices: failed to stat CDI host device "/dev/dri/renderD129": no such file or directory',
        "does not fit",
        "refresh",
    ),
    (
        'error gathering device information while adding custom device "/dev/nvidia1": no such file or directory',
        "GPU is lost or was taken out",
        "nvidia-smi",
    ),
    ("lstat /dev/nvidia-uvm: no such file or directory", "nvidia_uvm", "modprobe"),
    ("open /dev/nvidiactl: no such device or address", "module is not loaded", "dmesg"),
    (
        'exec: "nvidia-container-runtime-hook": executable file not found in $PATH: unknown',
        "is not installed",
        "toolkit",
    ),
    ('crun: {"msg":"error executing hook `/usr/bin/nvidia-ctk` (exit code: 1)"}', "cannot make the GPUs", "nvidia-smi"),
    (
        "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
        "may not",
        "root",
    ),
    ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is it running?", "does not run", "log"),
    ("write /var/lib/docker/tmp/GetImageBlob412: no space left on device", "no room for the image", "df -h"),
    ("failed to register layer: write /opt/x/libcublasLt.so.12: no space left on device", "no room", "remove images"),
    ("Error: writing blob: storing blob to file: no space left on device", "no room for the image", "larger disk"),
    (
        "Unable to find image 'x/y:v0.1' locally\ndocker: Error response: manifest for x/y:v0.1 not found",
        "not in the registry",
        "llm_images",
    ),
    ("no matching manifest for linux/arm64/v8 in the manifest list entries", "another architecture", "llm_images"),
    ("exec /usr/bin/python3: exec format error", "another architecture", "llm_images"),
    ("toomanyrequests: You have reached your unauthenticated pull rate limit.", "for now", "mirror"),
    (
        "pull access denied for x/y, repository does not exist or may require 'docker login'",
        "credentials",
        "llm_images",
    ),
    ('Get "https://registry/v2/": x509: certificate signed by unknown authority', "not trusted", "trusted"),
    (
        'Get "https://registry/v2/": dial tcp: lookup registry on 127.0.0.53:53: no such host',
        "cannot be resolved",
        "mirror",
    ),
    ('Get "https://registry/v2/": net/http: TLS handshake timeout', "cannot be reached", "mirror"),
]
CUDA = [
    ("Failed to initialize NVML: Unknown Error", "lost its devices", "recreate"),
    ("UserWarning: Can't initialize NVML", "lost its devices", "on a host, read dmesg"),
    (
        "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.95",
        "module of before",
        "reboot",
    ),
    ("Failed to initialize NVML: GPU access blocked by the operating system", "WSL", "Windows"),
    ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", "not loaded", "modprobe"),
    ("Unable to determine the device handle for GPU0000:65:00.0: Unknown Error", "does not answer", "Xid"),
    ("modprobe: FATAL: Module nvidia not found in directory /lib/modules/6.8.0-60", "running kernel", "dkms status"),
    ("modprobe: ERROR: could not insert 'nvidia': Key was rejected by service", "Secure Boot", "mokutil"),
    ("NvRmMemInitNvmap failed with Permission denied", "may not read", "become"),
    (COUNT + "304: OS call failed or operation not supported on this OS", "device files", "recreate"),
    ("open /dev/nvidia-uvm: operation not permitted", "device files", "recreate"),
    (COUNT + "803: system has unsupported display driver / cuda driver combination", "loaded kernel module", "libcuda"),
    (COUNT + "804: forward compatibility was attempted on non supported HW", "compatibility libraries", "reboot"),
    (COUNT + "802: system not yet initialized", "NVSwitches", "fabricmanager"),
    (COUNT + "2: out of memory", "other programs hold", "nvidia-smi"),
    (COUNT + "805: MPS client failed to connect to the MPS control daemon", "MPS", "CUDA_MPS_PIPE_DIRECTORY"),
    (COUNT + "101: invalid device ordinal", "fewer are visible", "CUDA_VISIBLE_DEVICES"),
    (COUNT + "36: API call is not supported in the installed CUDA driver", "newer than the driver", "branch"),
    ("CUDA driver version is insufficient for CUDA runtime version", "newer than the driver", "branch"),
    ("the provided PTX was compiled with an unsupported toolchain.", "newer than the driver", "branch"),
    ("ptxas fatal   : Value 'sm_121a' is not defined for option 'gpu-name'", "this kind of card", "capability"),
    ("CUDA error: device kernel image is invalid", "this kind of card", "capability"),
    (
        "NVIDIA RTX 5090 with CUDA capability sm_120 is not compatible with the current PyTorch",
        "this kind of card",
        "engine",
    ),
    ("CUDA error: uncorrectable NVLink error detected during the execution", "a link between GPUs", "nvlink -e"),
    ("CUDA error: uncorrectable ECC error encountered", "lost data", "replaced"),
    ("CUDA error: an illegal memory access was encountered", "does not say", "Xid"),
    ("CUDA error: unspecified launch failure", "does not say", "dcgmi"),
    ("Illegal instruction (core dumped)", "processor", "cpu: host"),
    ("Cannot re-initialize CUDA in forked subprocess.", "forks", "spawn"),
    ("CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`", "memory is full, or", "nvidia-smi"),
    (
        "ImportError: libcudart.so.13: cannot open shared object file: No such file or directory",
        "not complete",
        "site.yml",
    ),
    ("ImportError: libcusparseLt.so.0: cannot open shared object file", "not complete", "lock"),
    ("ImportError: libnccl.so.2: cannot open shared object file", "not complete", "lock"),
    ("libtorch_cuda.so: undefined symbol: ncclCommWindowRegister", "different releases", "lock"),
    ("/lib/libm.so.6: version `GLIBC_2.38' not found (required by _C.abi3.so)", "newer than this system", "lock"),
    ("AssertionError: Torch not compiled with CUDA enabled", "without CUDA", "llm_device"),
    ("RuntimeError: Failed to infer device type", "no driver, the container got no GPU, or", "nvidia-smi"),
    ("Failed to find C compiler. Please specify via CC environment variable.", "a tool for that is missing", "image"),
    ("fatal error: Python.h: No such file or directory", "a tool for that is missing", "names"),
    ("Free memory on device (1.2/79.1 GiB) on startup is less than desired GPU memory", "other programs hold", "stop"),
    ("kernel: Out of memory: Killed process 4242 (VLLM::EngineCor)", "the host's memory", "dmesg"),
    ("CUDA unknown error - this may be due to an incorrectly set up environment", "does not say why", "nvidia-uvm"),
    (COUNT + "3: initialization error", "does not say why", "modprobe"),
    ("CUDA error: operation not supported", "vGPU", "whole card"),
]
NCCL = [
    (
        NO_PLUGIN + "gpu1:1:2 [0] NCCL WARN Cuda failure 217 'peer access is not supported between these two devices'",
        "P2P",
        "NCCL_P2P_DISABLE",
    ),
    (NO_PLUGIN + "NCCL WARN Cuda failure 'out of memory'", "other programs hold", "nvidia-smi"),
    (
        NCCL_INFO + "transport/nvls.cc:254 NCCL WARN Cuda failure 401 'the operation cannot be performed'",
        "SHARP",
        "NCCL_NVLS_ENABLE",
    ),
    ("Failed to bind NVLink SHARP (NVLS) Multicast memory of size 2097152 : CUDA error 401", "SHARP", "fabric manager"),
    (
        "NCCL WARN Error while attaching to shared memory segment /dev/shm/nccl-x (size 192814336)",
        "shared",
        "--shm-size",
    ),
    ("unable to write to file </torch_123_456>: No space left on device (28)", "shared memory", "/dev/shm"),
    ("NCCL WARN Bootstrap : no socket interface found", "do not find each other", "NCCL_SOCKET_IFNAME"),
    ("socketStartConnect: Connect to 10.0.0.2<4711> failed : Connection refused", "do not find each other", "lo"),
    ("NCCL WARN Duplicate GPU detected : rank 0 and rank 1 both on CUDA device 1b000", "of their own", "--device"),
    ("NCCL WARN Call to ibv_modify_qp failed with error Invalid argument", "InfiniBand", "NCCL_IB_DISABLE"),
    ("The server socket has failed to listen. port: 29500, useIpv6: 0, code: -98, name: EADDRINUSE", "listens", "ss"),
    ("remote process exited or there was a network error", "another rank", "other ranks"),
    (
        NCCL_INFO + "RuntimeError: NCCL error: unhandled cuda error (run with NCCL_DEBUG=INFO)",
        "does not say why",
        "WARN",
    ),
    ("NCCL error in: ProcessGroupNCCL.cpp:1970, unhandled system error", "does not say why", "NCCL_DEBUG"),
]


@pytest.mark.parametrize(("said", "cause", "remedy"), [*CONTAINERS, *CUDA, *NCCL])
def test_what_a_text_means(said: str, cause: str, remedy: str) -> None:
    found = doctor_causes.explain(said, NONE)
    assert cause in found.cause
    assert remedy in found.remedy


@pytest.mark.parametrize(
    "said",
    [
        "Engine core initialization failed. See root cause above. Failed core proc(s): {}",
        NO_PLUGIN,
        NCCL_INFO,
        "ValueError: Model architectures ['X'] are not supported for now",
        "Traceback (most recent call last):",
    ],
)
def test_what_nobody_can_know_is_not_guessed(said: str) -> None:
    assert doctor_causes.explain(said, NONE) is NONE


def test_causes_are_in_lower_case_and_complete() -> None:
    for cause in doctor_causes.CAUSES:
        words = re.sub(r"\\.", "", cause.words)
        assert words
        assert words == words.lower()
        assert cause.cause
        assert cause.remedy
