package transaction

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Kind is what is asked.
type Kind uint8

// The requests.
const (
	Find          Kind = iota // the coordinator of transactions
	FindGroup                 // that of a group
	InitProducer              // a producer id, or a new epoch
	AddPartitions             // version 1
	AddOffsets                // version 1
	CommitOffsets             // of the coordinator of the group
	End
)

// Ask is one request to a coordinator. Read only.
type Ask struct {
	Kind       Kind
	To         string // host:port; "" for Find and FindGroup: anybody
	Version2   bool
	ProducerID int64 // InitProducer: −1 but for a new epoch
	Epoch      int16
	Commit     bool
	Partitions []Partition
	Group      string
	Offsets    *Offsets

	call *Call // of CommitOffsets
}

// Answer is what became of an Ask.
type Answer struct {
	// Err is what the coordinator refuses with: a *kerr.Error. Anything else is that there was
	// no answer.
	Err error
	// Unanswered is that Err is of the way to the coordinator, such as a refusal to sign in, and
	// says nothing of the request.
	Unanswered bool
	Refused    []Refused // AddPartitions, CommitOffsets: what is true of single partitions
	Broker     string    // Find, FindGroup
	ProducerID int64     // InitProducer, and End of version 2; −1: the same
	Epoch      int16
	Version    int // transaction.version that the broker has finalized; −1: it did not say
}

// Refused is a partition that an answer refuses.
type Refused struct {
	Partition
	Err error
}

// Refuse notes what an answer says of a partition, 0 being nothing.
func (a *Answer) Refuse(topic string, index int32, code int16) {
	if err := kerr.ErrorForCode(code); err != nil {
		a.Refused = append(a.Refused, Refused{Partition{topic, index}, err})
	}
}

// concurrentBackoff is how long to wait while the transaction before is being ended, which
// takes no longer than its markers.
const concurrentBackoff = 20 * time.Millisecond

// Next is what to ask now, nil for nothing, and when to look again. Busy: records of the
// transaction wait or are under way.
//
// Ownership: what is answered is read until Answered.
func (m *Machine) Next(now int64, busy bool) (a *Ask, at int64) {
	if m.asked != nil {
		return nil, Never
	}
	if now < m.retryAt {
		return nil, m.retryAt
	}
	if a = m.due(busy); a == nil {
		return nil, Never
	}
	if a.Kind != Find && a.Kind != FindGroup {
		a = m.addressed(a)
	}
	a.Version2 = m.version2
	m.asked = a
	return a, Never
}

// due is what has to be asked for the state that the machine is in.
func (m *Machine) due(busy bool) *Ask {
	switch m.state {
	case Initializing:
		return &Ask{Kind: InitProducer, ProducerID: -1, Epoch: -1}
	case InTransaction, Committing:
		if m.unsure != nil {
			return m.unsure
		}
		if a := m.dueInside(); a != nil {
			return a
		}
		if m.state == InTransaction || busy || len(m.offsets) > 0 {
			return nil
		}
	case Aborting:
		if m.unsure != nil {
			return m.unsure
		}
		if busy {
			return nil
		}
	default:
		return nil
	}
	return m.dueAtEnd()
}

// dueInside is what a transaction needs before its end.
func (m *Machine) dueInside() *Ask {
	if len(m.wanted) > 0 {
		a := &Ask{Kind: AddPartitions, ProducerID: m.id, Epoch: m.epoch, Partitions: m.wanted}
		m.wanted = nil
		return a
	}
	if len(m.offsets) == 0 {
		return nil
	}
	c := m.offsets[0]
	a := &Ask{ProducerID: m.id, Epoch: m.epoch, Group: c.offsets.Group}
	if !m.version2 && !m.groups[a.Group] {
		a.Kind = AddOffsets
		return a
	}
	a.Kind, a.Offsets, a.call = CommitOffsets, c.offsets, c
	m.started = true
	return a
}

// dueAtEnd is what ends a transaction. One that no coordinator knows of has nothing to end.
func (m *Machine) dueAtEnd() *Ask {
	if m.started && !m.ended && !m.unmapped {
		return &Ask{Kind: End, ProducerID: m.id, Epoch: m.epoch, Commit: m.state == Committing}
	}
	if m.outdated() {
		return &Ask{Kind: InitProducer, ProducerID: m.id, Epoch: m.epoch}
	}
	m.complete()
	return nil
}

// outdated reports whether the next transaction needs a new epoch first: what was lost left a
// gap, or the epoch is of version 1 and the next transaction of version 2.
func (m *Machine) outdated() bool { return m.bump || m.spoken >= 2 && !m.version2 }

// addressed is a when its coordinator is known, else the question who that is.
func (m *Machine) addressed(a *Ask) *Ask {
	if a.Kind == CommitOffsets {
		if a.To = m.groupAt[a.Group]; a.To == "" {
			return &Ask{Kind: FindGroup, Group: a.Group}
		}
		return a
	}
	if a.To = m.coordinator; a.To == "" {
		if a != m.unsure {
			m.wanted = append(m.wanted, a.Partitions...)
		}
		return &Ask{Kind: Find}
	}
	return a
}

