// SPDX-License-Identifier: BSD-2-Clause
//! An image with every kind of record in it.

use super::list;
use super::records::{
    CLIENT, HEADER, ProcRefs, SERVER, bytes, instance, ms, proc, rng_state, socket, syncache, text,
    thread,
};
use vpscore::collections::List;
use vpscore::image::schema::{
    File, FileType, Filedesc, Filedescent, IfType, Ifaddr, Ifnet, InFlight, Info, Inherit, Ipq,
    IpqPiece, LlState, Llentry, LoopbackPacket, ObjType, Pgrp, Pipe, PipeBuf, ProcState, RateCount,
    Route, Session, Sigaction, Sigacts, SysctlVar, Ucred, VmMapEntry, VmObject, Vmspace, Vnet,
};
use vpscore::image::{PAGE_SIZE, Ref, WriteError, Writer};
use vpscore::sock::{HcMetrics, InAddr, KnownAs, SchOverflow, TcpMd5Key, TcpVnet, TfoCookie};
use vpscore::time::Duration;

type Failure = WriteError<vpscore::collections::NoMemory>;

/// An image with every kind of record in it, written by hand, one object after the other.
///
/// # Errors
/// The writer's, where the sample is no longer an image.
pub fn sample() -> Result<Vec<u8>, Failure> {
    let mut w = Writer::new(List::new(), &HEADER)?;
    w.object(&Info {
        osrelease: text("15.0-RELEASE"),
        machine_arch: text("amd64"),
        writer: text("model-tests"),
    })?;
    let root = w.object(&instance(None, "web"))?;
    let nested = w.object(&instance(Some(root), "db"))?;
    let vnet = sample_net(&mut w, root)?;
    let ucred = w.object(&Ucred {
        cr_prison: Ref::new(root),
        cr_uid: 0,
        cr_ruid: 0,
        cr_svuid: 0,
        cr_gid: 0,
        cr_rgid: 0,
        cr_svgid: 0,
        cr_groups: list([5]),
        cr_flags: 0,
        cr_loginclass: text("daemon"),
    })?;
    let vmspace = sample_memory(&mut w)?;
    let pipe = sample_pipe(&mut w, ucred)?;
    let listener = w.object(&socket(vnet, ucred, None))?;
    let connection = w.object(&socket(vnet, ucred, Some(listener)))?;
    w.stream(0, b"hello")?;
    w.stream(1, &[0x55; 0x1100])?;
    w.stream(2, &[0x66; 10])?;
    w.object(&syncache(vnet, ucred))?;
    let filedesc = sample_files(&mut w, ucred, pipe, listener, connection)?;
    let sigacts = w.object(&Sigacts {
        actions: list([Sigaction {
            signo: 15,
            handler: 0x4000,
            mask: [0; 16],
            flags: 2,
        }]),
        ps_flag: 0,
    })?;
    let session = w.object(&Session {
        instance: Ref::new(nested),
        s_sid: list([1]),
        s_login: bytes(b"root"),
    })?;
    let pgrp = w.object(&Pgrp {
        pg_session: Ref::new(session),
        pg_id: list([1]),
        pg_flags: 0,
        instance: Ref::new(nested),
    })?;
    let refs = ProcRefs {
        pgrp,
        ucred,
        sigacts,
        vmspace,
        filedesc,
    };
    let init = w.object(&proc(&[1], &refs, None, ProcState::Normal))?;
    w.object(&thread(100_001, ucred, connection))?;
    w.object(&proc(&[2], &refs, Some(init), ProcState::Zombie))?;
    w.finish().map(|list| list.as_slice().to_vec())
}

