"""``singan-tk studio``: a local page over a folder."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from singan_toolkit.cli.console import Console, output_options

PORT = 8765


@click.command()
@click.argument("folder", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--host",
    help="Address to listen on, as 0.0.0.0 for other machines: a token then guards it.  [default: 127.0.0.1]",
)
@click.option("--port", type=click.IntRange(0, 65535), help=f"[default: {PORT}, or a free one where it is taken]")
@output_options
def studio(console: Console, folder: Path, host: str | None, port: int | None) -> None:
    """Open a page over the FOLDER's pictures and bundles: train, paint, paste and choose by looking.

    Its address is printed. It runs until Ctrl-C; a training in work is kept, and goes on when it is asked for again.
    """
    import secrets
    import socket

    from singan_toolkit.errors import UnavailableError
    from singan_toolkit.tasks.aside import aside

    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise UnavailableError(
            "the studio needs packages that are not installed: pip install 'singan-toolkit[studio]'"
        ) from error
    from singan_toolkit.studio.server import app_of

    token = secrets.token_urlsafe() if host else None
    app = app_of(folder, token)
    address = host or "127.0.0.1"
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listening = socket.create_server((address, PORT if port is None else port), family=family)
    except OSError as error:
        if port is not None:
            raise OSError(f"cannot listen on {address}, port {port}: {error.strerror or error}") from error
        listening = socket.create_server((address, 0), family=family)
    named = socket.gethostname() if address in ("0.0.0.0", "::") else address  # what others can ask for
    shown = f"[{named}]" if ":" in named else named
    url = f"http://{shown}:{listening.getsockname()[1]}/" + (f"?token={token}" if token else "")
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=1)
    console.note("the studio runs until Ctrl-C")
    console.result(url, url=url)
    with aside():
        uvicorn.Server(config).run(sockets=[listening])
