# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import ProblemsError
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import image as service_image

DIGEST = "sha256:" + "0123456789abcdef" * 4
CATALOG = {
    "web": f"docker.io/library/web:1.2@{DIGEST}",
    "engine": {"image": f"docker.io/own/engine:v3@{DIGEST}", "programs": {"python": "/venv/bin/python"}},
    "plain": "library/plain:1",
}


@pytest.mark.parametrize(
    "text",
    [
        f"docker.io/vllm/vllm-openai:v0.32.0@{DIGEST}",
        f"127.0.0.1:5000/a/b__c:1-2@{DIGEST}",
        f"registry.example.com/a:1@{DIGEST}",
    ],
)
def test_a_whole_reference_is_taken_as_it_is(text):
    assert service_image.reference("x", text, True) == text
    assert service_image.reference("x", {"image": text}, True) == text


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("", "registry/name:tag@sha256"),
        (None, "registry/name:tag@sha256"),
        ({}, "registry/name:tag@sha256"),
        ("Docker.io/A:1", "registry/name:tag@sha256"),
        ("docker.io/a:1 --privileged", "registry/name:tag@sha256"),
        ("docker.io/a:1@sha256:12", "registry/name:tag@sha256"),
        (f"docker.io/a@{DIGEST}", "version as its tag"),
        (f"docker.io/a:latest@{DIGEST}", "version as its tag"),
        ("docker.io/a:1", "service_container_digests: false"),
    ],
)
def test_an_image_that_may_be_any_image_is_refused(image, words):
    with pytest.raises(ProblemsError) as error:
        service_image.reference("web", image, True)
    assert words in str(error.value)
    assert "llm_images.web is" in str(error.value)


def test_who_says_so_does_without_digests():
    assert service_image.reference("web", "docker.io/a:1", False) == "docker.io/a:1"


def test_programs_of_the_host():
    package = {"programs": {"python": "", "nginx": "/usr/sbin/nginx", "other": {"path": "/usr/bin/o", "image": "x"}}}
    assert service_image.programs(package, "/venv/bin") == {
        "python": "/venv/bin/python",
        "nginx": "/usr/sbin/nginx",
        "other": "/usr/bin/o",
    }


def test_programs_of_images():
    package = {
        "name": "web",
        "image": CATALOG["engine"],
        "programs": {"python": "", "tool": "/usr/bin/tool", "exporter": {"path": "/x", "image": CATALOG["web"]}},
    }
    engine, web = service_image.packages(package, "/opt/images", True)
    assert engine["reference"] == f"docker.io/own/engine:v3@{DIGEST}"
    assert engine["folder"].startswith("/opt/images/web-")
    assert engine["folder"] != web["folder"]
    assert [(item["name"], item["inside"]) for item in engine["programs"]] == [
        ("python", "/venv/bin/python"),
        ("tool", "tool"),
    ]
    assert web["programs"] == [{"name": "exporter", "inside": "exporter", "path": f"{web['folder']}/exporter"}]
    known = service_image.known_programs([engine, web])
    assert known[f"{web['folder']}/exporter"] == {"image": web["reference"], "program": "exporter"}
    assert len(known) == 3


def test_python_has_the_name_that_images_give_it():
    (image,) = service_image.packages(
        {"name": "web", "image": CATALOG["web"], "programs": {"python": ""}}, "/opt", True
    )
    assert image["programs"][0]["inside"] == "python3"


def test_another_version_has_another_folder():
    def folder(tag):
        package = {"name": "web", "image": f"docker.io/a:{tag}@{DIGEST}", "programs": {"a": ""}}
        return service_image.packages(package, "/opt", True)[0]["folder"]

    assert folder("1") != folder("2")


def test_the_user_s_images_win_and_a_mirror_serves_the_others():
    own = {"web": f"registry.example.com/web:9@{DIGEST}"}
    found = service_image.resolve(CATALOG, own, "mirror.example.com:5000/all/")
    assert found["web"] == own["web"]
    assert found["engine"]["image"] == f"mirror.example.com:5000/all/own/engine:v3@{DIGEST}"
    assert found["engine"]["programs"] == {"python": "/venv/bin/python"}
    assert found["plain"]["image"] == "mirror.example.com:5000/all/library/plain:1"
    assert service_image.resolve(CATALOG, {}, "")["web"]["image"] == CATALOG["web"]


def test_a_name_that_no_image_has_is_refused():
    with pytest.raises(ProblemsError) as error:
        service_image.resolve(CATALOG, {"wbe": "x", "zzz": {"image": "y"}}, "")
    text = "the collection has no image of this name"
    assert [problem[:4] for problem in error.value.problems] == [
        ("llm_images.wbe", "x", text, "did you mean web"),
        ("llm_images.zzz", "y", text, "known are engine, plain, web"),
    ]


def test_a_name_that_no_image_has_is_a_problem_among_the_others():
    found = service_image.problems({"wbe": "x:1", "web": "x"}, ["wbe", "web"], False, CATALOG)
    assert [(one.variable, one.remedy) for one in found] == [
        ("llm_images.wbe", "did you mean web"),
        ("llm_images.web", "name a version as its tag"),
    ]


def test_problems_name_the_images_that_a_host_needs():
    images = {**CATALOG, "engine": "docker.io/own/engine:v3"}
    (found,) = service_image.problems(images, ["web", "engine"], True)
    assert found.variable == "llm_images.engine"
    assert found.value == "docker.io/own/engine:v3"
    assert "llm_package: native" in found.remedy
    assert not service_image.problems(images, ["web"], True)
    assert not service_image.problems(images, ["engine"], False)
    assert service_image.problems(images, ["missing"], False)[0].problem == "this is no image"
