// Package group decides who is in a group, which assignment each member has and which
// offsets the group has committed: classic groups and consumer groups (KIP-848), those
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
// That is a classic group, whose leader assigns. In a consumer group (consumer.go) the
// coordinator does, and each member follows with its heartbeats; migrate.go says how a group
// goes from one kind to the other. Sub-package assign has the assignors, record the records.
//
// Two kinds of state of a classic group are kept apart. Membership changes at once and is only as durable as
// the last completed rebalance, whose group metadata record is what a new coordinator
// starts from. Offsets, and the existence of a group, change only when their record is
// committed, in the order of the log: what a client fetches can never be lost by a crash.
// Between the two, an offset with records on their way counts as in flight; it is not
// expired, and a fetch that asks for stable offsets waits for it.
//
// Requests are answered through a reply function that is called exactly once, now or
// later, on the owner's goroutine. A reply function must not call the Coordinator.
//
// Differs from Kafka, whose answers testdata/matrix has otherwise:
//
//   - Every request is answered. Kafka forgets a JoinGroup or SyncGroup that the same member
//     sends again, and the SyncGroup of a member that is removed; here the forgotten one
//     gets REBALANCE_IN_PROGRESS or UNKNOWN_MEMBER_ID.
//   - A leader that sends its assignment twice waits for the first one. Kafka stores both, and
//     may hand out one and restart from the other.
//   - A group is written when it has a generation or an offset; one that is only being joined
//     leaves no record. One that somebody is joining is not deleted by retention.
//   - A classic member of a consumer group is told to join again when the topics changed,
//     without waiting for a heartbeat of a member of the other kind; what a static member
//     subscribed to by a pattern ends when it comes back as a classic member.
//   - A static member of a consumer group may send its first heartbeat again under its own
//     id, when the answer was lost.
//   - Who leads after a leader left, and who wins a vote that is tied, is the member that
//     joined first, not chance.
//   - Records that cannot be written for a reason that is not a Kafka error (a full disk) are
//     answered with COORDINATOR_NOT_AVAILABLE, which clients retry.
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
