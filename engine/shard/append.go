package shard

import (
	"github.com/millrace/millrace/engine/label"
	"github.com/millrace/millrace/engine/partition"
	"github.com/millrace/millrace/sdk/batch"
)

// Releaser is what a pooled buffer comes back by.
type Releaser interface{ Release() }

// Append is one batch on its way into a partition. It is part of the request that it
// came with.
//
// Ownership: from Send until Finish is called, the shard's.
type Append struct {
	Node
	Replica *Replica
	Batch   batch.Batch // checked by the sender; offset and epoch are patched in place
	Owner   Releaser    // of the batch's memory; released once the batch is written or refused. May be nil
	Finish  Finisher    // told how it ended
	Index   int         // the sender's own mark
	// TransactionalID is that of the producer of a transactional batch, by which the
	// coordinator is asked before a transaction is opened here. Bumped says that the producer
	// has a new epoch in each transaction, and has the coordinator add the partition.
	TransactionalID string
	Bumped          bool
	// Thinned: interceptors have taken records out, so that offsets are missing.
	Thinned bool
	// Repeated is what Ask found out: the partition has the batch, interceptors need not see
	// it. Then Send ends with what became of it the first time, and never appends it.
	Repeated bool

	// What became of it, valid when Finish is called.
	Base          int64 // offset of the first record; −1 on error
	LogAppendTime int64 // milliseconds; −1 when records keep the producer's time
	LogStart      int64
	Err           error // nil, or a *kerr.Error

	required    int64 // the high watermark at which it is acknowledged
	duplicate   bool
	unsequenced bool // offsets of a group
	asker       Asker
}

// Finisher is told that an append ended, well or not, by who works on the shard: its
// goroutine, or a guest within Send. It must not block.
type Finisher interface{ Appended(a *Append) }

// Send hands a to the shard of its replica, from any goroutine. It may have ended when
// Send returns.
func (a *Append) Send() { a.Replica.shard.Visit(&a.Node, a) }

// Asker is told the answer to Ask, by who works on the shard or within Ask. It must not block.
type Asker interface{ Asked(a *Append) }

// question is an Append that asks.
type question Append

// Ask finds out whether the partition has the batch already: Repeated. From any goroutine,
// before Send.
//
// Ownership: a is the shard's until the asker is told.
func (a *Append) Ask(asker Asker) {
	a.asker = asker
	a.Replica.shard.Visit(&a.Node, (*question)(a))
}

// Run answers. Who cannot be asked, since the log cannot be opened, says so to Send.
func (q *question) Run(*Shard) {
	a := (*Append)(q)
	r := a.Replica
	if r.waits(&a.Node, q, false) {
		return
	}
	a.Repeated = r.ready(false) == nil && r.is(open) && r.machine.Repeats(a.Batch)
	asker := a.asker
	a.asker = nil
	asker.Asked(a)
}

// Run admits the batch; it is written at the end of the turn.
func (a *Append) Run(*Shard) {
	a.Base, a.LogAppendTime, a.LogStart, a.Err = -1, -1, -1, nil
	r := a.Replica
	if label.On() {
		label.Set(r.topic.ProduceLabels())
	}
	if r.waits(&a.Node, a, true) {
		return
	}
	if err := r.ready(true); err != nil {
		a.end(err)
		return
	}
	if a.Batch.Transactional() && r.verify(a) {
		return
	}
	a.admit(0)
}

// admit takes a batch that may be part of its producer's transaction.
func (a *Append) admit(ticket partition.Ticket) {
	r, s := a.Replica, a.Replica.shard
	if r.settings.LogAppendTime {
		a.LogAppendTime = s.wall().UnixMilli()
		a.Batch.SetMaxTimestamp(a.LogAppendTime)
	}
	admitted, err := r.machine.AdmitFrom(a.Batch, s.now.UnixMilli(), partition.Origin{Ticket: ticket, Bumped: a.Bumped, Unsequenced: a.unsequenced, Thinned: a.Thinned, Repeated: a.Repeated})
	if err != nil {
		a.release()
		a.LogAppendTime, a.LogStart, a.Err = -1, r.machine.Start(), err
		a.Finish.Appended(a)
		return
	}
	a.Base, a.LogStart, a.duplicate = admitted.Base, r.machine.Start(), admitted.Duplicate
	a.required = admitted.End
	if admitted.Duplicate {
		a.release()
		a.LogAppendTime = admitted.Timestamp // clients are told that of the first, whoever gave it
		r.await(a)
		return
	}
	a.Batch.SetBaseOffset(admitted.Base)
	a.Batch.SetLeaderEpoch(r.Epoch())
	if ticket != 0 {
		r.opens(admitted.Base)
	}
	r.gather(a)
}

// release gives the batch's memory back.
func (a *Append) release() {
	a.Batch = nil
	if a.Owner != nil {
		a.Owner.Release()
		a.Owner = nil
	}
}

// Drop gives the batch's memory back instead of Send.
func (a *Append) Drop() { a.release() }

// end tells the sender, who may use a again at once.
func (a *Append) end(err error) {
	a.release()
	if err != nil {
		a.Base, a.LogAppendTime, a.LogStart, a.Err = -1, -1, -1, err
	}
	a.Finish.Appended(a)
}
