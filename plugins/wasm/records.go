package wasm

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"unicode/utf8"

	"github.com/millrace/millrace/plugins/wasm/abi"
	"github.com/millrace/millrace/plugins/wasm/message"
	"github.com/millrace/millrace/sdk"
)

func init() {
	sdk.ProducerInterceptors.Register("wasm", NewProducerInterceptor)
	sdk.ConsumerInterceptors.Register("wasm", NewConsumerInterceptor)
}

// ProducerInterceptor is an interceptor of single records on their way out that is a WebAssembly
// module. Any goroutine may call it.
type ProducerInterceptor struct {
	recording
	hears bool // of acknowledgements
}

// ConsumerInterceptor is one of records on their way in. Any goroutine may call it.
type ConsumerInterceptor struct {
	recording
	hears bool // of commits
}

// NewProducerInterceptor makes one from its settings: those of New but for deadline.ms. There is
// one instance, which remembers what it saw; callers take turns.
func NewProducerInterceptor(c sdk.Config) (sdk.ProducerInterceptor, error) {
	pool, err := newPool(c, sending, false)
	if err != nil {
		return nil, err
	}
	return &ProducerInterceptor{recording{pool: pool}, pool.module.compiled.ExportedFunctions()[abi.OnAck] != nil}, nil
}

// NewConsumerInterceptor makes one from its settings, as NewProducerInterceptor.
func NewConsumerInterceptor(c sdk.Config) (sdk.ConsumerInterceptor, error) {
	pool, err := newPool(c, consuming, false)
	if err != nil {
		return nil, err
	}
	return &ConsumerInterceptor{recording{pool: pool}, pool.module.compiled.ExportedFunctions()[abi.OnCommit] != nil}, nil
}

// OnSend shows r to the guest, which may change it. After an error it is as it was.
func (p *ProducerInterceptor) OnSend(r *sdk.Record) error {
	_, err := p.show(r, abi.OnSend)
	return err
}

// OnAck tells the guest what became of a record, if it wants to know.
func (p *ProducerInterceptor) OnAck(m sdk.RecordMetadata, failure error) {
	if !p.hears {
		return
	}
	p.tell(abi.OnAck, func(dst []byte) []byte { return message.AppendAck(dst, m, failure) })
}

// maxLost is how many instances the records of one OnConsume may cost.
const maxLost = 3

// OnConsume shows the guest one record after the other. What it leaves out is left out. A record that it
// fails at stays as it was, which the error, an *sdk.PassedOver, says: whoever produced one record does not decide
// about the others. When it has trapped three times the rest is not shown to it.
func (p *ConsumerInterceptor) OnConsume(records []*sdk.Record) ([]*sdk.Record, error) {
	after := make([]*sdk.Record, 0, len(records))
	var over sdk.PassedOver
	for n, lost := 0, 0; n < len(records); n++ {
		if lost == maxLost {
			over.Records += len(records) - n
			after = append(after, records[n:]...)
			break
		}
		stays, err := p.show(records[n], abi.OnConsume)
		if err != nil {
			over.Records, over.Err = over.Records+1, cmp.Or(over.Err, err)
			stays = true
		}
		if costly(err) {
			lost++
		}
		if stays {
			after = append(after, records[n])
		}
	}
	if over.Records > 0 {
		return after, &over
	}
	return after, nil
}

// OnCommit tells the guest what was committed, if it wants to know.
func (p *ConsumerInterceptor) OnCommit(offsets map[sdk.TopicPartition]sdk.OffsetAndMetadata) {
	if !p.hears {
		return
	}
	p.tell(abi.OnCommit, func(dst []byte) []byte { return message.AppendCommit(dst, offsets) })
}

// recording is a pool of a module that is shown records.
type recording struct {
	*pool
	shapes sync.Map // of keys and values: message.Shape by reflect.Type
}

// tell tells the guest something that it does not answer.
func (p *recording) tell(export string, what func(dst []byte) []byte) {
	err := p.turn(func(i *instance) error {
		i.message = what(i.message)
		_, err := p.ask(i, export)
		return err
	})
	if err != nil && !errors.Is(err, ErrClosed) {
		p.complain(export, err)
	}
}

