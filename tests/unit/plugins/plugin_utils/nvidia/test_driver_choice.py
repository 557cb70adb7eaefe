# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The driver's choice: distribution by architecture by card by source, each row with where it is documented."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import driver_packages
from ansible_collections.llmfleet.serving.plugins.plugin_utils.nvidia import driver_choice

GUIDE = "NVIDIA Driver Installation Guide, https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/"
COMPUTE = GUIDE + "compute-only-and-desktop-installation.html"
LOCKING = GUIDE + "version-locking.html"
UBUNTU = "https://packages.ubuntu.com: nvidia-graphics-drivers-580-server, linux-restricted-modules"
DEBIAN = "https://packages.debian.org: nvidia-graphics-drivers"
DRIVERS = "https://docs.nvidia.com/datacenter/tesla/drivers/: branches and what they support"
FABRIC = "https://docs.nvidia.com/datacenter/tesla/fabric-manager-user-guide/"

CARDS = {
    "K80": ("102d", "before Maxwell"),
    "M60": ("13f2", "Maxwell"),
    "P40": ("1b38", "Pascal"),
    "V100": ("1db5", "Volta"),
    "T4": ("1eb8", "Turing"),
    "A100": ("20b0", "Ampere"),
    "L40S": ("26b9", "Ada Lovelace"),
    "H100": ("2330", "Hopper"),
    "GH200": ("2342", "Grace Hopper"),
    "B200": ("2901", "Blackwell"),
    "GB10": ("2e12", "Blackwell (GB10)"),
    "B300": ("3182", "Blackwell Ultra"),
    "new": ("3333", "newer than Blackwell"),
    "odd": ("1500", None),
}
KERNELS = {
    ("Debian", "12"): "6.1.0-38-amd64",
    ("Debian", "13"): "6.12.43+deb13-cloud-amd64",
    ("Ubuntu", "22.04"): "5.15.0-152-generic",
    ("Ubuntu", "24.04"): "6.14.0-29-generic",
    ("Ubuntu", "26.04"): "7.0.0-10-generic",
    ("Rocky", "8.10"): "4.18.0-553.el8_10.x86_64",
    ("RedHat", "9.6"): "5.14.0-570.el9_6.x86_64",
    ("OracleLinux", "9.6"): "5.14.0-570.el9_6.x86_64",
    ("AlmaLinux", "10.0"): "6.12.0-55.el10_0.x86_64",
}
WANTED: dict[str, Any] = {
    "manage": True,
    "source": "nvidia",
    "branch": 580,
    "version": "",
    "modules": "auto",
    "compute_only": False,
    "packages": [],
    "kernel_packages": [],
    "repository_url": "",
    "repository_key": "",
    "hold": True,
    "secure_boot_enrolled": False,
    "user_space_only": "auto",
    "fabric_manager": "auto",
    "persistence": True,
}


def card(name: str, number: int = 0) -> dict[str, Any]:
    device_id, architecture = CARDS[name]
    return {
        "pci_bus_id": f"0000:{0x53 + number:02x}:00.0",
        "device_id": device_id,
        "architecture": architecture,
        "nvlink_switched": name in ("B200", "B300"),
    }


def machine(host: str = "Debian 12", cards: str = "H100", architecture: str = "x86_64", **more: Any) -> dict[str, Any]:
    distribution, _, version = host.partition(" ")
    return {
        "host": "gpu1",
        "distribution": distribution,
        "distribution_version": version,
        "architecture": architecture,
        "kernel": KERNELS.get((distribution, version), "6.1.0"),
        "virtualization_type": "NA",
        "virtualization_role": "NA",
        "cards": [card(name, number) for number, name in enumerate(cards.split())],
        "nvswitches": [],
        "secure_boot": False,
        "loaded_version": None,
        **more,
    }


