# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages of the NVIDIA driver and their repositories for each distribution.

Names are those of NVIDIA's driver installation guide (https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/),
of https://packages.ubuntu.com and https://packages.debian.org. Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Sequence

REPOSITORIES = "https://developer.download.nvidia.com/compute/cuda/repos"
ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "sbsa", "arm64": "sbsa"}
# Rebuilds of RHEL take its packages.
DISTRIBUTIONS = {
    "Debian": "debian",
    "Ubuntu": "ubuntu",
    "RedHat": "rhel",
    "Rocky": "rhel",
    "AlmaLinux": "rhel",
    "OracleLinux": "rhel",
    "CentOS": "rhel",
}
RELEASES: dict[str, tuple[tuple[int, ...], ...]] = {
    "debian": ((12,), (13,)),
    "ubuntu": ((22, 4), (24, 4), (26, 4)),
    "rhel": ((8,), (9,), (10,)),
}
# Debian has one branch in a release, the archives of RHEL and its rebuilds none.
DEBIAN_BRANCHES = {12: 535, 13: 550}
# Kernel that a release of Ubuntu began with; another one comes from its hardware enablement stack.
UBUNTU_KERNELS: dict[tuple[int, ...], str] = {(22, 4): "5.15.", (24, 4): "6.8.", (26, 4): "7.0."}
# Flavours with kernels of the hardware enablement stack, and what stands behind the flavour's number of a release:
# 6.8.0-1028-nvidia-64k.
UBUNTU_HWE = ("generic", "lowlatency", "nvidia")
UBUNTU_KERNEL = re.compile(r"[\d.]+-\d+-(.+)")
# Variants of RHEL's kernel: 5.14.0-570.el9_6.aarch64+64k, in RHEL 8 4.18.0-553.rt7.342.el8_10.x86_64.
RHEL_VARIANT = re.compile(r"(?P<release>.+\.(?:x86_64|aarch64))(?:[+.](?P<variant>[a-z0-9-]+))?")
# Debian's own kernels, which have a package that follows them, and those of Proxmox VE: 6.14.8-2-pve.
DEBIAN_KERNEL = re.compile(r".*?-((?:cloud-|rt-)?(?:amd64|arm64)(?:-16k)?)")
PROXMOX_KERNEL = re.compile(r"(\d+\.\d+)\..+-pve")
# From this branch on NVIDIA's packages for Ubuntu do without the branch in their names.
PLAIN_NAMES_FROM = 590
# SHA-256 of cuda-keyring_1.1-1_all.deb in NVIDIA's repositories, which differs although its name does not.
KEYRINGS = {
    "debian12/x86_64": "e7f219eab6fe4819cdb5c15b98233dc3420302d9c00883219cd3d896857cf48d",
    "debian12/sbsa": "bf2f53b1a19259501119f732bdef2699f8c80c69a18e6a78dad78d67d96766dc",
    "debian13/x86_64": "dd28f1f6ba0038180d6b23f846cefca1e3de4c9327751665241370bacea452a1",
    "ubuntu2204/x86_64": "d93190d50b98ad4699ff40f4f7af50f16a76dac3bb8da1eaaf366d47898ff8df",
    "ubuntu2204/sbsa": "36d1aed84dfcf93ee9a0212d149f1c4187db92e03ab96a759ec0689aa438fd9e",
    "ubuntu2404/x86_64": "d2a6b11c096396d868758b86dab1823b25e14d70333f1dfa74da5ddaf6a06dba",
    "ubuntu2404/sbsa": "6ea7d2737648936820e85677177957a0f6521b840d98eb0bbae0a4f003fa7249",
    "ubuntu2604/x86_64": "f7f474b5f6a4adf987aa587920df00e713285958ef6a913dda1945a544a3099e",
}
EPEL = "https://dl.fedoraproject.org/pub/epel/epel-release-latest-{}.noarch.rpm"


class System(NamedTuple):
    """Properties of a host that determine the names of packages."""

    name: str
    """``debian``, ``ubuntu`` or ``rhel``."""
    release: tuple[int, ...]
    """As numbers: compared as text, 10 would come before 8."""
    architecture: str
    """As NVIDIA's repositories call it: ``x86_64`` or ``sbsa``."""
    distribution: str
    """As Ansible calls it; rebuilds of RHEL differ in where EPEL comes from."""
    kernel: str
    """Release of the running kernel."""

    @property
    def slug(self) -> str:
        """Name of its directory in NVIDIA's repositories."""
        return self.name + "".join(f"{part:02d}" if place else str(part) for place, part in enumerate(self.release))

    @property
    def family(self) -> str:
        """Its package manager: ``apt`` or ``dnf``."""
        return "dnf" if self.name == "rhel" else "apt"


