package transaction

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Never is a time that does not come.
const Never = int64(math.MaxInt64)

// State is how far a producer is.
type State uint8

// The states, as Kafka has them.
const (
	Uninitialized State = iota
	Initializing
	Ready
	InTransaction
	Committing
	Aborting
	Abortable // something was lost: nothing is left but Abort
	Fatal     // nothing is left but to close the producer
)

var stateNames = [...]string{"UNINITIALIZED", "INITIALIZING", "READY", "IN_TRANSACTION", "COMMITTING_TRANSACTION", "ABORTING_TRANSACTION", "ABORTABLE_ERROR", "FATAL_ERROR"}

func (s State) String() string { return stateNames[s] }

// What is left to do after an error, which wraps one of these.
var (
	ErrAbort = errors.New("abort the transaction")
	ErrFatal = errors.New("the producer cannot go on: close it")
)

// What calls fail with that come at the wrong moment.
var (
	ErrNotInitialised = errors.New("call InitTransactions first")
	ErrInitialised    = errors.New("InitTransactions was called before")
	ErrNotBegun       = errors.New("no transaction was begun: call BeginTransaction")
	ErrBegun          = errors.New("a transaction is under way: commit or abort it")
	ErrEnding         = errors.New("the transaction is being ended")
	ErrUnheard        = errors.New("what was asked before ran out of time: call it again first, for its outcome")
)

// Partition is one that records of a transaction are in.
type Partition struct {
	Topic string
	Index int32
}

// Offset is where a group shall read on.
type Offset struct {
	Partition
	At       int64
	Epoch    int32 // of the leader; −1: not known
	Metadata string
}

// Offsets are those of a group that are committed with a transaction.
type Offsets struct {
	Group      string
	Generation int32  // −1: of no member
	Member     string // ""
	Instance   string // ""
	All        []Offset
}

// Call is what a caller wants done. Its outcome is kept until Heard.
type Call struct {
	kind    State // Initializing, Committing, Aborting; InTransaction: offsets
	offsets *Offsets
	over    bool
	err     error
	heard   int // by so many callers
}

// Outcome is what became of the call, once it is over.
func (c *Call) Outcome() (over bool, err error) { return c.over, c.err }

// Heard says that a caller knows the outcome.
func (c *Call) Heard() { c.heard++ }

// Unheard takes that back: the caller had gone.
func (c *Call) Unheard() { c.heard-- }

func (c *Call) end(err error) {
	if !c.over {
		c.over, c.err = true, err
	}
}

// Options are a machine's. All of them must be set.
type Options struct {
	// Backoff is how long to wait after so many tries that failed.
	Backoff func(tries int) time.Duration
}

// Machine decides for one transactional id. One goroutine's.
type Machine struct {
	o     Options
	state State
	err   error // of Abortable and Fatal

	id       int64
	epoch    int16
	version2 bool // of this transaction, or the next
	spoken   int  // transaction.version that brokers have finalized, as far as heard
	number   int  // of the transaction

	started  bool // a coordinator may know of the transaction
	ended    bool // and knows that it is over
	bump     bool // a new epoch has to be asked for after the end
	unmapped bool // the coordinator does not know the producer id: it would refuse End
	added    map[Partition]bool
	wanted   []Partition // to be added
	offsets  []*Call     // not committed yet, in order
	groups   map[string]bool

	coordinator string            // "": not known
	groupAt     map[string]string // coordinators of groups
	pending     *Call             // Init, Commit or Abort, until it was heard
	asked       *Ask              // is under way
	unsure      *Ask              // was not answered, and may have been done
	tries       int               // of the same request, that failed
	retryAt     int64
	why         error // the last try failed
}

// New is a producer that has not begun.
func New(o Options) *Machine {
	return &Machine{o: o, id: -1, epoch: -1, added: map[Partition]bool{}, groups: map[string]bool{}, groupAt: map[string]string{}}
}

// State is how far the producer is.
func (m *Machine) State() State { return m.state }

// Producer is the id and the epoch that records are numbered under; −1 before there is one.
func (m *Machine) Producer() (id int64, epoch int16) { return m.id, m.epoch }

// Why is what the last request that is made again was refused with; nil: none is.
func (m *Machine) Why() error { return m.why }

// Version2 reports whether brokers add the partitions of this transaction by themselves.
func (m *Machine) Version2() bool { return m.version2 }

// Number tells transactions apart.
func (m *Machine) Number() int { return m.number }

// Refusal is why no record may be appended now; nil: it may.
func (m *Machine) Refusal() error {
	switch m.state {
	case InTransaction:
		return nil
	case Abortable, Fatal:
		return m.err
	case Committing, Aborting:
		return ErrEnding
	case Ready:
		return ErrNotBegun
	default:
		return ErrNotInitialised
	}
}

// Dropping is why records that are not under way are given up; nil: they are not.
func (m *Machine) Dropping() error {
	switch m.state {
	case Abortable, Fatal:
		return m.err
	case Aborting:
		return errAborted
	default:
		return nil
	}
}

