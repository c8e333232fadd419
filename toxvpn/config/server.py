"""The keys of [server]."""

from pathlib import Path
from typing import TYPE_CHECKING

from . import values
from .keys import Flag, Section, Words, key, keys_of, section

if TYPE_CHECKING:
    from ..tcpforward.remote.rules import ListenRules
    from ..tcpforward.rules import Rules


@section
class ServerSection:
    """`allow` None: everything that this machine can reach. `allow_listen` None: nothing."""

    secret_file: Path | None = key(
        values.read_file,
        "who sends this secret is let in; chmod 600",
        form=values.FILE_FORM,
        default=None,
        shown=Words("made by toxvpn, unless something else lets others in"),
        example='"/etc/toxvpn/secret"',
    )
    whitelist: frozenset[bytes] = key(
        values.read_keys,
        "only these Tox IDs or public keys; with a secret, both are asked for",
        form="a list of Tox IDs or public keys",
        default=frozenset(),
        shown=Words("everybody with the secret"),
        example="[]",
    )
    open: bool = key(
        values.read_bool,
        "let in everybody who knows the Tox ID (not recommended); excludes secret_file and whitelist",
        form=values.BOOL_FORM,
        default=False,
        example="false",
        flag=Flag(
            "--open",
            heading="Server",
            value=True,
            help="Let in everybody who knows the Tox ID (not recommended).",
        ),
    )
    allow: "Rules | None" = key(
        values.read_rules,
        "targets of forwards that may be reached; port 0 is any port; unix:/path is a Unix socket",
        form=values.RULES_FORM,
        default=None,
        shown=Words("every host and port"),
        example='["localhost:22", "*.lan:0", "10.0.0.0/8:443", "[fd00::/8]:80"]',
    )
    allow_speed: bool | None = key(
        values.read_bool,
        "whether all who are let in may test the speed of the path (toxvpn speed), or nobody",
        form=values.BOOL_FORM,
        default=None,
        shown=Words("who is on the network or was named here"),
        example="true",
        flag=Flag(
            "--allow-speed",
            heading="Server",
            value=True,
            help="Let all who are let in test the speed of the path, also who came by the secret.",
        ),
    )
    allow_listen: "ListenRules | None" = key(
        values.read_listen_rules,
        "where this machine may listen for others (-R); a port alone is on loopback",
        form=values.LISTEN_RULES_FORM,
        default=None,
        shown=[],
        example='["8080", "127.0.0.1:*"]',
        flag=Flag(
            "--allow-listen",
            "RULE,...",
            heading="Server",
            from_text=values.words,
            help="Let others have this machine listen (-R) on these, such as 8080, 127.0.0.1:*, *:443.",
        ),
    )


SERVER = Section("server", "[server]", "let others reach what this machine can reach", keys_of(ServerSection))
