//! What a request says about a configuration, and the configuration that comes of it.

use std::collections::BTreeMap;

use super::spec::{Exposure, ServiceType, Spec};
use super::variables::check_variables;
use crate::fault::Faults;
use crate::service::check_custom_domain;
use crate::{Description, DisplayName, Invalid, Quantity};

/// What a request says about one field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Change<T> {
    /// Left out: as it was.
    #[default]
    Keep,
    /// `null`: back to the default.
    Unset,
    /// A new value.
    Set(T),
}

impl<T> Change<T> {
    /// Whether the request named the field.
    #[must_use]
    pub const fn is_given(&self) -> bool {
        !matches!(self, Self::Keep)
    }
}

/// A request's words, not yet checked: JSON types are right, nothing else is known.
#[derive(Debug, Clone, Default)]
#[expect(
    missing_docs,
    reason = "each field is that of `Spec` with the same name"
)]
pub struct SpecChange {
    pub display_name: Change<String>,
    pub description: Change<String>,
    pub service_type: Change<String>,
    pub exposure_type: Change<String>,
    pub container_port: Change<i64>,
    pub service_port: Change<i64>,
    pub replicas: Change<i64>,
    pub cpu_request: Change<String>,
    pub cpu_limit: Change<String>,
    pub memory_request: Change<String>,
    pub memory_limit: Change<String>,
    pub custom_domain: Change<String>,
    pub custom_path: Change<String>,
    pub enable_https: Change<bool>,
    /// As RFC 7396 merges objects: variables not named stay, those that are `null` go.
    pub env_vars: Change<BTreeMap<String, Option<String>>>,
    pub health_check_enabled: Change<bool>,
    pub liveness_check_path: Change<String>,
    pub readiness_check_path: Change<String>,
    pub health_check_port: Change<i64>,
    pub liveness_initial_delay: Change<i64>,
    pub readiness_initial_delay: Change<i64>,
    pub health_check_period: Change<i64>,
    pub health_check_timeout: Change<i64>,
    pub health_check_failure_threshold: Change<i64>,
    pub storage_size: Change<String>,
    pub storage_path: Change<String>,
    pub enable_autoscaling: Change<bool>,
    pub min_replicas: Change<i64>,
    pub max_replicas: Change<i64>,
    pub target_cpu_percent: Change<i64>,
}

/// Copies of one service. A machine of this size class would not hold more.
const MAX_REPLICAS: i64 = 100;
/// 64 CPUs: beyond it a quantity is a slip (`100` for `100m`).
const MAX_CPU_MILLIS: u64 = 64_000;
/// 1 MiB: nothing starts with less.
const MIN_MEMORY_BYTES: u64 = 1 << 20;
/// 1 TiB: beyond it a quantity is a slip.
const MAX_MEMORY_BYTES: u64 = 1 << 40;
/// 64 TiB, the largest volume of the usual cloud disks.
const MAX_STORAGE_BYTES: u64 = 64 << 40;
/// One hour.
const MAX_DELAY_SECONDS: i64 = 3_600;
/// Linux' PATH_MAX is 4096; a probe's or mount's path stays far below.
const MAX_PATH_BYTES: usize = 512;
/// The kernel's own: nothing starts with a volume in their place.
const KERNEL_FOLDERS: [&str; 3] = ["dev", "proc", "sys"];

/// Writes a checked value into `field`, its default on `null`, nothing when it was left out or faulty.
fn apply<T, U>(
    pointer: &str,
    change: Change<T>,
    field: &mut U,
    default: U,
    check: impl FnOnce(T) -> Result<U, Invalid>,
    faults: &mut Faults,
) {
    match change {
        Change::Keep => {}
        Change::Unset => *field = default,
        Change::Set(value) => {
            if let Some(value) = faults.take(pointer, check(value)) {
                *field = value;
            }
        }
    }
}

