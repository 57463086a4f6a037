package wire

import (
	"fmt"
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Shape is what the body of one version of a request is made of. kmsg takes memory for
// as many elements as an array says it has, which a hostile request can make a hundred
// times its own size; Check walks over the body first, and lets pass only what is really
// there.
type Shape struct {
	flexible bool
	fields   []field
}

// field is one field, or several of fixed size in a row.
type field struct {
	kind  kind
	size  int     // fixed: bytes
	least int     // array: the fewest bytes of an element
	inner []field // array of structs, and struct
	plain bool    // array: elements are not structs and have no tags
	null  bool    // text, blob: may be null
}

type kind uint8

const (
	fixed kind = iota
	text
	blob
	array
	optional // a struct behind a byte that is −1 for null
)

// Check reports whether body has this shape: every length lies within it, every array
// has its elements. What follows behind the last field is left to whoever reads it.
func (s *Shape) Check(body []byte) error {
	w := walker{reader: reader{rest: body, flex: s.flexible}}
	w.fields(s.fields)
	w.tags(nil)
	if w.failed {
		return ErrMalformed
	}
	return nil
}

// walker is a reader that looks at nothing but lengths.
type walker struct {
	reader
}

func (w *walker) fields(fields []field) {
	for i := range fields {
		if w.failed {
			return
		}
		f := &fields[i]
		switch f.kind {
		case fixed:
			w.take(f.size)
		case text:
			if _, ok := w.string(); !ok && !f.null {
				w.fail()
			}
		case blob:
			if _, ok := w.blob(); !ok && !f.null {
				w.fail()
			}
		case array:
			w.array(f)
		case optional:
			if w.int8() != -1 {
				w.fields(f.inner)
				w.tags(nil)
			}
		}
	}
}

func (w *walker) array(f *field) {
	n := w.count(f.least)
	if f.plain && f.inner[0].kind == fixed {
		w.take(n * f.size)
		return
	}
	for range n {
		w.fields(f.inner)
		if !f.plain {
			w.tags(nil)
		}
		if w.failed {
			return
		}
	}
}

// ShapeOf finds the shape of a version of a request by encoding it again and again, with
// one field changed each time: which fields a version has is written nowhere but in
// kmsg's code. Struct fields are in the order of the wire.
func ShapeOf(q kmsg.Request, version int16) *Shape {
	q.SetVersion(version)
	q.(interface{ Default() }).Default()
	p := prober{encode: func() []byte { return q.AppendTo(nil) }, flexible: q.IsFlexible()}
	v := reflect.ValueOf(q).Elem()
	p.empty(v)
	return &Shape{flexible: q.IsFlexible(), fields: p.fields(v)}
}

type prober struct {
	encode   func() []byte
	flexible bool
}

// empty makes every array of a struct one without elements.
func (p *prober) empty(v reflect.Value) {
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Slice && f.Type().Elem().Kind() != reflect.Uint8 {
			f.Set(reflect.MakeSlice(f.Type(), 0, 0))
		}
	}
}

// fields are those of a struct that is part of the request.
func (p *prober) fields(v reflect.Value) (fields []field) {
	for i := range v.NumField() {
		name, at := v.Type().Field(i).Name, v.Field(i)
		if name == "Version" || name == "UnknownTags" {
			continue
		}
		f, ok := p.field(at)
		if !ok {
			continue
		}
		if last := len(fields) - 1; f.kind == fixed && last >= 0 && fields[last].kind == fixed {
			fields[last].size += f.size
			continue
		}
		fields = append(fields, f)
	}
	return fields
}

// field tells whether the version has a field, and what it is.
func (p *prober) field(v reflect.Value) (f field, present bool) {
	switch {
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		return p.array(v)
	case v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct:
		return p.optional(v)
	}
	f, changed := scalar(v)
	grows := 0
	if f.kind != fixed {
		grows = 1 // a text or blob becomes one byte long
		f.null = p.nullable(v)
	}
	return f, p.differs(v, changed, grows)
}

