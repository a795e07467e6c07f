//! What users send, read field by field.

use std::collections::BTreeMap;

use nokube_domain::build::{Builder, check_image_name, check_image_tag, parse_subdirectory};
use nokube_domain::deploy::{value_fault, variable_name_fault};
use nokube_domain::git_source::{BranchName, CommitId, RepositoryUrl};
use nokube_domain::{Invalid, ProjectId, ServiceName};
use nokube_guest::{Change, Ctx, Error, FieldFault, Fields};

use crate::settings::GitRules;

/// Arguments of one build.
const MAX_BUILD_ARGS: usize = 50;

/// A build that is wanted.
#[derive(Debug)]
pub(crate) struct CreateBuild {
    pub(crate) project_id: ProjectId,
    pub(crate) service_name: ServiceName,
    /// Nothing: the project's.
    pub(crate) repository_url: Option<String>,
    pub(crate) branch: Option<String>,
    pub(crate) commit: Option<String>,
    pub(crate) subdirectory: Option<String>,
    pub(crate) builder: Builder,
    pub(crate) image_name: Option<String>,
    pub(crate) image_tag: Option<String>,
    pub(crate) build_args: BTreeMap<String, String>,
}

impl CreateBuild {
    /// Reads the body of `POST /builds`.
    pub(crate) fn from_fields(mut fields: Fields, rules: &GitRules) -> Result<Self, Error> {
        let project_id = fields.required("project_id", ProjectId::from_i64);
        let service_name = fields.text("service_name", ServiceName::parse);
        let repository_url = fields.optional_text("repository_url", |text| {
            RepositoryUrl::parse(text, &rules.policy()).map(|url| url.as_str().to_owned())
        });
        let branch = fields.optional_text("branch", |text| {
            BranchName::parse(text).map(|branch| branch.as_str().to_owned())
        });
        let commit = fields.optional_text("commit", |text| {
            CommitId::parse(text).map(|commit| commit.as_str().to_owned())
        });
        let subdirectory = fields.optional_text("subdirectory", parse_subdirectory);
        let builder = fields.optional_text("builder", Builder::parse);
        refuse_container_builds(&mut fields);
        let image_name = fields.optional_text("image_name", |text| {
            check_image_name(text).map(|()| text.to_owned())
        });
        let image_tag = fields.optional_text("image_tag", |text| {
            check_image_tag(text).map(|()| text.to_owned())
        });
        let build_args = build_args(&mut fields);
        fields.finish(|| {
            Some(Self {
                project_id: project_id?,
                service_name: service_name?,
                repository_url,
                branch,
                commit,
                subdirectory: subdirectory.flatten(),
                builder: builder.unwrap_or_default(),
                image_name,
                image_tag,
                build_args,
            })
        })
    }

    /// Reads the query of `POST /builds/upload`, whose body is the source.
    pub(crate) fn from_query(cx: &Ctx) -> Result<Self, Error> {
        let mut faults = Vec::new();
        let project_id = query(cx, &mut faults, "project_id", ProjectId::parse);
        let service_name = query(cx, &mut faults, "service_name", ServiceName::parse);
        for (name, missing) in [
            ("project_id", project_id.is_none()),
            ("service_name", service_name.is_none()),
        ] {
            if missing && cx.query(name).is_none() {
                faults.push(query_fault(name, "is required".to_owned()));
            }
        }
        let subdirectory = query(cx, &mut faults, "subdirectory", parse_subdirectory);
        let builder = query(cx, &mut faults, "builder", Builder::parse);
        let image_name = query(cx, &mut faults, "image_name", |text| {
            check_image_name(text).map(|()| text.to_owned())
        });
        let image_tag = query(cx, &mut faults, "image_tag", |text| {
            check_image_tag(text).map(|()| text.to_owned())
        });
        match (project_id, service_name) {
            (Some(project_id), Some(service_name)) if faults.is_empty() => Ok(Self {
                project_id,
                service_name,
                repository_url: None,
                branch: None,
                commit: None,
                subdirectory: subdirectory.flatten(),
                builder: builder.unwrap_or_default(),
                image_name,
                image_tag,
                build_args: BTreeMap::new(),
            }),
            _ => Err(Error::Invalid(faults)),
        }
    }
}

/// Fields of the contract that ask for a container build, which no builder here can do. Fields that
/// ask for nothing (`"has_dockerfile": false` and a default path, as forms send them) are fine.
fn refuse_container_builds(fields: &mut Fields) {
    const REFUSED: &str = "container images can't be built on this platform; leave it out, and put a spin.toml or a static site into the repository";
    let asked = fields.optional("has_dockerfile", Ok::<bool, Invalid>);
    if asked == Some(true) {
        fields.fault("has_dockerfile", REFUSED);
    }
    let _ = fields.optional_text("dockerfile_path", |_| Ok::<(), Invalid>(()));
    let content = fields.optional_text("dockerfile_content", |text| {
        Ok::<_, Invalid>(!text.trim().is_empty())
    });
    if content == Some(true) {
        fields.fault("dockerfile_content", REFUSED);
    }
}

fn build_args(fields: &mut Fields) -> BTreeMap<String, String> {
    let args = fields.changed_map(
        "build_args",
        |name, value: String| match variable_name_fault(name).or_else(|| value_fault(&value)) {
            Some(fault) => Err(fault),
            None => Ok(value),
        },
    );
    match args {
        Change::Set(args) if args.len() > MAX_BUILD_ARGS => {
            fields.fault(
                "build_args",
                format!("at most {MAX_BUILD_ARGS} are possible"),
            );
            BTreeMap::new()
        }
        Change::Set(args) => args,
        Change::Keep | Change::Unset => BTreeMap::new(),
    }
}

fn query<T, E: std::fmt::Display>(
    cx: &Ctx,
    faults: &mut Vec<FieldFault>,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    match parse(&cx.query(name)?) {
        Ok(value) => Some(value),
        Err(reason) => {
            faults.push(query_fault(name, reason.to_string()));
            None
        }
    }
}

fn query_fault(name: &str, detail: String) -> FieldFault {
    FieldFault {
        pointer: format!("/{name}"),
        detail,
        r#in: Some("query".to_owned()),
    }
}