fn sample_net(w: &mut Writer<List<u8>>, root: u32) -> Result<u32, Failure> {
    let vnet = w.object(&Vnet {
        instance: Ref::new(root),
        sysctls: list([SysctlVar {
            name: text("net.inet.tcp.keepidle"),
            value: 7_200_000,
        }]),
        ip_id: 77,
        lastport: 49_152,
        clock: Some(Duration::from_secs(77)),
        frag6_id: Some(9),
        next_ifindex: Some(3),
        loopback: Some(list([LoopbackPacket {
            remaining: Duration::from_nanos(500),
            packet: bytes(&[0x45; 20]),
        }])),
        rates: Some(list([RateCount {
            class: 1,
            age: ms(100),
            count: 7,
            jitter: -3,
        }])),
        rates6: Some(list([RateCount {
            class: 5,
            age: ms(200),
            count: 8,
            jitter: 4,
        }])),
        rng: Some(rng_state()),
        fragments: Some(list([Ipq {
            src: CLIENT,
            dst: SERVER,
            proto: 17,
            id: 5,
            remaining: ms(20_000),
            ecn: 0,
            total: Some(3_000),
            header: None,
            next: 0,
            quote: None,
            pieces: list([IpqPiece {
                offset: 1_480,
                data: bytes(&[1; 8]),
            }]),
        }])),
    })?;
    let ifnet = w.object(&Ifnet {
        if_vnet: Ref::new(vnet),
        if_xname: text("epair0b"),
        if_index: 2,
        if_type: IfType::Ether,
        if_flags: 0x8843,
        if_mtu: 1500,
        lladdr: Some([2, 0, 0, 0, 0, 2]),
        if_addrs: list([Ifaddr {
            ia_addr: SERVER,
            prefixlen: 24,
            ia_broadaddr: Some(InAddr::V4([10, 0, 0, 255])),
            ia_flags: 0,
            vltime: None,
            pltime: None,
        }]),
        if_description: None,
    })?;
    w.object(&Route {
        vnet: Ref::new(vnet),
        fibnum: 0,
        dst: InAddr::ANY4,
        prefixlen: 0,
        gateway: Some(InAddr::V4([10, 0, 0, 1])),
        ifp: Ref::new(ifnet),
        flags: 0x803,
        mtu: 0,
    })?;
    w.object(&Llentry {
        ifp: Ref::new(ifnet),
        addr: CLIENT,
        lladdr: Some([2, 0, 0, 0, 0, 9]),
        state: LlState::Reachable,
        la_asked: 0,
        remaining: Some(Duration::from_secs(1_100)),
        la_hold: list([]),
        r_skip_req: Some(true),
    })?;
    w.object(&TcpVnet {
        vnet: Ref::new(vnet),
        isn_secret: bytes(&[9; 32]),
        isn_offset: 12_345,
        ts_offset_secret: bytes(&[8; 32]),
        syncookie_keys: list([[1; 16], [2; 16]]),
        syncookie_oddeven: 1,
        syncookie_reseed: Some(Duration::from_secs(9)),
        syncache_pause: None,
        syncache_pause_backoff: 0,
        fastopen_keys: list([[3; 16]]),
        fastopen_psks: list([]),
        fastopen_ccache: list([TfoCookie {
            client: SERVER,
            server: CLIENT,
            server_port: 80,
            server_mss: 1460,
            cookie: bytes(&[4; 8]),
            disabled: None,
        }]),
        hostcache: list([HcMetrics {
            addr: CLIENT,
            zoneid: 0,
            hc_mtu: 1500,
            hc_ssthresh: 7_240,
            hc_rtt: 700,
            hc_rttvar: 90,
            hc_cwnd: 14_480,
            hc_sendpipe: 0,
            hc_recvpipe: 0,
            hc_expire: Duration::from_secs(3_000),
        }]),
        isn_offset_old: Some(12_000),
        isn_last: Some(ms(30)),
        isn_last_reseed: Some(ms(9_000)),
        syncache_hash_secret: Some(bytes(&[7; 16])),
        syncache_overflows: Some(list([SchOverflow {
            bucket: 3,
            age: ms(800),
        }])),
        md5_keys: Some(list([TcpMd5Key {
            src: SERVER,
            dst: CLIENT,
            key: bytes(b"secret"),
        }])),
        fastopen_autokey: Some(ms(60_000)),
        rng: Some(rng_state()),
        syncookie_overdue: None,
        syncache_pause_over: None,
        known_as: Some(list([KnownAs {
            addr: SERVER,
            known_as: InAddr::V4([192, 0, 2, 2]),
        }])),
    })?;
    Ok(vnet)
}

