"""What a file is by its extension: the truth that detection is held against."""

from typing import NamedTuple


class Kind(NamedTuple):
    modality: str
    formats: tuple  # ids that name the format, the extension among them
    media_types: tuple
    is_text: bool


def _kinds(modality, table, is_text=False):
    """One kind a line: `extension other-ids.. media/types..`."""
    kinds = {}
    for line in table.strip().splitlines():
        name, *words = line.split()
        formats = (name, *(word for word in words if "/" not in word))
        kinds[name] = Kind(modality, formats, tuple(plain(word) for word in words if "/" in word), is_text)
    return kinds


def plain(media_type):
    """Without parameters and the `x-` of types that are not registered: `audio/x-wav; codecs=1` as `audio/wav`."""
    kind, _, name = media_type.partition(";")[0].strip().lower().partition("/")
    return f"{kind}/{name.removeprefix('x-').removeprefix('vnd.')}"


KINDS = {
    **_kinds("image", """
        png apng image/png image/apng
        apng png image/png image/apng
        jpg jpeg jfif image/jpeg
        jpeg jpg jfif image/jpeg
        gif image/gif
        webp image/webp
        bmp image/bmp
        tif tiff image/tiff
        tiff tif image/tiff
        tga targa image/tga image/targa
        ico image/icon image/microsoft.icon
        ppm pnm image/portable-pixmap image/portable-anymap
        pgm pnm image/portable-graymap image/portable-anymap
        pbm pnm image/portable-bitmap image/portable-anymap
        qoi image/qoi
        dds image/dds image/ms-dds
        exr openexr image/exr
        hdr radiance image/radiance
        jxl image/jxl
        avif image/avif
        heic heif image/heic image/heif
        psd image/adobe.photoshop
        jp2 jpeg2000 image/jp2
        icns image/icns image/apple-icon-image
        emf image/emf
    """),
    **_kinds("audio", """
        wav wave audio/wav audio/wave
        aif aiff audio/aiff
        aiff aif audio/aiff
        flac audio/flac
        mp3 audio/mpeg
        ogg vorbis oga audio/ogg application/ogg audio/vorbis
        oga ogg audio/ogg application/ogg
        opus audio/opus audio/ogg
        spx speex ogg audio/speex audio/ogg application/ogg
        m4a mp4 audio/mp4 audio/m4a
        m4b mp4 m4a audio/mp4 audio/m4b audio/m4a
        aac adts audio/aac
        ac3 audio/ac3
        eac3 ec3 audio/eac3
        wma asf audio/ms-wma audio/ms-asf video/ms-asf application/ms-asf
        wv wavpack audio/wavpack
        ape monkeys-audio audio/ape
        mpc musepack audio/musepack
        dsf audio/dsf audio/dsd
        tta audio/tta
        caf audio/caf
        mid midi audio/midi
    """),
    **_kinds("video", """
        mp4 video/mp4 application/mp4
        mov quicktime video/quicktime
        mkv matroska video/matroska
        webm video/webm
        avi video/msvideo video/avi
        wmv asf video/ms-wmv video/ms-asf
        flv video/flv
        mpg mpeg video/mpeg
    """),
    **_kinds("pdf", "pdf application/pdf"),
    **_kinds("binary", """
        elf application/elf application/executable application/sharedlib application/object application/coredump
        o elf macho coff application/object application/elf application/relocatable
        so elf application/sharedlib application/elf
        exe pe application/msdownload application/dosexec application/portable-executable application/microsoft.portable-executable
        dll pe application/msdownload application/dosexec application/portable-executable application/microsoft.portable-executable
        dylib macho mach-o application/mach-binary
        wasm application/wasm
        class java-class application/java application/java-vm
        pyc binary application/python-code application/octet-stream
        sqlite sqlite3 application/sqlite3
        ttf font/ttf font/sfnt application/font-ttf
        otf font/otf font/sfnt
        woff font/woff application/font-woff
    """),
    **_kinds("archive", """
        zip application/zip
        jar zip application/java-archive application/zip
        whl zip application/zip
        tar application/tar
        gz gzip application/gzip
        bz2 bzip2 application/bzip2 application/bzip
        xz application/xz
        zst zstd zstandard application/zstd
        7z sevenz application/7z-compressed
        rar application/rar application/rar-compressed
        lz4 application/lz4
        cab application/cab-compressed application/ms-cab-compressed
        iso iso9660 application/iso9660-image
    """),
    **_kinds("document", """
        docx application/openxmlformats-officedocument.wordprocessingml.document
        pptx application/openxmlformats-officedocument.presentationml.presentation
        xlsx application/openxmlformats-officedocument.spreadsheetml.sheet
        odt application/oasis.opendocument.text
        ods application/oasis.opendocument.spreadsheet
        epub application/epub+zip
        doc cfb ole application/msword application/ms-office application/ole-storage application/cfb
        xls cfb ole application/ms-excel application/ms-office application/ole-storage application/cfb
        parquet application/parquet application/apache.parquet
        warc application/warc
    """),
    **_kinds("document", """
        html htm text/html
        htm html text/html
        eml email mbox message/rfc822
        rtf text/rtf application/rtf
        csv text/csv
        tsv text/tab-separated-values
        json application/json text/json
        jsonl ndjson application/jsonl application/ndjson application/json-lines
        xml text/xml application/xml
        svg xml image/svg+xml text/xml application/xml
    """, is_text=True),
    **_kinds("text", """
        txt text plain text/plain
        rst text restructuredtext text/rst text/plain
        srt subrip application/subrip text/plain
    """, is_text=True),
    **_kinds("code", """
        md markdown text/markdown text/plain
        toml application/toml text/toml
        yaml yml application/yaml text/yaml
        yml yaml application/yaml text/yaml
        py python text/python text/python3
        pyi python text/python
        rs rust text/rust
        js javascript text/javascript application/javascript
        mjs javascript text/javascript application/javascript
        ts typescript text/typescript application/typescript
        tsx typescript text/tsx text/typescript
        go text/go
        java text/java text/java-source
        c text/c text/csrc
        h c cpp text/c text/chdr text/csrc text/c++
        cpp c++ text/c++ text/c++src text/cpp
        cc cpp c++ text/c++ text/c++src text/cpp
        hpp cpp c++ text/c++ text/c++hdr text/cpp
        cs csharp c-sharp text/csharp text/c-sharp
        rb ruby text/ruby application/ruby
        php text/php application/php application/httpd-php
        sh bash shell text/shellscript application/sh text/sh
        css text/css
        lua text/lua
        scala text/scala
        swift text/swift
        kt kotlin text/kotlin
    """, is_text=True),
}  # fmt: skip

