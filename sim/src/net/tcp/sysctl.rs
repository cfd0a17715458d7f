// SPDX-License-Identifier: BSD-2-Clause
//! The `net.inet.tcp` and `kern.ipc` variables of a vnet: names, defaults and ranges as
//! FreeBSD 15-CURRENT of 2024 and 2025 has them (`tcp(4)`, `sys/netinet/tcp_*.c`).
//!
//! Times are in milliseconds, which with FreeBSD's default of 1000 Hz are also ticks. Variables that
//! are global in FreeBSD are per vnet here, since an instance sees them as its own host's.

use crate::errno::Errno;

macro_rules! variables {
    ($($field:ident: $name:literal = $default:expr, $range:expr;)*) => {
        /// The values. Each is an `i64`, whatever its C type, and within its range.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Sysctl {
            $(#[doc = concat!("`", $name, "`")] pub(crate) $field: i64,)*
        }

        impl Default for Sysctl {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl Sysctl {
            /// Every name, in the order of declaration.
            pub const NAMES: &'static [&'static str] = &[$($name,)*];

            /// The value of the variable with this name; `ENOENT` where there is none.
            pub fn get(&self, name: &str) -> Result<i64, Errno> {
                match name {
                    $($name => Ok(self.$field),)*
                    _ => Err(Errno::ENOENT),
                }
            }

            /// Sets a variable; `ENOENT` where there is none, `EINVAL` outside its range. A port becomes
            /// the nearest that is allowed (`sysctl_net_ipport_check`).
            pub fn set(&mut self, name: &str, value: i64) -> Result<(), Errno> {
                match name {
                    $($name => {
                        let range = $range;
                        let value = if clamped(name) {
                            value.clamp(*range.start(), *range.end())
                        } else {
                            value
                        };
                        if !range.contains(&value) {
                            return Err(Errno::EINVAL);
                        }
                        self.$field = value;
                    })*
                    _ => return Err(Errno::ENOENT),
                }
                Ok(())
            }
        }
    };
}

const ANY: std::ops::RangeInclusive<i64> = i32::MIN as i64..=i32::MAX as i64;
/// `IPPORT_RESERVED` to `IPPORT_MAX`; what is out of these ranges of ports is set to their nearer end.
const PORT: std::ops::RangeInclusive<i64> = 1_024..=65_535;
const LOWPORT: std::ops::RangeInclusive<i64> = 1..=1_023;
const UNSIGNED: std::ops::RangeInclusive<i64> = 0..=u32::MAX as i64;
const BOOL: std::ops::RangeInclusive<i64> = 0..=1;
const MS: std::ops::RangeInclusive<i64> = 1..=i32::MAX as i64;

