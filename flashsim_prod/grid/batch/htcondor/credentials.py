"""Credentials that HTCondor sends along with jobs: whether they are here. Nothing reads what is in them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from flashsim_prod.errors import ConfigError

#: a proxy that ends so soon is of no use to jobs [s]
_LEFT_S = 3600


def proxy_file() -> Path:
    """Where the user's X.509 proxy is, or would be."""
    return Path(os.environ.get("X509_USER_PROXY") or f"/tmp/x509up_u{os.getuid()}")


def check_proxy() -> str:
    """Where the proxy is; `ConfigError` if there is none, or if it has an hour left at most."""
    path = proxy_file()
    if not path.is_file():
        raise ConfigError(f"no X.509 proxy at {path}; voms-proxy-init -voms cms")
    openssl = shutil.which("openssl")
    if openssl is not None:
        asked = [openssl, "x509", "-in", str(path), "-noout", "-checkend", str(_LEFT_S)]
        if subprocess.run(asked, capture_output=True, check=False).returncode:
            raise ConfigError(f"{path}: this X.509 proxy ends within the hour; voms-proxy-init -voms cms")
    return str(path)
