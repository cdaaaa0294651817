//! Assets: once fetched, from wherever, never fetched again; hostile archives.

use std::io::{self, Cursor, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use blt_dataset::{
    AssetError, AssetOptions, AssetSource, Assets, Content, HOST_NOT_ALLOWED, Medium, OnMissing, Part, ReadAt,
    Reference, RepoFile, Repository, RowDocument,
};

/// What `main` of every repository is, one after the other.
const COMMITS: [&str; 2] = ["1111111111111111111111111111111111111111", "2222222222222222222222222222222222222222"];

static GOING: AtomicBool = AtomicBool::new(false);

/// Files by their paths, an address that answers, how often anything was asked for, and how often `main` moved.
#[derive(Default)]
struct Source {
    files: Vec<(&'static str, Vec<u8>)>,
    n_moved: AtomicUsize,
    n_asked: AtomicU64,
}

impl AssetSource for Source {
    fn open(&self, file: &RepoFile) -> io::Result<Arc<dyn ReadAt>> {
        self.n_asked.fetch_add(1, Ordering::Relaxed);
        let found = self.files.iter().find(|(path, _)| *path == file.path);
        found.map(|(_, bytes)| Arc::new(bytes.clone()) as Arc<dyn ReadAt>).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn pin(&self, repository: &Repository) -> io::Result<Repository> {
        Ok(Repository {
            revision: Some(COMMITS[self.n_moved.load(Ordering::Relaxed)].to_owned()),
            ..repository.clone()
        })
    }

    fn check_url(&self, url: &str) -> Result<(), &'static str> {
        if url.starts_with("https://example.org/") { Ok(()) } else { Err(HOST_NOT_ALLOWED) }
    }

    fn fetch(&self, url: &str) -> io::Result<Box<dyn Read + Send>> {
        self.n_asked.fetch_add(1, Ordering::Relaxed);
        if url.ends_with("/there") { Ok(Box::new(&b"over http"[..])) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

fn tar_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, data) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        builder.append_data(&mut header, name, *data).unwrap();
    }
    builder.into_inner().unwrap()
}

fn zip_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, data) in members {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(*name, options).unwrap();
        writer.write_all(data).unwrap();
    }
    writer.into_inner_zip()
}

trait IntoBytes {
    fn into_inner_zip(self) -> Vec<u8>;
}

impl IntoBytes for zip::ZipWriter<Cursor<Vec<u8>>> {
    fn into_inner_zip(self) -> Vec<u8> {
        self.finish().unwrap().into_inner()
    }
}

fn assets(folder: &std::path::Path, source: &Arc<Source>, options: AssetOptions) -> Assets {
    let names = source.files.iter().map(|(path, _)| (*path).to_owned());
    Assets::new(folder, Arc::clone(source) as Arc<dyn AssetSource>, names, "commit", options)
}

fn archives(paths: &[&str]) -> AssetOptions {
    let archive = |path: &&str| RepoFile { repository: None, path: (*path).to_owned() };
    AssetOptions { archives: paths.iter().map(archive).collect(), ..AssetOptions::default() }
}

fn reference(text: &str) -> Reference {
    Reference::parse(text, "data/train.jsonl").unwrap()
}

fn source() -> Arc<Source> {
    let gzipped = |bytes: Vec<u8>| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&bytes).unwrap();
        encoder.finish().unwrap()
    };
    let files = vec![
        ("data/images/beside.jpg", b"beside".to_vec()),
        ("images/root.jpg", b"root".to_vec()),
        ("a.zip", zip_of(&[("deep/images/zipped.jpg", &[9; 5000]), ("deep/", b""), ("other", b"no")])),
        (
            "b.tar.gz",
            gzipped(tar_of(&[
                ("coco/taped.jpg", b"taped"),
                ("coco/again.jpg", b"again"),
                ("x/twice.jpg", b"1"),
                ("y/twice.jpg", b"2"),
            ])),
        ),
    ];
    Arc::new(Source { files, ..Source::default() })
}

const ALL: &[(&str, &[u8])] = &[
    ("images/beside.jpg", b"beside"),
    ("images/root.jpg", b"root"),
    ("hf://datasets/o/n@main/images/root.jpg", b"root"),
    ("images/zipped.jpg", &[9; 5000]),
    ("images/coco/taped.jpg", b"taped"),
    ("https://example.org/there", b"over http"),
];