variables! {
    rfc1323: "net.inet.tcp.rfc1323" = 1, ANY;
    tolerate_missing_ts: "net.inet.tcp.tolerate_missing_ts" = 0, ANY;
    ts_offset_per_conn: "net.inet.tcp.ts_offset_per_conn" = 1, ANY;
    mssdflt: "net.inet.tcp.mssdflt" = 536, 216..=65_495;
    v6mssdflt: "net.inet.tcp.v6mssdflt" = 1220, 216..=65_475;
    minmss: "net.inet.tcp.minmss" = 216, 0..=65_495;
    sendspace: "net.inet.tcp.sendspace" = 32_768, ANY;
    recvspace: "net.inet.tcp.recvspace" = 65_536, ANY;
    sendbuf_auto: "net.inet.tcp.sendbuf_auto" = 1, ANY;
    sendbuf_auto_lowat: "net.inet.tcp.sendbuf_auto_lowat" = 0, ANY;
    sendbuf_inc: "net.inet.tcp.sendbuf_inc" = 8_192, ANY;
    sendbuf_max: "net.inet.tcp.sendbuf_max" = 2_097_152, ANY;
    recvbuf_auto: "net.inet.tcp.recvbuf_auto" = 1, ANY;
    recvbuf_max: "net.inet.tcp.recvbuf_max" = 2_097_152, ANY;
    blackhole: "net.inet.tcp.blackhole" = 0, ANY;
    blackhole_local: "net.inet.tcp.blackhole_local" = 0, BOOL;
    delayed_ack: "net.inet.tcp.delayed_ack" = 1, ANY;
    drop_synfin: "net.inet.tcp.drop_synfin" = 0, ANY;
    prr: "net.inet.tcp.do_prr" = 1, ANY;
    newcwv: "net.inet.tcp.newcwv" = 0, ANY;
    rfc3042: "net.inet.tcp.rfc3042" = 1, ANY;
    rfc3390: "net.inet.tcp.rfc3390" = 1, ANY;
    rfc3465: "net.inet.tcp.rfc3465" = 1, ANY;
    abc_l_var: "net.inet.tcp.abc_l_var" = 2, 1..=i64::from(i32::MAX);
    initcwnd_segments: "net.inet.tcp.initcwnd_segments" = 10, 0..=i64::from(i32::MAX);
    insecure_syn: "net.inet.tcp.insecure_syn" = 0, ANY;
    insecure_rst: "net.inet.tcp.insecure_rst" = 0, ANY;
    insecure_ack: "net.inet.tcp.insecure_ack" = 0, ANY;
    ack_war_timewindow: "net.inet.tcp.ack_war_timewindow" = 1_000, 0..=i64::from(i32::MAX);
    ack_war_cnt: "net.inet.tcp.ack_war_cnt" = 5, 0..=i64::from(i32::MAX);
    icmp_may_rst: "net.inet.tcp.icmp_may_rst" = 1, ANY;
    path_mtu_discovery: "net.inet.tcp.path_mtu_discovery" = 1, ANY;
    pmtud_blackhole_detection: "net.inet.tcp.pmtud_blackhole_detection" = 0, ANY;
    pmtud_blackhole_mss: "net.inet.tcp.pmtud_blackhole_mss" = 1200, ANY;
    v6pmtud_blackhole_mss: "net.inet.tcp.v6pmtud_blackhole_mss" = 1220, ANY;
    ecn_enable: "net.inet.tcp.ecn.enable" = 2, 0..=4;
    ecn_maxretries: "net.inet.tcp.ecn.maxretries" = 1, ANY;
    sack_enable: "net.inet.tcp.sack.enable" = 1, ANY;
    sack_revised: "net.inet.tcp.sack.revised" = 1, ANY;
    sack_lrd: "net.inet.tcp.sack.lrd" = 1, ANY;
    sack_maxholes: "net.inet.tcp.sack.maxholes" = 128, ANY;
    sack_globalmaxholes: "net.inet.tcp.sack.globalmaxholes" = 65_536, ANY;
    reass_maxqueuelen: "net.inet.tcp.reass.maxqueuelen" = 100, ANY;
    reass_new_limit: "net.inet.tcp.reass.new_limit" = 0, ANY;
    reass_queueguard: "net.inet.tcp.reass.queueguard" = 16, ANY;
    syncookies: "net.inet.tcp.syncookies" = 1, ANY;
    syncookies_only: "net.inet.tcp.syncookies_only" = 0, ANY;
    syncache_bucketlimit: "net.inet.tcp.syncache.bucketlimit" = 30, ANY;
    syncache_cachelimit: "net.inet.tcp.syncache.cachelimit" = 15_375, ANY;
    syncache_hashsize: "net.inet.tcp.syncache.hashsize" = 512, ANY;
    syncache_rexmtlimit: "net.inet.tcp.syncache.rexmtlimit" = 3, 0..=12;
    syncache_rst_on_sock_fail: "net.inet.tcp.syncache.rst_on_sock_fail" = 1, ANY;
    keepinit: "net.inet.tcp.keepinit" = 75_000, MS;
    keepidle: "net.inet.tcp.keepidle" = 7_200_000, MS;
    keepintvl: "net.inet.tcp.keepintvl" = 75_000, MS;
    keepcnt: "net.inet.tcp.keepcnt" = 8, ANY;
    always_keepalive: "net.inet.tcp.always_keepalive" = 1, ANY;
    delacktime: "net.inet.tcp.delacktime" = 40, MS;
    msl: "net.inet.tcp.msl" = 30_000, MS;
    msl_local: "net.inet.tcp.msl_local" = 30_000, MS;
    persmin: "net.inet.tcp.persmin" = 5_000, MS;
    persmax: "net.inet.tcp.persmax" = 60_000, MS;
    rexmit_initial: "net.inet.tcp.rexmit_initial" = 1_000, MS;
    rexmit_min: "net.inet.tcp.rexmit_min" = 30, MS;
    rexmit_max: "net.inet.tcp.rexmit_max" = 64_000, MS;
    rexmit_slop: "net.inet.tcp.rexmit_slop" = 200, 0..=i64::from(i32::MAX);
    rexmit_drop_options: "net.inet.tcp.rexmit_drop_options" = 0, ANY;
    retries: "net.inet.tcp.retries" = 12, 1..=12;
    maxunacktime: "net.inet.tcp.maxunacktime" = 0, 0..=i64::from(i32::MAX);
    fast_finwait2_recycle: "net.inet.tcp.fast_finwait2_recycle" = 0, ANY;
    finwait2_timeout: "net.inet.tcp.finwait2_timeout" = 60_000, MS;
    nolocaltimewait: "net.inet.tcp.nolocaltimewait" = 0, BOOL;
    isn_reseed_interval: "net.inet.tcp.isn_reseed_interval" = 0, ANY;
    hostcache_enable: "net.inet.tcp.hostcache.enable" = 1, ANY;
    hostcache_expire: "net.inet.tcp.hostcache.expire" = 3_600, ANY;
    hostcache_cachelimit: "net.inet.tcp.hostcache.cachelimit" = 15_360, ANY;
    hostcache_purge: "net.inet.tcp.hostcache.purge" = 0, ANY;
    hostcache_purgenow: "net.inet.tcp.hostcache.purgenow" = 0, ANY;
    fastopen_client_enable: "net.inet.tcp.fastopen.client_enable" = 1, 0..=1;
    fastopen_server_enable: "net.inet.tcp.fastopen.server_enable" = 0, 0..=1;
    fastopen_acceptany: "net.inet.tcp.fastopen.acceptany" = 0, 0..=1;
    fastopen_psk_enable: "net.inet.tcp.fastopen.psk_enable" = 0, 0..=1;
    fastopen_autokey: "net.inet.tcp.fastopen.autokey" = 120, 0..=i64::from(i32::MAX) / 1_000;
    fastopen_path_disable_time: "net.inet.tcp.fastopen.path_disable_time" = 900, 0..=i64::from(i32::MAX);
    fastopen_ccache_bucket_limit: "net.inet.tcp.fastopen.ccache_bucket_limit" = 16, 1..=i64::from(i32::MAX);
    udp_tunneling_port: "net.inet.tcp.udp_tunneling_port" = 0, 0..=65_535;
    udp_tunneling_overhead: "net.inet.tcp.udp_tunneling_overhead" = 8, 8..=1_024;
    cc_abe: "net.inet.tcp.cc.abe" = 0, ANY;
    newreno_beta: "net.inet.tcp.cc.newreno.beta" = 50, 1..=100;
    newreno_beta_ecn: "net.inet.tcp.cc.newreno.beta_ecn" = 80, 1..=100;
    cubic: "net.inet.tcp.cc.algorithm_cubic" = 1, BOOL;
    maxsockbuf: "kern.ipc.maxsockbuf" = 2_097_152, 2_304..=i64::MAX;
    somaxconn: "kern.ipc.soacceptqueue" = 128, 1..=0x7fff_ffff / 3;
    udp_blackhole: "net.inet.udp.blackhole" = 0, ANY;
    udp_blackhole_local: "net.inet.udp.blackhole_local" = 0, BOOL;
    udp_checksum: "net.inet.udp.checksum" = 1, ANY;
    udp_sendspace: "net.inet.udp.maxdgram" = 9_216, UNSIGNED;
    udp_recvspace: "net.inet.udp.recvspace" = 42_080, UNSIGNED;
    raw_sendspace: "net.inet.raw.maxdgram" = 9_216, UNSIGNED;
    raw_recvspace: "net.inet.raw.recvspace" = 9_216, UNSIGNED;
    v6only: "net.inet6.ip6.v6only" = 1, ANY;
    connect_inaddr_wild: "net.inet.ip.connect_inaddr_wild" = 0, ANY;
    connect_in6addr_wild: "net.inet6.ip6.connect_in6addr_wild" = 0, ANY;
    portrange_first: "net.inet.ip.portrange.first" = 10_000, PORT;
    portrange_last: "net.inet.ip.portrange.last" = 65_535, PORT;
    portrange_hifirst: "net.inet.ip.portrange.hifirst" = 49_152, PORT;
    portrange_hilast: "net.inet.ip.portrange.hilast" = 65_535, PORT;
    portrange_lowfirst: "net.inet.ip.portrange.lowfirst" = 1_023, LOWPORT;
    portrange_lowlast: "net.inet.ip.portrange.lowlast" = 600, LOWPORT;
    // Without effect: there is no log, no offload and no lack of memory; one stack, which calls no HyStart++ (its rounds
    // are begun by RACK only); and cc_newreno.c asks IN_CONGRECOVERY of a truth value, which is never set.
    log_in_vain: "net.inet.tcp.log_in_vain" = 0, ANY;
    log_debug: "net.inet.tcp.log_debug" = 0, ANY;
    tso: "net.inet.tcp.tso" = 1, ANY;
    do_tcpdrain: "net.inet.tcp.do_tcpdrain" = 1, ANY;
    functions_inherit: "net.inet.tcp.functions_inherit_listen_socket_stack" = 1, ANY;
    abe_frlossreduce: "net.inet.tcp.cc.abe_frlossreduce" = 0, ANY;
    hystart_minrtt_thresh: "net.inet.tcp.cc.hystartplusplus.minrtt_thresh" = 4_000, UNSIGNED;
    hystart_maxrtt_thresh: "net.inet.tcp.cc.hystartplusplus.maxrtt_thresh" = 16_000, UNSIGNED;
    hystart_n_rttsamples: "net.inet.tcp.cc.hystartplusplus.n_rttsamples" = 8, UNSIGNED;
    hystart_css_growth_div: "net.inet.tcp.cc.hystartplusplus.css_growth_div" = 4, UNSIGNED;
    hystart_css_rounds: "net.inet.tcp.cc.hystartplusplus.css_rounds" = 5, UNSIGNED;
    hystart_bblogs: "net.inet.tcp.cc.hystartplusplus.bblogs" = 0, UNSIGNED;
}

