package client

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/millrace/millrace/sdk"
)

// sifting answers what it was shown without its first record, and an error.
type sifting struct{ err error }

func (s *sifting) OnConsume(all []*sdk.Record) ([]*sdk.Record, error) { return all[1:], s.err }

func (s *sifting) OnCommit(map[sdk.TopicPartition]sdk.OffsetAndMetadata) { panic(s.err) }

func (s *sifting) OnSend(*sdk.Record) error { return s.err }

func (s *sifting) OnAck(sdk.RecordMetadata, error) { panic(s.err) }

func TestWhatWasPassedOverDoesNotUndoTheRest(t *testing.T) {
	one := errors.New("one of them")
	for err, want := range map[error]int{nil: 1, one: 2, &sdk.PassedOver{Records: 1, Err: one}: 1} {
		c := &Consumer[string, string]{Subscriber: &Subscriber{s: &settings{log: slog.New(slog.DiscardHandler)}, interceptors: []sdk.ConsumerInterceptor{&sifting{err}}}}
		left := c.intercept([]*ConsumerRecord[string, string]{{Value: "a"}, {Value: "b"}})
		if faults := c.faults.Load(); len(left) != want || left[len(left)-1].Value != "b" || (faults == 1) != (err != nil) {
			t.Errorf("after %v there are %d records and %d faults", err, len(left), faults)
		}
	}
}

// One that fails at each record is counted each time, and has a line a second.
func TestTheLogOfInterceptorsIsNotFlooded(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	bad := &sifting{errors.New("it has trapped\nwasm stack trace:\n\tf()")}
	sends := &interceptors{all: []sdk.ProducerInterceptor{bad}, log: log}
	c := &Consumer[string, string]{Subscriber: &Subscriber{s: &settings{log: log}, interceptors: []sdk.ConsumerInterceptor{bad}}}
	const calls = 1000
	for range calls {
		sends.sent(&sdk.Record{})
		sends.acknowledged(sdk.RecordMetadata{}, nil)
		sends.mistyped("key", 1)
		c.intercept([]*ConsumerRecord[string, string]{{}})
		c.committed(map[sdk.TopicPartition]sdk.OffsetAndMetadata{{}: {}})
	}
	if sends.faults.Load() != 3*calls || c.faults.Load() != 2*calls {
		t.Errorf("%d and %d faults were counted", sends.faults.Load(), c.faults.Load())
	}
	if lines := strings.Count(out.String(), "\n"); lines < 5 || lines > calls || strings.Contains(out.String(), "wasm stack") || !strings.Contains(out.String(), "it has trapped") {
		t.Errorf("%d lines: %.600s", lines, out.String())
	}
	var b brakes
	for n := range 5 {
		if more, silenced := b.take(0, "OnSend", 7); more != (n == 0) || silenced != 0 {
			t.Errorf("line %d of a second: %v, %d left out", n, more, silenced)
		}
	}
	if more, _ := b.take(1, "OnSend", 7); !more {
		t.Error("one interceptor silences another")
	}
	if more, silenced := b.take(0, "OnSend", 8); !more || silenced != 4 {
		t.Errorf("the first line of the next second: %v, %d left out", more, silenced)
	}
}

// hollow is an error that is nil where it is looked at, and its error is, too.
type hollow struct{ err error }

func (h *hollow) Error() string { return h.err.Error() }

func (h *hollow) Unwrap() error { return h.err }

// An error that panics when it is read ends nothing: it is a panic of whoever answered it.
func TestErrorsThatPanic(t *testing.T) {
	for name, bad := range map[string]error{"nothing": (*hollow)(nil), "nothing below": &hollow{}} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			log := slog.New(slog.NewTextHandler(&out, nil))
			one := &sifting{bad}
			sends := &interceptors{all: []sdk.ProducerInterceptor{one}, log: log}
			c := &Consumer[string, string]{Subscriber: &Subscriber{s: &settings{log: log}, interceptors: []sdk.ConsumerInterceptor{one}}}
			sends.sent(&sdk.Record{})
			sends.acknowledged(sdk.RecordMetadata{}, nil)
			sends.called("callback", func() { panic(bad) })
			c.intercept([]*ConsumerRecord[string, string]{{}})
			c.committed(map[sdk.TopicPartition]sdk.OffsetAndMetadata{{}: {}})
			if n := strings.Count(out.String(), "\n"); n != 5 || sends.faults.Load() != 2 || sends.panics.Load() != 1 || c.faults.Load() != 2 {
				t.Errorf("%d lines: %s", n, out.String())
			}
			for what, f := range map[string]func() error{"answered": func() error { return bad }, "panicked with": func() error { panic(bad) }, "closing": func() error { return closeAll([]any{closing{bad}}) }} {
				err := guarded(f)
				if errors.Is(err, errors.ErrUnsupported) || err == nil || err.Error() == "" { // none of which panics
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

type closing struct{ err error }

func (c closing) Close() error { return c.err }
