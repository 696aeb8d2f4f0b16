"""The server of a studio: what its page asks for, answered from a folder and a queue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from singan_toolkit.bundle import Bundle
from singan_toolkit.errors import ToolkitError, UsageError, failure
from singan_toolkit.studio.commands import command_of_origin
from singan_toolkit.studio.folder import Folder
from singan_toolkit.studio.forms import form_of
from singan_toolkit.studio.guard import Guard
from singan_toolkit.studio.pictures import cutout, keep_painted, picture_at, shown
from singan_toolkit.studio.queue import Queue
from singan_toolkit.studio.tickets import ticket_of
from singan_toolkit.tasks.manager import installed_plugins
from singan_toolkit.training.presets import DEFAULT_PRESET, PRESETS

PAGE = Path(__file__).with_name("page")
MOST_BYTES = 1 << 29
_BEAT = 15.0


def app_of(path: Path, token: str | None = None) -> Starlette:
    """A studio over a folder.

    Args:
        path: The folder.
        token: What every request must know; None where the server is bound to this machine alone.

    Raises:
        OSError: There is no such folder.
    """
    folder, listeners = Folder(path), Listeners()

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        listeners.loop = asyncio.get_running_loop()
        with TemporaryDirectory() as previews:
            app.state.queue = Queue(folder, Path(previews), listeners.publish)
            try:
                yield
            finally:
                await run_in_threadpool(app.state.queue.close)

    app = Starlette(
        routes=_routes(),
        middleware=[Middleware(Guard, token=token)],
        exception_handlers={ToolkitError: _refuse, OSError: _refuse, json.JSONDecodeError: _refuse},
        lifespan=life,
    )
    app.state.folder, app.state.listeners = folder, listeners
    return app


class Listeners:
    """The pages that are open, each of which hears of every change."""

    def __init__(self) -> None:
        self.queues: set[asyncio.Queue[str]] = set()
        self.loop: asyncio.AbstractEventLoop

    def publish(self, told: dict[str, Any]) -> None:
        """Tell all of them; called from any thread."""
        self.loop.call_soon_threadsafe(self._put, json.dumps(told))

    def _put(self, text: str) -> None:
        for queue in self.queues:
            queue.put_nowait(text)

    async def listen(self, before: list[dict[str, Any]]) -> AsyncIterator[str]:
        """What a page hears, as server-sent events: all that is there, then each change."""
        queue: asyncio.Queue[str] = asyncio.Queue()
        self.queues.add(queue)
        try:
            for told in before:
                yield f"data: {json.dumps(told)}\n\n"
            while True:
                try:
                    yield f"data: {await asyncio.wait_for(queue.get(), _BEAT)}\n\n"
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            self.queues.discard(queue)


def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, json.JSONDecodeError):
        error = UsageError("what was sent is no JSON")
    return JSONResponse({"error": failure(error).sentence}, 400)


def _library(request: Request) -> Response:
    folder: Folder = request.app.state.folder
    entries = folder.entries()
    for entry in entries:
        if entry["origin"]:
            parent, _, _ = str(entry["name"]).rpartition("/")
            entry["command"] = command_of_origin(entry["origin"], folder, f"{parent}/" if parent else entry["name"])
    return JSONResponse({"folder": str(folder.path), "entries": entries})


def _tasks(request: Request) -> Response:
    plugins = installed_plugins()
    forms = [form_of(task) for _, task in sorted(plugins.tasks.items())]
    profiles = [name for name, task in sorted(plugins.tasks.items()) if task.profile.settings or task.profile.undoes]
    presets = {"all": list(PRESETS), "default": DEFAULT_PRESET, "for": profiles}
    return JSONResponse({"tasks": forms, "presets": presets})


def _bundle(request: Request) -> Response:
    path = request.app.state.folder.file(request.query_params.get("name"))
    bundle = Bundle.load(path)
    sizes = bundle.geometry.sizes
    tasks = installed_plugins().tasks.values()
    defaults = {task.name: task.injection.scale(len(sizes), sizes) for task in tasks if task.injection}
    training = bundle.manifest.training
    height, width = bundle.picture.shape[:2]
    about = {"picture": training.picture, "preset": training.preset, "task": training.task}
    return JSONResponse({"scales": len(sizes), "width": width, "height": height, "defaults": defaults, **about})


def _picture(request: Request) -> Response:
    picture = picture_at(request.app.state.folder.file(request.query_params.get("name")))
    height, width = picture.size
    return JSONResponse({"width": width, "height": height, "depth": 8 if picture.white == 255 else 16})


def _view(request: Request) -> Response:
    query = request.query_params
    longest = int(query["longest"]) if query.get("longest", "").isdigit() else 0
    picture = picture_at(request.app.state.folder.file(query.get("name")))
    return Response(shown(picture, longest), media_type="image/png")


def _cutout(request: Request) -> Response:
    folder, query = request.app.state.folder, request.query_params
    mask = picture_at(folder.file(query["mask"])) if query.get("mask") else None
    return Response(cutout(picture_at(folder.file(query.get("name"))), mask), media_type="image/png")


def _file(request: Request) -> Response:
    path = request.app.state.folder.file(request.query_params.get("name"))
    as_download = "inline" not in request.query_params
    return FileResponse(path, filename=path.name if as_download else None)


async def _upload(request: Request) -> Response:
    name, content = request.query_params.get("name", ""), await _body(request)
    kept = await run_in_threadpool(request.app.state.folder.accept, name, content)
    return JSONResponse({"name": kept})


async def _painted(request: Request) -> Response:
    query, folder = request.query_params, request.app.state.folder
    base = await run_in_threadpool(picture_at, folder.file(query.get("of")))
    name = await run_in_threadpool(keep_painted, folder, query.get("kind", ""), base, await _body(request))
    return JSONResponse({"name": name})


async def _add(request: Request) -> Response:
    given = json.loads(await _body(request))
    if not isinstance(given, dict):
        raise UsageError("what was sent is no object")
    ticket = await run_in_threadpool(ticket_of, request.app.state.folder, given)
    return JSONResponse(request.app.state.queue.add(ticket))


def _queue(request: Request) -> Response:
    return JSONResponse([ticket.told() for ticket in request.app.state.queue.tickets.values()])


def _change(what: str) -> Callable[[Request], Response]:
    def change(request: Request) -> Response:
        getattr(request.app.state.queue, what)(request.path_params["number"])
        return JSONResponse({})

    return change


def _keep(request: Request) -> Response:
    step = request.app.state.queue.keep(request.path_params["number"], request.path_params["place"])
    return JSONResponse({"name": step.results[0], "command": step.command})


def _preview(request: Request) -> Response:
    step = request.app.state.queue.step(request.path_params["number"], request.path_params["place"])
    if step.preview is None:
        raise UsageError("there is nothing to see yet")
    return FileResponse(step.preview)


def _look(request: Request) -> Response:
    number, scale = request.path_params["number"], request.path_params["scale"]
    what = "sample" if request.path_params["what"] == "sample" else "rebuilt"
    path = request.app.state.queue.previews / f"training-{number}-{scale}-{what}.png"
    if not path.is_file():
        raise UsageError("there is nothing to see yet")
    return FileResponse(path)


async def _events(request: Request) -> Response:
    before = [ticket.told() for ticket in request.app.state.queue.tickets.values()]
    return StreamingResponse(request.app.state.listeners.listen(before), media_type="text/event-stream")


async def _body(request: Request) -> bytes:
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MOST_BYTES:
            raise UsageError(f"what was sent has more than {MOST_BYTES >> 20} MB: put the file into the folder instead")
    return bytes(content)


def _index(request: Request) -> Response:
    return FileResponse(PAGE / "index.html")


def _routes() -> list[Route | Mount]:
    get = {
        "library": _library,
        "tasks": _tasks,
        "bundle": _bundle,
        "picture": _picture,
        "view": _view,
        "cutout": _cutout,
        "file": _file,
        "tickets": _queue,
        "events": _events,
        "tickets/{number:int}/{place:int}": _preview,
        "trainings/{number:int}/{scale:int}/{what}": _look,
    }
    post = {
        "file": _upload,
        "painted": _painted,
        "tickets": _add,
        "tickets/{number:int}/stop": _change("stop"),
        "tickets/{number:int}/go-on": _change("go_on"),
        "tickets/{number:int}/{place:int}/keep": _keep,
    }
    return [
        Route("/", _index),
        *(Route(f"/api/{path}", endpoint) for path, endpoint in get.items()),
        *(Route(f"/api/{path}", endpoint, methods=["POST"]) for path, endpoint in post.items()),
        Mount("/page", StaticFiles(directory=PAGE)),
    ]