/// True for the variables that never refuse a value.
fn clamped(name: &str) -> bool {
    name.starts_with("net.inet.ip.portrange.")
}

impl Sysctl {
    /// `sb_max_adj`: the largest buffer that a program can ask for.
    ///
    /// `sb_max` also pays for the mbufs: `sb_max * MCLBYTES / (MSIZE + MCLBYTES)`.
    pub(crate) fn sb_max_adj(&self) -> u32 {
        let adjusted = i128::from(self.maxsockbuf) * 2048 / (256 + 2048);
        u32::try_from(adjusted).unwrap_or(u32::MAX)
    }

    /// The window scale that lets a window reach the largest buffer (`tcp_connect`,
    /// `syncache_add`).
    pub(crate) fn window_scale(&self) -> u8 {
        (0..super::options::MAX_WINSHIFT)
            .find(|shift| (65_535_i64 << shift) >= self.maxsockbuf)
            .unwrap_or(super::options::MAX_WINSHIFT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_set_by_name_within_their_range() {
        let mut sysctl = Sysctl::default();
        assert_eq!(sysctl.set("net.inet.tcp.retries", 13), Err(Errno::EINVAL));
        assert_eq!(sysctl.set("net.inet.tcp.retries", 3), Ok(()));
        assert_eq!(sysctl.get("net.inet.tcp.retries"), Ok(3));
        assert_eq!(sysctl.get("net.inet.tcp.nonsense"), Err(Errno::ENOENT));
        for name in Sysctl::NAMES {
            let value = sysctl.get(name).unwrap();
            assert_eq!(sysctl.set(name, value), Ok(()), "{name}");
        }
    }

    #[test]
    fn a_default_segment_is_not_below_the_least_that_the_header_says() {
        // TCP_MINMSS (sysctl_net_inet_tcp_mss_check); the least itself may be given up.
        let mut sysctl = Sysctl::default();
        for name in ["net.inet.tcp.mssdflt", "net.inet.tcp.v6mssdflt"] {
            assert_eq!(sysctl.set(name, 215), Err(Errno::EINVAL), "{name}");
            assert_eq!(sysctl.set(name, 216), Ok(()), "{name}");
        }
        assert_eq!(sysctl.set("net.inet.tcp.minmss", 0), Ok(()));
    }

    #[test]
    fn a_port_out_of_range_becomes_the_nearest_that_is_allowed() {
        let mut sysctl = Sysctl::default();
        for (name, value, becomes) in [
            ("net.inet.ip.portrange.first", 80, 1_024),
            ("net.inet.ip.portrange.last", 70_000, 65_535),
            ("net.inet.ip.portrange.lowlast", 0, 1),
        ] {
            assert_eq!(sysctl.set(name, value), Ok(()));
            assert_eq!(sysctl.get(name), Ok(becomes), "{name}");
        }
    }

    #[test]
    fn the_default_buffer_limit_asks_for_a_scale_of_six() {
        assert_eq!(Sysctl::default().window_scale(), 6);
    }
}
