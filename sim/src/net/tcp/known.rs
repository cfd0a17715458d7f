// SPDX-License-Identifier: BSD-2-Clause
//! What peers know an address as that they reach through a translation.
//!
//! FreeBSD has nothing of the kind: to it a connection from another address is another one. A stack
//! whose addresses were changed under its connections has promises to keep that were made under the
//! old ones: initial sequence numbers that go on (RFC 6528 section 3), timestamps likewise (RFC 7323
//! section 5.4), cookies. So whatever is hashed of an address is hashed of the one that peers know.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Conninfo;

/// Addresses that peers know by others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownAs(pub(crate) BTreeMap<IpAddr, IpAddr>);

impl KnownAs {
    /// What peers know an address as.
    pub(crate) fn addr(&self, addr: IpAddr) -> IpAddr {
        self.0.get(&addr).copied().unwrap_or(addr)
    }

    /// The ends of a connection as the peer knows them.
    pub(crate) fn ends(&self, inc: &Conninfo) -> Conninfo {
        Conninfo {
            faddr: self.addr(inc.faddr),
            laddr: self.addr(inc.laddr),
            ..*inc
        }
    }
}
