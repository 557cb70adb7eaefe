# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the command lines that run services and programs in containers.

Pure functions over dictionaries. Every item is text for a POSIX shell, quoted already: users and groups are looked up
by the shell when the container starts, and secrets stay in the environment, of which only names are written.
"""

from __future__ import annotations

import shlex
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.shared_memory import container_size

# Default size of /dev/shm in Docker and Podman, which is enough for everything except engines.
SHARED_MEMORY = "64m"
# The container's own, where programs may lie that were compiled a moment ago.
TEMPORARY = "/tmp:mode=1777,exec"  # noqa: S108 - no path of the host's # nosec B108
# Capabilities that a process needs to become another user permanently.
BECOME = ("SETGID", "SETPCAP", "SETUID")


def _bare(capability: str) -> str:
    return capability.upper().removeprefix("CAP_")


def _user(name: str) -> str:
    quoted = shlex.quote(name)
    return f'"$(id -u {quoted}):$(id -g {quoted})"'


def become(user: str, capabilities: list[str]) -> list[str]:
    """Return the command that turns root into a user with some capabilities, because container engines give those only
    to root.
    """
    kept = ",".join(["-all"] + [f"+{_bare(capability).lower()}" for capability in capabilities])
    quoted = shlex.quote(user)
    return [
        "setpriv",
        f'--reuid="$(id -u {quoted})"',
        f'--regid="$(id -g {quoted})"',
        "--clear-groups",
        "--no-new-privs",
        f"--inh-caps={kept}",
        f"--ambient-caps={kept}",
        f"--bounding-set={kept}",
    ]


def _mounts(spec: dict[str, Any]) -> list[str]:
    """Return the mounts of a service, the same paths inside as outside; what it may write comes last and wins."""
    state = spec["state_dir"]
    readable = [spec["config_dir"], *spec["readable"]]
    writable = [state, *spec["writable"], *(entry["path"] for entry in spec["directories"])]
    # A directory below a mounted one is already included.
    writable = [path for path in writable if path == state or not path.startswith(state + "/")]
    modes = {path: "ro" for path in readable if path not in writable} | dict.fromkeys(writable, "rw")
    arguments = []
    for path, mode in modes.items():
        arguments += ["--volume", shlex.quote(f"{path}:{path}:{mode}")]
    for mount in spec["container"].get("mounts", []):
        arguments += ["--volume", shlex.quote(mount)]
    return arguments


def _gpus(gpus: list[str], mode: str) -> list[str]:
    """Return the options for exactly these GPUs, by uuid (or ``all``): with CDI, or with the runtime of older container
    engines.
    """
    if not gpus:
        return []
    if mode == "legacy":
        devices = ",".join(gpus)
        arguments = ["--gpus", "all" if gpus == ["all"] else shlex.quote(f'"device={devices}"')]
    else:
        arguments = [part for uuid in gpus for part in ("--device", shlex.quote(f"nvidia.com/gpu={uuid}"))]
        # CUDA's images request every GPU, and an old runtime would pass them all.
        arguments += ["--env", "NVIDIA_VISIBLE_DEVICES=void"]
    return [*arguments, "--env", "CUDA_DEVICE_ORDER=PCI_BUS_ID"]


def probe(image: str, program: str, gpus: list[str], options: dict[str, Any]) -> list[str]:
    """Return an argv that runs a program of an engine's image once, with the GPUs and the rights that the engine has.

    What follows it are the program's arguments; standard input is handed on. The user is nobody: the engine's own may
    not be there yet.

    :param options: ``engine``, ``gpu_mode``, ``memlock`` and ``network``, as for a service.
    """
    argv = [options["engine"], "run", "--rm", "--interactive", "--pull", "never", "--init"]
    argv += ["--network", options["network"], "--user", "65534:65534", "--cap-drop", "ALL"]
    argv += ["--security-opt", "no-new-privileges", "--log-driver", "none", "--read-only"]
    argv += ["--tmpfs", TEMPORARY, "--env", "HOME=/tmp", "--env", "USER=nobody"]
    argv += ["--shm-size", container_size(bool(gpus))]
    argv += ["--ulimit", "memlock=-1"] if gpus and options["memlock"] else []
    argv += [shlex.split(part)[0] for part in _gpus(gpus, options["gpu_mode"])]
    return [*argv, "--entrypoint", program, image]


def beside(spec: dict[str, Any], options: dict[str, Any]) -> list[str]:
    """Return the lines of the command that runs a program of the service's image once, as the service would.

    The shell that reads it has the program in ``$llmfleet_program`` and its arguments in ``$@``. It gets no GPU, as the
    service holds them.
    """
    once = {**spec, "name": f"{spec['name']}-once", "gpus": []}
    return service(once, {**options, "forget": True}, ['"$llmfleet_program"', '"$@"'])


def service(spec: dict[str, Any], options: dict[str, Any], argv: list[str] | None = None) -> list[str]:
    """Return the lines of the command that runs a service in the foreground, one option with its value to a line.

    :param spec: a normalised spec (``spec.normalise``) whose ``container`` has ``image`` and ``program``, and
        may have ``mounts`` (``host:inside:mode``), ``pid`` (``host``), ``arguments`` (further ones of the program),
        ``capabilities`` (that it may have but is not given), ``workdir``, ``writable_root`` and ``shared_memory``.
    :param options: ``engine`` (program), ``prefix``, ``run_dir``, ``gpu_mode`` (``cdi`` or ``legacy``), ``network``,
        ``log_driver``, ``memlock`` (whether the engine can lift the limit of locked memory) and ``forget`` (whether it
        removes a container that ended).
    :param argv: what runs instead of the service's own command, quoted for a shell.
    """
    inside, own = spec["container"], [_bare(capability) for capability in spec["capabilities"]]
    added = own + [_bare(capability) for capability in inside.get("capabilities", [])] + list(BECOME if own else ())
    shared = inside.get("shared_memory") or (container_size(True) if spec["gpus"] else SHARED_MEMORY)
    name = f"{options['prefix']}{spec['name']}"
    lines: list[list[str]] = [
        ["--name", shlex.quote(name)],
        ["--label", f"llmfleet.service={spec['name']}"],
        ["--pull", "never"],
        # An init process has no purpose if process 1 is the host's, and Podman refuses it.
        *([] if inside.get("pid") else [["--init"]]),
        ["--network", shlex.quote(options["network"])],
        ["--user", "0:0" if own else _user(spec["user"])],
        ["--cap-drop", "ALL"],
        *(["--cap-add", capability] for capability in sorted(set(added))),
        ["--security-opt", "no-new-privileges"],
        ["--log-driver", shlex.quote(options["log_driver"])],
        ["--stop-signal", f"SIG{spec['stop']['signal']}"],
        ["--stop-timeout", str(spec["stop"]["timeout"])],
        ["--shm-size", shared],
        ["--ulimit", f'nofile="$(files {int(spec["limits"]["nofile"])})"'],
    ]
    if options["forget"]:
        lines.append(["--rm"])
    if not inside.get("writable_root"):
        lines.append(["--read-only"])
    lines.append(["--tmpfs", TEMPORARY])
    lines.append(["--tmpfs", shlex.quote(f"{options['run_dir']}:mode=1777,exec")])
    if spec["gpus"]:
        # Transfers to the GPU use pinned memory, which is locked.
        lines += [["--ulimit", "memlock=-1"]] if options["memlock"] else []
        lines.append(["--label", shlex.quote(f"llmfleet.gpus={','.join(spec['gpus'])}")])
    if inside.get("pid"):
        lines.append(["--pid", inside["pid"]])
    if spec["limits"]["memory_max"]:
        lines.append(["--memory", str(spec["limits"]["memory_max"])])
    if spec["limits"]["tasks_max"]:
        lines.append(["--pids-limit", str(spec["limits"]["tasks_max"])])
    if not own:
        lines += [["--group-add", f'"$(getent group {shlex.quote(group)} | cut -d: -f3)"'] for group in spec["groups"]]
    flags = iter(_mounts(spec) + _gpus(spec["gpus"], options["gpu_mode"]))
    lines += [[flag, value] for flag, value in zip(flags, flags)]
    if inside.get("workdir"):
        lines.append(["--workdir", shlex.quote(inside["workdir"])])
    # The user has no entry in the image's list, and some programs ask for their name.
    own_names = {"HOME": spec["state_dir"], "USER": spec["user"], "LOGNAME": spec["user"]}
    environment = {**own_names, **spec["environment"]}
    lines += [["--env", shlex.quote(f"{key}={value}")] for key, value in sorted(environment.items())]
    # The values of secrets come from the environment of the container engine's client, which no other user can read.
    lines += [["--env", key] for key in sorted(spec["secret_names"])]
    command = [shlex.quote(part) for part in [inside["program"], *spec["command"][1:], *inside.get("arguments", [])]]
    command = argv or command
    command = [*become(spec["user"], spec["capabilities"]), *command] if own else command
    lines.append(["--entrypoint", command[0]])
    lines.append([inside["image"]])
    lines += [[part] for part in command[1:]]
    return [" ".join([options["engine"], "run"]), *(" ".join(line) for line in lines)]
