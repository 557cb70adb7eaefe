# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real identity provider, Canaille, with a client and people; run by login_inside.py with Canaille's own Python.

A line of standard input with groups and their members, as JSON, is answered with a line: what it has issued so far.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from werkzeug.serving import make_server


def main(folder: Path, wanted: dict[str, Any]) -> None:
    port = wanted["port"]
    picture = {"PICTURE": f"https://localhost:{port}/picture-of-a-person"}
    app = create_app(
        {
            "SECRET_KEY": wanted["secret"],
            "SERVER_NAME": f"localhost:{port}",
            "PREFERRED_URL_SCHEME": "https",
            "CANAILLE": {"DATABASE": "memory"},
            "CANAILLE_OIDC": {"USERINFO_MAPPING": picture},
        }
    )
    with app.app_context(), Backend.instance.session():
        people = {}
        for name in wanted["people"]:
            people[name] = models.User(
                user_name=name,
                formatted_name=name.title(),
                family_name=name.title(),
                emails=[f"{name}@mail.example"],
                password=wanted["password"],
            )
            Backend.instance.save(people[name])
        client = models.Client(**wanted["client"])
        client.audience = [client]
        Backend.instance.save(client)
    server = make_server(
        "127.0.0.1", port, app, threaded=True, ssl_context=(str(folder / "cert.pem"), str(folder / "key.pem"))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for line in sys.stdin:
        with app.app_context(), Backend.instance.session():
            for group in Backend.instance.query(models.Group):
                Backend.instance.delete(group)
            for name, members in json.loads(line).items():
                group = models.Group(display_name=name, members=[people[member] for member in members])
                Backend.instance.save(group)
            codes = [code.code for code in Backend.instance.query(models.AuthorizationCode)]
            tokens = [token.access_token for token in Backend.instance.query(models.Token)]
        print(json.dumps([*codes, *tokens]), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