// nullable reports whether null is encoded in another way than empty.
func (p *prober) nullable(v reflect.Value) bool {
	if v.Kind() == reflect.String {
		return false
	}
	old := reflect.New(v.Type()).Elem()
	old.Set(v)
	defer v.Set(old)
	v.SetZero()
	null := p.encode()
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
	} else {
		v.SetBytes([]byte{})
	}
	return string(null) != string(p.encode())
}

// differs reports whether the encoding changes with the value of a field. It must grow
// by so many bytes: a field that grows by more is a tagged one.
func (p *prober) differs(v, changed reflect.Value, grows int) bool {
	before, old := p.encode(), reflect.New(v.Type()).Elem()
	old.Set(v)
	v.Set(changed)
	after := p.encode()
	v.Set(old)
	if string(before) == string(after) {
		return false
	}
	if len(after)-len(before) != grows {
		panic(fmt.Sprintf("wire: a %s makes a request grow by %d bytes, want %d", v.Type(), len(after)-len(before), grows))
	}
	return true
}

// scalar is the field for a value, and another value.
func scalar(v reflect.Value) (f field, changed reflect.Value) {
	t := v.Type()
	changed = reflect.New(t).Elem()
	switch t.Kind() {
	case reflect.Bool:
		changed.SetBool(!v.Bool())
		return field{kind: fixed, size: 1}, changed
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		changed.SetInt(v.Int() ^ 77)
		return field{kind: fixed, size: int(t.Size())}, changed
	case reflect.Uint16:
		changed.SetUint(v.Uint() ^ 77)
		return field{kind: fixed, size: int(t.Size())}, changed
	case reflect.Array:
		changed.Index(0).SetUint(77)
		return field{kind: fixed, size: t.Len()}, changed
	case reflect.String:
		changed.SetString("x")
		return field{kind: text}, changed
	case reflect.Pointer:
		changed.Set(reflect.New(t.Elem()))
		changed.Elem().SetString("x")
		return field{kind: text}, changed
	case reflect.Slice:
		changed.SetBytes([]byte("x"))
		return field{kind: blob}, changed
	}
	panic(fmt.Sprintf("wire: a request has a field of type %s", t))
}

// array probes an array, and its elements by way of the only one that it then has.
func (p *prober) array(v reflect.Value) (f field, present bool) {
	empty := p.encode()
	old := v.Interface()
	defer func() { v.Set(reflect.ValueOf(old)) }()
	v.Set(reflect.MakeSlice(v.Type(), 2, 2))
	p.begin(v.Index(0))
	p.begin(v.Index(1))
	two := len(p.encode())
	v.Set(v.Slice(0, 1))
	one := len(p.encode())
	if one == len(empty) {
		return field{}, false
	}
	least := two - one
	if one-len(empty) != least {
		panic(fmt.Sprintf("wire: %s is a tagged field", v.Type()))
	}
	f = field{kind: array, least: least}
	if v.Type().Elem().Kind() == reflect.Struct {
		f.inner = p.fields(v.Index(0))
		return f, true
	}
	inner, _ := scalar(v.Index(0))
	f.inner, f.size, f.plain = []field{inner}, inner.size, true
	return f, true
}

// begin makes an element of a struct type what a request's would be by default.
func (p *prober) begin(v reflect.Value) {
	if v.Kind() == reflect.Struct {
		v.Addr().Interface().(interface{ Default() }).Default()
		p.empty(v)
	}
}

func (p *prober) optional(v reflect.Value) (f field, present bool) {
	absent := p.encode()
	v.Set(reflect.New(v.Type().Elem()))
	defer v.SetZero()
	p.begin(v.Elem())
	if string(absent) == string(p.encode()) {
		return field{}, false
	}
	return field{kind: optional, inner: p.fields(v.Elem())}, true
}
