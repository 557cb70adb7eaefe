# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Meanings of messages of Docker, Podman, CDI, the container toolkit and registries. Pure data."""

from __future__ import annotations

from ansible_collections.llmfleet.serving.plugins.module_utils.doctor.cause import REFRESH_CDI, TOOLKIT, Cause

# These are messages of runc, which numbers its limits (8 is RLIMIT_MEMLOCK), and of crun.
NO_MEMLOCK = r"setting rlimit type 8|setrlimit `rlimit_memlock`"
NO_IMAGE = r"no such image|unable to find image|image not known"
# Files that the driver brings and a CDI specification lists.
_DRIVER_FILES = r"(lib\w*nvidia|libcuda\.|libnv|nvidia-(smi|persistenced|cuda-mps|debugdump))"
_NO_FILE = r"no such file or directory"

CAUSES = (
    Cause(
        "unsatisfied condition: (cuda|driver)|update your driver to a newer version",
        "the image's CUDA is newer than the driver can run",
        "install a newer driver branch (nvidia_driver_branch), or use an image that was built for an older CUDA",
    ),
    Cause(
        "requirement error",
        "the image demands a kind of card or driver that this host does not have",
        "see NVIDIA_REQUIRE_CUDA in the image, and use another image, driver or card",
    ),
    Cause(
        r'could not select device driver "?cdi|cdi (support )?is (disabled|not enabled)',
        "this container engine has CDI switched off, or is too old for it",
        "Docker from 28.3 on has it switched on, from 25 on with features.cdi in daemon.json; " + TOOLKIT,
    ),
    Cause(
        "could not select device driver|unknown or invalid runtime name|unknown runtime specified"
        r"|no runtime for \W?nvidia|runtime \W?nvidia\W? (not found|is not)",
        "the container engine has no NVIDIA runtime configured",
        TOOLKIT,
    ),
    Cause(
        f"is not an absolute path|stat nvidia\\.com/gpu\\S*: {_NO_FILE}",
        "this container engine is too old for CDI, which Docker has from 25 and Podman from 4.1 on",
        "install a newer one (container_engine_source: docker), or set nvidia_container_toolkit_mode: legacy",
    ),
    Cause(
        "no known gpu vendor|no cdi spec|no cdi devices",
        "there is no CDI specification for the GPUs",
        "restart nvidia-cdi-refresh.service (or run nvidia-ctk cdi generate); " + TOOLKIT,
    ),
    Cause(
        "unresolvable cdi device",
        "the CDI specification does not have this GPU: there is none, or it is older than the GPUs or their MIG layout",
        REFRESH_CDI,
    ),
    Cause(
        "conflict.* cdi|cdi .*conflict",
        "two CDI specifications name the same GPU",
        "remove the one that is not managed, often /etc/cdi/nvidia.yaml beside /var/run/cdi/nvidia.yaml",
    ),
    Cause(
        f"/dev/nvidia-uvm\\S*: {_NO_FILE}",
        "the module nvidia_uvm is not loaded, or its device file is missing",
        "run modprobe nvidia_uvm and nvidia-modprobe -u -c=0, see /dev/nvidia-uvm, and read dmesg",
    ),
    Cause(
        f"/dev/nvidia\\S*: ({_NO_FILE}|no such device)",
        "a device file of the driver is not there: its module is not loaded, or the GPU is lost or was taken out",
        "run nvidia-smi on the host, which creates them, and read dmesg; then " + REFRESH_CDI,
    ),
    Cause(
        "cdi device injection failed|(parse|load|validate|apply) cdi|invalid cdi|failed to stat cdi"
        "|failed to inject (cdi )?devices|setting up cdi",
        "the CDI specification does not fit the driver or the container engine that is installed",
        REFRESH_CDI,
    ),
    Cause(
        f"{_DRIVER_FILES}\\S*: {_NO_FILE}",
        "the container is to get files of the driver that are not there any more: the CDI specification is of another "
        "version of the driver",
        REFRESH_CDI,
    ),
    Cause(
        "failed to add device rules|bpf_prog_query|cgroup subsystem devices|device filters attached",
        "the container toolkit may not let the container use the GPUs' device files, as in a container guest or "
        "without root, or it is too old for cgroup 2",
        "use CDI (nvidia_container_toolkit_mode: cdi), a newer toolkit, or no-cgroups = true in "
        "/etc/nvidia-container-runtime/config.toml",
    ),
    Cause(
        "ldcache error|ldconfig.*(failed|no such file)|open failed: /sbin/ldconfig",
        "the container toolkit cannot run ldconfig: its path there is that of another distribution",
        "set ldconfig in /etc/nvidia-container-runtime/config.toml to what exists (@/sbin/ldconfig, on Ubuntu "
        "@/sbin/ldconfig.real)",
    ),
    Cause(
        r"nvidia-(container-\S+|ctk|cdi-hook)\W*(executable file not found|no such file|not found)",
        "the container toolkit is not installed where the container engine looks for it",
        TOOLKIT,
    ),
    Cause(
        "device error: .*unknown device|unknown device id",
        "the container is to get a GPU or MIG device that is not there (any more)",
        "compare with nvidia-smi -L, then make a new plan (playbooks/plan.yml, then site.yml)",
    ),
    Cause(
        "driver rpc error",
        "the driver did not answer in time, as without persistence mode it initializes every card",
        "enable and start nvidia-persistenced, run nvidia-smi on the host, and read dmesg",
    ),
    Cause(
        r"permission denied while trying to connect to the docker|docker\.sock.*permission denied",
        "this user may not use the container engine",
        "run it as root (become: true)",
    ),
    Cause(
        "(cannot|unable to) connect to (the docker daemon|podman)|is the docker daemon running",
        "the container engine does not run",
        "start docker, and read its log",
    ),
    Cause(
        r"manifest unknown|manifest for \S+ not found|manifest\S*: not found",
        "the image is not in the registry",
        "correct tag and digest in llm_images, or mirror the image",
    ),
    Cause(
        "no matching manifest for|exec format error|no image found in .* for architecture|image's platform",
        "the image is of another architecture than this machine",
        "use an image that was built for it (llm_images)",
    ),
    Cause(
        "toomanyrequests|pull rate limit|429 too many requests",
        "the registry refuses more downloads from this address for now",
        "log in to it, or use a mirror",
    ),
    Cause(
        "pull access denied|requested access to the resource is denied|unauthorized: |authentication required"
        r"|no basic auth credentials|\b(401|403)\b.*(registry|manifest|blob|/v2/)",
        "the registry refuses these credentials, or the image does not exist there",
        "see name and tag in llm_images and the credentials of this host for the registry",
    ),
    Cause(
        "x509: |certificate signed by unknown authority|certificate verify failed",
        "the certificate of the registry or server is not trusted, has expired, or is of another name",
        "add its authority to the host's trusted ones, and see the host's clock",
    ),
    Cause(
        "no such host|temporary failure in name resolution|could not resolve host|name or service not known",
        "a name cannot be resolved",
        "see the host's resolver, and name and proxy of the registry or mirror",
    ),
    Cause(
        "pinging container registry|tls handshake timeout|dial tcp |context deadline exceeded|proxyconnect"
        "|request canceled while waiting for connection",
        "the registry cannot be reached: network, firewall or proxy",
        "try it on the host with curl, and set a mirror or the container engine's proxy",
    ),
    Cause(
        NO_IMAGE,
        "the engine's image is not on this host yet",
        "run site.yml, which pulls it; if it cannot, look at registry, mirror and credentials",
    ),
    Cause(
        NO_MEMLOCK,
        "this machine does not let the engine lift the limit of locked memory, as container guests do not",
        "set service_container_memlock: false for this host",
    ),
    Cause(
        r"(docker|containerd|containers|getimageblob|overlay|blob|layer|image)\S*.*(no space left|disk quota exceeded)",
        "the disk has no room for the image or the container",
        "see df -h and docker system df, remove images that nothing uses, or put the container engine's data on a "
        "larger disk",
    ),
)
# What the toolkit says without a reason that is known.
OTHERWISE = (
    Cause(
        "nvidia-(container-(cli|runtime)|ctk|cdi-hook)",
        "the container toolkit cannot make the GPUs available",
        "run nvidia-smi on the host first; then " + TOOLKIT,
    ),
)
