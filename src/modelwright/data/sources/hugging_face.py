"""Data sets in the form of the Hugging Face hub: a local folder, or files streamed from it.

Rows are read from the files themselves. No code and no address of a data set is ever followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePosixPath

from modelwright.core.errors import InputError
from modelwright.core.nearest import nearest
from modelwright.data.corpus import Document
from modelwright.data.drops import Drops, in_words
from modelwright.data.folder import find_files, fingerprint_files, printable
from modelwright.data.licences import FROM_FILE
from modelwright.data.sources.hugging_face_files import (
    CARD,
    DESCRIPTIONS,
    MAX_CARD_BYTES,
    Card,
    DataFile,
    choose_files,
    data_file,
    main_format,
    parse_card,
)
from modelwright.data.sources.hugging_face_folder import DatasetFolder, open_dataset
from modelwright.data.sources.hugging_face_rows import field_names, file_documents
from modelwright.data.sources.reader import Reading
from modelwright.data.sources.settings import HuggingFaceSource
from modelwright.data.sources.streams import ContentError
from modelwright.data.sources.tables import RowSettings

FROM_CARD = "data set card"
BAD_CARD = "data set card that cannot be read"
NOT_ROWS = "no file with rows"
OTHER_FORMAT = "file in another format than most of its split"
UPDATE_EVERY = 1000


class HuggingFaceReader:
    """Reads the rows of one split as documents.

    A row's address is its own ``url``, or ``name@revision/file#row``.

    Parameters
    ----------
    settings : HuggingFaceSource
        Which data set, and what of it.
    """

    def __init__(self, settings: HuggingFaceSource):
        self._settings = settings
        root = Path(settings.dataset)
        self._root = root if root.is_dir() else None
        self.name = f"hugging-face:{root.resolve().name if self._root else settings.dataset}"

    def documents(self, reading: Reading) -> Iterator[Document]:
        """Yield the documents in the order of files and rows.

        Raises
        ------
        InputError
            If the data set is not there, has no such configuration, split or field, or nothing in
            it can be used.
        """
        settings, drops = self._settings, reading.drops
        before = drops.counts
        folder = open_dataset(settings.dataset, settings.revision, drops)
        card = _read_card(folder, drops)
        files = choose_files(
            folder.names, card, settings.configuration, settings.split, folder.address
        )
        kind = main_format(files)
        for name in (file.name for file in files if file.format != kind):
            drops.add(OTHER_FORMAT, printable(name))
        files = [file for file in files if file.format == kind]
        for name in folder.names:
            if data_file(name) is None and PurePosixPath(name).name not in DESCRIPTIONS:
                drops.add(NOT_ROWS, printable(name))
        rows = RowSettings(self.name, settings.text_field, card.licence, settings.licence)
        found = 0
        with reading.progress.task(f"read {folder.address}", None, "rows") as task:
            for document in islice(_documents(folder, files, rows, drops), settings.maximum):
                found += 1
                if found % UPDATE_EVERY == 0:
                    task.update(found)
                yield document
        if not found:
            raise _nothing_usable(folder, files, rows, in_words(drops.since(before)))

    def fingerprint(self) -> object:
        """Names, sizes and times of local files; of the hub the name and revision alone.

        What a data set of the hub holds is not asked for: pin its revision.
        """
        if self._root is None:
            return [self._settings.dataset, self._settings.revision]
        return fingerprint_files(find_files(self._root, Drops(lambda text: None)), self._root)


def _read_card(folder: DatasetFolder, drops: Drops) -> Card:
    if CARD not in folder.names:
        return Card()
    with folder.open(CARD) as (file, _):
        raw = file.read(MAX_CARD_BYTES + 1)
    card = parse_card(raw) if len(raw) <= MAX_CARD_BYTES else None
    if card is None:
        drops.add(BAD_CARD, f"{folder.address}/{CARD}")
    return card or Card()


def _documents(
    folder: DatasetFolder, files: list[DataFile], rows: RowSettings, drops: Drops
) -> Iterator[Document]:
    for file in files:
        name = f"{folder.address}/{printable(file.name)}"
        try:
            with folder.open(file.name) as (raw, size):
                for document in file_documents(raw, size, file, name, rows, drops):
                    # The only licence file of a data set is its card.
                    from_card = document.licence_from == FROM_FILE
                    yield replace(document, licence_from=FROM_CARD) if from_card else document
        except ContentError as error:
            drops.add(str(error), name)


def _nothing_usable(
    folder: DatasetFolder, files: list[DataFile], rows: RowSettings, left_out: str
) -> InputError:
    with folder.open(files[0].name) as (raw, size):
        names = field_names(raw, size, files[0])
    where = f"{folder.address}/{printable(files[0].name)}"
    if names and rows.text_field not in names:
        guess = nearest(rows.text_field, names) or names[0]
        return InputError(
            f"there is no column '{rows.text_field}', but {', '.join(map(printable, names))}",
            where=where,
            fix=f"name the one with the text, for example 'text_field: {printable(guess)}'",
        )
    return InputError(
        f"no row of this data set can be used: {left_out or 'it has none'}", where=where
    )
