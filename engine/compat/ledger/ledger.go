// Package ledger holds what was acknowledged against what is read back.
//
// A producer numbers its records per partition and sends the numbers in order; the ledger is told which of them
// were acknowledged and at which offset, and then every record of the partition in log order. Afterwards, for each
// producer and partition: every acknowledged number was read at its offset, none was read twice, and the numbers rise.
package ledger

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// A Stream is one producer's records in one partition.
type Stream struct {
	Producer  string
	Topic     string
	Partition int32
}

// A Ledger may be used from every goroutine: producers acknowledge on goroutines of their own.
type Ledger struct {
	mu      sync.Mutex //nolint:forbidigo // acknowledgements come from client libraries' goroutines
	streams map[Stream]*entries
	starts  map[log]int64
	repeats map[string]bool
}

// A log is one partition.
type log struct {
	topic     string
	partition int32
}

type entries struct {
	acked map[int64]ack // by number
	read  []place
}

// An ack is where a record lies, when that was said, and how old it was, at least, when a cut
// came by which it may be lost; negative: it may not.
type ack struct {
	offset int64
	at     time.Time
	age    time.Duration
}

// A place is where a record was found.
type place struct{ number, offset int64 }

// New makes an empty ledger.
func New() *Ledger {
	return &Ledger{streams: map[Stream]*entries{}, starts: map[log]int64{}, repeats: map[string]bool{}}
}

func (l *Ledger) of(s Stream) *entries {
	e := l.streams[s]
	if e == nil {
		e = &entries{acked: map[int64]ack{}}
		l.streams[s] = e
	}
	return e
}

// Anywhere is the offset of a record of which the client was not told where it lies.
const Anywhere = -1

// Acked says that the broker acknowledged a record.
func (l *Ledger) Acked(s Stream, number, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of(s).acked[number] = ack{offset, time.Now(), -1}
}

// Excuse says that what was acknowledged up to so long before a cut need not have survived it.
func (l *Ledger) Excuse(cut time.Time, within time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.streams {
		for number, a := range e.acked {
			if age := max(cut.Sub(a.at), 0); a.age < 0 && age <= within {
				a.age = age
				e.acked[number] = a
			}
		}
	}
}

// Read says that a record was found, in the order of the partition's offsets.
func (l *Ledger) Read(s Stream, number, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.of(s)
	e.read = append(e.read, place{number, offset})
}

// Start says that what lies below an offset of a partition was removed on purpose.
func (l *Ledger) Start(topic string, partition int32, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := log{topic, partition}
	l.starts[at] = max(l.starts[at], offset)
}

// Repeats says that a producer is not idempotent: what it sends again may be there twice, and behind what followed it.
func (l *Ledger) Repeats(producer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.repeats[producer] = true
}

// Reread forgets what was read, so that everything can be read once more.
func (l *Ledger) Reread() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.streams {
		e.read = nil
	}
}

// A Verdict counts what a ledger found wrong.
type Verdict struct {
	Acked, Read                             int
	Lost, Misplaced, Duplicated, OutOfOrder int
	Excused                                 int           // lost, as they were allowed to be
	Age                                     time.Duration // of the oldest of these, at the cut
	Examples                                []string      // a few of them, in words
}

// Err is nil when nothing is wrong.
func (v Verdict) Err() error {
	if v.Lost == 0 && v.Misplaced == 0 && v.Duplicated == 0 && v.OutOfOrder == 0 {
		return nil
	}
	return fmt.Errorf("of %d acked records %d lost, %d misplaced, %d duplicated, %d out of order: %s",
		v.Acked, v.Lost, v.Misplaced, v.Duplicated, v.OutOfOrder, strings.Join(v.Examples, "; "))
}

// Judge compares both sides.
func (l *Ledger) Judge() Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	var v Verdict
	for s, e := range l.streams {
		e.judge(s, l.starts[log{s.Topic, s.Partition}], l.repeats[s.Producer], &v)
	}
	return v
}

func (e *entries) judge(s Stream, start int64, repeats bool, v *Verdict) {
	note := func(format string, arguments ...any) {
		if len(v.Examples) < 8 {
			v.Examples = append(v.Examples, fmt.Sprintf("%s in %s-%d: ", s.Producer, s.Topic, s.Partition)+fmt.Sprintf(format, arguments...))
		}
	}
	v.Acked += len(e.acked)
	v.Read += len(e.read)
	seen := make(map[int64]int64, len(e.read)) // offsets by number
	at := make(map[place]bool, len(e.read))
	highest := int64(-1)
	for _, r := range e.read {
		before, twice := seen[r.number]
		switch {
		case repeats:
		case twice:
			v.Duplicated++
			note("record %d read at offsets %d and %d", r.number, before, r.offset)
		case r.number < highest:
			v.OutOfOrder++
			note("record %d read after %d, at offset %d", r.number, highest, r.offset)
		}
		seen[r.number] = r.offset
		at[r] = true
		highest = max(highest, r.number)
	}
	for number, told := range e.acked {
		offset := told.offset
		found, ok := seen[number]
		switch {
		case at[place{number, offset}], ok && offset == Anywhere, offset != Anywhere && offset < start:
			continue
		case ok:
			v.Misplaced++
			note("record %d acked at offset %d and read at %d", number, offset, found)
			continue
		case told.age >= 0:
			v.Excused++
			v.Age = max(v.Age, told.age)
			continue
		}
		v.Lost++
		note("record %d acked at offset %d and not read", number, offset)
	}
}
