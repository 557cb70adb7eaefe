# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Meanings of messages of the driver, CUDA, NCCL, torch and vLLM. Pure data.

NCCL's part follows its user guide ("Troubleshooting": GPU Direct, shared memory, networking), CUDA's the list of its
errors (cudaError_t, CUresult).
"""

from __future__ import annotations

from ansible_collections.llmfleet.serving.plugins.module_utils.doctor.cause import RECREATE, RESET, TOOLKIT, Cause
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import errors

_CUDA_LIBRARIES = (
    r"lib(cudart|cublas(lt)?|cudnn\w*|cusparse(lt)?|cusolver|cufft|curand|cufile|cupti|nvrtc|nvjitlink|nvtoolsext"
    r"|nccl|nvshmem\w*|c10_cuda|torch\w*)(-[0-9a-f]{8})?\.so[.\d]*: cannot open"
)
_SHARED = "/dev/shm"  # noqa: S108 - nothing is put there # nosec B108
_THIS_HOST = "in the env of the models on this host"

SHM = Cause(
    rf"{_SHARED}.*(no space left|failed|error)|(error|failed) .*{_SHARED}|insufficient shared memory"
    r"|shared memory segment|posix_fallocate failed|</torch_\S+>.*no space left",
    "NCCL's shared memory does not work",
    f"enlarge /dev/shm (--shm-size, or --ipc host for a container); until then set NCCL_SHM_DISABLE to 1 {_THIS_HOST}",
)
NETWORK = Cause(
    r"no socket interface found|nccl.*(connection refused|no route to host|connection timed out)"
    r"|(call to connect|connect to|socket(start|poll)connect).*(refused|no route|timed out|connection abort)",
    "the ranks do not find each other: a firewall blocks lo, or NCCL_SOCKET_IFNAME names another interface",
    "allow traffic of the host to itself over lo, and remove NCCL_SOCKET_IFNAME from the env of its models",
)


def _known(words: str, sentence: str) -> Cause:
    """Return what is known of nvidia-smi's words, whose sentences have the remedy after the first colon."""
    cause, _colon, remedy = sentence.partition(": ")
    return Cause(words, cause, remedy.rstrip("."))


