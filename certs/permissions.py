"""Who can read a private key: the guard in front of every key file.

Owns the reading of file modes (POSIX) and access lists (Windows) and the refusal of keys that
others can read. Knows nothing about what is inside a key.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from typing import TYPE_CHECKING, Final

from certs.errors import ConfigurationError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

MAX_PEM_BYTES: Final = 256 * 1024
"""Room for a bundle of a hundred roots; a larger file is not a certificate."""

# Windows: trustees that stand for more people than the owner, the system and administrators
# ("SID strings" of the Windows security documentation), as short names and as SIDs.
_BROAD_TRUSTEES: Final = {
    "WD": "Everyone",
    "S-1-1-0": "Everyone",
    "AN": "Anonymous",
    "S-1-5-7": "Anonymous",
    "AU": "Authenticated Users",
    "S-1-5-11": "Authenticated Users",
    "IU": "Interactive users",
    "S-1-5-4": "Interactive users",
    "NU": "Network users",
    "S-1-5-2": "Network users",
    "BU": "Users",
    "S-1-5-32-545": "Users",
    "BG": "Guests",
    "S-1-5-32-546": "Guests",
    "DU": "Domain users",
    "DG": "Domain guests",
}
_FILE_READ_DATA: Final = 0x1
_GENERIC_READ: Final = 0x8000_0000
_GENERIC_ALL: Final = 0x1000_0000
# The two-letter rights that include reading a file's data; CC is bit 0, FILE_READ_DATA.
_READING_RIGHTS: Final = {"FA", "FR", "FX", "GA", "GR", "CC"}
_ALLOW_TYPES: Final = {"A", "XA"}
_DACL: Final = re.compile(r"D:([A-Z_]*)((?:\(.*\))?)(?=S:|$)", re.DOTALL)
_ACE: Final = re.compile(r"\(([A-Z]+);([A-Z]*);([^;]*);[^;]*;[^;]*;([^;)]*)")


def read_private_key_guard(path: Path) -> None:
    """Refuse a private key file that is missing, not a file, or readable by others.

    On POSIX every permission bit of group and others counts, as it does for OpenSSH; an access
    control list shows in the group bits. On Windows the guard looks for a grant to a broad group
    such as Everyone or Users; where the access list cannot be read the key is accepted.

    Raises:
        ConfigurationError: The file is missing, is not a regular file, or others can read it.
        StorageError: The system would not tell.
    """
    os.close(_open_guarded(path))


def read_private_key(path: Path) -> bytes:
    """Read a private key file behind the guard, checking the very file that is then read.

    Returns:
        Its content, at most `MAX_PEM_BYTES` + 1 bytes, so that the parser sees one that is larger.

    Raises:
        ConfigurationError: As for `read_private_key_guard`.
        StorageError: The file cannot be read.
    """
    with os.fdopen(_open_guarded(path), "rb") as file:
        return file.read(MAX_PEM_BYTES + 1)


def exposure(path: Path) -> str | None:
    """Who else can read a file, in words, or None when only its owner can.

    Raises:
        OSError: The file cannot be examined.
    """
    return _exposure_of(path, path.stat().st_mode)


def broad_readers(sddl: str) -> list[str]:
    """The broad groups that a Windows access list lets read a file.

    Args:
        sddl: A security descriptor in the Security Descriptor Definition Language, such as
            `D:P(A;;FA;;;SY)(A;;FR;;;BU)`.

    Returns:
        Group names without repetition, in the order of the list. Denials are not subtracted: a
        list that first denies and then allows is reported too.
    """
    found = _DACL.search(sddl)
    if found is None or "NO_ACCESS_CONTROL" in found[1]:
        # No list at all means that everyone may do everything.
        return ["Everyone"]
    readers: dict[str, None] = {}
    for kind, flags, rights, trustee in _ACE.findall(found[2]):
        inherit_only = "IO" in re.findall("..", flags)
        group = _BROAD_TRUSTEES.get(trustee)
        if kind in _ALLOW_TYPES and not inherit_only and group and _lets_read(rights):
            readers[group] = None
    return list(readers)


def _lets_read(rights: str) -> bool:
    try:
        mask = int(rights, 0)
    except ValueError:
        return not _READING_RIGHTS.isdisjoint(re.findall("..", rights))
    return bool(mask & (_FILE_READ_DATA | _GENERIC_READ | _GENERIC_ALL))


def _open_guarded(path: Path) -> int:
    # O_NONBLOCK: opening a named pipe would otherwise wait for a writer forever.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise _cannot_open(path, error) from error
    try:
        refusal = _refusal(path, os.fstat(descriptor).st_mode)
    except BaseException:
        os.close(descriptor)
        raise
    if refusal is not None:
        os.close(descriptor)
        raise refusal
    return descriptor


def _refusal(path: Path, mode: int) -> ConfigurationError | None:
    if stat.S_ISDIR(mode):
        return ConfigurationError(f"{path} is a folder", "name the file of a private key")
    if not stat.S_ISREG(mode):
        return ConfigurationError(f"{path} is not a file", "name the file of a private key")
    readers = _exposure_of(path, mode)
    if readers is None:
        return None
    return ConfigurationError(
        f"the private key {path} can be read by others ({readers})", restrict_command(path)
    )


def _cannot_open(path: Path, error: OSError) -> ConfigurationError | StorageError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return ConfigurationError(f"the private key {path} does not exist", "check the path")
    if path.is_dir():  # Windows opens no folders; POSIX does, and gets here never.
        return ConfigurationError(f"{path} is a folder", "name the file of a private key")
    if error.errno in {errno.EACCES, errno.EPERM}:
        return ConfigurationError(
            f"the private key {path} cannot be read: {error.strerror}",
            "run as the user who owns it, or give it to the user who runs this",
        )
    return StorageError(
        f"the private key {path} cannot be read: {error.strerror}", "check the disk"
    )


if sys.platform == "win32":
    import ctypes

    _SE_FILE_OBJECT: Final = 1
    _DACL_SECURITY_INFORMATION: Final = 4
    _SDDL_REVISION_1: Final = 1

    def restrict_command(path: Path) -> str:
        """What a person types so that only the owner can read the file."""
        return f'run: icacls "{path}" /inheritance:r /grant:r "%USERNAME%:F"'

    def _exposure_of(path: Path, mode: int) -> str | None:  # noqa: ARG001 - the POSIX twin needs it
        sddl = _access_list(path)
        readers = broad_readers(sddl) if sddl is not None else []
        return ", ".join(readers) or None

    def _access_list(path: Path) -> str | None:
        advapi32 = ctypes.WinDLL("advapi32")
        local_free = ctypes.WinDLL("kernel32").LocalFree
        local_free.argtypes = [ctypes.c_void_p]
        local_free.restype = ctypes.c_void_p
        descriptor, text = ctypes.c_void_p(), ctypes.c_void_p()
        try:
            failed = advapi32.GetNamedSecurityInfoW(
                ctypes.c_wchar_p(str(path)),
                _SE_FILE_OBJECT,
                _DACL_SECURITY_INFORMATION,
                None,
                None,
                None,
                None,
                ctypes.byref(descriptor),
            )
            if failed or not advapi32.ConvertSecurityDescriptorToStringSecurityDescriptorW(
                descriptor,
                _SDDL_REVISION_1,
                _DACL_SECURITY_INFORMATION,
                ctypes.byref(text),
                None,
            ):
                return None
            return ctypes.wstring_at(text.value) if text.value else None
        finally:
            local_free(text)
            local_free(descriptor)

else:
    import shlex

    def restrict_command(path: Path) -> str:
        """What a person types so that only the owner can read the file."""
        return f"run: chmod 600 {shlex.quote(str(path))}"

    def _exposure_of(path: Path, mode: int) -> str | None:  # noqa: ARG001 - the Windows twin needs it
        permissions = stat.S_IMODE(mode)
        return f"mode {permissions:04o}" if permissions & 0o077 else None
