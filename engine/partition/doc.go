// Package partition decides what one replica of a partition may do. It is a pure state
// machine: it never blocks, reads a clock or touches a file; the shard that owns it does
// the writing and reports back what became true.
//
//	          Admit           Written            Synced
//	client ──────────▶ end ──────────▶ written ────────▶ synced
//	                    ▲      │           └──────┬────────┘
//	                    └──────┘                  ▼ (which of the two: the flush mode)
//	                      Undo              high watermark
//
// It also keeps what idempotent producers need: of every producer the last five batches,
// so that a batch that comes again is answered with the offset that it has, and one that
// is missing is noticed.
//
//	batch comes       same epoch, sequences of a kept batch  → duplicate, the original offset
//	from a known      lower epoch                            → INVALID_PRODUCER_EPOCH
//	producer          higher epoch, first sequence not 0     → OUT_OF_ORDER_SEQUENCE_NUMBER
//	                  same epoch, not the next sequence      → OUT_OF_ORDER_SEQUENCE_NUMBER
//	                  else                                   → admitted
//	from another one  whatever its sequence                  → admitted: its past may have
//	                                                           been removed by retention
//
// Sequences follow each other up to 2³¹−1 and go on at 0.
//
// Differs from Kafka: a producer is idle since the broker last took a batch of it, not since
// the timestamp of its last record, which may lie in any year; and all five batches survive
// a restart. A marker that comes a second time is not written again.
//
// A transactional batch opens its producer's transaction here, if the coordinator knows of
// it: Verify gives a ticket, the shard asks the coordinator, and the batch is admitted with
// the ticket unless a marker came in between. Until its marker lies below the high watermark
// a transaction holds the stable offset, which readers of committed records do not pass;
// what an aborted one left is told by EndTransaction, for the index of the log.
//
//	        Verify, and the coordinator agrees        EndTransaction     marker committed
//	nothing ──────────────────────────────────▶ open ───────────────▶ ended ──────────▶ nothing
//
// Ownership: a Partition belongs to one goroutine. It keeps nothing of a batch.
//
// Invariants, checked by Check after every step of the tests:
//
//	start ≤ high watermark ≤ written ≤ end; synced ≤ written; stable offset ≤ high watermark
//	the kept batches of a producer lie in order and below end
//
// The high watermark never goes back.
package partition
