// Package transaction decides what a transactional producer asks its coordinators, and when
// records may be sent. It is a pure state machine: it is told the time, what callers want,
// what became of records and what was answered; it answers with the next request.
//
//	            Init           Begin              Commit, Abort
//	Uninitialized ▶ Initializing ▶ Ready ▶ InTransaction ▶ Committing, Aborting ─┐
//	                                 ▲          │  a record is lost    ▲         │
//	                                 │          ▼                      │ Abort   │
//	                                 │        Abortable ───────────────┘         │
//	                                 └───────────────────────────────────────────┘
//	                                        anything, once another has our id ──▶ Fatal
//
// With transaction.version 2 (KIP-890) nobody names partitions and groups to the coordinator:
// the brokers that get records and offsets do, and each end of a transaction answers a new
// epoch. With version 1 the producer names them first (AddPartitions, AddOffsets), and asks
// for a new epoch itself when what it numbered may be missing (KIP-360).
//
// What must stay true:
//
//   - One request is under way at a time. One that was not answered is asked again, of
//     whoever coordinates then, until it is answered or the producer is closed.
//   - End is asked when no record and no offset of the transaction is under way or waits.
//   - A transaction of which something was lost is not committed.
//   - The outcome of Init, Commit and Abort is kept until somebody has heard it.
package transaction