def system(distribution: str, version: str, architecture: str, kernel: str) -> System | None:
    """Return the properties of a host; None for a distribution, release or architecture without a driver of NVIDIA."""
    name, known = DISTRIBUTIONS.get(distribution), ARCHITECTURES.get(architecture)
    if not name or not known:
        return None
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    release = numbers if name == "ubuntu" else numbers[:1]
    return System(name, release, known, distribution, kernel) if release in RELEASES[name] else None


def branch_of(version: str) -> int:
    """Return the branch of a version of the driver, 0 for what is none."""
    found = re.match(r"(\d{3})\.\d", version)
    return int(found[1]) if found else 0


def upstream(version: str) -> str:
    """Return NVIDIA's own version out of that of a package: ``580.105.08`` of ``580.105.08-0ubuntu1``; else empty."""
    found = re.match(r"(?:\d+:)?(\d{3}\.\d+(?:\.\d+)?)(?![.\d])", version)
    return found[1] if found else ""


def repository(of: System) -> str:
    """Return the address of NVIDIA's repository."""
    return f"{REPOSITORIES}/{of.slug}/{of.architecture}/"


def repository_key(of: System) -> str:
    """Return the file with the key of NVIDIA's repository for dnf."""
    return "CDF6BA43.pub" if of.release >= (10,) else "D42D0685.pub"


def keyring_checksum(of: System) -> str:
    """Return the checksum of the package with the key of NVIDIA's repository for apt; empty where it is not known."""
    known = KEYRINGS.get(f"{of.slug}/{of.architecture}", "")
    return known and f"sha256:{known}"


def pinning(of: System, source: str, branch: int, version: str) -> str:
    """Return the package that keeps apt on a branch, or on a version; empty where there is none."""
    return f"nvidia-driver-pinning-{version or branch}" if of.family == "apt" and source != "distribution" else ""


def module_stream(of: System, source: str, branch: int, modules: str) -> str:
    """Return the stream of the module nvidia-driver; empty where there is no modularity, as from RHEL 10 on."""
    if of.name != "rhel" or of.release >= (10,) or source == "distribution":
        return ""
    return f"{branch}-open" if modules == "open" else f"{branch}-dkms"


def _ubuntu_flavour(of: System) -> str:
    """Return the part of a package's name that follows the kernels of a flavour, such as ``nvidia-64k-hwe-24.04``."""
    found = UBUNTU_KERNEL.fullmatch(of.kernel)
    flavour = found[1] if found else of.kernel.rpartition("-")[2]
    # Kernels of clouds roll on under their own name.
    rolls = flavour.removesuffix("-64k") not in UBUNTU_HWE
    if rolls or of.kernel.startswith(UBUNTU_KERNELS[of.release]):
        return flavour
    return f"{flavour}-hwe-{of.release[0]}.{of.release[1]:02d}"


def _from_ubuntu(of: System, branch: int, suffix: str, signed_only: bool) -> list[str]:
    modules = f"linux-modules-nvidia-{branch}-server{suffix}"
    # Modules that DKMS builds would be preferred to the signed ones, and under Secure Boot not be loaded.
    no_dkms = "-no-dkms" if signed_only else ""
    return [
        f"nvidia-headless{no_dkms}-{branch}-server{suffix}",
        f"nvidia-utils-{branch}-server",
        # Signed by Ubuntu: the one for this kernel, and the one that follows the kernels to come.
        f"{modules}-{of.kernel}",
        f"{modules}-{_ubuntu_flavour(of)}",
    ]


def _compute_only(of: System, branch: int, suffix: str) -> list[str]:
    if of.name == "ubuntu":
        of_branch = "" if branch >= PLAIN_NAMES_FROM else f"-{branch}"
        return [f"libnvidia-compute{of_branch}", f"nvidia-utils{of_branch}", f"nvidia-dkms{of_branch}{suffix}"]
    if of.name == "debian":
        return ["nvidia-driver-cuda", f"nvidia-kernel{suffix}-dkms"]
    return ["nvidia-driver-cuda", "kmod-nvidia-open-dkms" if suffix else "kmod-nvidia-latest-dkms"]


