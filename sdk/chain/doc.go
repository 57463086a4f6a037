// Package chain runs a list of interceptors over a record batch and builds the batch again
// from what they did to it.
//
//	batch ──▶ open ──▶ plugin ──▶ settle ──▶ plugin ──▶ settle ──▶ build ──▶ batch
//	            │                    │                               │
//	            │ decompressed       ├─▶ refused, with a reason      └─▶ the same bytes, when
//	            │ into memory lent   └─▶ aside: to other topics          nothing was changed
//
// It decides and encodes; its clock and its memory come in from outside, it writes nowhere and
// starts nothing. Brokers, clients and the conformance suite run plugins with it.
//
// What must stay true:
//
//   - A batch that nobody changed comes out as it went in, byte for byte.
//   - Header, offsets, sequences, checksum and codec are the host's. Records that are
//     dropped leave gaps, as in a compacted log: base sequence and last offset delta stay,
//     so the range of an idempotent producer's sequences is what it has sent. A batch that
//     has lost all of its records is a header that still carries them.
//   - A plugin sees what those before it made of the batch, and nothing of a call that
//     failed: its edits count when the call has ended well, or not at all.
//   - Batches without records, and control batches, are shown to nobody.
//   - Whatever the bytes of a batch make it take is counted before it is taken, and borrowed: a
//     header of two bytes is forty in a list, a record of seven is a view and an edit. Nothing of
//     it outlives the run but a few buffers of bounded size.
package chain
