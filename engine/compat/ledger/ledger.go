// Package ledger holds what was acknowledged against what is read back.
//
// A producer numbers its records per partition and sends the numbers in order; the ledger is told which of them
// were acknowledged, and then every record of the partition in log order. Afterwards, for each producer and
// partition: every acknowledged number was read, none was read twice, and the numbers rise.
package ledger

import (
	"fmt"
	"strings"
	"sync"
)

// A Stream is one producer's records in one partition.
type Stream struct {
	Producer  string
	Partition int32
}

// A Ledger may be used from every goroutine: producers acknowledge on goroutines of their own.
type Ledger struct {
	mu      sync.Mutex //nolint:forbidigo // acknowledgements come from client libraries' goroutines
	streams map[Stream]*entries
}

type entries struct {
	acked map[int64]bool
	read  []int64
}

// New makes an empty ledger.
func New() *Ledger { return &Ledger{streams: map[Stream]*entries{}} }

func (l *Ledger) of(s Stream) *entries {
	e := l.streams[s]
	if e == nil {
		e = &entries{acked: map[int64]bool{}}
		l.streams[s] = e
	}
	return e
}

// Acked says that the broker acknowledged a record.
func (l *Ledger) Acked(s Stream, number int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of(s).acked[number] = true
}

// Read says that a record was found, in the order of the partition's offsets.
func (l *Ledger) Read(s Stream, number int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.of(s)
	e.read = append(e.read, number)
}

// A Verdict counts what a ledger found wrong.
type Verdict struct {
	Acked, Read                  int
	Lost, Duplicated, OutOfOrder int
	Examples                     []string // a few of them, in words
}

// Err is nil when nothing is wrong.
func (v Verdict) Err() error {
	if v.Lost == 0 && v.Duplicated == 0 && v.OutOfOrder == 0 {
		return nil
	}
	return fmt.Errorf("of %d acked records %d lost, %d duplicated, %d out of order: %s",
		v.Acked, v.Lost, v.Duplicated, v.OutOfOrder, strings.Join(v.Examples, "; "))
}

// Judge compares both sides.
func (l *Ledger) Judge() Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	var v Verdict
	for s, e := range l.streams {
		e.judge(s, &v)
	}
	return v
}

func (e *entries) judge(s Stream, v *Verdict) {
	note := func(format string, arguments ...any) {
		if len(v.Examples) < 8 {
			v.Examples = append(v.Examples, fmt.Sprintf("%s partition %d: ", s.Producer, s.Partition)+fmt.Sprintf(format, arguments...))
		}
	}
	v.Acked += len(e.acked)
	v.Read += len(e.read)
	seen := make(map[int64]bool, len(e.read))
	highest := int64(-1)
	for _, number := range e.read {
		switch {
		case seen[number]:
			v.Duplicated++
			note("record %d read twice", number)
		case number < highest:
			v.OutOfOrder++
			note("record %d read after %d", number, highest)
		}
		seen[number] = true
		highest = max(highest, number)
	}
	for number := range e.acked {
		if !seen[number] {
			v.Lost++
			note("record %d acked and not read", number)
		}
	}
}