impl Spec {
    /// This configuration with `change` in it. Every fault goes to `faults`; when there is any, the
    /// result must not be used. `platform_hosts` are host names that no custom domain may touch.
    #[must_use]
    pub fn changed(
        &self,
        change: SpecChange,
        platform_hosts: &[&str],
        faults: &mut Faults,
    ) -> Self {
        let mut spec = self.clone();
        let default = Self::default();
        macro_rules! field {
            ($name:ident, $check:expr) => {
                apply(
                    concat!("/", stringify!($name)),
                    change.$name,
                    &mut spec.$name,
                    default.$name,
                    $check,
                    faults,
                );
            };
        }
        field!(display_name, |v: String| DisplayName::parse(&v)
            .map(|v| Some(v.into_string())));
        field!(description, |v: String| Description::parse(&v)
            .map(|v| Some(v.into_string())));
        field!(service_type, |v: String| ServiceType::parse(&v)
            .ok_or(Invalid::new("must be web, api or worker")));
        // A worker answers nobody: unless said otherwise that is what its exposure becomes.
        if spec.service_type == ServiceType::Worker && !change.exposure_type.is_given() {
            spec.exposure_type = Exposure::None;
        } else {
            field!(exposure_type, |v: String| Exposure::parse(&v).ok_or(
                Invalid::new("must be none, internal, external or node_port")
            ));
        }
        field!(container_port, port);
        field!(service_port, port);
        field!(replicas, |v| within(v, 1, MAX_REPLICAS).map_err(|e| {
            if v == 0 {
                Invalid::new("must be at least 1; to run nothing, stop the deployment")
            } else {
                e
            }
        }));
        field!(cpu_request, |v: String| cpu(&v));
        field!(cpu_limit, |v: String| cpu(&v));
        field!(memory_request, |v: String| memory(&v));
        field!(memory_limit, |v: String| memory(&v));
        field!(custom_domain, |v: String| check_custom_domain(
            &v,
            platform_hosts
        )
        .map(|()| Some(v)));
        field!(custom_path, |v: String| route_path(v).map(Some));
        field!(enable_https, Ok);
        let before = std::mem::take(&mut spec.env_vars);
        spec.env_vars = merge_variables(before, change.env_vars);
        field!(health_check_enabled, Ok);
        field!(liveness_check_path, url_path);
        field!(readiness_check_path, url_path);
        field!(health_check_port, |v| port(v).map(Some));
        field!(liveness_initial_delay, |v| within(v, 0, MAX_DELAY_SECONDS));
        field!(readiness_initial_delay, |v| within(v, 0, MAX_DELAY_SECONDS));
        field!(health_check_period, |v| within(v, 1, MAX_DELAY_SECONDS));
        field!(health_check_timeout, |v| within(v, 1, MAX_DELAY_SECONDS));
        field!(health_check_failure_threshold, |v| within(v, 1, 100));
        field!(storage_size, |v: String| storage(&v).map(Some));
        field!(storage_path, |v: String| mount_path(v).map(Some));
        field!(enable_autoscaling, Ok);
        field!(min_replicas, |v| within(v, 1, MAX_REPLICAS));
        field!(max_replicas, |v| within(v, 1, MAX_REPLICAS));
        field!(target_cpu_percent, |v| within(v, 1, 100));

        check_variables(&spec.env_vars, "/env_vars", faults);
        spec.check_whole(faults);
        spec
    }
}

fn merge_variables(
    mut variables: BTreeMap<String, String>,
    change: Change<BTreeMap<String, Option<String>>>,
) -> BTreeMap<String, String> {
    match change {
        Change::Keep => {}
        Change::Unset => variables.clear(),
        Change::Set(changes) => {
            for (name, value) in changes {
                match value {
                    Some(value) => variables.insert(name, value),
                    None => variables.remove(&name),
                };
            }
        }
    }
    variables
}

fn within(value: i64, least: i64, most: i64) -> Result<u32, Invalid> {
    u32::try_from(value)
        .ok()
        .filter(|_| (least..=most).contains(&value))
        .ok_or_else(|| Invalid::from(format!("must be between {least} and {most}")))
}

fn port(value: i64) -> Result<u16, Invalid> {
    u16::try_from(value)
        .ok()
        .filter(|port| *port != 0)
        .ok_or(Invalid::new("must be a port between 1 and 65535"))
}

fn cpu(text: &str) -> Result<Quantity, Invalid> {
    let quantity = Quantity::parse(text)?;
    match quantity.millis() {
        1..=MAX_CPU_MILLIS => Ok(quantity),
        _ => Err(Invalid::new(
            "must be between 1m and 64 CPUs, such as 100m or 0.5",
        )),
    }
}

fn memory(text: &str) -> Result<Quantity, Invalid> {
    let quantity = Quantity::parse(text)?;
    match quantity.units() {
        MIN_MEMORY_BYTES..=MAX_MEMORY_BYTES => Ok(quantity),
        _ => Err(Invalid::new(
            "must be between 1Mi and 1Ti, such as 128Mi; a number alone means bytes",
        )),
    }
}

