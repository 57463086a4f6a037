package sdktest

import (
	"errors"
	"testing"

	"github.com/millrace/millrace/sdk"
)

// strange is an interceptor of either kind that does something to each record.
type strange struct{ do func(r *sdk.Record) error }

func (s strange) OnSend(r *sdk.Record) error                          { return s.do(r) }
func (strange) OnAck(sdk.RecordMetadata, error)                       {}
func (strange) OnCommit(map[sdk.TopicPartition]sdk.OffsetAndMetadata) {}

func (s strange) OnConsume(records []*sdk.Record) ([]*sdk.Record, error) {
	for _, r := range records {
		if err := s.do(r); err != nil {
			return nil, err
		}
	}
	return records, nil
}

func TestInterceptorsOfRecordsThatAreWrong(t *testing.T) {
	nothing := func(*sdk.Record) error { return nil }
	always := func(*sdk.Record) error { return errors.New("as told") }
	retypes := func(r *sdk.Record) error { r.Value = struct{}{}; return nil }
	for name, test := range map[string]struct {
		do     func(r *sdk.Record) error
		module bool
		want   string
	}{
		"does otherwise":          {nothing, true, "and the native interceptor"},
		"fails":                   {always, true, "the native interceptor as told"},
		"makes it another type":   {retypes, false, "it makes a struct {} of a value that was a string"},
		"another type, by itself": {retypes, false, "of a value that was a []uint8"},
	} {
		t.Run(name, func(t *testing.T) {
			p := ProducerInterceptorSubject{New: func(sdk.Config) (sdk.ProducerInterceptor, error) { return strange{test.do}, nil }}
			c := ConsumerInterceptorSubject{New: func(sdk.Config) (sdk.ConsumerInterceptor, error) { return strange{test.do}, nil }}
			if test.module {
				p.Module, c.Module = modules+"producer_interceptor.wasm", modules+"consumer_interceptor.wasm"
			}
			var sends, reads listener
			checkProducerInterceptor(&sends, p)
			found(t, &sends, test.want)
			checkConsumerInterceptor(&reads, c)
			found(t, &reads, test.want)
		})
	}
	for _, module := range []string{"serializer.wasm", "there is no such file"} {
		var l listener
		checkProducerInterceptor(&l, ProducerInterceptorSubject{New: func(sdk.Config) (sdk.ProducerInterceptor, error) { return strange{nothing}, nil }, Module: modules + module})
		if len(l.heard) == 0 {
			t.Errorf("%s passes for an interceptor", module)
		}
	}
}

func TestInterceptorsOfRecordsThatAreRight(t *testing.T) {
	does := strange{func(*sdk.Record) error { return nil }}
	ProducerInterceptor(t, ProducerInterceptorSubject{New: func(sdk.Config) (sdk.ProducerInterceptor, error) { return does, nil }})
	ConsumerInterceptor(t, ConsumerInterceptorSubject{New: func(sdk.Config) (sdk.ConsumerInterceptor, error) { return does, nil }})
}
