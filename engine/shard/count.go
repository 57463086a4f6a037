package shard

import (
	"time"

	"github.com/millrace/millrace/engine/txn"
)

// Counts is what a shard knows of idempotent producers and transactions.
type Counts struct {
	Transactions txn.Counts // of the coordinators, those included that are gone
	Producers    int64      // known, each in each of its partitions
	Expired      uint64     // forgotten, since the start
	Late         int64      // partitions with a transaction that nobody seems to end
}

// Add adds what another shard counts.
func (n *Counts) Add(other Counts) {
	n.Transactions.Add(other.Transactions)
	n.Producers += other.Producers
	n.Expired += other.Expired
	n.Late += other.Late
}

// Count counts. A transaction is late when nothing was heard of it for that long. On the shard only.
func (s *Shard) Count(late time.Duration) Counts {
	n := Counts{Expired: s.expired}
	n.Transactions.Happened = s.happened
	for t := range s.transactions {
		n.Transactions.Add(t.machine.Count())
	}
	limit := s.now.Add(-late).UnixMilli()
	for r := range s.replicas {
		if !r.is(open) {
			continue
		}
		n.Producers += int64(r.machine.Known())
		if count, silent := r.machine.Open(); count > 0 && silent < limit {
			n.Late++
		}
	}
	return n
}
