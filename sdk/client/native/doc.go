// Package native is a producer of our own: it encodes every record straight into the batch
// that goes over the wire, and does everything else once for each batch.
//
//	callers (many)                     sender (one)                     connection (one per broker)
//	Append ─▶ open batch of a ──full──▶ queue of the partition ─request─▶ compress, CRC, writev
//	          partition         linger    order, sequences, retries  ◀─────── answers, in order
//	              ▲                          │
//	              └──── Memory ◀── settled ──┘
//
// Callers hold the lock of one partition while they encode. All that decides (queues,
// sequence numbers, retries, expiry, who leads what) is the sender's alone: others tell it
// through its events. Connections do the I/O; control asks for metadata, producer ids and who
// coordinates; coordinators carry what a transaction needs (package transaction decides what).
// Interceptors see a batch on the sender's goroutine, before it is numbered.
//
// What must stay true:
//
//   - Batches of a partition are numbered and sent in the order in which they were begun.
//     One that has to go again goes before all behind it, and alone until none is left that
//     has to; so nothing overtakes while max.in.flight is up to 5 and producers idempotent.
//   - Each record is settled once: acknowledged, failed or expired. Its memory is given back
//     once no connection can read it any more.
//   - A batch that was numbered and not acknowledged leaves a gap. The partition goes on
//     under a new epoch, numbered from 0, when nothing of it is under way (KIP-360). In a
//     transaction the coordinator gives that epoch, at its end.
//   - What is appended is part of the transaction that was begun, or refused: who ends it
//     closes the door (Producer.refusal) before partitions are emptied.
package native