fn sample_memory(w: &mut Writer<List<u8>>) -> Result<u32, Failure> {
    let object = |backing: Option<u32>| VmObject {
        ty: ObjType::Anon,
        size: 16,
        backing_object: backing.map(Ref::new),
        backing_object_offset: 0,
        flags: 0,
        charge: 65_536,
    };
    let backing = w.object(&object(None))?;
    w.page(0, &[1; PAGE_SIZE])?;
    w.page(1, &[2; PAGE_SIZE])?;
    w.page(2, &[0; PAGE_SIZE])?;
    w.page(3, &[0; PAGE_SIZE])?;
    w.page(9, &[1; PAGE_SIZE])?;
    let shadow = w.object(&object(Some(backing)))?;
    w.page(1, &[0; PAGE_SIZE])?;
    w.page(2, &[2; PAGE_SIZE])?;
    let vmspace = w.object(&Vmspace {
        vm_map_min: 0x1000,
        vm_map_max: 0x8000_0000_0000,
        vm_tsize: 4,
        vm_dsize: 8,
        vm_ssize: 4,
        vm_taddr: 0x1000,
        vm_daddr: 0x10_0000,
        vm_maxsaddr: 0x7000_0000_0000,
        vm_stacktop: 0x7fff_ffff_f000,
        vm_map_flags: 0,
        vm_shp_base: 0,
    })?;
    let entry = |start: u64, object: u32, offset: u64| VmMapEntry {
        start,
        end: start + 0x4000,
        object: Some(Ref::new(object)),
        offset,
        protection: 3,
        max_protection: 7,
        inheritance: Inherit::Copy,
        eflags: 0,
        user_wired: false,
    };
    w.object(&entry(0x1000, shadow, 0))?;
    w.object(&entry(0x5000, backing, 0x8000))?;
    Ok(vmspace)
}

fn sample_pipe(w: &mut Writer<List<u8>>, ucred: u32) -> Result<u32, Failure> {
    let end = |cnt: u32| PipeBuf {
        cnt,
        size: 16_384,
        ..PipeBuf::default()
    };
    let pipe = w.object(&Pipe {
        pp_rpipe: end(3),
        pp_wpipe: end(0),
        pipe_ino: 5,
        pp_owner: Ref::new(ucred),
    })?;
    w.stream(0, b"abc")?;
    Ok(pipe)
}

fn sample_files(
    w: &mut Writer<List<u8>>,
    ucred: u32,
    pipe: u32,
    listener: u32,
    connection: u32,
) -> Result<u32, Failure> {
    let file = |f_type: FileType, socket: Option<u32>, pipe: Option<u32>| File {
        f_type,
        f_flag: 3,
        f_offset: 0,
        f_cred: Ref::new(ucred),
        socket: socket.map(Ref::new),
        pipe: pipe.map(Ref::new),
        pipe_end: pipe.is_some(),
        dev: (f_type == FileType::Dev).then(|| bytes(b"null")),
    };
    let null = w.object(&file(FileType::Dev, None, None))?;
    let pipe = w.object(&file(FileType::Pipe, None, Some(pipe)))?;
    let listening = w.object(&file(FileType::Socket, Some(listener), None))?;
    let slot = |fd: u32, file: u32| Filedescent {
        fd,
        fde_file: Ref::new(file),
        fde_flags: 0,
        fde_rights: None,
    };
    let filedesc = w.object(&Filedesc {
        fd_ofiles: list([
            slot(0, null),
            slot(1, null),
            slot(3, listening),
            slot(4, pipe),
        ]),
        pd_cmask: 0o22,
        pwd_cdir: bytes(b"/"),
        pwd_rdir: bytes(b"/"),
    })?;
    w.object(&InFlight {
        so: Ref::new(connection),
        record: 0,
        files: list([Ref::new(null)]),
    })?;
    Ok(filedesc)
}
