"""Handing an exported encoder to the Hugging Face hub: its own files, and nothing else.

The token is huggingface_hub's own (``hf auth login``, or ``HF_TOKEN``); it is never read into a message.
"""

from __future__ import annotations

from pathlib import Path

from xalign.errors import UsageError, XalignError
from xalign.model_source import hub_reachable

LOGIN = "log in with 'hf auth login', or set HF_TOKEN"


def check_upload(name: str) -> None:
    """Refuse within seconds what cannot be uploaded, before anything is written.

    Raises:
        UsageError: no valid name of a repository.
        XalignError: no network, the hub is switched off, or there is no token.
    """
    from huggingface_hub import get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        raise UsageError(f"--push-to-hub {name}: not a name that the hub takes; write owner/name") from None
    if get_token() is None:
        raise XalignError(f"--push-to-hub {name}: no token for the hub; {LOGIN}")
    if not hub_reachable():
        raise XalignError(
            f"--push-to-hub {name}: the hub cannot be reached; leave it out, and upload where there is a network"
        )


def upload(folder: Path, name: str, *, private: bool) -> str:
    """Create a repository where there is none, and upload the files below `folder` in one commit.

    Returns:
        the repository's address.

    Raises:
        XalignError: the hub refuses, or a repository of that name is public though `private` was asked for.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    api = HfApi(endpoint=constants.ENDPOINT)
    try:
        address = str(api.create_repo(name, private=private, exist_ok=True))
        if private and not api.repo_info(name).private:
            raise XalignError(
                f"--push-to-hub {name}: that repository is public; nothing was uploaded: "
                "make it private there, or choose another name"
            )
        api.upload_folder(
            repo_id=name, folder_path=folder, allow_patterns=files, commit_message="Encoder exported by xalign"
        )
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        advice = LOGIN if status == 401 else "look at the token's rights and the repository's name"
        raise XalignError(f"--push-to-hub {name}: the hub refuses ({status}); {advice}. {folder} is complete") from None
    except XalignError:
        raise
    except Exception as error:  # its transport's errors share no family, and change with its versions
        kind = type(error).__name__
        raise XalignError(
            f"--push-to-hub {name}: the upload broke off ({kind}); repeat it. {folder} is complete"
        ) from None
    return address