// show shows a record to the guest, and makes it what the guest answers. It reports whether the
// record stays.
func (p *recording) show(r *sdk.Record, export string) (stays bool, err error) {
	in := message.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: message.MillisOf(r.Timestamp), Headers: r.Headers}
	if in.Key, err = p.part(r.Key); err != nil {
		return false, err
	}
	if in.Value, err = p.part(r.Value); err != nil {
		return false, err
	}
	answer, err := p.copied(export, func(dst []byte) []byte { return message.AppendRecord(dst, &in) })
	if err != nil || answer == nil {
		return err == nil, err
	}
	stays, err = p.become(r, &in, answer, export == abi.OnConsume)
	return stays, p.wrong(err)
}

// part is a key or value as the guest sees it.
func (p *recording) part(v any) (message.Part, error) {
	if v == nil {
		return message.Part{}, nil
	}
	shape, err := p.shape(reflect.TypeOf(v))
	if err != nil {
		return message.Part{}, err
	}
	form, text, err := shape.Append(nil, v)
	return message.Part{Form: form, Bytes: text}, err
}

func (p *recording) shape(t reflect.Type) (message.Shape, error) {
	if known, ok := p.shapes.Load(t); ok {
		return known.(message.Shape), nil
	}
	shape, err := message.ShapeOf(t)
	if err == nil {
		p.shapes.Store(t, shape)
	}
	return shape, err
}

// become makes r what the guest answers, or leaves it as it is and says what is wrong with that.
func (p *recording) become(r *sdk.Record, in *message.Record, answer []byte, consumed bool) (stays bool, err error) {
	var out message.Record
	if err := out.Read(answer); err != nil {
		var d message.Datum
		if other := datum(&d, answer); other != nil {
			return false, other
		}
		if d.Form == abi.FormNull && consumed {
			return false, nil
		}
		return false, fmt.Errorf("it answers form %d where a record belongs: %w", d.Form, ErrOutput)
	}
	if err := believable(in, &out, consumed); err != nil {
		return false, err
	}
	key, err := p.value(r.Key, &in.Key, &out.Key)
	if err != nil {
		return false, fmt.Errorf("its key: %w", err)
	}
	value, err := p.value(r.Value, &in.Value, &out.Value)
	if err != nil {
		return false, fmt.Errorf("its value: %w", err)
	}
	r.Key, r.Value, r.Topic, r.Partition = key, value, out.Topic, out.Partition
	if out.Timestamp != in.Timestamp {
		r.Timestamp = message.TimeOf(out.Timestamp)
	}
	if !out.Same {
		r.Headers = owned(out.Headers)
	}
	return true, nil
}

// believable says what of an answer cannot be.
func believable(in, out *message.Record, consumed bool) error {
	if err := believableHeaders(in.Headers, out.Headers); err != nil {
		return err
	}
	switch {
	case out.Offset != in.Offset || consumed && (out.Topic != in.Topic || out.Partition != in.Partition):
		return fmt.Errorf("it says that the record is at %q-%d, offset %d, where it is not: %w", out.Topic, out.Partition, out.Offset, ErrOutput)
	case out.Topic == "" || !utf8.ValidString(out.Topic) || out.Partition < -1:
		return fmt.Errorf("it sends the record to %q-%d, which cannot be: %w", out.Topic, out.Partition, ErrOutput)
	case out.Timestamp < 0 && out.Timestamp != abi.NoTime && out.Timestamp != in.Timestamp:
		return fmt.Errorf("it dates the record %d: %w", out.Timestamp, ErrOutput)
	}
	return nil
}

// value is what a key or value has become, of the type that it was.
func (p *recording) value(was any, in, out *message.Part) (any, error) {
	if out.Form == in.Form && bytes.Equal(out.Bytes, in.Bytes) {
		return was, nil
	}
	if was == nil {
		return nil, fmt.Errorf("it makes form %d of what was nothing: %w", out.Form, ErrOutput)
	}
	shape, err := p.shape(reflect.TypeOf(was))
	if err != nil {
		return nil, err
	}
	v, err := shape.Value(out.Form, out.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOutput, err)
	}
	return v, nil
}
