//! What happens in clusters, one after another against the fake API service.
//!
//! | file | scenario |
//! |---|---|
//! | `life` | a Spin application runs and leaves nothing behind; so do containers with a volume, an Ingress, a Gateway, scaling |
//! | | a new revision: what it no longer has goes, what old pods read stays until they are gone |
//! | | stopping and starting, also of what can no longer be made; restarting; scaling |
//! | | two deployments in one namespace; a port of every node; two projects with Spin applications |
//! | `changes` | from Spin to a container and back, by a revision and by a new deployment of the name |
//! | | a volume stays as large as it was; one copy at a time has it; autoscaling keeps the copies |
//! | `trouble` | 409, 429 with Retry-After and 5xx are repeated; an outage ends |
//! | | an admission webhook refuses; a quota is used up, or not counted yet; SpinKube is not installed yet |
//! | | a watch breaks off and begins anew (410), also when it cannot begin; somebody removes what was made |
//! | | a namespace hangs, or is removed; what was written down cannot be read |
//! | | a crash between two objects, then going on, and then removing |
//! | `others` | namespaces and objects of somebody else, fields that another client changed |
//! | | what was changed or removed is written again, at once or after a while |
//! | | somebody else's objects keep a namespace |
//! | | who does not lead writes nothing, and what is under way when a lead ends is the last |
//! | `logs` | earlier containers, several pods, a cursor that outlives the sidecar |
//! | `kept` | desired state: kept, read again, more than a page of it, two writers, an answer that was lost |
//! | `lease` | one leads; another takes over; a lost lease |
//!
//! The fake API service refuses every call that the permissions do not cover, and the last test holds that
//! all scenarios together use every permission.

mod changes;
mod kept;
mod lease;
mod life;
mod logs;
mod others;
mod trouble;

use std::collections::BTreeSet;

use crate::permissions::PERMISSIONS;
use crate::testing::Fake;

/// What a scenario ends with: its cluster, in which no call was refused.
fn done(fake: &Fake) -> Fake {
    assert_eq!(fake.refused(), [] as [String; 0]);
    fake.clone()
}

/// Makes a test of each scenario, and one of all of them together.
macro_rules! scenarios {
    ($($file:ident::$name:ident),* $(,)?) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $name() {
                done(&$file::$name().await);
            }
        )*

        #[tokio::test(start_paused = true)]
        async fn every_permission_is_used_by_some_scenario() {
            let mut used = BTreeSet::new();
            $(used.extend(done(&$file::$name().await).used());)*
            for permission in PERMISSIONS {
                for verb in permission.verbs {
                    let key = (permission.scope, permission.group, permission.resource, *verb);
                    assert!(used.contains(&key), "{key:?} is granted and never used");
                }
            }
        }
    };
}

scenarios!(
    life::a_spin_application_runs_and_leaves_nothing_behind,
    life::a_container_with_a_volume_behind_an_ingress_leaves_nothing_behind,
    life::a_container_that_scales_behind_a_gateway_leaves_nothing_behind,
    life::a_port_of_every_node_is_told,
    life::a_new_revision_takes_away_what_it_no_longer_has,
    life::what_is_stopped_stays_known_and_starts_again,
    life::what_can_no_longer_be_made_stops_all_the_same,
    life::a_restart_makes_new_pods_and_scaling_does_not,
    life::one_of_two_deployments_goes_and_the_other_stays,
    life::a_project_ends_while_another_one_has_spin_applications,
    changes::a_deployment_changes_its_kind_and_back,
    changes::a_name_is_taken_over_by_another_kind_once_it_is_free,
    changes::a_volume_stays_as_large_as_it_was_and_of_its_class,
    changes::one_copy_at_a_time_has_the_volume,
    changes::turning_autoscaling_on_keeps_the_copies,
    trouble::what_may_pass_is_repeated,
    trouble::a_denied_revision_leaves_the_one_before_alone,
    trouble::a_route_that_is_denied_leaves_the_revision_before_alone,
    trouble::a_namespace_that_hangs_holds_nobody_else_up,
    trouble::a_namespace_that_somebody_removed_is_made_anew,
    trouble::what_nobody_can_read_is_neither_written_over_nor_forgotten,
    trouble::a_used_up_quota_is_told,
    trouble::a_quota_holds_before_there_is_anything_to_count,
    trouble::spinkube_that_is_installed_later_is_found,
    trouble::a_watch_that_broke_off_begins_anew,
    trouble::a_watch_that_cannot_begin_lists_anew,
    trouble::what_somebody_removed_is_to_be_applied_again,
    trouble::a_crash_between_two_objects_loses_nothing,
    trouble::what_was_begun_before_a_crash_is_removed,
    others::namespaces_that_are_not_ours_are_refused,
    others::objects_that_are_not_ours_are_left_alone,
    others::fields_that_another_client_changed_are_taken_back,
    others::what_somebody_changed_is_written_again,
    others::what_is_not_watched_is_written_again_after_a_while,
    others::a_namespace_with_somebody_elses_objects_stays,
    others::a_namespace_in_which_somebody_elses_pods_run_stays,
    others::specs_that_no_cluster_can_have_are_told_before_they_are_taken,
    others::who_does_not_lead_writes_nothing,
    others::what_is_under_way_when_a_lead_ends_is_the_last,
    logs::a_log_goes_on_after_restarts_of_everything,
    logs::a_log_that_cannot_be_read_is_no_empty_one,
    kept::what_is_kept_is_read_again,
    kept::a_lost_answer_is_no_other_writer,
    kept::another_writer_ends_the_lead,
    lease::one_leads_and_another_takes_over,
    lease::a_lease_that_somebody_took_is_lost,
    lease::a_lease_that_is_given_back_is_free_at_once,
);