# Where several answers are right.
ALSO = {
    "svg": {"image", "code", "text"},
    "xml": {"code", "text"},
    "html": {"code"},
    "htm": {"code"},
    "json": {"code"},
    "jsonl": {"code", "text"},
    "rtf": {"text"},
    "csv": {"text"},
    "tsv": {"text"},
    "eml": {"text"},
    "md": {"text", "document"},
    "toml": {"text", "document"},
    "yaml": {"text", "document"},
    "yml": {"text", "document"},
    "rst": {"code", "document"},
    "srt": {"document"},
    "warc": {"archive"},
    "jar": {"binary"},
    "doc": {"binary"},
    "xls": {"binary"},
    "sqlite": {"document"},
    "emf": {"binary"},
    "mid": {"binary"},
    "mp4": {"audio"},
    "wmv": {"audio"},
    "ogg": {"video"},
}


def extension(path):
    """Its ending in lower case, without the point."""
    return path.suffix[1:].lower()


def of_path(path):
    return KINDS.get(extension(path))


def judge(name, found):
    """(is the modality right, is the format right) for a file of extension `name`, detected as `found`."""
    kind = KINDS[name]
    modality = found.get("modality") in {kind.modality, *ALSO.get(name, ())}
    by_id = (found.get("format") or "").lower() in kind.formats
    return modality, by_id or plain(found.get("media_type") or "") in kind.media_types
