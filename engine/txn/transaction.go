package txn

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// State is how far a transaction has come. The numbers are those of the records.
type State int8

// The states. Dead and PrepareEpochFence are Kafka's names for moments that have no length here.
const (
	Empty State = iota
	Ongoing
	PrepareCommit
	PrepareAbort
	CompleteCommit
	CompleteAbort
	Dead
	PrepareEpochFence
)

var stateNames = [...]string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead", "PrepareEpochFence"}

// String is Kafka's name.
func (s State) String() string { return stateNames[s] }

// preparing reports whether the decision is made and markers are owed.
func (s State) preparing() bool { return s == PrepareCommit || s == PrepareAbort }

// holds reports whether a transaction in this state has partitions.
func (s State) holds() bool { return s == Ongoing || s.preparing() }

// Partition is one that a transaction has written to.
type Partition struct {
	Topic string
	Index int32
}

func (p Partition) compare(q Partition) int {
	return cmp.Or(strings.Compare(p.Topic, q.Topic), cmp.Compare(p.Index, q.Index))
}

const (
	// lastEpoch is only given to fence the producer that has the one before.
	lastEpoch = math.MaxInt16
	// exhausted is the last epoch that a producer may have.
	exhausted = lastEpoch - 1
)

// metadata is what the log knows of a transactional id. It is replaced, never changed.
type metadata struct {
	producer, previous, next int64 // −1: none
	epoch                    int16 // −1: the id is not in the log yet
	last                     int16 // epoch before the last that InitProducerID gave, for a repetition; −1: none
	version                  int8  // transaction.version that the client speaks
	timeout                  int32 // milliseconds
	state                    State
	partitions               []Partition // sorted, without repetitions
	started, updated         int64       // milliseconds; started −1: never
}

// has reports whether a producer with this epoch may go on. Nobody has the last one.
func (m *metadata) has(epoch int16) bool { return m.epoch == epoch && epoch != lastEpoch }

func (m *metadata) isExhausted() bool { return m.epoch >= exhausted }

// union is a and b, sorted.
func union(a, b []Partition) []Partition {
	all := slices.Concat(a, b)
	slices.SortFunc(all, Partition.compare)
	return slices.Compact(all)
}

// subset reports whether all of b are in a, which is sorted.
func subset(a, b []Partition) bool {
	return !slices.ContainsFunc(b, func(p Partition) bool {
		_, found := slices.BinarySearchFunc(a, p, Partition.compare)
		return !found
	})
}

// transaction is a transactional id and what is going on with it.
type transaction struct {
	id string
	metadata
	busy    bool                   // a record of it, or a new producer id, is on its way
	owed    map[Partition]struct{} // markers that are not written yet
	patient []*patient             // who waits until nothing is on its way
}

// patient is somebody who waits for a transaction to end, but not for long, to add partitions.
type patient struct {
	until      int64
	producer   Producer
	partitions []Partition
	reply      func(*kerr.Error)
	gone       bool
}

// added is m with more partitions; it begins a transaction if none is open.
func (m *metadata) added(now int64, partitions []Partition, version int8) metadata {
	next := *m
	if m.state != Ongoing {
		next.started, next.partitions = now, nil
	}
	next.state, next.updated, next.version = Ongoing, now, version
	next.partitions = union(next.partitions, partitions)
	return next
}

// decided is m with the decision how its transaction ends. With bump the epoch rises; newID is
// the producer id to go on with where that is not possible, or −1.
func (m *metadata) decided(now int64, commit, bump bool, newID int64, version int8) metadata {
	next := *m
	next.state, next.updated, next.next, next.version = PrepareAbort, now, newID, version
	if commit {
		next.state = PrepareCommit
	}
	if bump {
		next.last, next.epoch = m.epoch, m.epoch+1
	}
	if m.state != Ongoing {
		next.started, next.partitions = now, nil
	}
	return next
}

// completed is m, which has been decided, after all markers.
func (m *metadata) completed(now int64) metadata {
	next := *m
	next.state, next.updated, next.partitions, next.next = CompleteAbort, now, nil, -1
	if m.state == PrepareCommit {
		next.state = CompleteCommit
	}
	next.producer, next.epoch = m.after()
	if next.producer != m.producer {
		next.previous = m.producer
	}
	return next
}

// after is the producer id and epoch that follow a decision.
func (m *metadata) after() (producer int64, epoch int16) {
	if m.next >= 0 {
		return m.next, 0
	}
	return m.producer, m.epoch
}
