// SPDX-License-Identifier: BSD-2-Clause
//! The routing table (FIB): connected, static and default routes, longest prefix first.

use std::net::IpAddr;

use super::ifnet::{IfIndex, in_prefix};
use crate::errno::Errno;

/// Where a route came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteOrigin {
    /// Follows from an interface's address; goes with it.
    Connected,
    /// Added by `route(8)`; goes with its interface.
    Static,
}

/// An entry of the routing table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination prefix; bits beyond its length count for nothing.
    pub dst: IpAddr,
    /// Length of the prefix in bits; 0 for a default route.
    pub prefix_len: u8,
    /// The next hop; `None` where the destination is on the link itself.
    pub gateway: Option<IpAddr>,
    /// The interface that packets leave by.
    pub ifindex: IfIndex,
    /// Where the route came from.
    pub origin: RouteOrigin,
}

impl Route {
    fn same_prefix(&self, dst: IpAddr, prefix_len: u8) -> bool {
        self.prefix_len == prefix_len && in_prefix(dst, self.dst, prefix_len)
    }
}

/// The routing table of a vnet.
#[derive(Clone, Debug, Default)]
pub struct Fib {
    routes: Vec<Route>,
    generation: u64,
}

/// How a table came about does not tell it from another.
impl PartialEq for Fib {
    fn eq(&self, other: &Self) -> bool {
        self.routes == other.routes
    }
}

impl Eq for Fib {}

impl Fib {
    /// Changes with every change of the table (`rib_gen`).
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The routes, longest prefix first and in the order of addition among equals.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Adds a route.
    ///
    /// # Errors
    /// `EEXIST` where the prefix has a route already (`rib_add_route`, `net/route/route_ctl.c`,
    /// FreeBSD 15.0, without multipath), `EINVAL` where the prefix is longer than its family allows
    /// or the gateway is of the other family.
    pub fn add(&mut self, route: Route) -> Result<(), Errno> {
        let width = if route.dst.is_ipv4() { 32 } else { 128 };
        if route.prefix_len > width
            || route
                .gateway
                .is_some_and(|g| g.is_ipv4() != route.dst.is_ipv4())
        {
            return Err(Errno::EINVAL);
        }
        if self
            .routes
            .iter()
            .any(|r| r.same_prefix(route.dst, route.prefix_len))
        {
            return Err(Errno::EEXIST);
        }
        let at = self
            .routes
            .partition_point(|r| r.prefix_len >= route.prefix_len);
        self.routes.insert(at, route);
        self.generation += 1;
        Ok(())
    }

    /// Removes the route of a prefix.
    ///
    /// # Errors
    /// `ESRCH` where there is none.
    pub fn delete(&mut self, dst: IpAddr, prefix_len: u8) -> Result<Route, Errno> {
        let at = self
            .routes
            .iter()
            .position(|r| r.same_prefix(dst, prefix_len))
            .ok_or(Errno::ESRCH)?;
        self.generation += 1;
        Ok(self.routes.remove(at))
    }

    /// Removes every route through an interface.
    pub fn delete_interface(&mut self, ifindex: IfIndex) {
        self.generation += 1;
        self.routes.retain(|r| r.ifindex != ifindex);
    }

    /// The route with the longest prefix that holds `dst`.
    pub fn lookup(&self, dst: IpAddr) -> Option<&Route> {
        self.routes
            .iter()
            .find(|r| in_prefix(dst, r.dst, r.prefix_len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn route(dst: &str, prefix_len: u8, ifindex: u32) -> Route {
        Route {
            dst: ip(dst),
            prefix_len,
            gateway: None,
            ifindex: IfIndex(ifindex),
            origin: RouteOrigin::Static,
        }
    }

    #[test]
    fn the_longest_prefix_wins_whatever_the_order_of_addition() {
        let mut fib = Fib::default();
        fib.add(route("0.0.0.0", 0, 1)).unwrap();
        fib.add(route("10.1.0.0", 16, 3)).unwrap();
        fib.add(route("10.0.0.0", 8, 2)).unwrap();
        fib.add(route("10.1.2.3", 32, 4)).unwrap();
        fib.add(route("::", 0, 5)).unwrap();
        let via = |dst| fib.lookup(ip(dst)).map(|r| r.ifindex.0);
        assert_eq!(via("10.1.2.3"), Some(4));
        assert_eq!(via("10.1.2.4"), Some(3));
        assert_eq!(via("10.2.0.1"), Some(2));
        assert_eq!(via("192.0.2.1"), Some(1));
        assert_eq!(via("2001:db8::1"), Some(5));
    }

    #[test]
    fn a_prefix_has_one_route_and_going_takes_it_away() {
        let mut fib = Fib::default();
        fib.add(route("10.0.0.0", 8, 1)).unwrap();
        assert_eq!(fib.add(route("10.9.9.9", 8, 2)), Err(Errno::EEXIST));
        assert_eq!(fib.delete(ip("10.0.0.0"), 9), Err(Errno::ESRCH));
        fib.delete(ip("10.0.0.0"), 8).unwrap();
        assert_eq!(fib.lookup(ip("10.0.0.1")), None);
        assert_eq!(fib.add(route("10.0.0.0", 33, 1)), Err(Errno::EINVAL));
    }
}
