//! The routes of `nokube admin`.

use nokube_guest::Component;

use crate::handlers;

/// What `nokube admin` does on the machine itself, in a program of its own: it reads the database's file,
/// so it may do everything already, and asks this code to do it right. The component that is served has
/// none of these routes.
pub static MACHINE: Component = Component {
    name: "auth",
    routes: nokube_guest::routes! {
        system {
            POST "/machine/reset-password" => handlers::machine::reset_password;
            POST "/machine/make-admin" => handlers::machine::make_admin;
            POST "/machine/close-account" => handlers::machine::close_account;
            POST "/machine/open-account" => handlers::machine::open_account;
            POST "/machine/invitations" => handlers::machine::invite;
        }
    },
};
