package client

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unsafe"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/serde"
)

// serializing makes bytes of keys or of values. Those that are bytes already it shows as
// they are.
type serializing[T any] struct {
	setting string
	with    sdk.Serializer[T] // nil: T is []byte or string
	text    bool              // T is string
}

// newSerializing takes the serializer that was given, or the one that a setting names.
func newSerializing[T any](s *settings, setting, name string, given sdk.Serializer[T]) (serializing[T], error) {
	z := serializing[T]{setting: setting, with: given}
	_, z.text = any((*T)(nil)).(*string)
	if given != nil {
		return z, nil
	}
	if name == "" {
		if plain[T]() {
			return z, nil
		}
		name = serde.Natural[T]()
	}
	if name == "" {
		return z, fmt.Errorf("%s is missing: %s is neither []byte nor string, name what makes bytes of it, or give ProducerOptions one", setting, reflect.TypeFor[T]())
	}
	part, _, _ := strings.Cut(setting, ".")
	var err error
	name, c := s.serde(name, part)
	if z.with, err = sdk.Serializers[T]().New(name, c); err != nil {
		return z, fmt.Errorf("%s: %w", setting, err)
	}
	return z, nil
}

func plain[T any]() bool {
	switch any((*T)(nil)).(type) {
	case *[]byte, *string:
		return true
	}
	return false
}

// bytes are those of v, in memory from dst if they need some.
func (z *serializing[T]) bytes(dst []byte, topic string, headers *[]sdk.Header, v *T) ([]byte, error) {
	if z.with != nil {
		b, err := z.append(dst, topic, headers, v)
		if err != nil {
			return nil, fmt.Errorf("%s of topic %s: %w", z.setting, topic, err)
		}
		return b, nil
	}
	return z.shown(v), nil
}

func (z *serializing[T]) append(dst []byte, topic string, headers *[]sdk.Header, v *T) (b []byte, err error) {
	defer recovered(&err)
	return z.with.Append(dst, topic, headers, *v)
}

// shown are the bytes of what is bytes already. newSerializing lets no other type through where
// there is no serializer. To ask for the type of each takes as long as to encode it.
func (z *serializing[T]) shown(v *T) []byte {
	if !z.text {
		return *(*[]byte)(unsafe.Pointer(v))
	}
	text := *(*string)(unsafe.Pointer(v))
	if text == "" {
		return []byte{}
	}
	return unsafe.Slice(unsafe.StringData(text), len(text))
}

// scratch is the memory that sending one record takes until it is encoded.
type scratch struct {
	key, value []byte
	headers    []sdk.Header
	encoded    []batch.Header
	placement  sdk.Placement
}

var scratches = sync.Pool{New: func() any { return &scratch{key: make([]byte, 0, 64), value: make([]byte, 0, 256)} }}

// mostKept is how large the memory of one record may be that serves the next one.
const mostKept = 64 << 10

// done gives the memory back.
func (s *scratch) done() {
	if cap(s.key)+cap(s.value) > mostKept {
		return
	}
	clear(s.headers)
	clear(s.encoded)
	s.headers, s.encoded, s.placement = s.headers[:0], s.encoded[:0], sdk.Placement{}
	scratches.Put(s)
}

// grow makes room for what the next record may need. What a serializer answered may be its
// own memory, and is not kept.
func (s *scratch) grow(key, value int) {
	if key > cap(s.key) {
		s.key = make([]byte, 0, 2*key)
	}
	if value > cap(s.value) {
		s.value = make([]byte, 0, 2*value)
	}
}

// wire are the headers as batches have them.
func (s *scratch) wire() []batch.Header {
	s.encoded = s.encoded[:0]
	for _, h := range s.headers {
		s.encoded = append(s.encoded, batch.Header{Key: h.Key, Value: h.Value})
	}
	return s.encoded
}
