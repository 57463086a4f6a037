// Package quorum agrees on the metadata log and keeps the cluster's image. Raft
// (go.etcd.io/raft/v3, RawNode) decides, this package is the shell around it: the files,
// the one goroutine that owns both, and the door through which changes come in.
//
//	Change(decide, done)                                              Image()
//	      │ mailbox                                                      ▲ atomic pointer
//	      ▼                                                              │
//	 ┌─ owner goroutine ─────────────────────────────────────────────────┴──────────┐
//	 │ decide each change   propose    append all, one    commit    apply, publish, │
//	 │ on the newest image ─────────▶ fdatasync ─────────▶ ───────▶ tell Changed,   │
//	 │                                                              answer done     │
//	 └──────────────────────────────────────────────────────────────────────────────┘
//
// All changes that wait when the owner comes round go into one append and one fdatasync.
// Each is decided on the image after the ones before it, committed or not; nothing is
// answered, not even a refusal, before what it was decided on is durable.
//
// What must stay true:
//
//   - Term, vote and entries are on disk before anything that depends on them happens.
//   - A failed write or fsync is never retried: the quorum stops, says why, and never
//     answers success again. Only a full disk, noticed before anything was written, is waited out.
//   - The log is never shortened over damage in silence: entries are chained, and a log
//     that ends before what is known to be committed is refused.
//
// Today the quorum has one voter, which leads from the moment it opens. Membership,
// messages to other nodes and snapshots received from them have their places in raft's
// contract and none here yet.
//
// The files are described in FORMAT.md.
package quorum
