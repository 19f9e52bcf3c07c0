"""Where a model comes from: a hub name, a Hugging Face directory, a run directory, or the embedded ``mini``."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import getproxies

from xalign.errors import UsageError, XalignError
from xalign.storage import digest_file, digest_json, read_record

EMBEDDED = "mini"
CONNECT_SECONDS = 3.0
# Encoders that people align, and what the hub says of them; of others the README beside the weights is asked.
KNOWN_LICENCES = {
    EMBEDDED: "apache-2.0",
    "xlm-roberta-base": "mit",
    "FacebookAI/xlm-roberta-base": "mit",
    "xlm-roberta-large": "mit",
    "FacebookAI/xlm-roberta-large": "mit",
    "bert-base-multilingual-cased": "apache-2.0",
    "google-bert/bert-base-multilingual-cased": "apache-2.0",
    "distilbert-base-multilingual-cased": "apache-2.0",
    "distilbert/distilbert-base-multilingual-cased": "apache-2.0",
}
IGNORED_BY_DIGEST = {"README.md", "LICENSE", ".gitattributes"}


@dataclass(frozen=True)
class ModelSource:
    """A local directory in Hugging Face's layout, and what is known of its past.

    Attributes:
        name: how tables call it: the hub name, the directory's name, or ``mini``.
        directory: where its files are.
        lineage: what earlier phases recorded (pair, loss, seed, step, task, mode), empty for a base encoder.
        upstream: run directory and key of the run that made it, if one did.
    """

    name: str
    directory: Path
    lineage: dict[str, Any] = field(default_factory=dict)
    upstream: dict[str, str] | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over the names and contents of the directory's own files."""
        files = sorted(p for p in self.directory.iterdir() if p.is_file() and p.name not in IGNORED_BY_DIGEST)
        return digest_json({path.name: digest_file(path) for path in files})


def embedded_directory() -> Path:
    """The encoder that ships in the package.

    Raises:
        XalignError: the package was built without it.
    """
    directory = Path(str(resources.files("xalign") / "models" / EMBEDDED))
    if not (directory / "model.safetensors").is_file():
        raise XalignError(f"{directory}: the embedded encoder is missing; install xalign anew")
    return directory


def find_model(name: str) -> ModelSource:
    """Resolve a MODEL argument to a local directory; a hub name is fetched into the hub's own cache.

    Raises:
        UsageError: nothing of that name exists here, or the hub cannot be reached; within seconds.
        XalignError: a run directory that holds no complete encoder.
    """
    path = Path(name)
    if name == EMBEDDED:
        return ModelSource(EMBEDDED, embedded_directory())
    if (path / "run.json").is_file():
        return _from_run(path)
    if path.name.startswith("encoder") and (path.parent / "run.json").is_file() and (path / "config.json").is_file():
        return _from_run(path.parent, path.name)
    if (path / "config.json").is_file():
        return ModelSource(path.resolve().name, path)
    if path.exists():
        raise UsageError(f"{path}: neither a model (no config.json) nor a run (no run.json)")
    if name.startswith((".", "/")) or name.count("/") > 1:
        raise UsageError(f"{path}: no such directory; give a hub name, a model or run directory, or 'mini'")
    return ModelSource(name, _from_hub(name))


def is_hub_name(name: str) -> bool:
    """Whether a MODEL argument surely names a model on the hub: a known one, or ``owner/name`` that is no path here."""
    if name == EMBEDDED or name.startswith((".", "/", "~")) or Path(name).exists():
        return False
    return name in KNOWN_LICENCES or (name.count("/") == 1 and not name.endswith("/"))


def _from_run(run: Path, encoder: str = "encoder") -> ModelSource:
    record = read_record(run / "run.json", phase=str, key=str, lineage=dict)
    directory = run / encoder
    if record["phase"] == "finetune" or ((run / "head").is_dir() and not directory.is_dir()):
        raise UsageError(f"{run}: a fine-tuned model; give it to 'xalign transfer', or name the encoder it came from")
    if encoder == "encoder" and not (run / "result.json").is_file():
        raise UsageError(f"{run}: this {record['phase']} run is not complete; finish it with --resume")
    if not (directory / "config.json").is_file():
        raise XalignError(f"{directory}: no encoder there; run 'xalign {record['phase']}' again with --overwrite")
    lineage = dict(record["lineage"])
    if (step := encoder.removeprefix("encoder-step")).isdecimal():
        lineage |= {"align_step": int(step), "partial": True}
    return ModelSource(
        str(lineage.get("encoder", run.name)), directory, lineage, {"path": str(run), "key": record["key"]}
    )


def hub_reachable() -> bool:
    """Whether the model hub answers at all, found out within `CONNECT_SECONDS`."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    scheme = urlparse(constants.ENDPOINT).scheme
    address = urlparse(getproxies().get(scheme) or constants.ENDPOINT)
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        socket.create_connection((address.hostname, port), timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors", "*.txt", "*.model"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, local_files_only=not hub_reachable()))
    except LocalEntryNotFoundError:
        raise UsageError(
            f"model {name!r}: not a local directory, not in the hub's cache, and the hub cannot be reached; "
            f"download it where there is a network, and pass its directory"
        ) from None
    except HFValidationError:
        raise UsageError(f"model {name!r}: neither a directory nor a valid hub name") from None
    except HfHubHTTPError as error:
        raise UsageError(f"model {name!r}: the hub refuses it ({error.response.status_code}); check the name") from None
