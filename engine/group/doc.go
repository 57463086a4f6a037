// Package group decides who is in a consumer group, which assignment each member has
// and which offsets the group has committed: the classic group protocol, for the groups
// whose records live in one partition of __consumer_offsets. It is a pure state machine:
// it never blocks, reads a clock or touches a file; the shard that owns it appends the
// records that it asks for and reports back when they are committed.
//
//	          first join                 all joined, or late          leader synced
//	Empty ───────────────▶ Preparing ───────────────────▶ Completing ───────────────▶ Stable
//	  ▲                    Rebalance ◀─────────────────── Rebalance                      │
//	  │  nobody is left        │  ▲   join, leave, failure     join, leave, failure      │
//	  └────────────────────────┘  └──────────────────────────────────────────────────────┘
//
// Two kinds of state are kept apart. Membership changes at once and is only as durable as
// the last completed rebalance, whose group metadata record is what a new coordinator
// starts from. Offsets, and the existence of a group, change only when their record is
// committed, in the order of the log: what a client fetches can never be lost by a crash.
// Between the two, an offset with records on their way counts as in flight; it is not
// expired, and a fetch that asks for stable offsets waits for it.
//
// Requests are answered through a reply function that is called exactly once, now or
// later, on the owner's goroutine. A reply function must not call the Coordinator.
//
// Ownership: a Coordinator and all of its groups belong to one goroutine. Byte slices of
// a request that outlive the call are copied; strings must not be views of a reused buffer.
//
// Invariants, checked by Check after every step of the tests:
//
//   - an Empty group has no members; every other one that is not rebalancing has a leader
//     among its members, and all of its members support the chosen protocol
//   - a member waits for JoinGroup or for SyncGroup, never for both
//   - every member and every pending member that could be forgotten has a session deadline
//   - every rebalance has a deadline by which it moves on
package group
