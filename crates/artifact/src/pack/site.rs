//! A folder of static files becomes an application of one component: the file server.

use std::path::Path;

use nokube_spinapp::Fault;
use nokube_spinapp::manifest::{Application, Component, HttpTrigger, Manifest};
use nokube_spinapp::routes::Route;

use super::assemble::{self, Content};
use super::{PackError, PackLimits, Packed, files, open_root};
use crate::layout::Layout;
use crate::wasm;

/// How a static site is packed.
#[derive(Debug, Clone, Copy)]
pub struct SiteOptions<'a> {
    /// The application's name.
    pub name: &'a str,
    /// The file server: a component that serves what is mounted at `/`.
    pub fileserver: &'a [u8],
    /// RFC 3339, for the annotation.
    pub created: &'a str,
    /// What the site may have.
    pub limits: PackLimits,
}

/// Packs a folder as a static site. Names that begin with a dot (`.git`, `.env`, …), except
/// `.well-known`, and `node_modules` are left out.
///
/// # Errors
/// [`PackError`].
pub fn pack_static_site(
    layout: &Layout,
    folder: &Path,
    options: SiteOptions<'_>,
) -> Result<Packed, PackError> {
    let root = open_root(folder)?;
    let wasm = wasm::componentize(options.fileserver)
        .map_err(|error| {
            let message = format!("the file server: {error}");
            fault(message, "the runner's operator has to give it another one")
        })?
        .into_owned();
    let mut budget = files::Budget::new(options.limits);
    let files = files::collect_folder(&root, is_left_out, &mut budget)?;
    if files.is_empty() {
        return Err(fault(
            "the folder has no files to serve".to_owned(),
            "add an `index.html`, or build from the folder that has one",
        ));
    }
    let component = Component {
        id: "site".to_owned(),
        source: "fileserver.wasm".to_owned(),
        ..Component::default()
    };
    let manifest = Manifest {
        application: Application {
            name: options.name.to_owned(),
            ..Application::default()
        },
        variables: std::collections::BTreeMap::new(),
        triggers: vec![HttpTrigger {
            id: "site-http-trigger".to_owned(),
            component: component.id.clone(),
            route: Route::parse("/...").expect("a route of our own"),
            executor: None,
        }],
        components: vec![component],
    };
    let _storing = layout.storing().map_err(PackError::Layout)?;
    let contents = vec![Content { wasm, files }];
    assemble::assemble(layout, &root, &manifest, contents, options.created)
}

fn fault(message: String, remedy: &str) -> PackError {
    PackError::fault(Fault::unplaced("", message, remedy))
}

fn is_left_out(name: &str) -> bool {
    name == "node_modules" || (name.starts_with('.') && name != ".well-known")
}