#[test]
fn all_are_found_once_and_then_without_the_source() {
    let folder = tempfile::tempdir().unwrap();
    let source = source();
    let cache = assets(folder.path(), &source, archives(&["a.zip", "b.tar.gz"]));
    let twice = ALL.iter().chain(ALL).map(|(text, _)| reference(text));
    let done = cache.prefetch(twice, &GOING).unwrap();
    assert_eq!((done.n_found, done.n_fetched), (6, 6), "{:?}", done.missing);
    let n_asked = source.n_asked.load(Ordering::Relaxed);
    assert_eq!(n_asked, 6, "four files of their own and two archives");
    let offline = assets(folder.path(), &source, AssetOptions { offline: true, ..archives(&["a.zip", "b.tar.gz"]) });
    for (text, bytes) in ALL {
        assert_eq!(offline.bytes(&reference(text), &GOING).unwrap(), *bytes, "{text}");
    }
    let error = offline.bytes(&reference("images/new.jpg"), &GOING).unwrap_err();
    assert_eq!(error.to_string(), AssetError::Offline.to_string());
    assert!(error.hint().is_some());
    assert_eq!(source.n_asked.load(Ordering::Relaxed), n_asked);
}

/// Two folders that share a cache have files of their own, also when these change.
#[test]
fn files_of_a_folder_are_read_from_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    for bytes in [b"first", b"later"] {
        let source = Arc::new(Source { files: vec![("a.jpg", bytes.to_vec())], ..Source::default() });
        let names = ["a.jpg".to_owned()];
        let cache = Assets::new(folder.path(), source, names, "", AssetOptions::default());
        assert_eq!(cache.prefetch([reference("a.jpg")], &GOING).unwrap().n_found, 0);
        assert_eq!(cache.bytes(&reference("a.jpg"), &GOING).unwrap(), bytes);
    }
}

#[test]
fn what_is_not_there_is_told_with_what_was_tried() {
    let folder = tempfile::tempdir().unwrap();
    let source = source();
    let cache = assets(folder.path(), &source, archives(&["a.zip", "b.tar.gz", "nowhere.zip"]));
    let told = |text: &str| cache.bytes(&reference(text), &GOING).unwrap_err().chain();
    let missing = told("images/none.jpg");
    assert!(
        missing.contains("`data/images/none.jpg`, `images/none.jpg`, `nowhere.zip: it is not to be found`"),
        "{missing}"
    );
    assert!(told("twice.jpg").contains("several members could be meant: `x/twice.jpg`, `y/twice.jpg`"));
    assert!(told("https://elsewhere.org/there").contains("its host is not allowed"));
    assert!(told("https://example.org/gone").contains("not to be found"));
    let n_asked = source.n_asked.load(Ordering::Relaxed);
    assert_eq!(told("images/none.jpg"), missing);
    assert_eq!(source.n_asked.load(Ordering::Relaxed), n_asked, "what is missing is looked for once");
}

#[test]
fn rows_get_bytes_or_lose_the_part_or_fail() {
    let document = || {
        let part =
            |name: &str, content| Part { name: name.to_owned(), medium: Medium::Image, content, file_name: None };
        let parts = ["images/root.jpg", "../../etc/passwd", "images/none.jpg"]
            .map(|text| part("image", Content::Reference(text.to_owned())));
        RowDocument { file: 0, row: 0, id: "item_0".to_owned(), parts: parts.to_vec(), metadata: None }
    };
    let folder = tempfile::tempdir().unwrap();
    let skipping = assets(folder.path(), &source(), AssetOptions { on_missing: OnMissing::Skip, ..archives(&[]) });
    let mut row = document();
    assert_eq!(skipping.resolve(&mut row, "data/train.jsonl", &GOING).unwrap(), [1, 2]);
    assert_eq!(row.parts[1..], document().parts[1..], "what is left out stays as it was");
    assert_eq!(
        (&row.parts[0].content, row.parts[0].file_name.as_deref()),
        (&Content::Bytes(b"root".to_vec()), Some("images/root.jpg"))
    );
    let strict = assets(folder.path(), &source(), archives(&[]));
    let error = strict.resolve(&mut document(), "data/train.jsonl", &GOING).unwrap_err();
    assert!(error.chain().contains("the path leads out of the dataset"), "{}", error.chain());
}

/// Changes the zip `b.zip` and reads `m` out of it.
fn zip_error(change: impl Fn(&mut Vec<u8>)) -> String {
    let mut bytes = zip_of(&[("m", &[1; 2000]), ("n", &[2; 2000])]);
    change(&mut bytes);
    let source = Arc::new(Source { files: vec![("b.zip", bytes)], ..Source::default() });
    let folder = tempfile::tempdir().unwrap();
    assets(folder.path(), &source, archives(&["b.zip"]))
        .bytes(&reference("m"), &GOING)
        .map_or_else(|error| error.chain(), |_| String::new())
}

