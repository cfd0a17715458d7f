// SPDX-License-Identifier: BSD-2-Clause
//! Both ends of live migration as one pure state machine.
