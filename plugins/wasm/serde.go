package wasm

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"

	"github.com/millrace/millrace/plugins/wasm/abi"
	"github.com/millrace/millrace/plugins/wasm/message"
	"github.com/millrace/millrace/sdk"
)

func init() {
	sdk.RegisterSerializers("wasm", NewSerializer)
	sdk.RegisterDeserializers("wasm", NewDeserializer)
}

// Serializer is a serializer that is a WebAssembly module. Any goroutine may call it.
type Serializer struct {
	*pool
	shape message.Shape
}

// NewSerializer makes a serializer of values of type t from its settings: those of New but for
// deadline.ms, and
//
//	instances     how many calls are made at a time (as many as processors)
//
// The guest sees numbers, text and bytes as such, and all other types as JSON.
func NewSerializer(t reflect.Type, c sdk.Config) (sdk.Serializer[any], error) {
	shape, err := message.ShapeOf(t)
	if err != nil {
		return nil, err
	}
	pool, err := newPool(c, serializers, true)
	if err != nil {
		return nil, err
	}
	return &Serializer{pool, shape}, nil
}

// Append asks the guest for the bytes of v.
func (s *Serializer) Append(dst []byte, topic string, headers *[]sdk.Header, v any) ([]byte, error) {
	in := message.Datum{Topic: topic}
	var err error
	if in.Form, in.Bytes, err = s.shape.Append(nil, v); err != nil {
		return nil, err
	}
	if headers != nil {
		in.Headers = *headers
	}
	i, err := s.take()
	if err != nil {
		return nil, err
	}
	i.message = message.AppendDatum(i.message, &in)
	answer, err := s.hear(i, abi.Serialize)
	var out message.Datum
	if err == nil {
		if err = datum(&out, answer); err == nil && out.Form > abi.FormBytes {
			err = fmt.Errorf("it answers form %d, and a record holds bytes: %w", out.Form, ErrOutput)
		}
	}
	if err == nil {
		err = believableHeaders(in.Headers, out.Headers)
	}
	if err == nil {
		if out.Form == abi.FormNull {
			dst = nil
		} else if dst = append(dst, out.Bytes...); dst == nil {
			dst = []byte{}
		}
		if headers != nil && !out.Same {
			*headers = owned(out.Headers)
		}
	}
	if s.give(i, err); err != nil {
		return nil, s.wrong(err)
	}
	return dst, nil
}

// owned are headers in memory of their own.
func owned(headers []sdk.Header) []sdk.Header {
	headers = slices.Clone(headers)
	for n := range headers {
		headers[n].Value = bytes.Clone(headers[n].Value)
	}
	return headers
}

// Deserializer is a deserializer that is a WebAssembly module. Any goroutine may call it.
type Deserializer struct {
	*pool
	shape message.Shape
}

// NewDeserializer makes a deserializer of values of type t from its settings, as NewSerializer.
func NewDeserializer(t reflect.Type, c sdk.Config) (sdk.Deserializer[any], error) {
	shape, err := message.ShapeOf(t)
	if err != nil {
		return nil, err
	}
	pool, err := newPool(c, deserializers, true)
	if err != nil {
		return nil, err
	}
	return &Deserializer{pool, shape}, nil
}

// Decode asks the guest for the value of data.
func (d *Deserializer) Decode(topic string, headers []sdk.Header, data []byte) (any, error) {
	in := message.Datum{Topic: topic, Form: abi.FormBytes, Bytes: data, Headers: headers}
	if data == nil {
		in.Form = abi.FormNull
	}
	answer, err := d.copied(abi.Deserialize, func(dst []byte) []byte { return message.AppendDatum(dst, &in) })
	if err != nil {
		return nil, err
	}
	var out message.Datum
	if err := datum(&out, answer); err != nil {
		return nil, d.wrong(err)
	}
	value, err := d.shape.Value(out.Form, out.Bytes)
	if err != nil {
		return nil, d.wrong(fmt.Errorf("%w: %w", ErrOutput, err))
	}
	return value, nil
}
