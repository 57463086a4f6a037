package message

import (
	"encoding"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"reflect"

	"github.com/millrace/millrace/plugins/wasm/abi"
)

// Shape is how values of a type are written down: numbers, text and bytes as such, all else
// as JSON.
type Shape struct {
	of   reflect.Type
	form abi.Form
}

var (
	marshaler     = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// ShapeOf is the shape of a type. The error says why values of it would not come through.
func ShapeOf(t reflect.Type) (Shape, error) {
	s := Shape{t, abi.FormJSON}
	switch t.Kind() {
	case reflect.Bool:
		s.form = abi.FormBoolean
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		s.form = abi.FormInteger
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		s.form = abi.FormUnsigned
	case reflect.Float32, reflect.Float64:
		s.form = abi.FormFloat
	case reflect.String:
		s.form = abi.FormText
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			s.form = abi.FormBytes
		}
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128, reflect.Uintptr:
		return s, fmt.Errorf("a %s cannot be told a module: use numbers, text, bytes or what JSON can hold", t)
	}
	return s, hidden(t, map[reflect.Type]bool{})
}

// hidden is the error of a type some of whose fields, or of those of what it holds, JSON would
// leave out. Passed are types that were looked at: one may hold itself.
func hidden(t reflect.Type, passed map[reflect.Type]bool) error {
	if passed[t] || writesItself(t) {
		return nil
	}
	passed[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return hidden(t.Elem(), passed)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if !seen(&f) {
				return fmt.Errorf("the field %s of %s is not seen by JSON, in which modules are told structs: export it, or give the type a MarshalJSON", f.Name, t)
			}
			if err := hidden(f.Type, passed); err != nil {
				return err
			}
		}
	}
	return nil
}

// writesItself reports whether values of a type say themselves what they are in JSON.
func writesItself(t reflect.Type) bool {
	for _, as := range []reflect.Type{marshaler, textMarshaler} {
		if t.Implements(as) || reflect.PointerTo(t).Implements(as) {
			return true
		}
	}
	return false
}

// seen reports whether JSON writes and reads a field: of what is embedded and not exported only the
// fields of a struct that is there, for none can be made.
func seen(f *reflect.StructField) bool {
	if f.Tag.Get("json") == "-" {
		return false
	}
	return f.IsExported() || f.Anonymous && f.Type.Kind() == reflect.Struct
}

// Append appends a value of the type to dst.
func (s Shape) Append(dst []byte, value any) (abi.Form, []byte, error) {
	v := reflect.ValueOf(value)
	if !v.IsValid() { // an interface that holds nothing
		return abi.FormNull, dst, nil
	}
	switch k := v.Kind(); k {
	case reflect.Pointer, reflect.Map, reflect.Slice:
		if v.IsNil() {
			return abi.FormNull, dst, nil
		}
	}
	little := binary.LittleEndian
	switch s.form {
	case abi.FormBytes:
		return s.form, append(dst, v.Bytes()...), nil
	case abi.FormText:
		return s.form, append(dst, v.String()...), nil
	case abi.FormInteger:
		return s.form, little.AppendUint64(dst, uint64(v.Int())), nil
	case abi.FormUnsigned:
		return s.form, little.AppendUint64(dst, v.Uint()), nil
	case abi.FormFloat:
		return s.form, little.AppendUint64(dst, math.Float64bits(v.Float())), nil
	case abi.FormBoolean:
		if v.Bool() {
			return s.form, append(dst, 1), nil
		}
		return s.form, append(dst, 0), nil
	}
	text, err := json.Marshal(value)
	if err != nil {
		return 0, nil, fmt.Errorf("write a %s as JSON: %w", s.of, err)
	}
	return s.form, append(dst, text...), nil
}

// Value is what was written down, in memory of its own.
func (s Shape) Value(form abi.Form, p []byte) (any, error) {
	made := reflect.New(s.of).Elem()
	if form == abi.FormNull {
		switch s.of.Kind() {
		case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
			return made.Interface(), nil
		}
		return nil, fmt.Errorf("%s: %w", s.of, errMissing)
	}
	if form != s.form {
		return nil, wrongForm(form, s.of)
	}
	switch form {
	case abi.FormBytes:
		made.SetBytes(append([]byte{}, p...))
		return made.Interface(), nil
	case abi.FormText:
		made.SetString(string(p))
		return made.Interface(), nil
	case abi.FormJSON:
		at := reflect.New(s.of)
		if err := unmarshal(p, at.Interface()); err != nil {
			return nil, fmt.Errorf("read a %s from JSON: %w", s.of, err)
		}
		return at.Elem().Interface(), nil
	}
	return s.number(made, p)
}

// unmarshal makes an error of a panic of the program's own type, which may not expect what a module
// can make up.
func unmarshal(p []byte, to any) (err error) {
	defer func() {
		if why := recover(); why != nil {
			err = fmt.Errorf("its UnmarshalJSON panicked: %v", why)
		}
	}()
	return json.Unmarshal(p, to)
}

// number reads what has a fixed size.
func (s Shape) number(made reflect.Value, p []byte) (any, error) {
	if s.form == abi.FormBoolean {
		if len(p) != 1 || p[0] > 1 {
			return nil, ErrMalformed
		}
		made.SetBool(p[0] == 1)
		return made.Interface(), nil
	}
	if len(p) != 8 {
		return nil, ErrMalformed
	}
	bits := binary.LittleEndian.Uint64(p)
	switch s.form {
	case abi.FormInteger:
		if made.OverflowInt(int64(bits)) {
			return nil, fmt.Errorf("%d does not fit into %s", int64(bits), s.of)
		}
		made.SetInt(int64(bits))
	case abi.FormUnsigned:
		if made.OverflowUint(bits) {
			return nil, fmt.Errorf("%d does not fit into %s", bits, s.of)
		}
		made.SetUint(bits)
	case abi.FormFloat:
		made.SetFloat(math.Float64frombits(bits))
	}
	return made.Interface(), nil
}
