//! Where Git sources may come from: the variables `git_access` and `denied_ports`.

use nokube_domain::git_source::{AddressPolicy, GitAccess};

use crate::{Ctx, Error};

/// Where Git sources may come from.
pub struct GitRules {
    access: GitAccess,
    denied_ports: Vec<u16>,
}

impl GitRules {
    /// `git_access` and `denied_ports`. Without the first, or with another word, only public
    /// addresses are allowed.
    ///
    /// # Errors
    /// `denied_ports` is no list of ports.
    pub fn from_variables(cx: &Ctx) -> Result<Self, Error> {
        let access = cx
            .variable("git_access")
            .and_then(|text| GitAccess::parse(text.trim()))
            .unwrap_or(GitAccess::Public);
        let denied_ports = cx
            .variable("denied_ports")
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|port| !port.is_empty())
            .map(|port| {
                port.parse()
                    .map_err(|_| Error::Configuration("denied_ports"))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            access,
            denied_ports,
        })
    }

    /// The rules in the domain's form.
    #[must_use]
    pub fn policy(&self) -> AddressPolicy<'_> {
        AddressPolicy {
            access: self.access,
            denied_ports: &self.denied_ports,
        }
    }
}
