"""What a proxy or an address in the environment does to a page that starts; read before Gradio.

Gradio asks its own address whether it answers, and reads the proxies when it is imported.
"""

import os
from importlib.util import find_spec
from urllib.request import getproxies

OWN = ("localhost", "127.0.0.1", "::1")


def unfit() -> str:
    """Return a sentence that says why the page cannot start here and what to do, or ""."""
    socks = [name for name, url in getproxies().items() if url.startswith("socks")]
    if socks and find_spec("socksio") is None:
        name = f"{socks[0]}_proxy".upper()
        return (
            f"{name} names a SOCKS proxy, for which a package is missing: run pip install "
            f"'httpx[socks]', or unset {name}."
        )
    address = os.environ.get("GRADIO_SERVER_NAME", "")
    if ":" in address:
        return (
            f"GRADIO_SERVER_NAME is {address}, and Gradio serves no IPv6 address: set it to "
            "127.0.0.1 or 0.0.0.0, with a proxy in front that listens on IPv6."
        )
    return ""


def reach_own_address() -> None:
    """Have no proxy stand between the page and its own address."""
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    whole = ",".join(dict.fromkeys(filter(None, [*listed.split(","), *OWN])))
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = whole
