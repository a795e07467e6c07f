//! Sources as they are uploaded.

use flate2::Compression;
use flate2::write::GzEncoder;

/// A `.tar.gz` of these files, as large as what is in it.
///
/// # Panics
/// Never: it is packed in memory.
#[must_use]
pub fn of_files(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::none()));
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, path, *content)
            .expect("packed in memory");
    }
    let gzip = archive.into_inner().expect("packed in memory");
    gzip.finish().expect("packed in memory")
}
