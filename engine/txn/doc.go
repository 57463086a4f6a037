// Package txn decides the life of transactions: which epoch a producer has, which partitions
// its transaction has written to, and how the transaction ends; for the transactional ids
// whose records live in one partition of __transaction_state. It is a pure state machine: it
// never blocks, reads a clock or touches a file; the shard that owns it appends the records
// that it asks for, has the markers written, and reports back what became true.
//
//	          InitProducerID        partitions, offsets         EndTxn            all markers written
//	(nothing) ─────────────▶ Empty ───────────────────▶ Ongoing ──────▶ Prepare… ────────────────────▶ Complete…
//	                           ▲                          ▲                ▲                              │ │
//	                           │                          └────────────────┼──────── partitions ──────────┘ │
//	                           └───────────────────────────────────────────┼──────── InitProducerID ────────┘
//	                              time limit, or InitProducerID of another │
//	                              producer while it is Ongoing: fenced ────┘ (PrepareAbort, next epoch)
//
// Prepare and Complete are each two states, of Commit and of Abort. What a request changes is
// one record, and counts once that is in the log: the answer goes out then, and until then
// every other request for the id is told CONCURRENT_TRANSACTIONS. That Prepare is in the log
// is the decision: markers are written after it, again and again until all of them are there,
// also by a coordinator that finds it in the log when it starts.
//
// With transaction.version 2 (KIP-890) a producer has a new epoch in each transaction: Prepare
// raises it, and the markers carry it, so that nothing of one transaction that is late can do
// anything to the next. Its partitions are added by the brokers that it writes to. A producer
// that knows only version 1 adds partitions itself, and whoever leads them asks (Verify).
// Epoch 32767 is never given to a producer: it is for fencing the one that has 32766. Whoever
// needs an epoch behind that gets another producer id.
//
// Differs from Kafka, whose answers testdata/matrix has otherwise:
//
//   - The state PrepareEpochFence is never seen: fencing and the decision to abort are one
//     record.
//   - A batch that comes while the transaction before it is being completed waits for that
//     (up to Options.Patience) where Kafka asks the coordinator every 20 ms.
//     So does one that comes while a record of its transaction is on its way; what waits is
//     added with one record.
//   - An EndTxn that comes again, with the epoch that the first has replaced, is answered as long
//     as nothing has happened since; after that its producer is fenced. In Kafka it ends the next
//     transaction.
//   - A marker that a partition refuses because its producer has a higher epoch there, or
//     because a newer coordinator wrote to it, counts as written. Kafka stops there and leaves
//     the transaction as it is until a restart.
//
// Ownership: a Coordinator belongs to one goroutine. Strings must not be views of a reused
// buffer.
//
// Invariants, checked by Check after every step of the tests:
//
//   - only Ongoing and Prepare have partitions; only Prepare owes markers, and each of them
//     for a partition of the transaction
//   - an epoch is at least 0 once the id is in the log, and never 32767 but in Prepare and Complete
//   - at most one record of an id is on its way
package txn
