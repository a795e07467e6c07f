//! What an application keeps: one volume, for one copy.

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource,
    Volume as PodVolume, VolumeMount, VolumeResourceRequirements,
};

use nokube_domain::Quantity;

use crate::Volume;
use crate::app::App;
use crate::namespace::quantities;
use crate::object::Object;

const VOLUME: &str = "data";

pub(crate) struct Storage<'a> {
    claim: String,
    /// Where it is mounted.
    pub(crate) path: &'a str,
}

impl<'a> Storage<'a> {
    pub(crate) fn of(app: &'a App<'_>) -> Option<Self> {
        Some(Self {
            claim: format!("{}.data", app.name()),
            path: app.spec.storage_path.as_deref()?,
        })
    }

    /// At least as large as what is there, and of its class: an earlier revision that asked for less, and an operator who
    /// names another class, get what is there.
    pub(crate) fn object(&self, app: &App<'_>, there: Option<&Volume>) -> Option<Object> {
        let wanted = app.spec.storage_size.as_ref()?;
        let size = match there {
            Some(there) if !there.is_bound || !is_less(&there.size, wanted) => there.size.clone(),
            _ => wanted.as_str().to_owned(),
        };
        let class = there.and_then(|there| there.class.as_ref());
        let claim = PersistentVolumeClaim {
            metadata: app.meta(&self.claim),
            spec: Some(PersistentVolumeClaimSpec {
                access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
                resources: Some(VolumeResourceRequirements {
                    requests: Some(quantities([("storage", size)])),
                    ..VolumeResourceRequirements::default()
                }),
                storage_class_name: class.or(app.settings.storage_class.as_ref()).cloned(),
                ..PersistentVolumeClaimSpec::default()
            }),
            ..PersistentVolumeClaim::default()
        };
        Some(Object::of(&claim))
    }

    pub(crate) fn volume(&self) -> PodVolume {
        PodVolume {
            name: VOLUME.to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: self.claim.clone(),
                ..PersistentVolumeClaimVolumeSource::default()
            }),
            ..PodVolume::default()
        }
    }

    pub(crate) fn mount(&self) -> VolumeMount {
        VolumeMount {
            name: VOLUME.to_owned(),
            mount_path: self.path.to_owned(),
            ..VolumeMount::default()
        }
    }
}

/// What this cannot read was not written by us, and stays.
fn is_less(there: &str, wanted: &Quantity) -> bool {
    Quantity::parse(there).is_ok_and(|there| there.units() < wanted.units())
}