DRIVER = (
    Cause(
        f"{errors.MISMATCH}|api mismatch|rm version mismatch",
        "the driver was updated while the kernel module of before is loaded, or a container has its own library",
        "reboot; in a container take other versions of libcuda and libnvidia-ml out of LD_LIBRARY_PATH",
    ),
    Cause(
        r"module nvidia\S* not found in directory|dkms.*(error|failed)|bad return status for module build",
        "there is no kernel module of the driver for the running kernel",
        "read dkms status, install the headers of the running kernel, or reboot into the newest kernel",
    ),
    Cause(
        "required key not available|key was rejected by service",
        "Secure Boot is on, and the driver's kernel module is signed with a key that is not enrolled",
        "enroll the key (mokutil --import), or take modules of the distribution (nvidia_driver_source: distribution)",
    ),
    Cause(
        "gpu access blocked by the operating system",
        "the operating system keeps the GPU from this program, as Windows does under WSL",
        "update Windows' NVIDIA driver and WSL (wsl --update), and restart it; on Linux read dmesg",
    ),
    Cause(
        "gpu is lost|fallen off the bus|gpu requires reset|unable to determine the device handle",
        "a GPU does not answer the driver any more",
        RESET,
    ),
    _known("(initialize nvml|nvml error|nvml): unknown error|can'?t initialize nvml", errors.NVML_SENTENCE),
    _known("driver not loaded|" + errors.NOT_LOADED, errors.NOT_LOADED_SENTENCE),
    _known(r"libnvidia-ml\.so(\.1)?(?![.\d])|nvml shared library not found", errors.LIBRARY_SENTENCE),
    _known(
        r"insufficient permissions|/dev/nv\S*.*permission denied|permission denied:? .*/dev/nv|nvrmmem\w* failed",
        errors.PERMISSION_SENTENCE,
    ),
    _known(errors.NO_DEVICES, errors.NO_DEVICES_SENTENCE),
)
CUDA = (
    Cause(
        r"error 304|os call failed or operation not supported|/dev/nvidia\S*.*operation not permitted"
        "|operating_system|cudaerroroperatingsystem",
        "the program may not open the driver's device files: its container was not given them, has lost them, or its "
        "cgroup forbids them",
        f"{RECREATE}; in a container guest see the devices that its host allows, /dev/nvidia-uvm too",
    ),
    Cause(
        "driver on your system is too old|driver version is insufficient|unsupported toolchain"
        "|not supported in the installed cuda driver",
        "the engine's CUDA is newer than the driver can run",
        "install a newer driver branch (nvidia_driver), or an engine that was built for an older CUDA",
    ),
    Cause(
        "unsupported display driver",
        "the driver's library does not fit the loaded kernel module",
        "reboot; in a container see that no other libcuda is in the image's path",
    ),
    Cause(
        "forward compatibility was attempted",
        "the image's CUDA compatibility libraries do not run on this kind of card, or the "
        "driver was updated without a reboot",
        "reboot; else take the compatibility libraries out of LD_LIBRARY_PATH",
    ),
    Cause(
        "system not yet initialized|cudaerrorsystemnotready|error 802",
        "the NVSwitches are not set up",
        "install nvidia-fabricmanager in exactly the driver's version, restart it, and read its log",
    ),
    Cause(
        r"no kernel image is available|not compatible with the current pytorch|kernel image is invalid"
        r"|not defined for option 'gpu-name'|unsupported gpu architecture|sm_?\d+\w? is not (supported|compatible)",
        "this engine was not built for this kind of card",
        "use an engine that was built for its compute capability, or another card",
    ),
    Cause(
        r"bfloat16 is only supported on|compute capability (of )?(at least|\d)"
        r"|(requires|needs) .*(sm_?\d\d|compute capability)",
        "this card is too old for a data type or kernel that the engine is to use",
        "give the model another dtype, quantization or attention backend, or another card",
    ),
    Cause(
        "uncorrectable ecc",
        "memory of the card lost data",
        "reset the GPU or reboot; if it comes back, have the card replaced",
    ),
    Cause(
        "nvlink error|nvlinkuncorrectable|nvlink_uncorrectable",
        "a link between GPUs, or to an NVSwitch, lost data",
        f"see nvidia-smi nvlink -e and the fabric manager's log; {RESET}",
    ),
    Cause(
        r"mps (client|server|daemon|control)|cudaerrormps|error 80[5-9]\b",
        "CUDA is to go through MPS, whose control daemon does not run or refuses this program",
        "start nvidia-cuda-mps-control, or remove CUDA_MPS_PIPE_DIRECTORY from the env of the models on this host",
    ),
    Cause(
        "busy or unavailable",
        "another program uses the GPU exclusively, or the GPU is in MIG mode without a device",
        "nvidia-smi -q -d COMPUTE must say Default; create MIG devices, or turn MIG off",
    ),
    Cause(
        "invalid device ordinal|duplicate gpu detected",
        "the engine's ranks do not each see a GPU of their own: fewer are visible than there are ranks",
        "see its --device flags and CUDA_VISIBLE_DEVICES, then run site.yml",
    ),
    Cause(
        "oom-?kill|out of memory: kill|killed process",
        "the host's memory is full, and the kernel ended a program",
        "see dmesg and free -m: fewer engines on this host, less cpu-offload-gb, or more memory",
    ),
    Cause(
        r"out of memory|out_of_memory|free memory on device .* is less than|cublas_status_alloc_failed",
        "other programs hold the GPU's memory, or the engine asks for more than it has",
        "find who holds it with nvidia-smi, and stop what is not the engine; else a smaller context or fewer sequences",
    ),
    Cause(
        "no available memory for the cache blocks",
        "the weights and their overhead leave no memory for the KV cache",
        "more GPUs, a smaller model or quantization, or a plan without memory settings of your own",
    ),
    Cause(
        r"cublas_status_not_initialized|cudnn_status_(not_initialized|alloc_failed|internal_error)",
        "cuBLAS or cuDNN cannot start, and does not say why: the GPU's memory is full, or the libraries do not fit",
        "see nvidia-smi for the memory; remove LD_LIBRARY_PATH of another CUDA from the env of the models on this host",
    ),
    Cause(
        "peer access is not supported|failure 217|peer ?access ?unsupported|lacks gpu p2p|p2p is not supported",
        "these GPUs cannot reach each other's memory (P2P): the machine, its IOMMU or its hypervisor prevents it",
        f"see nvidia-smi topo -p2p r; set NCCL_P2P_DISABLE to 1 {_THIS_HOST}, which costs speed",
    ),
    Cause(
        r"nvls\.cc:.*nccl warn|failed to bind nvlink sharp|cumulticast\w* failed",
        "NCCL cannot use NVLink SHARP: the fabric manager or the NVSwitches are not set up for it, or memory is short",
        f"read the fabric manager's log; until then set NCCL_NVLS_ENABLE to 0 {_THIS_HOST}",
    ),
    Cause(
        r"ibv_\w+ .*(failed|error)|net/ib.*(failed|error|timeout)|call to ibv_",
        "NCCL fails over InfiniBand or RoCE",
        f"see ibstat and ulimit -l; within one host set NCCL_IB_DISABLE to 1 {_THIS_HOST}",
    ),
    Cause(
        "address already in use|eaddrinuse",
        "another program listens on the port that the engine wants",
        "find it with ss -ltnp, and stop it or give the model another port",
    ),
    Cause(
        r"illegal instruction \(core|sigill\b|signal 4\b",
        "this processor lacks instructions that the engine was built with",
        "use an engine that was built for this processor, or let the virtual machine see its host's (cpu: host)",
    ),
    Cause(
        "illegal memory access|misaligned address|illegal instruction|device-side assert|unspecified launch failure"
        "|hardware stack error|invalid program counter|cudaerrorlaunchfailure",
        "a computation on the GPU failed; whether engine or card is at fault, the message does not say",
        "read dmesg for an Xid of that time; if other engines fail on this GPU too, run dcgmi diag -r 3",
    ),
    Cause(
        r"(error|failure) 800\b|cuda.*operation not permitted",
        "CUDA may not do that here: memory of a GPU shared between users or containers, or a mode that needs root",
        "run the ranks of an engine as one user in one container; see the compute mode (nvidia-smi -q -d COMPUTE)",
    ),
    Cause(
        "launch timed out",
        "a display's watchdog ended a computation",
        "run no display on the GPUs of engines",
    ),
    Cause(
        "re-initialize cuda in forked",
        "the engine forks after CUDA was started",
        "set VLLM_WORKER_MULTIPROC_METHOD to spawn in the env of the models on this host",
    ),
    Cause(
        r"error 801\b|cuda.*operation not supported",
        "the card, its driver or its virtual machine (vGPU, WSL, MIG) does not offer what CUDA was asked for",
        "see the engine's log for the call; in a virtual machine pass the whole card through",
    ),
    Cause(
        _CUDA_LIBRARIES,
        "the engine's environment is not complete: a library of CUDA or torch is missing",
        "run site.yml, which builds it anew from its lock; remove LD_LIBRARY_PATH from the env of its models",
    ),
    Cause(
        r"undefined symbol|symbol lookup error|version `(glibc|cxxabi)",
        "libraries of different releases are mixed, or are newer than this system",
        "run site.yml, which builds the environment anew from its lock; remove LD_LIBRARY_PATH from the env of the "
        "models on this host",
    ),
    Cause(
        r"libcuda\.so",
        "the driver's library is not there",
        "install the driver's compute libraries; in a container: " + TOOLKIT,
    ),
    Cause(
        "not compiled with cuda|no cuda runtime is found|no hip gpus|compiled without cuda",
        "this torch was built without CUDA",
        "have an engine for llm_device cuda on this host",
    ),
    Cause(
        "failed to infer device type|no platform detected|older driver or on cpu machine",
        "vLLM finds no device: there is no driver, the container got no GPU, or it was built without CUDA",
        "run nvidia-smi on the host, then in the container; " + TOOLKIT,
    ),
    Cause(
        "no nvidia driver",
        "the engine sees no driver",
        "a container got no GPU: " + TOOLKIT + "; else install the driver",
    ),
    Cause(
        "no cuda-capable device|no cuda gpus are available",
        "the engine sees no GPU",
        "its user must be able to open /dev/nvidia*; a container that lost its devices must be recreated",
    ),
    Cause(
        r"failed to find c compiler|cc1plus|python\.h: no such file|(nvcc\S*|cuda_home\S*) .*(not found|doesn't exist)"
        r"|could not find nvcc|ninja(\S* is required|: (command )?not found)|(gcc|cc|g\+\+): (command )?not found",
        "the engine builds kernels when it starts, and a tool for that is missing: C compiler, headers, ninja or nvcc",
        "install what the message names into the engine's image or on the host",
    ),
    Cause(
        "cannot allocate memory",
        "the host's memory, or a limit of it, is used up",
        "see free -m, ulimit -a and the memory limit of the container",
    ),
    Cause(
        "no space left on device|disk quota exceeded",
        "a disk is full",
        "see df -h and df -i, and make room",
    ),
    Cause(
        "no module named",
        "the engine's environment is not complete",
        "install the engine (site.yml) first, or correct doctor_engines",
    ),
)
# Messages without a cause of their own.
OTHERWISE = (
    Cause(
        "remote process exited|watchdog caught|collective operation timeout|connection (closed|reset) by .*peer",
        "another rank of the engine ended or hangs; its own message tells why",
        "read the log of the other ranks above, and dmesg for an Xid",
    ),
    Cause(
        "unhandled (cuda|system) error|nccl (internal )?error|ncclunhandled|ncclinternal|ncclsystemerror",
        "NCCL failed, and this message does not say why",
        "read its line with NCCL WARN; if there is none, set NCCL_DEBUG to INFO " + _THIS_HOST,
    ),
    Cause(
        "unknown error|initialization error",
        "CUDA cannot start and does not say why: the module nvidia_uvm or its device file is missing, a container lost "
        "its devices, or the GPU needs a reset",
        "run modprobe nvidia_uvm, see /dev/nvidia-uvm, and read dmesg; a container that lost its devices must be "
        "recreated",
    ),
)
