package client

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/sdk"
)

// interceptors are those of a producer, in order, perhaps none; and where it is told what its
// callbacks do wrong.
type interceptors struct {
	all    []sdk.ProducerInterceptor
	log    *slog.Logger
	faults atomic.Int64 // of interceptors
	panics atomic.Int64 // of callbacks
	brakes brakes
}

// sent shows a record to all of them. One that fails is passed over: the record goes on as
// the one before left it.
func (i *interceptors) sent(r *sdk.Record) {
	for n, one := range i.all {
		before := *r
		before.Headers = slices.Clone(r.Headers)
		if err := guarded(func() error { return one.OnSend(r) }); err != nil {
			*r = before
			i.fault(n, "OnSend", err)
		}
	}
}

// acknowledged tells all of them what became of a record.
func (i *interceptors) acknowledged(m sdk.RecordMetadata, err error) {
	for n, one := range i.all {
		if fault := guarded(func() error { one.OnAck(m, err); return nil }); fault != nil {
			i.fault(n, "OnAck", fault)
		}
	}
}

func (i *interceptors) fault(n int, where string, err error) {
	i.faults.Add(1)
	if more, silenced := i.brakes.take(n, where, time.Now().Unix()); more {
		i.log.With(stackOf(err)...).Warn("an interceptor failed and was passed over", "interceptor", fmt.Sprintf("%T", i.all[n]), "in", where, "why", oneLine(err), "lines left out", silenced)
	}
}

// called runs something of the program's that is told of records, and notes when it panics.
func (i *interceptors) called(what string, f func()) {
	if err := guarded(func() error { f(); return nil }); err != nil {
		i.panics.Add(1)
		panicked(i.log, &i.brakes, what, err)
	}
}

// panicked logs that something of the program's did.
func panicked(log *slog.Logger, b *brakes, what string, err error) {
	if more, silenced := b.take(-1, what, time.Now().Unix()); more {
		log.With(stackOf(err)...).Warn("something of the program's has panicked, and the client goes on", "what", what, "why", oneLine(err), "lines left out", silenced)
	}
}

// mistyped notes that an interceptor left a key or value that the producer cannot take.
func (i *interceptors) mistyped(what string, v any) {
	i.faults.Add(1)
	if more, silenced := i.brakes.take(-1, what, time.Now().Unix()); more {
		i.log.Warn("interceptors left another type, and were passed over", "in", what, "type", fmt.Sprintf("%T", v), "lines left out", silenced)
	}
}

// brakes keep interceptors that fail at each record from filling the log: each place in each has a
// line a second. Any goroutine; the zero value is ready.
type brakes struct {
	mu sync.Mutex //nolint:forbidigo // whoever sends, polls or reads answers may come, and only after a fault
	of map[braked]*brake
}

type braked struct {
	interceptor int
	where       string
}

type brake struct{ second, silenced int64 }

// take reports whether there may be a line in this second, and how many were left out since the last.
func (b *brakes) take(interceptor int, where string, second int64) (more bool, silenced int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.of[braked{interceptor, where}]
	switch {
	case one == nil:
		if b.of == nil {
			b.of = make(map[braked]*brake)
		}
		b.of[braked{interceptor, where}] = &brake{second: second}
	case one.second == second:
		one.silenced++
		return false, 0
	default:
		silenced = one.silenced
		*one = brake{second: second}
	}
	return true, silenced
}

// oneLine is an error without what some have below their first line: the stack of a module. It may be
// anybody's, and panic when it is asked, which fmt notices.
func oneLine(err error) string {
	line, _, _ := strings.Cut(fmt.Sprint(err), "\n")
	return line
}
