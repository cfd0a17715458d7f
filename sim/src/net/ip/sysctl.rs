// SPDX-License-Identifier: BSD-2-Clause
//! The IP layer's variables by name (`inet(4)`, `inet6(4)`, `icmp(4)`).

use super::IpStack;
use crate::errno::Errno;

impl IpStack {
    /// The names of the variables, in no meaningful but a fixed order.
    pub const SYSCTL_NAMES: &'static [&'static str] = &[
        "net.inet.icmp.bmcastecho",
        "net.inet.icmp.icmplim_jitter",
        "net.inet.icmp.icmplim",
        "net.inet.icmp.quotelen",
        "net.inet.icmp.tstamprepl",
        "net.inet.ip.forwarding",
        "net.inet.ip.maxfragsperpacket",
        "net.inet.ip.ttl",
        "net.inet6.icmp6.errppslimit",
        "net.inet6.icmp6.icmp6lim_jitter",
        "net.inet6.ip6.forwarding",
        "net.inet6.ip6.hlim",
        "net.inet6.ip6.maxfragsperpacket",
    ];

    /// The value of a variable of the IP layer.
    ///
    /// # Errors
    /// `ENOENT` where the IP layer has none of this name.
    pub fn sysctl_get(&self, name: &str) -> Result<i64, Errno> {
        let s = &self.sysctls;
        let value = match name {
            "net.inet.ip.forwarding" => s.forwarding.into(),
            "net.inet6.ip6.forwarding" => s.forwarding6.into(),
            "net.inet.ip.ttl" => s.ttl.into(),
            "net.inet6.ip6.hlim" => s.hlim.into(),
            "net.inet.icmp.bmcastecho" => s.bmcastecho.into(),
            "net.inet.icmp.quotelen" => s.quotelen.into(),
            "net.inet.icmp.tstamprepl" => s.tstamprepl.into(),
            "net.inet.icmp.icmplim" => self.bandlim.limit().into(),
            "net.inet.icmp.icmplim_jitter" => self.bandlim.jitter().into(),
            "net.inet6.icmp6.errppslimit" => self.ratelim6.limit().into(),
            "net.inet6.icmp6.icmp6lim_jitter" => self.ratelim6.jitter().into(),
            "net.inet.ip.maxfragsperpacket" => self.reass4.maxfrags as i64,
            "net.inet6.ip6.maxfragsperpacket" => self.reass6.maxfrags as i64,
            _ => return Err(Errno::ENOENT),
        };
        Ok(value)
    }

    /// Sets a variable of the IP layer.
    ///
    /// # Errors
    /// `ENOENT` where the IP layer has none of this name, `EINVAL` for a value out of its range.
    pub fn sysctl_set(&mut self, name: &str, value: i64) -> Result<(), Errno> {
        let flag = value != 0;
        let byte = u8::try_from(value).map_err(|_| Errno::EINVAL);
        let word = u32::try_from(value).map_err(|_| Errno::EINVAL);
        let s = &mut self.sysctls;
        match name {
            "net.inet.ip.forwarding" => s.forwarding = flag,
            "net.inet6.ip6.forwarding" => s.forwarding6 = flag,
            "net.inet.ip.ttl" => s.ttl = byte?,
            "net.inet6.ip6.hlim" => s.hlim = byte?,
            "net.inet.icmp.bmcastecho" => s.bmcastecho = flag,
            "net.inet.icmp.quotelen" => s.quotelen = word?,
            "net.inet.icmp.tstamprepl" => s.tstamprepl = flag,
            "net.inet.icmp.icmplim" => self.bandlim.set_limit(word?)?,
            "net.inet.icmp.icmplim_jitter" => self.bandlim.set_jitter(word?, &mut self.rng)?,
            "net.inet6.icmp6.errppslimit" => self.ratelim6.set_limit(word?)?,
            "net.inet6.icmp6.icmp6lim_jitter" => self.ratelim6.set_jitter(word?, &mut self.rng)?,
            "net.inet.ip.maxfragsperpacket" => self.reass4.maxfrags = word? as usize,
            "net.inet6.ip6.maxfragsperpacket" => self.reass6.maxfrags = word? as usize,
            _ => return Err(Errno::ENOENT),
        }
        Ok(())
    }

    /// Sets a variable as it was elsewhere: one that another holds within bounds takes any value, as the order in
    /// which these two were set is not known, and nothing is drawn.
    ///
    /// # Errors
    /// As of [`IpStack::sysctl_set`].
    pub(crate) fn sysctl_restore(&mut self, name: &str, value: i64) -> Result<(), Errno> {
        let word = u32::try_from(value).map_err(|_| Errno::EINVAL);
        match name {
            "net.inet.icmp.icmplim" => self.bandlim.restore_limit(word?),
            "net.inet.icmp.icmplim_jitter" => self.bandlim.restore_jitter(word?),
            "net.inet6.icmp6.errppslimit" => self.ratelim6.restore_limit(word?),
            "net.inet6.icmp6.icmp6lim_jitter" => self.ratelim6.restore_jitter(word?),
            _ => return self.sysctl_set(name, value),
        }
        Ok(())
    }
}