def packages(
    of: System, source: str, branch: int, modules: str, compute_only: bool = False, signed_only: bool = False
) -> list[str]:
    """Return the packages of the driver; the first one's version is the driver's."""
    suffix = "-open" if modules == "open" else ""
    if source == "distribution":
        if of.name == "ubuntu":
            return _from_ubuntu(of, branch, suffix, signed_only)
        kernel = "nvidia-open-kernel-dkms" if suffix else "nvidia-kernel-dkms"
        return [kernel, "libcuda1", "libnvidia-ml1", "nvidia-smi", "nvidia-persistenced"]
    if compute_only:
        return [*_compute_only(of, branch, suffix), "nvidia-persistenced"]
    return ["nvidia-open" if suffix else "cuda-drivers", "nvidia-persistenced"]


def libraries(of: System, source: str, branch: int) -> list[str]:
    """Return the packages of the user space alone, for a container guest; none where they cannot be had alone."""
    if of.name == "ubuntu":
        server = "-server" if source == "distribution" else ""
        of_branch = "" if branch >= PLAIN_NAMES_FROM and not server else f"-{branch}"
        return [f"libnvidia-compute{of_branch}{server}", f"nvidia-utils{of_branch}{server}"]
    if of.name == "debian":
        return ["libcuda1", "libnvidia-ml1", "libnvidia-ptxjitcompiler1", "nvidia-smi"]
    return []


def _rhel_headers(kernel: str) -> str:
    """Return the package with the headers of a kernel of RHEL, a rebuild of it, Oracle (UEK) or ELRepo."""
    found = RHEL_VARIANT.fullmatch(kernel)
    release, variant = (found["release"], found["variant"] or "") if found else (kernel, "")
    if ".elrepo." in release:
        # Whether it is kernel-ml or kernel-lt, its release does not say.
        return f"kernel-devel-uname-r == {kernel}"
    parts = [part for part in variant.split("-") if part]
    if "uek." in release:
        name = "uek64k" if "64k" in parts else "uek"
        parts = [name, *(part for part in parts if part != "64k")]
    elif ".rt" in release:
        parts = ["rt", *parts]
    return "-".join(["kernel", *parts, "devel", release])


def _debian_headers(kernel: str) -> list[str]:
    own, proxmox = DEBIAN_KERNEL.fullmatch(kernel), PROXMOX_KERNEL.fullmatch(kernel)
    if proxmox:
        return [f"proxmox-headers-{kernel}", f"proxmox-headers-{proxmox[1]}"]
    return [f"linux-headers-{kernel}", *([f"linux-headers-{own[1]}"] if own else [])]


def kernel_packages(of: System, signed_only: bool = False) -> list[str]:
    """Return what DKMS builds modules with: headers of the running kernel and, where a name tells, of those to come."""
    if of.name == "rhel":
        return [_rhel_headers(of.kernel), "kernel-headers"]
    if of.name == "ubuntu":
        return [] if signed_only else [f"linux-headers-{of.kernel}"]
    return _debian_headers(of.kernel)


def headers_problem(family: str, kernel: str, packages: Sequence[str], said: str) -> str:
    """Return why the headers of the running kernel cannot be installed, with the remedy.

    :param said: what the package manager said.
    """
    update = "apt full-upgrade" if family == "apt" else "dnf upgrade 'kernel*'"
    return (
        f"the headers of the running kernel {kernel} cannot be installed ({', '.join(packages)}), and without them the "
        f"driver's modules cannot be built: {' '.join(said.split()).rstrip('.')}. Mirrors keep those of the newest "
        f"kernels only: bring the host up to date ({update}) and reboot it; or add a repository with older packages "
        "(an archive or vault), or name what the host has in nvidia_driver_kernel_packages."
    )


def epel(of: System, source: str) -> str:
    """Return the package that adds EPEL, which has DKMS for the RHEL family; empty elsewhere."""
    if of.name != "rhel" or source == "distribution":
        return ""
    if of.distribution == "OracleLinux":
        return f"oracle-epel-release-el{of.release[0]}"
    return EPEL.format(of.release[0]) if of.distribution == "RedHat" else "epel-release"


def fabric_manager(of: System, source: str, branch: int) -> str:
    """Return the package of the fabric manager; empty where there is none."""
    if source != "distribution":
        # nvidia-fabricmanager-580 is virtual, so it cannot be installed in a certain version.
        return "nvidia-fabricmanager"
    return f"nvidia-fabricmanager-{branch}" if of.name == "ubuntu" else ""
