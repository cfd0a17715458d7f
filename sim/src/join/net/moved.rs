// SPDX-License-Identifier: BSD-2-Clause
//! One stack without an instance's processes, through an image: what fuzzing and the tests of this directory
//! replace a stack by.

use vpscore::cbor::Text;
use vpscore::collections::{List, NoMemory};
use vpscore::image::schema::{self, InstanceState};
use vpscore::image::{Error, Event, Header, Ref, UcredRef, WriteError};
use vpscore::net::{Fate, Remap, RemapError, Remapping};
use vpscore::sock::Ceilings;
use vpscore::time::Duration;

use super::super::digest::{image_reader, image_writer};
use super::error::{BuildError, CaptureError};
use super::sockets::{BuiltStack, SocketRefs, capture_sockets};
use super::stacks::{NetImage, capture_stacks};
use crate::net::socket::Inet;
use crate::net::vnet::Vnet;
use crate::time::Instant;

/// Why a stack did not go through an image.
#[derive(Debug)]
pub enum MoveError {
    /// It cannot be written.
    Capture(CaptureError),
    /// The image cannot be read.
    Read(Error),
    /// The image does not make a stack.
    Build(BuildError),
    /// The image has no stack.
    Nothing,
    /// The stack cannot have the other addresses.
    Remap(RemapError),
}

impl From<RemapError> for MoveError {
    fn from(error: RemapError) -> Self {
        Self::Remap(error)
    }
}

impl From<CaptureError> for MoveError {
    fn from(error: CaptureError) -> Self {
        Self::Capture(error)
    }
}

impl From<WriteError<NoMemory>> for MoveError {
    fn from(error: WriteError<NoMemory>) -> Self {
        Self::Capture(error.into())
    }
}

impl From<NoMemory> for MoveError {
    fn from(error: NoMemory) -> Self {
        Self::Capture(CaptureError::Write(error.into()))
    }
}

/// The header of an image that is nothing but stacks.
pub(super) const HEADER: Header = Header {
    osreldate: 1_500_000,
    abi: schema::Abi::SimLp64,
    features: 0,
    optional_features: 0,
};

/// An instance that is nothing but the owner of a stack.
pub(super) fn owner() -> Result<schema::Instance, NoMemory> {
    Ok(schema::Instance {
        parent: None,
        name: Text::copy("stack")?,
        state: InstanceState::Running,
        priv_allow: List::new(),
        priv_nosys: List::new(),
        limits: List::new(),
        children_max: None,
        pid_max: 99_999,
        last_pid: 1,
        last_tid: 100_000,
        randompid: 0,
        hostname: Text::default(),
        domainname: Text::default(),
        hostuuid: Text::default(),
        hostid: 0,
        uptime: Duration::ZERO,
        securelevel: -1,
        depth_max: None,
    })
}

/// The image of one stack, and which object each of its sockets became.
///
/// # Errors
/// [`MoveError::Capture`].
pub fn image_of(stack: &Vnet<Inet>, now: Instant) -> Result<(Vec<u8>, SocketRefs), MoveError> {
    image_of_all(&[stack], now)
}

/// Whether the instance with these stacks can get other addresses, as far as can be said while it
/// runs: what changes until it stops is found when it is restored.
///
/// # Errors
/// [`MoveError::Remap`], and why it could not be moved at all.
pub fn may_be_remapped(
    stacks: &[&Vnet<Inet>],
    now: Instant,
    remap: &Remap,
) -> Result<(), MoveError> {
    let (bytes, _) = image_of_all(stacks, now)?;
    let mut remapping = Remapping::new(remap, schema::Abi::SimLp64)?;
    let (mut reader, mut input) = (image_reader(), bytes.as_slice());
    while let Some(event) = reader.feed(&mut input).map_err(MoveError::Read)? {
        if let Event::Object { id, mut object } = event {
            let _fate = remapping.object(id, &mut object)?;
        }
    }
    remapping.finish()?;
    Ok(())
}

/// The image of an instance that has these stacks.
fn image_of_all(stacks: &[&Vnet<Inet>], now: Instant) -> Result<(Vec<u8>, SocketRefs), MoveError> {
    let mut w = image_writer(&HEADER)?;
    w.object(&schema::Info {
        osrelease: Text::copy("15.0-RELEASE")?,
        machine_arch: Text::copy("amd64")?,
        writer: Text::copy("sim")?,
    })?;
    let root = Ref::new(w.object(&owner()?)?);
    let stacks: Vec<_> = stacks.iter().map(|stack| (root, *stack)).collect();
    let vnets = capture_stacks(&mut w, &stacks, now)?;
    let ucred: UcredRef = w.put(&schema::Ucred {
        cr_prison: root,
        cr_uid: 0,
        cr_ruid: 0,
        cr_svuid: 0,
        cr_gid: 0,
        cr_rgid: 0,
        cr_svgid: 0,
        cr_groups: List::new(),
        cr_flags: 0,
        cr_loginclass: Text::copy("daemon")?,
    })?;
    let stacks = (&stacks[..], &vnets[..]);
    let refs = capture_sockets(&mut w, stacks, |_, _| Some(ucred), now)?;
    Ok((w.finish()?.as_slice().to_vec(), refs))
}

/// The first stack of an image, suspended; whatever else is in the image is passed over.
///
/// # Errors
/// [`MoveError`].
pub fn stack_of(bytes: &[u8], seed: u64) -> Result<BuiltStack, MoveError> {
    stack_remapped(bytes, seed, &Remap::default())
}

/// The same, with the addresses that `remap` says.
///
/// # Errors
/// [`MoveError`].
pub fn stack_remapped(bytes: &[u8], seed: u64, remap: &Remap) -> Result<BuiltStack, MoveError> {
    let mut image = NetImage::default();
    let mut remapping = Remapping::new(remap, schema::Abi::SimLp64)?;
    let mut reader = image_reader();
    let mut input = bytes;
    let mut whole = false;
    while let Some(event) = reader.feed(&mut input).map_err(MoveError::Read)? {
        match event {
            Event::Object { id, mut object } => {
                let fate = remapping.object(id, &mut object)?;
                let _other = (fate == Fate::Stays).then(|| image.object(id, object));
            }
            Event::Data {
                object,
                stream,
                bytes,
            } => {
                let _of_a_pipe = image.data(object, stream, bytes);
            }
            Event::End(_) => whole = true,
            _ => {}
        }
    }
    if !whole {
        return Err(MoveError::Nothing);
    }
    image.remapped(remapping)?;
    let built = image.build(
        seed,
        |_| "target".to_owned(),
        |_| Instant::BOOT,
        Ceilings::MOST,
    );
    let mut built = built.map_err(MoveError::Build)?.into_values();
    built.next().ok_or(MoveError::Nothing)
}