#[test]
fn hostile_zips_are_refused_with_sentences() {
    assert_eq!(zip_error(|_| {}), "");
    // Fields of the directory's first entry, by their offsets in it.
    let set = |bytes: &mut Vec<u8>, offset: usize, value: &[u8]| {
        let at = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap() + offset;
        bytes[at..at + value.len()].copy_from_slice(value);
    };
    for (sentence, offset, value) in [
        ("the member is encrypted", 8, &1_u16.to_le_bytes()[..]),
        ("the member is packed by method 99", 10, &99_u16.to_le_bytes()[..]),
        ("the member's checksum is wrong", 16, &7_u32.to_le_bytes()[..]),
        ("members overlap", 20, &100_u32.to_le_bytes()[..]),
        ("members overlap", 20, &0xffff_fff0_u32.to_le_bytes()[..]),
        ("fewer bytes than the directory says", 24, &3000_u32.to_le_bytes()[..]),
        ("more bytes than the directory says", 24, &10_u32.to_le_bytes()[..]),
        ("more than 1073741824", 24, &0xffff_fff0_u32.to_le_bytes()[..]),
        ("it is a link", 38, &(0o120_777_u32 << 16).to_le_bytes()[..]),
    ] {
        let told = zip_error(|bytes| {
            set(bytes, offset, value);
            if offset == 38 {
                set(bytes, 5, &[3]); // made by Unix
            }
        });
        assert!(told.contains(sentence), "{told} instead of {sentence}");
    }
    assert!(zip_error(|bytes| bytes.truncate(100)).contains("it has no directory"));
}

#[test]
fn links_and_huge_members_of_tapes_are_refused() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    builder.append_link(&mut link, "m", "/etc/passwd").unwrap();
    let source = Arc::new(Source { files: vec![("b.tar", builder.into_inner().unwrap())], ..Source::default() });
    let folder = tempfile::tempdir().unwrap();
    let told = assets(folder.path(), &source, archives(&["b.tar"])).bytes(&reference("m"), &GOING).unwrap_err().chain();
    assert!(told.contains("m: it is a link, a device or a folder"), "{told}");
    let source = Arc::new(Source { files: vec![("b.tar", tar_of(&[("m", &[0; 5000])]))], ..Source::default() });
    let mut options = archives(&["b.tar"]);
    options.limits.max_bytes = 4999;
    let told = assets(folder.path(), &source, options).bytes(&reference("m"), &GOING).unwrap_err().chain();
    assert!(told.contains("bytes of one asset: more than 4999"), "{told}");
}

/// A file that is looked for on a branch is looked for anew once the branch has moved.
#[test]
fn branches_are_followed_by_their_commits() {
    let folder = tempfile::tempdir().unwrap();
    let source = source();
    let cache = || assets(folder.path(), &source, archives(&[]));
    let text = "hf://datasets/o/n@main/images/root.jpg";
    for n_asked in [1, 1] {
        assert_eq!(cache().bytes(&reference(text), &GOING).unwrap(), b"root");
        assert_eq!(source.n_asked.load(Ordering::Relaxed), n_asked);
    }
    source.n_moved.store(1, Ordering::Relaxed);
    assert_eq!(cache().bytes(&reference(text), &GOING).unwrap(), b"root");
    assert_eq!(source.n_asked.load(Ordering::Relaxed), 2);
}

#[test]
fn nothing_is_fetched_once_it_is_stopped_and_nothing_counts_as_missing() {
    let folder = tempfile::tempdir().unwrap();
    let source = source();
    let cache = assets(folder.path(), &source, archives(&["b.tar.gz"]));
    let stopped = AtomicBool::new(true);
    for text in ["images/root.jpg", "images/coco/taped.jpg", "https://example.org/there"] {
        assert!(matches!(cache.bytes(&reference(text), &stopped), Err(AssetError::Cancelled)), "{text}");
    }
    assert_eq!(cache.bytes(&reference("images/root.jpg"), &GOING).unwrap(), b"root");
}

/// Bytes that cannot be read say nothing about whether a file exists.
#[test]
fn only_what_does_not_exist_is_left_out() {
    let part = |text: &str| Part {
        name: "image".to_owned(),
        medium: Medium::Image,
        content: Content::Reference(text.to_owned()),
        file_name: None,
    };
    let row = |text| RowDocument { file: 0, row: 0, id: "item_0".to_owned(), parts: vec![part(text)], metadata: None };
    let folder = tempfile::tempdir().unwrap();
    let broken = Arc::new(Source { files: vec![("a.zip", b"PK no zip".to_vec())], ..Source::default() });
    for (paths, is_left_out) in [(&[][..], true), (&["a.zip"], false)] {
        let options = AssetOptions { on_missing: OnMissing::Skip, ..archives(paths) };
        let resolved = assets(folder.path(), &broken, options).resolve(&mut row("images/x.jpg"), "f", &GOING);
        assert_eq!(resolved.is_ok(), is_left_out, "{resolved:?}");
    }
}
