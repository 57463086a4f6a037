package guest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"

	"github.com/millrace/millrace/plugins/wasm/abi"
	"github.com/millrace/millrace/plugins/wasm/message"
	"github.com/millrace/millrace/sdk"
)

// onSend shows the interceptor a record that is sent.
func (g *Guest) onSend(input []byte) []byte {
	r, err := g.client.open(input)
	if err == nil {
		err = g.client.producer.OnSend(r)
	}
	if err != nil {
		return g.said(nil, err)
	}
	return g.became(input, r)
}

// onConsume shows the interceptor a record that was read.
func (g *Guest) onConsume(input []byte) []byte {
	r, err := g.client.open(input)
	var after []*sdk.Record
	if err == nil {
		after, err = g.client.consumer.OnConsume([]*sdk.Record{r})
	}
	switch {
	case err != nil:
		return g.said(nil, err)
	case len(after) == 0:
		return g.said(&message.Datum{Same: true}, nil)
	case len(after) > 1 || after[0] == nil:
		return g.said(nil, errMore)
	}
	return g.became(input, after[0])
}

var errMore = errors.New("it answers more than the record that it was shown, which a module cannot")

func (c *client) onAck(input []byte) {
	m, failed, reason, err := message.ReadAck(input)
	if err != nil {
		panic(err)
	}
	var why error
	if failed {
		why = errors.New(reason)
	}
	c.producer.OnAck(m, why)
}

func (c *client) onCommit(input []byte) {
	offsets, err := message.ReadCommit(input)
	if err != nil {
		panic(err)
	}
	c.consumer.OnCommit(offsets)
}

// open reads a record.
func (c *client) open(input []byte) (*sdk.Record, error) {
	if err := c.record.Read(input); err != nil {
		return nil, err
	}
	in := &c.record
	r := &sdk.Record{Topic: in.Topic, Partition: in.Partition, Offset: in.Offset, Timestamp: message.TimeOf(in.Timestamp), Headers: append([]sdk.Header(nil), in.Headers...)}
	var err error
	if r.Key, err = natural(&in.Key); err != nil {
		return nil, err
	}
	r.Value, err = natural(&in.Value)
	return r, err
}

// natural is a key or value as a module has it, which does not know the type of the program.
func natural(p *message.Part) (any, error) {
	bits := uint64(0)
	switch p.Form {
	case abi.FormInteger, abi.FormUnsigned, abi.FormFloat:
		if len(p.Bytes) != 8 {
			return nil, message.ErrMalformed
		}
		bits = binary.LittleEndian.Uint64(p.Bytes)
	case abi.FormBoolean:
		if len(p.Bytes) != 1 {
			return nil, message.ErrMalformed
		}
	}
	switch p.Form {
	case abi.FormNull:
		return nil, nil
	case abi.FormBytes:
		return append([]byte{}, p.Bytes...), nil
	case abi.FormText:
		return string(p.Bytes), nil
	case abi.FormInteger:
		return int64(bits), nil
	case abi.FormUnsigned:
		return bits, nil
	case abi.FormFloat:
		return math.Float64frombits(bits), nil
	case abi.FormBoolean:
		return p.Bytes[0] == 1, nil
	case abi.FormJSON:
		return json.RawMessage(append([]byte{}, p.Bytes...)), nil
	}
	return nil, message.ErrMalformed
}

// formed is the inverse.
func formed(v any) (p message.Part, err error) {
	switch is := v.(type) {
	case nil:
		return message.Part{}, nil
	case json.RawMessage:
		return message.Part{Form: abi.FormJSON, Bytes: is}, nil
	}
	shape, err := message.ShapeOf(reflect.TypeOf(v))
	if err != nil {
		return p, err
	}
	p.Form, p.Bytes, err = shape.Append(nil, v)
	return p, err
}

// became answers what a record is now; nothing when it is what it was.
func (g *Guest) became(input []byte, r *sdk.Record) []byte {
	out := message.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: message.MillisOf(r.Timestamp), Headers: r.Headers}
	var err error
	if out.Key, err = formed(r.Key); err != nil {
		return g.said(nil, fmt.Errorf("the key: %w", err))
	}
	if out.Value, err = formed(r.Value); err != nil {
		return g.said(nil, fmt.Errorf("the value: %w", err))
	}
	g.output = message.AppendRecord(g.output[:0], &out)
	if bytes.Equal(g.output, input) {
		return nil
	}
	return g.output
}
