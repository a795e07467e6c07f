//! The site's folder: which file a path means.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::content_type;
use crate::etag;
use crate::path::SitePath;

/// Files up to this size are read at once; their tag is of all their bytes.
const SMALL_FILE_BYTES: u64 = 1024 * 1024;

/// Of a bigger file, so many bytes at its beginning and end go into the tag, besides size and time.
const SAMPLE_BYTES: u64 = 64 * 1024;

/// What a site's author may choose.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// The file that answers for pages that do not exist, for applications that route in the browser.
    pub(crate) fallback: Option<String>,
    /// The page for what is missing, instead of `404.html`.
    pub(crate) missing: Option<String>,
}

/// A folder of files.
#[derive(Debug)]
pub(crate) struct Site {
    root: PathBuf,
    settings: Settings,
}

/// What is at a path.
#[derive(Debug)]
pub(crate) enum Found {
    /// A file.
    Page(Page),
    /// A folder, asked for without the final slash that relative links in its page need.
    FolderWithoutSlash,
    /// Nothing; there may be a page that says so.
    Missing(Option<Page>),
}

/// An open file and what is said about it.
#[derive(Debug)]
pub(crate) struct Page {
    /// How many bytes it has.
    pub(crate) size_bytes: u64,
    /// Its entity tag, with quotes.
    pub(crate) tag: String,
    /// Its content type.
    pub(crate) content_type: &'static str,
    /// Its bytes.
    pub(crate) content: Content,
}

/// A file's bytes: in memory already, or to be read in pieces.
#[derive(Debug)]
pub(crate) enum Content {
    /// All of it.
    Memory(Vec<u8>),
    /// Still in the file.
    File(File),
}

impl Site {
    /// A site whose files are below `root`.
    pub(crate) fn new(root: impl Into<PathBuf>, settings: Settings) -> Self {
        Self {
            root: root.into(),
            settings,
        }
    }

    /// Looks up a path; `None` is one that no file may have.
    pub(crate) fn find(&self, path: Option<&SitePath>) -> io::Result<Found> {
        let Some(path) = path else {
            return Ok(Found::Missing(self.missing_page()?));
        };
        let place = self.root.join(path.relative());
        match fs::metadata(&place) {
            Ok(about) if about.is_dir() && !path.is_folder() => {
                // A folder without a page is as good as absent: no redirect to a 404.
                if place.join("index.html").is_file() {
                    return Ok(Found::FolderWithoutSlash);
                }
            }
            Ok(about) if about.is_dir() => {
                if let Some(page) = open(&place.join("index.html"))? {
                    return Ok(Found::Page(page));
                }
            }
            Ok(_) if path.is_folder() => {}
            Ok(_) => {
                if let Some(page) = open(&place)? {
                    return Ok(Found::Page(page));
                }
            }
            Err(error) if is_absence(&error) => {}
            Err(error) => return Err(error),
        }
        self.instead_of(path)
    }

    fn instead_of(&self, path: &SitePath) -> io::Result<Found> {
        // Script, style or picture: a page in its stead would only hide that it is missing.
        let is_asset = path.name().and_then(content_type::of_name).is_some();
        if let (Some(fallback), false) = (&self.settings.fallback, is_asset)
            && let Some(page) = self.open_setting(fallback)?
        {
            return Ok(Found::Page(page));
        }
        Ok(Found::Missing(self.missing_page()?))
    }

    fn missing_page(&self) -> io::Result<Option<Page>> {
        self.open_setting(self.settings.missing.as_deref().unwrap_or("404.html"))
    }

    /// A file named in the settings, held to the same rules as one named in a request.
    fn open_setting(&self, name: &str) -> io::Result<Option<Page>> {
        match SitePath::parse(&format!("/{}", name.trim_start_matches('/'))) {
            Some(path) => open(&self.root.join(path.relative())),
            None => Ok(None),
        }
    }
}

/// Opens a file, or returns `None` when there is no such file.
fn open(place: &Path) -> io::Result<Option<Page>> {
    let mut file = match File::open(place) {
        Ok(file) => file,
        Err(error) if is_absence(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let about = file.metadata()?;
    if !about.is_file() {
        return Ok(None);
    }
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let content_type = content_type::of_name(&name).unwrap_or(content_type::UNKNOWN);
    let size_bytes = about.len();
    if size_bytes <= SMALL_FILE_BYTES {
        let mut bytes = vec![];
        file.read_to_end(&mut bytes)?;
        return Ok(Some(Page {
            size_bytes: bytes.len() as u64,
            tag: etag::tag(bytes.len() as u64, 0, &[&bytes]),
            content_type,
            content: Content::Memory(bytes),
        }));
    }
    let modified_ms = about
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |time| time.as_millis());
    let head = sample(&mut file, 0)?;
    let tail = sample(&mut file, size_bytes - SAMPLE_BYTES)?;
    Ok(Some(Page {
        size_bytes,
        tag: etag::tag(size_bytes, modified_ms, &[&head, &tail]),
        content_type,
        content: Content::File(file),
    }))
}

fn sample(file: &mut File, from: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    file.seek(SeekFrom::Start(from))?;
    file.take(SAMPLE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether an error means that there is nothing to serve, rather than that serving failed.
///
/// A link that leads out of the site is refused by the host with "permission denied".
fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::InvalidInput
    )
}
