//! What an application keeps: one volume, for one copy.

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource, Volume,
    VolumeMount, VolumeResourceRequirements,
};

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

    pub(crate) fn object(&self, app: &App<'_>) -> Option<Object> {
        let size = app.spec.storage_size.as_ref()?.as_str().to_owned();
        let claim = PersistentVolumeClaim {
            metadata: app.meta(&self.claim),
            spec: Some(PersistentVolumeClaimSpec {
                access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
                resources: Some(VolumeResourceRequirements {
                    requests: Some(quantities([("storage", size)])),
                    ..VolumeResourceRequirements::default()
                }),
                storage_class_name: app.settings.storage_class.clone(),
                ..PersistentVolumeClaimSpec::default()
            }),
            ..PersistentVolumeClaim::default()
        };
        Some(Object::of(&claim))
    }

    pub(crate) fn volume(&self) -> Volume {
        Volume {
            name: VOLUME.to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: self.claim.clone(),
                ..PersistentVolumeClaimVolumeSource::default()
            }),
            ..Volume::default()
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
