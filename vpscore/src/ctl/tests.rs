// SPDX-License-Identifier: BSD-2-Clause
use super::*;
use crate::cbor::{Text, decode_all, encode_to_list};
use crate::errno::Errno;
use crate::state::tests::{Kernel, StdLocks};
use crate::state::{Config, Core};
use crate::types::InstanceId;
use std::string::String;
use std::vec::Vec;

struct Host {
    core: Core<StdLocks>,
    kernel: Kernel,
}

impl Host {
    fn new() -> Self {
        let mut kernel = Kernel::default();
        let core = Core::create(&mut kernel, Config::DEFAULT).unwrap();
        Self { core, kernel }
    }

    fn raw(&mut self, caller: InstanceId, bytes: &[u8]) -> Answer {
        let out = serve(&self.core, &mut self.kernel, caller, bytes).unwrap();
        decode_all(out.as_slice()).unwrap()
    }

    fn ask(&mut self, caller: InstanceId, op: Op, path: &str) -> Answer {
        let request = encode_to_list(&request(op, path)).unwrap();
        self.raw(caller, request.as_slice())
    }

    fn errno(&mut self, caller: InstanceId, op: Op, path: &str) -> Option<Errno> {
        Errno::from_raw(i32::from(self.ask(caller, op, path).errno))
    }

    fn paths(&mut self, caller: InstanceId) -> Vec<String> {
        let answer = self.ask(caller, Op::List, ".");
        assert_eq!(answer.errno, 0);
        let paths = answer.entries.iter();
        paths.map(|e| String::from(e.path.as_str())).collect()
    }
}

const HOST: InstanceId = InstanceId::VPS0;

fn request(op: Op, path: &str) -> Request {
    Request {
        version: VERSION,
        op,
        path: Text::copy(path).unwrap(),
        after: None,
        pid_max: None,
    }
}

#[test]
fn instances_are_created_listed_and_destroyed_by_path() {
    let mut host = Host::new();
    assert_eq!(host.errno(HOST, Op::Create, "web"), None);
    assert_eq!(host.errno(HOST, Op::Create, "web.db"), None);
    assert_eq!(host.paths(HOST), [".", "web", "web.db"]);
    let shown = host.ask(HOST, Op::Show, "web.db");
    assert_eq!(shown.entries.get(0).unwrap().state, LifeState::Created);
    assert_eq!(host.errno(HOST, Op::Destroy, "web"), None);
    assert_eq!(host.paths(HOST), ["."]);
}

#[test]
fn names_lead_downward_from_the_caller_only() {
    let mut host = Host::new();
    host.ask(HOST, Op::Create, "web");
    host.ask(HOST, Op::Create, "mail");
    let web = host.core.lookup(HOST, b"web").unwrap();
    assert_eq!(host.errno(web, Op::Show, "mail"), Some(Errno::ESRCH));
    assert_eq!(host.errno(web, Op::Destroy, "web"), Some(Errno::ESRCH));
    assert_eq!(host.errno(web, Op::Create, "db"), None);
    assert_eq!(host.paths(web), [".", "db"]);
    assert_eq!(host.paths(HOST).len(), 4);
}

#[test]
fn nobody_stops_or_destroys_their_own_instance() {
    let mut host = Host::new();
    host.ask(HOST, Op::Create, "web");
    let web = host.core.lookup(HOST, b"web").unwrap();
    for caller in [HOST, web] {
        for op in [Op::Destroy, Op::Suspend, Op::Resume] {
            assert_eq!(host.errno(caller, op, "."), Some(Errno::EPERM));
        }
    }
    assert_eq!(host.paths(HOST), [".", "web"]);
}

#[test]
fn refused_creation_leaves_no_instance() {
    let mut host = Host::new();
    host.ask(HOST, Op::Create, "web");
    assert_eq!(host.errno(HOST, Op::Create, "web"), Some(Errno::EADDRINUSE));
    assert_eq!(host.errno(HOST, Op::Create, "no.db"), Some(Errno::ESRCH));
    assert_eq!(host.errno(HOST, Op::Create, "."), Some(Errno::EINVAL));
    assert_eq!(host.errno(HOST, Op::Create, "web."), Some(Errno::EINVAL));
    let mut small = request(Op::Create, "db");
    small.pid_max = Some(crate::limits::PID_MAX_LEAST - 1);
    let small = encode_to_list(&small).unwrap();
    assert_eq!(
        i32::from(host.raw(HOST, small.as_slice()).errno),
        Errno::EINVAL as i32
    );
    assert_eq!(host.paths(HOST), [".", "web"]);
}

#[test]
fn long_list_is_given_in_parts_without_gap_or_repetition() {
    let mut host = Host::new();
    for n in 0..ENTRIES_MAX + 10 {
        host.ask(HOST, Op::Create, &std::format!("i{n}"));
    }
    let first = host.ask(HOST, Op::List, ".");
    assert!(first.more);
    assert_eq!(first.entries.len(), ENTRIES_MAX);
    let mut rest = request(Op::List, ".");
    let last = first.entries.get(ENTRIES_MAX - 1).unwrap();
    rest.after = Some(last.path.duplicate().unwrap());
    let rest = encode_to_list(&rest).unwrap();
    let rest = host.raw(HOST, rest.as_slice());
    assert!(!rest.more);
    let mut all: Vec<_> = first.entries.iter().chain(&rest.entries).collect();
    all.sort_by_key(|e| String::from(e.path.as_str()));
    all.dedup_by_key(|e| String::from(e.path.as_str()));
    assert_eq!(all.len(), ENTRIES_MAX + 11);
}

#[test]
fn bytes_that_are_no_request_are_answered_with_their_errno() {
    let mut host = Host::new();
    let errno = |host: &mut Host, bytes: &[u8]| i32::from(host.raw(HOST, bytes).errno);
    assert_eq!(errno(&mut host, &[]), Errno::EINVAL as i32);
    assert_eq!(errno(&mut host, &[0xff; 9]), Errno::EINVAL as i32);
    assert_eq!(errno(&mut host, &[0; REQUEST_MAX + 1]), Errno::E2BIG as i32);
    let mut old = request(Op::List, ".");
    old.version = VERSION + 1;
    let old = encode_to_list(&old).unwrap();
    assert_eq!(errno(&mut host, old.as_slice()), Errno::EOPNOTSUPP as i32);
    let good = encode_to_list(&request(Op::Create, "web")).unwrap();
    for end in 0..good.len() {
        assert_eq!(
            errno(&mut host, &good.as_slice()[..end]),
            Errno::EINVAL as i32
        );
    }
    assert_eq!(host.paths(HOST), ["."]);
}
