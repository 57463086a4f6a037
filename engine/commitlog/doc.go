// Package commitlog keeps the batches of one partition on disk. FORMAT.md draws the files.
//
//	             Append                        roll                    Retain
//	batches ──────────────▶ active segment ──────────▶ sealed … sealed ────────▶ gone
//	                              │ end, size                │ list
//	                              ▼                          ▼
//	                          what readers see: Locate, OffsetForTime, …
//
// A log is owned by one goroutine, its shard's. Methods that are marked (any) may be
// called from every goroutine, also while the owner appends: what they need is published
// with atomics. A reader loads the limit first and the list of segments after it, so that
// the list is never older than the limit. A segment counts its readers; one that retention
// took away closes after the last of them.
//
// What must stay true, on disk and after every crash:
//
//   - Segments follow each other without a gap, save below the log start offset.
//   - In commit mode (SyncOnRoll) a segment is durable before its successor exists. So only
//     the last one can have a torn tail; damage in another is damage, and refused.
//   - After Append and a sync of Active, everything appended is durable: bytes, file,
//     folder, and all segments before.
//   - Indexes and the epoch checkpoint can be made again from the batches. An index is
//     believed only where the batch that it points at agrees.
//   - The log start offset never moves back: it is on disk before a segment goes.
package commitlog