def choose(*args: Any, wanted: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return driver_choice.choose(machine(*args, **more), {**WANTED, **(wanted or {})})


def chosen(*args: Any, **more: Any) -> dict[str, Any]:
    found = choose(*args, **more)
    assert found["problems"] == []
    return found


def refused(*args: Any, **more: Any) -> str:
    problems = choose(*args, **more)["problems"]
    assert len(problems) == 1, problems
    text = str(problems[0].sentence())
    assert text.startswith("gpu1: ")
    return text


HOSTS = [
    ("Debian 12", "debian12", "nvidia-driver-pinning-580", "", ["linux-headers-6.1.0-38-amd64", "linux-headers-amd64"]),
    (
        "Debian 13",
        "debian13",
        "nvidia-driver-pinning-580",
        "",
        ["linux-headers-6.12.43+deb13-cloud-amd64", "linux-headers-cloud-amd64"],
    ),
    ("Ubuntu 22.04", "ubuntu2204", "nvidia-driver-pinning-580", "", ["linux-headers-5.15.0-152-generic"]),
    ("Ubuntu 24.04", "ubuntu2404", "nvidia-driver-pinning-580", "", ["linux-headers-6.14.0-29-generic"]),
    ("Ubuntu 26.04", "ubuntu2604", "nvidia-driver-pinning-580", "", ["linux-headers-7.0.0-10-generic"]),
    ("Rocky 8.10", "rhel8", "", "580", ["kernel-devel-4.18.0-553.el8_10.x86_64", "kernel-headers"]),
    ("RedHat 9.6", "rhel9", "", "580", ["kernel-devel-5.14.0-570.el9_6.x86_64", "kernel-headers"]),
    ("OracleLinux 9.6", "rhel9", "", "580", ["kernel-devel-5.14.0-570.el9_6.x86_64", "kernel-headers"]),
    ("AlmaLinux 10.0", "rhel10", "", "", ["kernel-devel-6.12.0-55.el10_0.x86_64", "kernel-headers"]),
]
OPEN_CARDS = ("T4", "A100", "L40S", "H100", "GH200", "B200", "GB10", "B300")
OLD_CARDS = ("M60", "P40", "V100")


@pytest.mark.parametrize(("host", "distro", "pinning", "stream", "headers"), HOSTS, ids=[row[0] for row in HOSTS])
@pytest.mark.parametrize(("architecture", "slug"), [("x86_64", "x86_64"), ("aarch64", "sbsa")])
@pytest.mark.parametrize("name", [*OPEN_CARDS, *OLD_CARDS])
def test_every_distribution_architecture_and_card(
    host: str, distro: str, pinning: str, stream: str, headers: list[str], architecture: str, slug: str, name: str
) -> None:
    """Sources: GUIDE for repositories, packages and streams; LOCKING for pins; DRIVERS for branches and generations."""
    old = name in OLD_CARDS
    found = chosen(host, name, architecture)
    assert found["needed"]
    assert found["repository"] == f"https://developer.download.nvidia.com/compute/cuda/repos/{distro}/{slug}/"
    assert found["branch"] == 580
    assert found["modules"] == ("proprietary" if old else "open")
    assert found["packages"] == ["cuda-drivers" if old else "nvidia-open", "nvidia-persistenced"]
    assert found["pinning_package"] == pinning
    assert found["module_stream"] == (f"580-{'dkms' if old else 'open'}" if stream else "")
    assert found["family"] == ("dnf" if distro.startswith("rhel") else "apt")
    if architecture == "x86_64":
        assert found["kernel_packages"] == headers
    assert not found["user_space_only"]
    assert found["persistence"]
    assert found["persistence_drop_in"] is host.startswith("Ubuntu")


def test_debian_headers_on_arm() -> None:
    found = chosen("Debian 12", "GH200", "aarch64", kernel="6.1.0-38-arm64")
    assert found["kernel_packages"] == ["linux-headers-6.1.0-38-arm64", "linux-headers-arm64"]


@pytest.mark.parametrize(
    ("host", "card_name", "more", "packages", "source"),
    [
        ("Debian 12", "H100", {}, ["nvidia-driver-cuda", "nvidia-kernel-open-dkms"], COMPUTE),
        ("Debian 13", "V100", {}, ["nvidia-driver-cuda", "nvidia-kernel-dkms"], COMPUTE),
        (
            "Ubuntu 24.04",
            "H100",
            {},
            ["libnvidia-compute-580", "nvidia-utils-580", "nvidia-dkms-580-open"],
            COMPUTE,
        ),
        ("Ubuntu 22.04", "V100", {}, ["libnvidia-compute-580", "nvidia-utils-580", "nvidia-dkms-580"], COMPUTE),
        (
            "Ubuntu 26.04",
            "H100",
            {"branch": 595},
            ["libnvidia-compute", "nvidia-utils", "nvidia-dkms-open"],
            GUIDE + "recent-updates.html: from 590 on without the branch",
        ),
        ("Rocky 8.10", "H100", {}, ["nvidia-driver-cuda", "kmod-nvidia-open-dkms"], COMPUTE),
        ("AlmaLinux 10.0", "P40", {}, ["nvidia-driver-cuda", "kmod-nvidia-latest-dkms"], COMPUTE),
    ],
)
def test_compute_only(host: str, card_name: str, more: dict[str, Any], packages: list[str], source: str) -> None:
    found = chosen(host, card_name, wanted={"compute_only": True, **more})
    assert found["packages"] == [*packages, "nvidia-persistenced"], source


@pytest.mark.parametrize(
    ("host", "card_name", "branch", "packages", "fabric", "source"),
    [
        (
            "Ubuntu 22.04",
            "V100",
            580,
            [
                "nvidia-headless-580-server",
                "nvidia-utils-580-server",
                "linux-modules-nvidia-580-server-5.15.0-152-generic",
                "linux-modules-nvidia-580-server-generic",
            ],
            "nvidia-fabricmanager-580",
            UBUNTU,
        ),
        (
            "Ubuntu 24.04",
            "H100",
            580,
            [
                "nvidia-headless-580-server-open",
                "nvidia-utils-580-server",
                "linux-modules-nvidia-580-server-open-6.14.0-29-generic",
                "linux-modules-nvidia-580-server-open-generic-hwe-24.04",
            ],
            "nvidia-fabricmanager-580",
            UBUNTU,
        ),
        (
            "Ubuntu 26.04",
            "L40S",
            580,
            [
                "nvidia-headless-580-server-open",
                "nvidia-utils-580-server",
                "linux-modules-nvidia-580-server-open-7.0.0-10-generic",
                "linux-modules-nvidia-580-server-open-generic",
            ],
            "nvidia-fabricmanager-580",
            UBUNTU,
        ),
        (
            "Debian 12",
            "A100",
            535,
            ["nvidia-open-kernel-dkms", "libcuda1", "libnvidia-ml1", "nvidia-smi", "nvidia-persistenced"],
            "",
            DEBIAN,
        ),
        (
            "Debian 13",
            "V100",
            550,
            ["nvidia-kernel-dkms", "libcuda1", "libnvidia-ml1", "nvidia-smi", "nvidia-persistenced"],
            "",
            DEBIAN,
        ),
    ],
)
def test_from_the_distribution(
    host: str, card_name: str, branch: int, packages: list[str], fabric: str, source: str
) -> None:
    found = chosen(host, card_name, wanted={"source": "distribution"})
    assert (found["branch"], found["packages"]) == (branch, packages), source
    assert found["pinning_package"] == ""
    switched = choose(host, card_name, wanted={"source": "distribution"}, nvswitches=["0000:05:00.0"])
    assert switched["fabric_manager"] == fabric
    assert bool(switched["problems"]) is not bool(fabric)
    assert len(found["notes"]) == (2 if host.startswith("Debian") else 0)


def test_debian_takes_the_branch_that_is_asked_for_where_it_is_its_own() -> None:
    found = chosen("Debian 12", "T4", wanted={"source": "distribution", "version": "535.261.03"})
    assert (found["branch"], found["version"], len(found["notes"])) == (535, "535.261.03", 1)
    text = refused("Debian 13", "T4", wanted={"source": "distribution", "version": "580.105.08"})
    remedy = "take nvidia_driver_source: nvidia."
    assert text == f'gpu1: nvidia_driver_version is "580.105.08": Debian 13 has only branch 550; {remedy}'


def test_the_family_of_rhel_has_no_driver_of_its_own() -> None:
    assert "take nvidia or mirror" in refused("Rocky 8.10", wanted={"source": "distribution"})


def test_a_mirror() -> None:
    told = {"source": "mirror", "repository_url": "http://mirror/nvidia/", "repository_key": "http://mirror/key.asc"}
    found = chosen("Debian 12", wanted=told)
    assert (found["repository"], found["packages"][0]) == ("http://mirror/nvidia/", "nvidia-open")
    assert found["pinning_package"] == "nvidia-driver-pinning-580"
    assert "nvidia_driver_repository_key is" in refused(wanted={**told, "repository_key": ""})
    assert "nvidia_driver_repository_url is" in refused(wanted={**told, "repository_url": ""})


@pytest.mark.parametrize(
    ("host", "architecture", "begins"),
    [
        ("Debian 13", "x86_64", "sha256:dd28f1f6"),
        ("Ubuntu 24.04", "x86_64", "sha256:d2a6b11c"),
        ("Ubuntu 24.04", "aarch64", "sha256:6ea7d273"),
        ("Debian 13", "aarch64", ""),
        ("Rocky 9.6", "x86_64", ""),
    ],
)
def test_the_package_with_the_key_is_known_by_its_checksum(host: str, architecture: str, begins: str) -> None:
    checksum = chosen(host, architecture=architecture)["keyring_checksum"]
    assert checksum.startswith(begins)
    assert bool(checksum) == bool(begins)
    assert not checksum or len(checksum) == len("sha256:") + 64


@pytest.mark.parametrize(
    ("host", "epel"),
    [
        ("RedHat 9.6", "https://dl.fedoraproject.org/pub/epel/epel-release-latest-9.noarch.rpm"),
        ("Rocky 8.10", "epel-release"),
        ("AlmaLinux 10.0", "epel-release"),
        ("OracleLinux 9.6", "oracle-epel-release-el9"),
        ("Debian 12", ""),
    ],
)
def test_where_dkms_comes_from(host: str, epel: str) -> None:
    assert chosen(host)["epel"] == epel


def test_an_exact_version() -> None:
    """LOCKING: there is a pinning package for each version too."""
    found = chosen(wanted={"version": "580.105.08", "branch": 595})
    assert (found["branch"], found["pinning_package"]) == (580, "nvidia-driver-pinning-580.105.08")
    assert "give one like 580.105.08" in refused(wanted={"version": "580"})


@pytest.mark.parametrize(
    ("cards", "wanted", "words"),
    [
        ("K80", {}, "supported only up to branch 470; take the card out"),
        ("V100", {"branch": 595}, "supported only up to branch 580; take branch 580"),
        ("V100", {"modules": "open"}, "is not supported by open modules"),
        ("B200", {"modules": "proprietary"}, "is supported only by open modules"),
        ("GH200", {"modules": "proprietary"}, "is supported only by open modules"),
        ("V100 B200", {}, "0000:53:00.0 (10de:1db5, Volta) needs proprietary modules and the card 0000:54:00.0"),
        ("H100", {"modules": "proprietary", "branch": 620}, "from 620 on only open modules exist"),
        ("B200", {"branch": 550}, "is supported from branch 570 on, and the choice is 550"),
        ("GB10", {"branch": 575}, "is supported from branch 580 on"),
        ("odd", {}, "(10de:1500, unknown) has an unknown device id; say open"),
        ("H100", {"source": "ppa"}, "give one of nvidia, distribution, mirror"),
        ("H100", {"modules": "closed"}, "give one of auto, open, proprietary"),
    ],
)
def test_what_cannot_work_is_refused(cards: str, wanted: dict[str, Any], words: str) -> None:
    """DRIVERS and the README of the open kernel modules say which card goes with which branch and modules."""
    assert words in refused("Debian 12", cards, wanted=wanted)


@pytest.mark.parametrize(
    ("cards", "wanted", "modules"),
    [
        ("V100 H100", {}, "proprietary"),
        ("T4 B200", {}, "open"),
        ("H100", {"modules": "proprietary"}, "proprietary"),
        ("odd", {"modules": "proprietary"}, "proprietary"),
        ("new", {}, "open"),
    ],
)
def test_modules_of_mixed_and_odd_cards(cards: str, wanted: dict[str, Any], modules: str) -> None:
    found = chosen("Debian 12", cards, wanted=wanted)
    assert found["modules"] == modules
    assert bool(found["notes"]) is (cards == "new")


def test_an_ended_branch_is_told_of() -> None:
    assert "Branch 570 of the driver has ended" in chosen("Debian 12", "H100", wanted={"branch": 570})["notes"][0]


@pytest.mark.parametrize(
    ("cards", "switches", "wanted", "package", "needs"),
    [
        ("H100 H100", ["0000:05:00.0"], {}, "nvidia-fabricmanager", []),
        ("A100", ["0000:05:00.0"], {}, "nvidia-fabricmanager", []),
        ("H100 H100", [], {}, "", []),
        ("B200", [], {}, "nvidia-fabricmanager", ["nvlsm"]),
        ("B300", [], {}, "nvidia-fabricmanager", ["nvlsm"]),
        ("H100", ["0000:05:00.0"], {"fabric_manager": False}, "", []),
        ("H100", [], {"fabric_manager": "True"}, "nvidia-fabricmanager", []),
    ],
)
def test_fabric_manager(
    cards: str, switches: list[str], wanted: dict[str, Any], package: str, needs: list[str]
) -> None:
    """FABRIC: NVSwitch systems, and NVLink 5 boards with the subnet manager beside it."""
    for host in ("Debian 12", "Ubuntu 24.04", "RedHat 9.6"):
        found = chosen(host, cards, nvswitches=switches, wanted=wanted)
        assert (found["fabric_manager"], found["fabric_packages"]) == (package, needs)


def test_secure_boot() -> None:
    text = refused("Debian 12", secure_boot=True)
    assert text.startswith("gpu1: secure_boot is true: Secure Boot is on")
    assert "nvidia_driver_secure_boot_enrolled: true" in text
    assert chosen("Debian 12", secure_boot=True, wanted={"secure_boot_enrolled": True})["kernel_packages"]
    found = chosen("Ubuntu 24.04", secure_boot=True, wanted={"source": "distribution"})
    assert found["packages"][0] == "nvidia-headless-no-dkms-580-server-open"
    assert found["kernel_packages"] == []


@pytest.mark.parametrize("card_name", ["B200", "B300"])
def test_boards_with_a_subnet_manager_are_not_set_up_without_one(card_name: str) -> None:
    """FABRIC: nvlsm comes from NVIDIA's repository alone."""
    text = refused("Ubuntu 24.04", card_name, wanted={"source": "distribution"})
    assert 'nvidia_driver_source is "distribution"' in text
    assert "nvlsm" in text
    assert "take nvidia_driver_source: nvidia" in text
    found = chosen("Ubuntu 24.04", card_name, wanted={"source": "distribution", "fabric_manager": False})
    assert (found["fabric_manager"], found["fabric_packages"]) == ("", [])
    mirror = {"source": "mirror", "repository_url": "http://mirror/", "repository_key": "http://mirror/key.asc"}
    assert chosen("Ubuntu 24.04", card_name, wanted=mirror)["fabric_packages"] == ["nvlsm"]


@pytest.mark.parametrize(
    ("host", "kernel", "headers"),
    [
        ("RedHat 9.6", "5.14.0-570.12.1.el9_6.aarch64+64k", ["kernel-64k-devel-5.14.0-570.12.1.el9_6.aarch64"]),
        ("RedHat 9.6", "5.14.0-570.12.1.el9_6.x86_64+rt", ["kernel-rt-devel-5.14.0-570.12.1.el9_6.x86_64"]),
        ("Rocky 9.6", "5.14.0-570.12.1.el9_6.x86_64+debug", ["kernel-debug-devel-5.14.0-570.12.1.el9_6.x86_64"]),
        ("Rocky 9.6", "5.14.0-570.el9.aarch64+64k-debug", ["kernel-64k-debug-devel-5.14.0-570.el9.aarch64"]),
        ("RedHat 8.10", "4.18.0-553.rt7.342.el8_10.x86_64", ["kernel-rt-devel-4.18.0-553.rt7.342.el8_10.x86_64"]),
        ("OracleLinux 9.6", "5.15.0-310.184.5.2.el9uek.x86_64", ["kernel-uek-devel-5.15.0-310.184.5.2.el9uek.x86_64"]),
        ("OracleLinux 9.6", "6.12.0-105.el9uek.aarch64.64k", ["kernel-uek64k-devel-6.12.0-105.el9uek.aarch64"]),
        ("AlmaLinux 9.6", "6.1.150-1.el9.elrepo.x86_64", ["kernel-devel-uname-r == 6.1.150-1.el9.elrepo.x86_64"]),
        ("AlmaLinux 10.0", "6.12.0-55.el10_0.x86_64", ["kernel-devel-6.12.0-55.el10_0.x86_64"]),
        ("AlmaLinux 10.0", "6.12.0-built-by-hand", ["kernel-devel-6.12.0-built-by-hand"]),
        ("Debian 13", "6.14.8-2-pve", ["proxmox-headers-6.14.8-2-pve", "proxmox-headers-6.14"]),
        ("Debian 12", "6.8.12-13-pve", ["proxmox-headers-6.8.12-13-pve", "proxmox-headers-6.8"]),
        ("Debian 13", "6.12.43+deb13-rt-amd64", ["linux-headers-6.12.43+deb13-rt-amd64", "linux-headers-rt-amd64"]),
        ("Debian 13", "6.12.43-arm64-16k", ["linux-headers-6.12.43-arm64-16k", "linux-headers-arm64-16k"]),
        ("Debian 12", "6.12.9+bpo-cloud-arm64", ["linux-headers-6.12.9+bpo-cloud-arm64", "linux-headers-cloud-arm64"]),
        ("Debian 13", "6.15.2-x64v3-xanmod1", ["linux-headers-6.15.2-x64v3-xanmod1"]),
    ],
)
def test_headers_of_kernels_with_variants(host: str, kernel: str, headers: list[str]) -> None:
    """Names: https://access.redhat.com/articles/rhel-kernels, https://docs.oracle.com (UEK), Proxmox's wiki."""
    found = chosen(host, kernel=kernel)["kernel_packages"]
    assert [name for name in found if name != "kernel-headers"] == headers


@pytest.mark.parametrize(
    ("host", "kernel", "follows"),
    [
        ("Ubuntu 24.04", "6.8.0-1028-nvidia-64k", "nvidia-64k"),
        ("Ubuntu 24.04", "6.8.0-60-generic-64k", "generic-64k"),
        ("Ubuntu 24.04", "6.17.0-1012-nvidia-64k", "nvidia-64k-hwe-24.04"),
        ("Ubuntu 24.04", "6.14.0-29-lowlatency", "lowlatency-hwe-24.04"),
        ("Ubuntu 24.04", "6.14.0-1016-aws", "aws"),
        ("Ubuntu 24.04", "6.11.0-1018-azure", "azure"),
        ("Ubuntu 24.04", "6.14.0-1007-azure-nvidia", "azure-nvidia"),
        ("Ubuntu 24.04", "6.14.0-1021-gcp-64k", "gcp-64k"),
        ("Ubuntu 22.04", "6.8.0-1040-oracle", "oracle"),
        ("Ubuntu 22.04", "6.8.0-85-generic", "generic-hwe-22.04"),
        ("Ubuntu 24.04", "6.8.0-60-generic", "generic"),
    ],
)
def test_modules_that_follow_the_kernels_of_a_flavour(host: str, kernel: str, follows: str) -> None:
    """UBUNTU: kernels of clouds roll on under their own name."""
    found = chosen(host, "GH200", "aarch64", kernel=kernel, wanted={"source": "distribution"})["packages"]
    assert found[-2:] == [
        f"linux-modules-nvidia-580-server-open-{kernel}",
        f"linux-modules-nvidia-580-server-open-{follows}",
    ]


GUEST = {"virtualization_type": "lxc", "virtualization_role": "guest"}


@pytest.mark.parametrize(
    ("host", "loaded", "wanted", "packages"),
    [
        ("Debian 12", "580.105.08", {}, ["libcuda1", "libnvidia-ml1", "libnvidia-ptxjitcompiler1", "nvidia-smi"]),
        ("Ubuntu 24.04", "580.105.08", {"version": "580.105.08"}, ["libnvidia-compute-580", "nvidia-utils-580"]),
        ("Ubuntu 24.04", "595.58.03", {}, ["libnvidia-compute", "nvidia-utils"]),
        (
            "Ubuntu 22.04",
            "580.95.05",
            {"source": "distribution"},
            ["libnvidia-compute-580-server", "nvidia-utils-580-server"],
        ),
        ("Rocky 8.10", "580.105.08", {"packages": ["nvidia-driver-cuda-libs"]}, ["nvidia-driver-cuda-libs"]),
    ],
)
def test_a_container_guest_has_the_libraries_of_its_host(
    host: str, loaded: str, wanted: dict[str, Any], packages: list[str]
) -> None:
    found = chosen(
        host, "V100", wanted=wanted, loaded_version=loaded, secure_boot=True, nvswitches=["0000:05:00.0"], **GUEST
    )
    assert found["user_space_only"]
    assert (found["packages"], found["version"], found["modules"]) == (packages, loaded, "none")
    assert found["kernel_packages"] == []
    assert (found["fabric_manager"], found["persistence"], found["module_stream"], found["epel"]) == ("", False, "", "")
    if wanted.get("source") != "distribution" and found["family"] == "apt":
        assert found["pinning_package"] == f"nvidia-driver-pinning-{loaded}"


def test_a_container_guest_that_cannot_be_served() -> None:
    assert "shows no loaded driver" in refused("Debian 12", **GUEST)
    assert "the host of this container guest has 580.95.05; leave it empty" in refused(
        "Debian 12", wanted={"version": "580.105.08"}, loaded_version="580.95.05", **GUEST
    )
    assert "without its kernel modules" in refused("Rocky 8.10", loaded_version="580.105.08", **GUEST)


@pytest.mark.parametrize(
    ("facts", "shares"),
    [
        (GUEST, True),
        ({"virtualization_type": "lxc", "virtualization_role": "host"}, False),
        ({"virtualization_type": "kvm", "virtualization_role": "guest"}, False),
        ({}, False),
    ],
)
def test_who_shares_a_kernel(facts: dict[str, str], shares: bool) -> None:
    assert driver_choice.container_guest(facts) is shares


def test_a_guest_by_word() -> None:
    assert chosen(wanted={"user_space_only": "true"}, loaded_version="580.105.08")["user_space_only"]
    assert not chosen(wanted={"user_space_only": "False"}, **GUEST)["user_space_only"]
    kvm = {"virtualization_type": "kvm", "virtualization_role": "guest"}
    assert not chosen(**kvm)["user_space_only"]
    engine = {"virtualization_type": "docker", "virtualization_role": "host"}
    assert not chosen(**engine)["user_space_only"]


@pytest.mark.parametrize(
    "more",
    [{"cards": []}, {"virtualization_type": "wsl"}],
    ids=["no card", "Windows has the driver"],
)
def test_nothing_is_needed(more: dict[str, Any]) -> None:
    asked = {**machine("Slackware 15"), **more}
    assert driver_choice.choose(asked, WANTED) == {"needed": False, "problems": [], "notes": []}


def test_a_driver_that_somebody_else_manages() -> None:
    assert not choose(wanted={"manage": False, "source": "nonsense"})["needed"]


@pytest.mark.parametrize(
    ("host", "architecture"),
    [
        ("Debian 11", "x86_64"),
        ("Debian 12", "riscv64"),
        ("Ubuntu 24.10", "x86_64"),
        ("Rocky 7.9", "x86_64"),
        ("Fedora 42", "x86_64"),
        ("Debian trixie/sid", "x86_64"),
    ],
)
def test_no_driver_is_packaged(host: str, architecture: str) -> None:
    text = refused(host, "H100", architecture)
    assert f"no driver is packaged for {host} on {architecture}; take one of Debian 12" in text


def test_releases_are_numbers() -> None:
    """As texts '10' comes before '8'."""
    assert chosen("AlmaLinux 10.0")["module_stream"] == ""
    assert chosen("Rocky 8.10")["module_stream"] == "580-open"


def test_packages_by_hand() -> None:
    found = chosen(wanted={"packages": ["my-driver"], "kernel_packages": ["my-headers"], "persistence": False})
    assert (found["packages"], found["kernel_packages"]) == (["my-driver"], ["my-headers"])
    assert not found["persistence"]


@pytest.mark.parametrize(
    ("version", "upstream"),
    [
        ("580.105.08-0ubuntu1", "580.105.08"),
        ("3:580.105.08-1.el9", "580.105.08"),
        ("535.183.01-1~deb12u1", "535.183.01"),
        ("595.45-1", "595.45"),
        ("2025.06.11-1", ""),
        ("12.9.1-1", ""),
    ],
)
def test_version_of_a_package(version: str, upstream: str) -> None:
    assert driver_packages.upstream(version) == upstream
    assert driver_packages.branch_of(upstream) == int(upstream[:3] or 0)
