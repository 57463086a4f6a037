package serde

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// JSON is any type that encoding/json knows. A nil pointer, map, slice or interface is
// null, and null is the zero value.
type JSON[T any] struct{}

// Append appends v as JSON.
func (JSON[T]) Append(dst []byte, _ string, _ *[]Header, v T) ([]byte, error) {
	if IsNil(v) {
		return nil, nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	return append(dst, text...), nil
}

// Decode reads JSON, all of data.
func (JSON[T]) Decode(_ string, _ []Header, data []byte) (v T, err error) {
	if data == nil {
		return v, nil
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return v, fmt.Errorf("read JSON: %w", err)
	}
	return v, nil
}

// IsNil reports whether v is a pointer, map, slice or interface without anything in it:
// what serializers of structured values send as null.
func IsNil[T any](v T) bool {
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
		return r.IsNil()
	default:
		return false
	}
}
