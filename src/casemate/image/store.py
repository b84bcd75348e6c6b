"""The images of an engine and their names, in the database; their bytes are in the two stores."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import NamedTuple

from casemate.content.lease import Lease
from casemate.content.store import ContentStore
from casemate.database import Database
from casemate.errors import InvalidArgument, NotFound
from casemate.layer.store import LayerStore
from casemate.oci import digest as digests
from casemate.oci import image as configs
from casemate.oci import reference as references
from casemate.oci.descriptor import Descriptor
from casemate.oci.digest import Digest
from casemate.oci.image import ImageConfig
from casemate.oci.reference import Reference

_SCHEMA = [
    """
    CREATE TABLE image (
        id TEXT PRIMARY KEY,
        manifest TEXT,
        media_type TEXT NOT NULL,
        created_ns INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE image_name (
        name TEXT PRIMARY KEY,
        image TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE
    ) STRICT;
    CREATE TABLE layer_blob (
        diff_id TEXT NOT NULL,
        digest TEXT NOT NULL,
        size INTEGER NOT NULL,
        media_type TEXT NOT NULL,
        PRIMARY KEY (diff_id, digest)
    ) STRICT
    """
]
_ID = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")


class Image(NamedTuple):
    """A stored image. ``manifest`` is the digest of the manifest it came with or was pushed as;
    ``names`` are whole references, with a tag or with a digest. ``stored_ns`` is when it arrived.
    """

    id: Digest
    config: ImageConfig
    manifest: Digest | None
    media_type: str
    names: tuple[Reference, ...]
    stored_ns: int

    @property
    def layers(self) -> tuple[Digest, ...]:
        """The DiffIDs, base first."""
        return self.config.rootfs.diff_ids

    @property
    def tags(self) -> tuple[Reference, ...]:
        """The names that people gave it."""
        return tuple(n for n in self.names if n.tag)

    @property
    def repo_digests(self) -> tuple[Reference, ...]:
        """The names under which registries know it."""
        return tuple(n for n in self.names if n.digest)


class ImageStore:
    """Finds, names and forgets images; for any number of threads."""

    def __init__(self, database: Database, content: ContentStore, layers: LayerStore) -> None:
        self._database = database
        self.content = content
        self.layers = layers
        database.migrate("image", _SCHEMA)
        # Configs never change: they are named by what they hold.
        self._config = functools.lru_cache(256)(self._read_config)

    def add(
        self,
        config: bytes,
        *,
        names: Iterable[Reference] = (),
        manifest: Descriptor | None = None,
        stored_ns: int,
        lease: Lease,
    ) -> Image:
        """Record the image of ``config``, whose layers are stored, and give it ``names``.

        ``lease`` protects its parts until then. Naming moves a tag away from what had it.
        """
        parsed = configs.parse(config, "the new image")
        for diff_id in parsed.rootfs.diff_ids:
            self.layers.get(diff_id)
        id_ = self.content.put(lease, config)
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO image VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
                " manifest = coalesce(excluded.manifest, manifest), media_type ="
                " CASE WHEN excluded.manifest IS NULL THEN media_type ELSE excluded.media_type END",
                (
                    id_,
                    manifest.digest if manifest else None,
                    manifest.media_type if manifest else "",
                    stored_ns,
                ),
            )
            for name in names:
                self._name(str(name), id_)
        return self.get(id_)

    def tag(self, image: Image, name: Reference) -> None:
        """Give ``image`` one more name, taking it away from what had it."""
        with self._database.transaction():
            self._name(str(name), image.id)

    def untag(self, name: Reference) -> None:
        """Take a name away; the image stays."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM image_name WHERE name = ?", (str(name),))

    def forget(self, image: Image) -> None:
        """Remove the image's record and names; its bytes go with the next collection."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM image WHERE id = ?", (image.id,))

    def get(self, id_: Digest) -> Image:
        """Return the image with the whole id ``id_``. Raises NotFound."""
        rows = self._database.query(
            "SELECT id, manifest, media_type, created_ns FROM image WHERE id = ?", (id_,)
        )
        if not rows:
            raise NotFound(f"No such image: {id_}")
        return self._image(rows[0])

    def all(self) -> list[Image]:
        """Return every image, the newest first."""
        rows = self._database.query(
            "SELECT id, manifest, media_type, created_ns FROM image ORDER BY created_ns DESC, id"
        )
        return [self._image(row) for row in rows]

    def find(self, text: str) -> Image:
        """Return the image that ``text`` names: a reference, an id or its beginning.

        Raises NotFound, or InvalidArgument when several begin so.
        """
        match = _ID.fullmatch(text)
        if match and len(match[1]) == 64:
            return self._known(digests.parse(f"sha256:{match[1]}"), text)
        named = self._by_name(text)
        if named:
            return self.get(named)
        if match:
            rows = self._database.query(
                "SELECT id FROM image WHERE id >= ? AND id < ? LIMIT 2",
                (f"sha256:{match[1]}", f"sha256:{match[1]}g"),
            )
            if len(rows) > 1:
                raise InvalidArgument(f"ambiguous image id {text}: several images begin so")
            if rows:
                return self.get(Digest(rows[0][0]))
        raise NotFound(f"No such image: {_shown(text)}")

    def named(self, name: Reference) -> Image | None:
        """Return the image with exactly this name."""
        rows = self._database.query("SELECT image FROM image_name WHERE name = ?", (str(name),))
        return self.get(Digest(rows[0][0])) if rows else None

    def set_manifest(self, image: Image, manifest: Descriptor) -> None:
        """Remember the manifest as which the image was pushed."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE image SET manifest = ?, media_type = ? WHERE id = ?",
                (manifest.digest, manifest.media_type, image.id),
            )

    def blobs_of(self, diff_id: Digest) -> list[Descriptor]:
        """Return the compressed forms in which this layer was seen at registries."""
        rows = self._database.query(
            "SELECT media_type, digest, size FROM layer_blob WHERE diff_id = ? ORDER BY rowid DESC",
            (diff_id,),
        )
        return [Descriptor(row[0], Digest(row[1]), row[2]) for row in rows]

    def note_blob(self, diff_id: Digest, blob: Descriptor) -> None:
        """Remember that the layer ``diff_id`` is ``blob`` at a registry."""
        with self._database.transaction(durable=False) as connection:
            connection.execute(
                "INSERT OR IGNORE INTO layer_blob VALUES (?, ?, ?, ?)",
                (diff_id, blob.digest, blob.size, blob.media_type),
            )

    def forget_blobs(self, diff_ids: Iterable[Digest]) -> None:
        """Forget the compressed forms of layers that are gone."""
        with self._database.transaction(durable=False) as connection:
            connection.executemany(
                "DELETE FROM layer_blob WHERE diff_id = ?", [(d,) for d in diff_ids]
            )

    def _known(self, id_: Digest, text: str) -> Image:
        try:
            return self.get(id_)
        except NotFound:
            raise NotFound(f"No such image: {text}") from None

    def _by_name(self, text: str) -> Digest | None:
        try:
            reference = references.parse(text)
        except InvalidArgument:
            if _ID.fullmatch(text):
                return None
            raise
        if reference.digest:
            # The digest decides; a tag beside it is only for people.
            reference = reference._replace(tag="")
        rows = self._database.query(
            "SELECT image FROM image_name WHERE name = ?", (str(reference),)
        )
        if not rows and reference.digest:
            rows = self._by_manifest(reference.digest, reference.repository)
        return Digest(rows[0][0]) if rows else None

    def _by_manifest(self, digest: Digest, repository: str) -> list[tuple[str]]:
        """Return the image that came by an index, by the manifest of its platform.

        It must have a name in ``repository``: a digest alone is no name of anything.
        """
        rows = self._database.query("SELECT id FROM image WHERE manifest = ?", (digest,))
        return [
            (row[0],)
            for row in rows
            if any(n.repository == repository for n in self.get(Digest(row[0])).names)
        ]

    def _name(self, name: str, id_: Digest) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO image_name VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET image = excluded.image",
                (name, id_),
            )

    def _image(self, row: tuple[str, str | None, str, int]) -> Image:
        id_ = Digest(row[0])
        names = self._database.query(
            "SELECT name FROM image_name WHERE image = ? ORDER BY name", (id_,)
        )
        return Image(
            id=id_,
            config=self._config(id_),
            manifest=Digest(row[1]) if row[1] else None,
            media_type=row[2],
            names=tuple(references.parse(n[0], default_tag="") for n in names),
            stored_ns=row[3],
        )

    def _read_config(self, id_: Digest) -> ImageConfig:
        return configs.parse(self.content.read(id_, configs.MAX_BYTES), f"image {id_}")


def _shown(text: str) -> str:
    try:
        return references.parse(text).familiar
    except InvalidArgument:
        return text[:300]