var errAborted = errors.New("the transaction was aborted")

// Ongoing reports whether a transaction was begun and has not ended.
func (m *Machine) Ongoing() bool {
	return m.state == InTransaction || m.state == Committing || m.state == Aborting || m.state == Abortable
}

// again is the call that was made before and that nobody has heard the outcome of.
func (m *Machine) again(kind State) (*Call, error) {
	switch c := m.pending; {
	case c == nil || c.over && (c.heard > 0 || kind == Aborting && c.err != nil):
		m.pending = nil
		return nil, nil
	case c.kind == kind:
		return c, nil
	default:
		return nil, ErrUnheard
	}
}

func (m *Machine) call(kind State) *Call {
	m.pending = &Call{kind: kind}
	m.state = kind
	return m.pending
}

// Init asks for a producer id.
func (m *Machine) Init() (*Call, error) {
	if c, err := m.again(Initializing); c != nil || err != nil {
		return c, err
	}
	switch m.state {
	case Uninitialized:
		return m.call(Initializing), nil
	case Fatal:
		return nil, m.err
	default:
		return nil, ErrInitialised
	}
}

// Begin begins a transaction.
func (m *Machine) Begin() error {
	if _, err := m.again(InTransaction); err != nil {
		return err
	}
	switch m.state {
	case Ready:
		m.state = InTransaction
		m.number++
		return nil
	case InTransaction:
		return ErrBegun
	default:
		return m.Refusal()
	}
}

// SendOffsets commits offsets with the transaction.
func (m *Machine) SendOffsets(o *Offsets) (*Call, error) {
	if _, err := m.again(InTransaction); err != nil {
		return nil, err
	}
	if err := m.Refusal(); err != nil {
		return nil, err
	}
	c := &Call{kind: InTransaction, offsets: o}
	m.offsets = append(m.offsets, c)
	return c, nil
}

// Commit ends the transaction with all that is in it.
func (m *Machine) Commit() (*Call, error) {
	if c, err := m.again(Committing); c != nil || err != nil {
		return c, err
	}
	if err := m.Refusal(); err != nil {
		return nil, err
	}
	return m.call(Committing), nil
}

// Abort ends the transaction with nothing of it.
func (m *Machine) Abort() (*Call, error) {
	if c, err := m.again(Aborting); c != nil || err != nil {
		return c, err
	}
	if err := m.Refusal(); err != nil && m.state != Abortable {
		return nil, err
	}
	m.failOffsets(errAborted)
	m.wanted = m.wanted[:0]
	return m.call(Aborting), nil
}

// Admit reports whether records may be sent to p now. With version 1 p is added first.
func (m *Machine) Admit(p Partition) bool {
	switch {
	case m.state != InTransaction && m.state != Committing:
		return false
	case m.version2:
		m.started = true
		return true
	case m.added[p]:
		return true
	}
	if !slices.Contains(m.wanted, p) && (m.asked == nil || !slices.Contains(m.asked.Partitions, p)) {
		m.wanted = append(m.wanted, p)
	}
	return false
}

// Lost is told that records of the transaction failed. Numbered: under sequence numbers,
// which those behind them cannot follow.
func (m *Machine) Lost(why error, numbered bool) {
	if !m.Ongoing() {
		return
	}
	m.bump = m.bump || numbered && !m.version2
	switch {
	case m.state == Aborting, m.state == Abortable: // its end tells what is left to do
	case fatalForRecords(why):
		m.fail(why)
	default:
		m.spoil(why)
	}
}

// spoil leaves nothing to do but Abort.
func (m *Machine) spoil(why error) {
	if m.state != InTransaction && m.state != Committing {
		return
	}
	m.state = Abortable
	m.err = fmt.Errorf("%w: %w", ErrAbort, why)
	m.failOffsets(m.err)
	m.wanted = m.wanted[:0]
	if m.pending != nil {
		m.pending.end(m.err)
	}
}

// fail leaves nothing to do at all.
func (m *Machine) fail(why error) {
	if m.state == Fatal {
		return
	}
	m.state = Fatal
	m.err = fmt.Errorf("%w: %w", ErrFatal, why)
	m.failOffsets(m.err)
	m.wanted = m.wanted[:0]
	switch {
	case m.pending == nil:
	case m.pending.kind == Committing && m.ended: // it is committed: the next transaction hears it
		m.pending.end(nil)
	default:
		m.pending.end(m.err)
	}
}

func (m *Machine) failOffsets(why error) {
	for _, c := range m.offsets {
		c.end(why)
	}
	m.offsets = m.offsets[:0]
}

// complete is that a transaction is over, and that there is an epoch for the next.
func (m *Machine) complete() {
	m.state, m.err = Ready, nil
	m.started, m.ended, m.bump, m.unmapped, m.unsure = false, false, false, false, nil
	m.version2 = m.spoken >= 2
	clear(m.added)
	clear(m.groups)
	m.pending.end(nil)
}
