// SPDX-License-Identifier: BSD-2-Clause
//! smoltcp, sending to itself over its own loopback device.

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Loopback, Medium};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

/// Smoltcp's loopback device, with an MTU, and checksums where they are wanted: as it comes, it has
/// none made or looked at.
struct Lo {
    device: Loopback,
    mtu: usize,
    checksums: bool,
}

impl Device for Lo {
    type RxToken<'a> = <Loopback as Device>::RxToken<'a>;
    type TxToken<'a> = <Loopback as Device>::TxToken<'a>;

    fn capabilities(&self) -> DeviceCapabilities {
        let mut caps = self.device.capabilities();
        caps.max_transmission_unit = self.mtu;
        if self.checksums {
            caps.checksum = ChecksumCapabilities::default();
        }
        caps
    }

    fn receive(&mut self, at: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.device.receive(at)
    }

    fn transmit(&mut self, at: Instant) -> Option<Self::TxToken<'_>> {
        self.device.transmit(at)
    }
}

/// An interface with two sockets that are connected to each other.
pub(crate) struct Smol {
    device: Lo,
    iface: Interface,
    sockets: SocketSet<'static>,
    client: SocketHandle,
    server: SocketHandle,
    now: Instant,
}

impl Smol {
    /// Frames of at most `mtu` bytes, Ethernet header included; socket buffers of `buffer` bytes.
    pub(crate) fn new(mtu: usize, checksums: bool, buffer: usize) -> Self {
        let mut device = Lo {
            device: Loopback::new(Medium::Ethernet),
            mtu,
            checksums,
        };
        let config = Config::new(EthernetAddress([2, 0, 0, 0, 0, 1]).into());
        let now = Instant::from_millis(1);
        let mut iface = Interface::new(config, &mut device, now);
        iface.update_ip_addrs(|addrs| {
            let lo = IpCidr::new(IpAddress::v4(127, 0, 0, 1), 8);
            addrs.push(lo).expect("the first address");
        });
        let mut sockets = SocketSet::new(Vec::new());
        let mut add = || {
            let buffer = || tcp::SocketBuffer::new(vec![0; buffer]);
            sockets.add(tcp::Socket::new(buffer(), buffer()))
        };
        let (client, server) = (add(), add());
        let listener = sockets.get_mut::<tcp::Socket<'_>>(server);
        listener.listen(80).expect("a listener");
        let peer = (IpAddress::v4(127, 0, 0, 1), 80);
        let socket = sockets.get_mut::<tcp::Socket<'_>>(client);
        socket
            .connect(iface.context(), peer, 50_000)
            .expect("a connection");
        let mut smol = Self {
            device,
            iface,
            sockets,
            client,
            server,
            now,
        };
        while !smol.socket(client).may_send() || !smol.socket(server).may_recv() {
            smol.poll();
        }
        smol
    }

    fn socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Handles all that is in the device; where nothing happens, lets time pass to the next timer.
    fn poll(&mut self) {
        let polled = self
            .iface
            .poll(self.now, &mut self.device, &mut self.sockets);
        if polled == smoltcp::iface::PollResult::None
            && let Some(at) = self.iface.poll_at(self.now, &self.sockets)
        {
            self.now = self.now.max(at);
        }
    }

    /// Sends `total` bytes, a piece of `chunk` at a time, and receives them.
    pub(crate) fn transfer(&mut self, total: usize, chunk: &mut [u8]) {
        let (client, server) = (self.client, self.server);
        let (mut sent, mut got) = (0, 0);
        while got < total {
            let piece = chunk.len().min(total - sent);
            let piece = chunk.get(..piece).unwrap_or_default();
            if !piece.is_empty() {
                let taken = self.socket(client).send_slice(piece);
                sent += taken.expect("the connection stands");
            }
            self.poll();
            while self.socket(server).can_recv() {
                let read = self.socket(server).recv_slice(chunk);
                got += read.expect("the connection stands");
            }
        }
    }
}