// Answered is told what became of what was asked.
func (m *Machine) Answered(now int64, answer *Answer) {
	a, before := m.asked, m.unsure
	m.asked = nil
	if a == m.unsure {
		m.unsure = nil
	}
	if answer.Version >= 0 {
		m.spoken = answer.Version
	}
	err := answer.Err
	if answer.Unanswered && err != nil && (m.state != Initializing || !turnedAway(err)) {
		err = unanswered{err}
	}
	if err == nil && len(answer.Refused) > 0 {
		err = m.refused(a, answer.Refused)
	}
	if m.state == Fatal {
		return
	}
	if err == nil {
		m.tries, m.retryAt = 0, 0
		m.granted(a, answer)
		return
	}
	v := m.verdict(a, err)
	if v == spoils && (m.state == Initializing || m.ended) {
		v = ends // there is no transaction to abort
	}
	switch v {
	case retry:
		m.why = cause(a, err)
		m.tryAgain(now, a, err, a == before)
	case spoils:
		m.tries, m.retryAt = 0, 0
		m.refuse(a, err)
	default:
		m.fail(cause(a, err))
	}
}

// refused picks the error that decides: one that is not cured by time comes first.
func (m *Machine) refused(a *Ask, all []Refused) error {
	worst := all[0]
	for _, r := range all[1:] {
		if errors.Is(worst.Err, kerr.OperationNotAttempted) || m.verdict(a, r.Err) > m.verdict(a, worst.Err) && !errors.Is(r.Err, kerr.OperationNotAttempted) {
			worst = r
		}
	}
	return fmt.Errorf("%s-%d: %w", worst.Topic, worst.Index, worst.Err)
}

// tryAgain asks the same again later, and first who coordinates if that may have changed. Unsure:
// a try before was not answered, of which this answer says nothing.
func (m *Machine) tryAgain(now int64, a *Ask, err error, unsure bool) {
	m.tries++
	wait := m.o.Backoff(m.tries)
	answered, _ := errors.AsType[*kerr.Error](err)
	if answered == nil || errors.Is(err, kerr.NotCoordinator) || errors.Is(err, kerr.CoordinatorNotAvailable) ||
		a.Kind == CommitOffsets && errors.Is(err, kerr.RequestTimedOut) {
		if a.Kind == CommitOffsets {
			delete(m.groupAt, a.Group)
		} else {
			m.coordinator = ""
		}
	}
	if errors.Is(err, kerr.ConcurrentTransactions) && !m.started {
		wait = min(wait, concurrentBackoff)
	}
	m.retryAt = now + int64(wait)
	switch {
	case a.Kind != AddPartitions && a.Kind != AddOffsets:
	case answered == nil || unsure:
		m.unsure = a // it may have been done
	case a.Kind == AddPartitions && (m.state == InTransaction || m.state == Committing):
		m.wanted = append(a.Partitions, m.wanted...)
	}
}

// granted takes what was asked for.
func (m *Machine) granted(a *Ask, answer *Answer) {
	if a.Kind != Find && a.Kind != FindGroup {
		m.why = nil
	}
	switch a.Kind {
	case Find:
		m.coordinator = answer.Broker
	case FindGroup:
		m.groupAt[a.Group] = answer.Broker
	case InitProducer:
		m.id, m.epoch = answer.ProducerID, answer.Epoch
		m.complete()
	case AddPartitions:
		m.started = true
		for _, p := range a.Partitions {
			m.added[p] = true
		}
	case AddOffsets:
		m.started = true
		m.groups[a.Group] = true
	case CommitOffsets:
		a.call.end(nil)
		if len(m.offsets) > 0 && m.offsets[0] == a.call {
			m.offsets = m.offsets[1:]
		}
	case End:
		m.ended = true
		if answer.ProducerID >= 0 {
			m.id, m.epoch, m.bump = answer.ProducerID, answer.Epoch, false
		}
		if !m.outdated() {
			m.complete()
		}
	}
}

// refuse takes an answer after which the transaction can only be aborted.
func (m *Machine) refuse(a *Ask, err error) {
	if unmapped(err) {
		m.unmapped, m.bump = true, true
	}
	m.spoil(cause(a, err))
}

var kindNames = [...]string{"find the coordinator of transactions", "find the coordinator of the group", "get a producer id", "add partitions to the transaction",
	"add offsets to the transaction", "commit offsets with the transaction", "end the transaction"}

func (k Kind) String() string { return kindNames[k] }

// cause says what was being done, and calls every kind of fencing by one name.
func cause(a *Ask, err error) error {
	if errors.Is(err, kerr.InvalidProducerEpoch) {
		err = kerr.ProducerFenced
	}
	return fmt.Errorf("%s: %w", a.Kind, err)
}
