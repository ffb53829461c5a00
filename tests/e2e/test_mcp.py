"""The three endpoints as tools of the Model Context Protocol, where gradio[mcp] is installed."""

import asyncio
import base64
from pathlib import Path

import httpx
import pytest
from running import TIMEOUT_MS

from emotion_detective.page.uploads import PREFIX

mcp = pytest.importorskip("mcp", reason="gradio[mcp] is not installed")
from mcp.client.streamable_http import streamablehttp_client  # noqa: E402

ONE_FACE = Path(__file__).resolve().parents[2] / "examples" / "one_face.jpg"


def ask(server: str, question):
    """Return what `question(session)` gives in a session with the server."""

    async def conversation():
        async with (
            streamablehttp_client(f"{server}/gradio_api/mcp/") as (read, write, _),
            mcp.ClientSession(read, write) as session,
        ):
            await session.initialize()
            return await question(session)

    return asyncio.run(conversation())


def test_the_tools_are_the_three_endpoints_and_say_what_they_do(server):
    tools = {tool.name: tool for tool in ask(server, lambda session: session.list_tools()).tools}
    assert set(tools) == {"predict", "analyze_batch", "analyze_video"}
    assert tools["predict"].description.startswith("Find every face in a picture and rate six")
    assert "Returns one row a face and frame" in tools["analyze_video"].description
    for tool in tools.values():
        assert all(field["description"] for field in tool.inputSchema["properties"].values())


@pytest.mark.parametrize("tool", ["predict", "analyze_batch"])
def test_a_tool_reads_an_upload_and_no_other_address(server, server_folder, tool):
    with ONE_FACE.open("rb") as file:
        upload = {"files": file}
        answer = httpx.post(f"{server}/gradio_api/upload", files=upload, timeout=TIMEOUT_MS / 1000)
    (path,) = answer.json()

    def call(address: str):
        given = {"predict": {"picture": address}, "analyze_batch": {"files": [address]}}
        return ask(server, lambda session: session.call_tool(tool, given[tool]))

    addresses = [f"{server}/gradio_api/file={path}"]
    if tool == "predict":  # in a list of files Gradio 6.31 does not look for one
        content = base64.b64encode(ONE_FACE.read_bytes()).decode()
        addresses.append(f"data:image/jpeg;base64,{content}")
    for address in addresses:
        read = call(address)
        assert not read.isError
        assert "confidence" in read.content[0].text
    uploads = server_folder / "uploads"
    files = [path.relative_to(uploads) for path in uploads.rglob("*") if path.is_file()]
    assert files
    assert all(path.parts[0].startswith(PREFIX) for path in files), "elsewhere nobody deletes them"
    refused = call("https://example.com/face.jpg")
    assert refused.isError
    assert "Send the file itself" in refused.content[0].text
