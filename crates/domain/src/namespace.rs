//! The Kubernetes namespace of a project's environment: which name it may get, and which nobody gets.
//!
//! A name is recorded once and never changes, whatever the project is called later. Several projects may have
//! one slug (each its owner's), so whoever records names takes the first of [`Namespace::candidates`] that
//! nobody has.

use std::fmt;

use crate::{DnsLabel, Environment, Invalid, ProjectId, Slug};

/// Bytes of a namespace's name, which is a DNS label (RFC 1123, section 2.1).
const LABEL_BYTES: usize = 63;
/// Names of a cluster's own parts: Kubernetes keeps the first for itself, the other is ours.
const RESERVED_PREFIXES: [&str; 2] = ["kube-", "nokube-"];
const RESERVED: [&str; 3] = ["default", "kube", "nokube"];
/// In front of what would begin like one of those.
const APART: &str = "app-";

/// The name of a namespace that may be a tenant's: a DNS label that no part of a cluster has.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(DnsLabel);

impl Namespace {
    /// Reads a namespace's name.
    ///
    /// # Errors
    /// Anything but a DNS label, and names of a cluster's own parts: `default`, `kube-…`, `nokube-…`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let label = DnsLabel::parse(text)?;
        if is_reserved(text) {
            return Err(Invalid::new("is the name of a part of the cluster"));
        }
        Ok(Self(label))
    }

    /// Names for an environment of a project, best first: `<project>-<environment>`, then with the project's id,
    /// then numbered as well. Each is cut so that it fits; there is always another one.
    pub fn candidates(
        project: &Slug,
        environment: &Environment,
        id: ProjectId,
    ) -> impl Iterator<Item = Self> + use<> {
        let stem = format!("{project}-{environment}");
        let stem = if is_reserved(&stem) {
            format!("{APART}{stem}")
        } else {
            stem
        };
        (0_u32..).map(move |attempt| {
            let end = match attempt {
                0 => String::new(),
                1 => format!("-{id}"),
                number => format!("-{id}-{number}"),
            };
            // An id has at most 19 digits and a number 10: half of the name is left at least.
            let room = LABEL_BYTES - end.len();
            let head = stem[..stem.len().min(room)].trim_end_matches('-');
            let label = DnsLabel::parse(&format!("{head}{end}"));
            Self(label.expect("labels joined by hyphens, cut, without a hyphen at the cut"))
        })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
        || RESERVED_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn names(project: &str, environment: &str, id: i64) -> impl Iterator<Item = String> {
        let project = Slug::parse(project).unwrap();
        let environment = Environment::parse(environment).unwrap();
        Namespace::candidates(&project, &environment, ProjectId(id)).map(|name| name.to_string())
    }

    #[test]
    fn a_namespace_is_named_after_the_project_and_its_environment() {
        let first: Vec<_> = names("shop", "recette", 7).take(3).collect();
        assert_eq!(
            first,
            ["shop-recette", "shop-recette-7", "shop-recette-7-2"]
        );
    }

    #[test]
    fn a_name_that_is_too_long_is_cut_and_never_at_a_hyphen() {
        let project = "p".repeat(40);
        // The cut of the first is right behind the hyphen in the environment.
        let environment = format!("{}-{}", "e".repeat(21), "x".repeat(20));
        let first: Vec<_> = names(&project, &environment, 12).take(2).collect();
        assert_eq!(first[0], format!("{project}-{}", "e".repeat(21)));
        assert_eq!(first[1], format!("{project}-{}-12", "e".repeat(19)));
    }

    #[test]
    fn parts_of_a_cluster_keep_their_names() {
        assert_eq!(
            names("kube", "system", 1).next().unwrap(),
            "app-kube-system"
        );
        assert_eq!(
            names("nokube", "production", 1).next().unwrap(),
            "app-nokube-production"
        );
        for taken in [
            "default",
            "kube-system",
            "kube-x",
            "nokube",
            "nokube-system",
            "a.b",
            "",
        ] {
            assert!(Namespace::parse(taken).is_err(), "{taken}");
        }
        for free in ["shop-production", "kubernetes-is-fun", "default-production"] {
            assert!(Namespace::parse(free).is_ok(), "{free}");
        }
    }

    proptest! {
        #[test]
        fn every_candidate_is_a_label_that_nothing_of_a_cluster_has(
            project in "(kube|nokube|default|[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?)",
            environment in "[a-z]([a-z0-9-]{0,61}[a-z0-9])?", id in 1..i64::MAX,
        ) {
            prop_assume!(Slug::parse(&project).is_ok() && Environment::parse(&environment).is_ok());
            for name in names(&project, &environment, id).take(20) {
                prop_assert!(Namespace::parse(&name).is_ok(), "{}", name);
            }
        }

        /// Whoever takes the first that is free gets one, and nobody gets another's: also environments of one project
        /// that begin alike, and one more with the name of another's second choice.
        #[test]
        fn taking_the_first_free_one_gives_each_its_own(
            wanted in prop::collection::btree_set(
                ("(a|a-b|a{40})", "(b|b-c|c-1|z|b{62}|b{62}c)", 1_i64..4), 1..20,
            ),
        ) {
            let mut taken = BTreeSet::new();
            for (project, environment, id) in &wanted {
                let own = names(project, environment, *id)
                    .take(wanted.len() * 2 + 2)
                    .find(|name| !taken.contains(name));
                prop_assert!(own.is_some_and(|name| taken.insert(name)));
            }
        }
    }
}
