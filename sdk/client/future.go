package client

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/client/native"
)

// Future is what becomes of a record. Any goroutine may ask it.
type Future struct {
	settled atomic.Pointer[outcome]
	done    chan struct{}
}

type outcome struct {
	metadata sdk.RecordMetadata
	err      error
}

func newFuture() *Future { return &Future{done: make(chan struct{})} }

func (f *Future) settle(metadata sdk.RecordMetadata, err error) {
	f.settled.Store(&outcome{metadata, err})
	close(f.done)
}

// Done is closed when the record was acknowledged or has failed.
func (f *Future) Done() <-chan struct{} { return f.done }

// Get waits until the record was acknowledged or has failed, and says where it went or why.
// That ctx ends does not take the record back.
func (f *Future) Get(ctx context.Context) (sdk.RecordMetadata, error) {
	select {
	case <-f.done:
	case <-ctx.Done():
		return sdk.RecordMetadata{Offset: -1}, context.Cause(ctx)
	}
	o := f.settled.Load()
	return o.metadata, o.err
}

// listener is who is told of one record: in this order interceptors, future and callback.
type listener struct {
	interceptors *interceptors // never nil
	future       *Future
	callback     func(sdk.RecordMetadata, error)
}

// forgotten reports whether nobody waits for the record: interceptors only look on.
func (l *listener) forgotten() bool { return l.future == nil && l.callback == nil }

// Done is native.Listener.
func (l *listener) Done(a native.Ack, err error) {
	l.settle(sdk.RecordMetadata{TopicPartition: sdk.TopicPartition{Topic: a.Topic, Partition: a.Partition},
		Offset: a.Offset, Timestamp: time.UnixMilli(a.Timestamp)}, err)
}

func (l *listener) settle(metadata sdk.RecordMetadata, err error) {
	l.interceptors.acknowledged(metadata, err)
	if l.future != nil {
		l.future.settle(metadata, err)
	}
	if l.callback != nil {
		l.interceptors.called("callback", func() { l.callback(metadata, err) })
	}
}
