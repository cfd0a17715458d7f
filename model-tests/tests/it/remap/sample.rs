// SPDX-License-Identifier: BSD-2-Clause
//! The network's objects of the sample image, with one address wherever there can be one.

use model_tests::image::{Item, list, read, sample};
use vpscore::cbor::{Bytes, encode_to_list};
use vpscore::image::Object;
use vpscore::image::schema::{LlState, LoopbackPacket};
use vpscore::sock::{InAddr, SbRecord};

pub(super) fn encoded(object: &Object) -> Vec<u8> {
    let bytes = match object {
        Object::Vnet(r) => encode_to_list(r),
        Object::Ifnet(r) => encode_to_list(r),
        Object::Route(r) => encode_to_list(r),
        Object::Llentry(r) => encode_to_list(r),
        Object::TcpVnet(r) => encode_to_list(r),
        Object::Socket(r) => encode_to_list(r),
        Object::Syncache(r) => encode_to_list(r),
        _ => return Vec::new(),
    };
    bytes.expect("memory").as_slice().to_vec()
}

/// The sample's own address, in whose place another is put everywhere.
pub(super) const SAMPLE: InAddr = InAddr::V4([10, 0, 0, 2]);

pub(super) fn octets(addr: InAddr) -> Vec<u8> {
    match addr {
        InAddr::V4(bytes) => bytes.to_vec(),
        InAddr::V6(bytes) => bytes.to_vec(),
    }
}

pub(super) fn bytes(parts: &[&[u8]]) -> Bytes {
    Bytes::copy(&parts.concat()).expect("memory")
}

/// A packet from an address to itself.
pub(super) fn packet(own: InAddr) -> Bytes {
    let own = octets(own);
    match own.len() {
        4 => bytes(&[&[0x45, 0, 0, 20, 0, 0, 0, 0, 64, 1, 0, 0], &own, &own]),
        _ => bytes(&[&[0x60, 0, 0, 0, 0, 0, 59, 64], &own, &own]),
    }
}

pub(super) fn sockaddr(addr: InAddr) -> Vec<u8> {
    match addr {
        InAddr::V4(addr) => [&[16, 2, 0, 7][..], &addr, &[0; 8]].concat(),
        InAddr::V6(addr) => [&[28, 28, 0, 7, 0, 0, 0, 0][..], &addr, &[0; 4]].concat(),
    }
}

/// What is kept with a datagram: to which address it came, in the ways that programs can ask for.
pub(super) fn control(addr: InAddr) -> Bytes {
    let message = |level: u8, kind: u8, data: &[u8]| {
        let len = 16 + data.len() as u32;
        let mut all = [
            &len.to_le_bytes()[..],
            &[level, 0, 0, 0, kind, 0, 0, 0],
            &[0; 4],
        ]
        .concat();
        all.extend(data);
        all.resize(all.len().next_multiple_of(8), 0);
        all
    };
    let all = match addr {
        // IP_RECVTTL before; IP_RECVDSTADDR, IP_ORIGDSTADDR.
        InAddr::V4(octets) => [
            message(0, 65, &[9]),
            message(0, 7, &octets),
            message(0, 27, &sockaddr(addr)),
        ],
        // IPV6_PKTINFO, IPV6_NEXTHOP, IPV6_ORIGDSTADDR.
        InAddr::V6(octets) => [
            message(41, 46, &[&octets[..], &[1, 0, 0, 0]].concat()),
            message(41, 48, &sockaddr(addr)),
            message(41, 72, &sockaddr(addr)),
        ],
    };
    bytes(&[&all.concat()])
}

/// The network objects of the sample, in all of whose fields this is the address.
pub(super) fn objects(own: InAddr) -> Vec<(u32, Object)> {
    let items = read(&sample().expect("memory"), usize::MAX).expect("an image");
    let objects = items.into_iter().filter_map(|item| match item {
        Item::Object(id, object) if !encoded(&object).is_empty() => Some((id, *object)),
        _ => None,
    });
    let mut objects: Vec<_> = objects.collect();
    for (_, object) in &mut objects {
        fill(object, own);
    }
    objects
}

pub(super) fn fill(object: &mut Object, own: InAddr) {
    let options = matches!(own, InAddr::V4(_)).then(|| {
        let own = octets(own);
        // The first hop; no operation, and a source route over two.
        bytes(&[&own, &[1, 131, 11, 4], &own, &own])
    });
    match object {
        Object::Vnet(record) => {
            record.loopback = Some(list([LoopbackPacket {
                remaining: Default::default(),
                packet: packet(own),
            }]));
            for part in record.fragments.iter_mut().flat_map(|all| all.iter_mut()) {
                (part.src, part.dst, part.header) = (own, own, Some(packet(own)));
            }
        }
        Object::Ifnet(record) => {
            for ifa in record.if_addrs.iter_mut() {
                (ifa.ia_addr, ifa.ia_broadaddr) = (own, Some(own));
            }
        }
        Object::Route(record) => {
            (record.dst, record.prefixlen) = (own, own.bits());
            record.gateway = Some(own);
        }
        Object::Llentry(record) => {
            (record.addr, record.state, record.lladdr) = (own, LlState::Incomplete, None);
            record.la_hold = list([packet(own)]);
        }
        Object::TcpVnet(record) => {
            record.fastopen_ccache.as_mut_slice()[0].client = own;
            record.fastopen_ccache.as_mut_slice()[0].server = own;
            record.hostcache.as_mut_slice()[0].addr = own;
            for key in record.md5_keys.iter_mut().flat_map(|all| all.iter_mut()) {
                (key.src, key.dst) = (own, own);
            }
            for known in record.known_as.iter_mut().flat_map(|all| all.iter_mut()) {
                known.addr = own;
            }
        }
        Object::Socket(record) => {
            let inp = record.inpcb.as_mut().expect("of the internet");
            (inp.inp_inc.laddr, inp.inp_inc.faddr) = (own, own);
            (inp.inp_options, inp.in6p_outputopts) = (options, Some(control(own)));
            for sb in [&mut record.so_rcv, &mut record.so_snd]
                .into_iter()
                .flatten()
            {
                sb.records = list([SbRecord {
                    len: sb.sb_ccc,
                    from: Some(bytes(&[&sockaddr(own)])),
                    control: Some(control(own)),
                }]);
            }
        }
        Object::Syncache(record) => {
            (record.sc_inc.laddr, record.sc_inc.faddr) = (own, own);
            record.sc_ipopts = options;
        }
        _ => {}
    }
}
