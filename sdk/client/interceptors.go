package client

import (
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/millrace/millrace/sdk"
)

// interceptors are those of a producer, in order; nil when there are none.
type interceptors struct {
	all    []sdk.ProducerInterceptor
	log    *slog.Logger
	faults atomic.Int64
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
	if i == nil {
		return
	}
	for n, one := range i.all {
		if fault := guarded(func() error { one.OnAck(m, err); return nil }); fault != nil {
			i.fault(n, "OnAck", fault)
		}
	}
}

func (i *interceptors) fault(n int, where string, err error) {
	i.faults.Add(1)
	i.log.Warn("an interceptor failed and was passed over", "interceptor", fmt.Sprintf("%T", i.all[n]), "in", where, "why", err)
}

// mistyped notes that an interceptor left a key or value that the producer cannot take.
func (i *interceptors) mistyped(what string, v any) {
	i.faults.Add(1)
	i.log.Warn("interceptors left another type, and were passed over", "in", what, "type", fmt.Sprintf("%T", v))
}

// guarded makes an error of a panic in a plugin.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panicked: %v", p)
		}
	}()
	return f()
}