fn storage(text: &str) -> Result<Quantity, Invalid> {
    let quantity = Quantity::parse(text)?;
    match quantity.units() {
        MIN_MEMORY_BYTES..=MAX_STORAGE_BYTES => Ok(quantity),
        _ => Err(Invalid::new("must be between 1Mi and 64Ti, such as 1Gi")),
    }
}

/// A path of an address: what is put into a request line or a route, so nothing that could end it.
fn url_path(path: String) -> Result<String, Invalid> {
    let good = path.starts_with('/')
        && !path.starts_with("//")
        && path.len() <= MAX_PATH_BYTES
        && path
            .bytes()
            .all(|b| b.is_ascii_graphic() && !br##""#<>\^`{|}"##.contains(&b))
        && !path
            .split(['/', '?'])
            .any(|part| matches!(part, "." | ".."));
    if good {
        Ok(path)
    } else {
        Err(Invalid::new(
            "must be an absolute path, such as /health, without spaces, fragments or dot segments",
        ))
    }
}

/// A prefix of paths, as every kind of route takes it: gateways and ingress controllers refuse, or worse
/// understand, what else a path can have.
fn route_path(path: String) -> Result<String, Invalid> {
    let segments = path.strip_suffix('/').unwrap_or(&path).split('/').skip(1);
    let good = path.starts_with('/')
        && path.len() <= MAX_PATH_BYTES
        && path
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/-._~".contains(&b))
        && segments
            .into_iter()
            .all(|segment| !matches!(segment, "" | "." | ".."));
    if good {
        Ok(path)
    } else {
        Err(Invalid::new(
            "must be a path such as /shop, of letters, digits, hyphens, dots, underscores and tildes, without dot segments",
        ))
    }
}

fn mount_path(path: String) -> Result<String, Invalid> {
    let good = path.len() > 1
        && path.starts_with('/')
        && path.len() <= MAX_PATH_BYTES
        && !path.contains([':', '\\'])
        && !path.chars().any(char::is_control)
        && !path[1..]
            .split('/')
            .any(|part| matches!(part, "" | "." | ".."))
        && !KERNEL_FOLDERS.contains(&path[1..].split('/').next().unwrap_or_default());
    if good {
        Ok(path)
    } else {
        Err(Invalid::new(
            "must be an absolute path below the root, such as /data, without colons or dot segments, and not in /dev, /proc or /sys",
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(text: &str) -> Change<String> {
        Change::Set(text.to_owned())
    }

    fn changed(from: &Spec, change: SpecChange) -> Result<Spec, Vec<String>> {
        let mut faults = Faults::default();
        let spec = from.changed(change, &["localhost"], &mut faults);
        if faults.is_empty() {
            Ok(spec)
        } else {
            Err(faults.iter().map(|fault| fault.pointer.clone()).collect())
        }
    }

    #[test]
    fn the_default_is_valid() {
        assert_eq!(
            changed(&Spec::default(), SpecChange::default()),
            Ok(Spec::default())
        );
    }

    #[test]
    fn what_is_left_out_stays_and_null_unsets() {
        let first = changed(
            &Spec::default(),
            SpecChange {
                replicas: Change::Set(3),
                description: set("shop"),
                ..SpecChange::default()
            },
        )
        .unwrap();
        let second = changed(
            &first,
            SpecChange {
                replicas: Change::Unset,
                ..SpecChange::default()
            },
        )
        .unwrap();
        assert_eq!(second.replicas, 1);
        assert_eq!(second.description.as_deref(), Some("shop"));
    }

    #[test]
    fn variables_not_named_stay_and_those_that_are_null_go() {
        let variables = |changes: &[(&str, Option<&str>)]| SpecChange {
            env_vars: Change::Set(
                changes
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)))
                    .collect(),
            ),
            ..SpecChange::default()
        };
        let first = variables(&[("A", Some("1")), ("B", Some("2"))]);
        let first = changed(&Spec::default(), first).unwrap();
        let second = changed(&first, variables(&[("A", None), ("C", Some("3"))])).unwrap();
        let names: Vec<_> = second.env_vars.keys().collect();
        assert_eq!(names, ["B", "C"]);
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let faults = changed(
            &Spec::default(),
            SpecChange {
                container_port: Change::Set(0),
                replicas: Change::Set(-1),
                cpu_limit: set("much"),
                min_replicas: Change::Set(5),
                max_replicas: Change::Set(2),
                storage_path: set("/data/../etc"),
                liveness_check_path: set("health"),
                env_vars: Change::Set(BTreeMap::from([("1A".to_owned(), Some(String::new()))])),
                ..SpecChange::default()
            },
        )
        .unwrap_err();
        assert_eq!(
            faults,
            [
                "/container_port",
                "/replicas",
                "/cpu_limit",
                "/liveness_check_path",
                "/storage_path",
                "/env_vars/1A",
                "/min_replicas",
            ]
        );
    }

    #[test]
    fn a_rule_between_two_fields_is_silent_when_one_of_them_is_faulty_already() {
        let faults = changed(
            &Spec::default(),
            SpecChange {
                cpu_request: set("2"),
                cpu_limit: set("4 cores"),
                ..SpecChange::default()
            },
        )
        .unwrap_err();
        assert_eq!(faults, ["/cpu_limit"]);
    }

    #[test]
    fn a_worker_answers_nobody() {
        let worker = changed(
            &Spec::default(),
            SpecChange {
                service_type: set("worker"),
                ..SpecChange::default()
            },
        )
        .unwrap();
        assert_eq!(worker.exposure_type, Exposure::None);
        let faults = changed(
            &worker,
            SpecChange {
                exposure_type: set("external"),
                ..SpecChange::default()
            },
        );
        assert_eq!(faults, Err(vec!["/exposure_type".to_owned()]));
    }

    #[test]
    fn requests_stay_below_limits() {
        let faults = changed(
            &Spec::default(),
            SpecChange {
                cpu_request: set("1"),
                memory_request: set("1Gi"),
                ..SpecChange::default()
            },
        );
        assert_eq!(
            faults,
            Err(vec![
                "/cpu_request".to_owned(),
                "/memory_request".to_owned()
            ])
        );
    }

    #[test]
    fn a_custom_path_is_one_that_every_kind_of_route_takes() {
        let refused = |path: &str| {
            let change = SpecChange {
                custom_path: set(path),
                ..SpecChange::default()
            };
            changed(&Spec::default(), change).is_err()
        };
        for good in ["/", "/shop", "/shop/", "/a/b-c_d.e~f", "/.well-known"] {
            assert!(!refused(good), "{good}");
        }
        for bad in [
            "", "shop", "//", "/a//b", "/a/../b", "/..", "/.", "/a?b", "/a#b", "/a b", "/a;b",
            "/%2e", "/a{b}", "/a$1", "/a\"b", "/a\nb", "/é", "/a(b)",
        ] {
            assert!(refused(bad), "{bad}");
        }
    }

    #[test]
    fn a_volume_takes_no_folder_of_the_kernel() {
        let refused = |path: &str| {
            let change = SpecChange {
                storage_size: set("1Gi"),
                storage_path: set(path),
                ..SpecChange::default()
            };
            changed(&Spec::default(), change).is_err()
        };
        for good in ["/data", "/var/lib/x", "/process", "/srv/dev"] {
            assert!(!refused(good), "{good}");
        }
        for bad in [
            "/dev", "/proc/1", "/sys/fs", "/", "data", "/a/../b", "/a:b", "/a/",
        ] {
            assert!(refused(bad), "{bad}");
        }
    }

    #[test]
    fn variables_that_differ_in_case_alone_are_refused() {
        let variables = BTreeMap::from([
            ("API_URL".to_owned(), Some("a".to_owned())),
            ("api_url".to_owned(), Some("b".to_owned())),
        ]);
        let faults = changed(
            &Spec::default(),
            SpecChange {
                env_vars: Change::Set(variables),
                ..SpecChange::default()
            },
        );
        assert_eq!(faults, Err(vec!["/env_vars/api_url".to_owned()]));
    }

    proptest! {
        /// Whatever is accepted once is accepted again unchanged: the sidecar's check of a stored
        /// configuration never disagrees with ours.
        #[test]
        fn an_accepted_configuration_is_accepted_again(
            replicas in -1_i64..200, port in -1_i64..70_000, path in "[/a-z.?#]{0,12}",
            cpu in "[0-9]{1,3}m?", memory in "[0-9]{1,4}(Mi|Gi)?", worker in any::<bool>(),
        ) {
            let change = SpecChange {
                replicas: Change::Set(replicas),
                container_port: Change::Set(port),
                custom_path: set(&path),
                cpu_limit: set(&cpu),
                memory_limit: set(&memory),
                service_type: if worker { set("worker") } else { Change::Keep },
                ..SpecChange::default()
            };
            if let Ok(spec) = changed(&Spec::default(), change) {
                prop_assert_eq!(changed(&spec, SpecChange::default()), Ok(spec.clone()));
            }
        }
    }
}
