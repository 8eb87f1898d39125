"""MQTT-based file delivery: streams of files that devices fetch in blocks.

Serves `$aws/things/<thing>/streams/<streamId>/{describe|get}/{json|cbor}` and the operations of
the API. Sources: AWS IoT Core developer guide, "MQTT-based file delivery"; AWS IoT API reference,
CreateStream and its siblings; AWS IoT Core quotas. Knows nothing about S3: whoever creates a
stream brings the bytes of its files.

Block payloads are base64 in JSON, as the AWS file streams library for devices reads them (the
guide says hexadecimal), and bytes in CBOR. `l` of an answer is the size of that block, which is
shorter at the end of a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from simulator.iotcore.broker.joints import Answer
from simulator.iotcore.broker.message import Message
from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.formats import (
    CONTENT_TYPES,
    Format,
    PayloadError,
    format_of,
    read_object,
    write,
)
from simulator.iotcore.services.members import Members, Request, Result, without_nulls
from simulator.iotcore.services.service import PromptService
from simulator.iotcore.services.stream_blocks import (
    CLIENT_TOKEN_BYTES_MAX,
    FILE_ID_MAX,
    VERSION_MAX,
    BlockRequest,
    StreamRefusal,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.iotcore.permissions.account import Account

STREAMS_MAX: Final = 10_000
FILES_MAX: Final = 10
FILE_BYTES_MAX: Final = 24 * 1024 * 1024
"""AWS IoT Core quotas "streams per account", "files per stream" and "file size"."""

STORED_BYTES_MAX: Final = 256 * 1024 * 1024
"""Bytes of all files together; a stand-in keeps them in memory. Beyond, LimitExceededException."""

LIST_MAX: Final = 250
_INVALID: Final = "InvalidRequestException"
_STREAM_ID: Final = r"[a-zA-Z0-9_-]{1,128}"
_ROLE: Final = r"[\s\S]{20,2048}"
_DESCRIPTION_CHARACTERS_MAX: Final = 2028


class _Address(NamedTuple):
    """A request topic taken apart."""

    base: str
    stream_id: str
    operation: str
    format: Format

    @classmethod
    def of(cls, topic: str) -> _Address | None:
        match topic.split("/"):
            case ["$aws", "things", thing, "streams", stream_id, ("describe" | "get") as op, level]:
                payload_format = format_of(level)
                if payload_format is not None:
                    base = f"$aws/things/{thing}/streams/{stream_id}"
                    return cls(base, stream_id, op, payload_format)
        return None


class _File(msgspec.Struct):
    file_id: int
    content: bytes
    location: dict[str, Any]


class _Stream(msgspec.Struct):
    """A stream. Times are Unix time in seconds."""

    stream_id: str
    version: int
    role_arn: str
    files: list[_File]
    created_unix_s: float
    updated_unix_s: float
    description: str | None = None

    @property
    def size(self) -> int:
        return sum(len(file.content) for file in self.files)


class Streams(PromptService):
    """The service. It keeps at most 10,000 streams and 256 MB of files.

    Args:
        account: Whose ARNs these are.
        unix_s_at_zero: Unix time when the broker's clock shows zero.
    """

    def __init__(self, *, account: Account, unix_s_at_zero: float) -> None:
        self._arn_prefix = account.arn_prefix
        self._unix_s_at_zero = unix_s_at_zero
        self._streams: dict[str, _Stream] = {}

    # Devices

    def claims(self, topic: str, /) -> bool:
        """Whether the topic is one of the request topics, in JSON or CBOR."""
        return _Address.of(topic) is not None

    def handle(self, message: Message, client_id: str | None, now_s: float, /) -> Sequence[Answer]:
        """Serve a device.

        Returns:
            Direct answers: one on `.../description/<format>`, one per block on
            `.../data/<format>`, or one on `.../rejected/<format>`.
        """
        address = _Address.of(message.topic)
        if address is None:
            return ()
        token: str | None = None
        try:
            request = _read(message.payload, address.format)
            token = _client_token(request)
            level, documents = self._serve(address, request)
        except StreamRefusal as refusal:
            level = "rejected"
            documents = [{"o": refusal.code, "m": refusal.message}]
        topic = f"{address.base}/{level}/{address.format}"
        identity = {} if token is None else {"c": token}
        return [
            Answer(
                Message(
                    topic,
                    write(identity | document, address.format),
                    message.qos,
                    now_s,
                    content_type=CONTENT_TYPES[address.format],
                ),
                client_id,
            )
            for document in documents
        ]

    def _serve(
        self, address: _Address, request: dict[str, Any]
    ) -> tuple[str, list[dict[str, Any]]]:
        """Topic level and documents of the answers."""
        asked = BlockRequest(request) if address.operation == "get" else None
        stream = self._streams.get(address.stream_id)
        if stream is None:
            raise StreamRefusal("ResourceNotFound", "The stream does not exist")
        if asked is None:
            files = [{"f": file.file_id, "z": len(file.content)} for file in stream.files]
            # The guide's example always has a description; a stream without one has an empty one.
            return "description", [{"s": stream.version, "d": stream.description or "", "r": files}]
        if asked.version not in {None, stream.version}:
            raise StreamRefusal("VersionMismatch", f"The stream has the version {stream.version}")
        file = next((file for file in stream.files if file.file_id == asked.file_id), None)
        if file is None:
            raise StreamRefusal("ResourceNotFound", "The stream has no such file")
        documents = []
        for block in asked.blocks(len(file.content)):
            start = block * asked.block_bytes
            payload = file.content[start : start + asked.block_bytes]
            documents.append({"f": file.file_id, "l": len(payload), "i": block, "p": payload})
        return "data", documents

    # The API

    def create_stream(
        self, request: Request, contents: Mapping[int, bytes], now_s: float
    ) -> tuple[Result, list[Answer]]:
        """CreateStream.

        Args:
            request: The members of the request.
            contents: The bytes of each file, by file id.
            now_s: The time now.

        Raises:
            ServiceFailure: InvalidRequestException, ResourceNotFoundException for a file without
                content, ResourceAlreadyExistsException or LimitExceededException.
        """
        members = Members(request, _INVALID)
        stream_id = _stream_id(members)
        role_arn = members.required_text("roleArn", pattern=_ROLE)
        description = _description(members)
        files = _files(members, contents)
        if stream_id in self._streams:
            raise ServiceFailure(
                "ResourceAlreadyExistsException", f"Stream {stream_id} already exists", 409
            )
        if len(self._streams) >= STREAMS_MAX:
            raise ServiceFailure(
                "LimitExceededException", f"The account has {STREAMS_MAX} streams", 410
            )
        unix_s = now_s + self._unix_s_at_zero
        stream = _Stream(stream_id, 1, role_arn, files, unix_s, unix_s, description)
        self._check_room(stream.size)
        self._streams[stream_id] = stream
        return self._summary(stream), []

    def update_stream(
        self, request: Request, contents: Mapping[int, bytes], now_s: float
    ) -> tuple[Result, list[Answer]]:
        """UpdateStream: a new version.

        Args:
            request: The members of the request.
            contents: The bytes of each file, by file id; not looked at without `files`.
            now_s: The time now.

        Raises:
            ServiceFailure: InvalidRequestException, ResourceNotFoundException or
                LimitExceededException.
        """
        members = Members(request, _INVALID)
        stream = self._known(members)
        role_arn = members.text("roleArn", pattern=_ROLE)
        description = _description(members)
        files = _files(members, contents) if "files" in members else stream.files
        self._check_room(sum(len(file.content) for file in files) - stream.size)
        stream.files = files
        stream.role_arn = role_arn or stream.role_arn
        stream.description = description or stream.description
        stream.version = min(stream.version + 1, VERSION_MAX)
        stream.updated_unix_s = now_s + self._unix_s_at_zero
        return self._summary(stream), []

    def describe_stream(self, request: Request) -> tuple[Result, list[Answer]]:
        """DescribeStream.

        Raises:
            ServiceFailure: InvalidRequestException or ResourceNotFoundException.
        """
        stream = self._known(Members(request, _INVALID))
        info = self._summary(stream) | {
            "files": [
                {"fileId": file.file_id} | ({"s3Location": file.location} if file.location else {})
                for file in stream.files
            ],
            "createdAt": stream.created_unix_s,
            "lastUpdatedAt": stream.updated_unix_s,
            "roleArn": stream.role_arn,
        }
        return {"streamInfo": info}, []

    def list_streams(self, request: Request) -> tuple[Result, list[Answer]]:
        """ListStreams, newest first unless the request says `ascendingOrder`.

        Raises:
            ServiceFailure: InvalidRequestException.
        """
        members = Members(request, _INVALID)
        streams = list(self._streams.values())
        if not members.flag("ascendingOrder"):
            streams.reverse()
        entries = [(stream.stream_id, self._summary(stream)) for stream in streams]
        page, token = members.page(entries, LIST_MAX)
        return without_nulls({"streams": page, "nextToken": token}), []

    def delete_stream(self, request: Request) -> tuple[Result, list[Answer]]:
        """DeleteStream.

        Raises:
            ServiceFailure: InvalidRequestException or ResourceNotFoundException.
        """
        del self._streams[self._known(Members(request, _INVALID)).stream_id]
        return {}, []

    def _known(self, members: Members) -> _Stream:
        stream_id = _stream_id(members)
        stream = self._streams.get(stream_id)
        if stream is None:
            raise ServiceFailure(
                "ResourceNotFoundException", f"Stream {stream_id} does not exist", 404
            )
        return stream

    def _check_room(self, more: int) -> None:
        stored = sum(stream.size for stream in self._streams.values())
        if stored + more > STORED_BYTES_MAX:
            raise ServiceFailure(
                "LimitExceededException", f"Streams hold at most {STORED_BYTES_MAX} bytes", 410
            )

    def _summary(self, stream: _Stream) -> Result:
        return without_nulls(
            {
                "streamId": stream.stream_id,
                "streamArn": f"{self._arn_prefix}stream/{stream.stream_id}",
                "description": stream.description,
                "streamVersion": stream.version,
            }
        )

    # Keeping

    def status(self) -> dict[str, Any]:
        """Streams."""
        return {"streams": len(self._streams)}

    def dump(self) -> dict[str, Any]:
        """Every stream, its files as base64."""
        return {"streams": msgspec.to_builtins(list(self._streams.values()))}

    def load(self, document: dict[str, Any], /) -> None:
        """Take over what `dump` gave.

        Raises:
            ValueError: The document is damaged.
        """
        try:
            streams = msgspec.convert(document, dict[str, list[_Stream]])["streams"]
        except (msgspec.ValidationError, KeyError) as error:
            raise ValueError(f"streams: {error}") from error
        self._streams = {stream.stream_id: stream for stream in streams}


def _read(payload: bytes, payload_format: Format) -> dict[str, Any]:
    if not payload:
        return {}
    try:
        return read_object(payload, payload_format)
    except PayloadError as error:
        code = "InvalidJson" if payload_format is Format.JSON else "InvalidCbor"
        raise StreamRefusal(code, f"The request cannot be parsed: {error}") from error


def _client_token(request: dict[str, Any]) -> str | None:
    token = request.get("c")
    if token is None:
        return None
    if not isinstance(token, str) or len(token.encode()) > CLIENT_TOKEN_BYTES_MAX:
        raise StreamRefusal(
            "InvalidRequest", f"The client token must have at most {CLIENT_TOKEN_BYTES_MAX} bytes"
        )
    return token


def _stream_id(members: Members) -> str:
    return members.required_text("streamId", pattern=_STREAM_ID)


def _description(members: Members) -> str | None:
    return members.text("description", longest=_DESCRIPTION_CHARACTERS_MAX, printable=True) or None


def _files(members: Members, contents: Mapping[int, bytes]) -> list[_File]:
    entries = members.mappings("files")
    if not 1 <= len(entries) <= FILES_MAX:
        raise members.failure(f"A stream has 1 to {FILES_MAX} files")
    files: dict[int, _File] = {}
    for entry in entries:
        file = Members(entry, _INVALID)
        file_id = file.integer("fileId", 0, FILE_ID_MAX)
        if file_id is None or file_id in files:
            raise members.failure("Every file needs a fileId of its own")
        content = contents.get(file_id)
        if content is None:
            raise ServiceFailure(
                "ResourceNotFoundException", f"File {file_id} cannot be found", 404
            )
        if len(content) > FILE_BYTES_MAX:
            raise members.failure(f"A file has at most {FILE_BYTES_MAX} bytes")
        files[file_id] = _File(file_id, bytes(content), file.mapping("s3Location") or {})
    return list(files.values())
