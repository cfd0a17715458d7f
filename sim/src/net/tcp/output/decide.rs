// SPDX-License-Identifier: BSD-2-Clause
//! Whether a segment should go now: Nagle, silly window avoidance, window updates.

use super::super::Conn;
use super::super::flags::{
    TF_ACKNOW, TF_DELACK, TF_FORCEDATA, TF_MORETOCOME, TF_NEEDSYN, TF_NODELAY, TF_NOPUSH,
    TF_RCVD_TSTMP, TF_SENTFIN, TF_SIGNATURE,
};
use super::super::tcpcb::MAXWIN;
use super::super::wire::{TH_FIN, TH_RST, TH_SYN};
use super::Plan;

impl Conn<'_, '_> {
    /// The reasons to send a segment, in FreeBSD's order.
    pub(super) fn must_send(&self, plan: &Plan, idle: bool) -> bool {
        let tp = &self.tp;
        (plan.len > 0 && self.text_should_go(plan, idle))
            || self.window_update_due(plan)
            || tp.has(TF_ACKNOW)
            || plan.flags & TH_RST != 0
            || (plan.flags & TH_SYN != 0 && !tp.has(TF_NEEDSYN))
            || tp.snd_up.gt(tp.snd_una)
            || (plan.flags & TH_FIN != 0 && (!tp.has(TF_SENTFIN) || tp.snd_nxt == tp.snd_una))
    }

    /// Sender's silly window avoidance and Nagle's algorithm (RFC 9293 section 3.8.6.2.1).
    fn text_should_go(&self, plan: &Plan, idle: bool) -> bool {
        let tp = &self.tp;
        let len = plan.len as u32;
        let options =
            if tp.has(TF_SIGNATURE) { 20 } else { 0 } + if tp.has(TF_RCVD_TSTMP) { 12 } else { 0 };
        let last = plan.len + plan.off >= i64::from(self.so.so_snd.used());
        let nagle = !tp.has(TF_MORETOCOME) && (idle || tp.has(TF_NODELAY)) && last;
        len >= tp.t_maxseg
            || len + options >= tp.t_maxseg
            || (nagle && !tp.has(TF_NOPUSH))
            || tp.has(TF_FORCEDATA)
            || (len >= tp.max_sndwnd / 2 && tp.max_sndwnd > 0)
            || tp.snd_nxt.lt(tp.snd_max)
            || plan.hole.is_some()
    }

    /// Receiver's silly window avoidance (RFC 9293 section 3.8.6.2.2): a window update of its own is
    /// sent when it opens the window by much.
    fn window_update_due(&self, plan: &Plan) -> bool {
        let tp = &self.tp;
        if plan.recwin == 0 || tp.has(TF_NEEDSYN | TF_DELACK) || tp.t_state.have_rcvd_fin() {
            return false;
        }
        let oldwin = if tp.rcv_adv.gt(tp.rcv_nxt) {
            tp.rcv_adv - tp.rcv_nxt
        } else {
            0
        };
        let adv = plan.recwin.saturating_sub(oldwin);
        if oldwin >> tp.rcv_scale >= (adv + oldwin) >> tp.rcv_scale {
            return false;
        }
        let hiwat = self.so.so_rcv.sb_hiwat;
        let much = adv >= hiwat / 4
            || plan.recwin <= hiwat / 8
            || hiwat <= 8 * tp.t_maxseg
            || adv >= MAXWIN << tp.rcv_scale;
        (adv >= 2 * tp.t_maxseg && much) || 2 * adv >= hiwat
    }
}
