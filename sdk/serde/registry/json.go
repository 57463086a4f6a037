package registry

import (
	"encoding/json"
	"fmt"

	"github.com/millrace/millrace/sdk/serde"
)

// JSON is the format of values as JSON, with a JSON schema that the program gives. Values
// are not checked against it.
type JSON[T any] struct {
	Text string // the JSON schema
}

// RegisterJSON makes "json-registry" known for values of type T, by the JSON schema given.
// It is for init.
func RegisterJSON[T any](schema string) {
	Register("json-registry", func() (Format[T], error) { return JSON[T]{schema}, nil })
}

// Schema is the JSON schema.
func (f JSON[T]) Schema() Schema { return Schema{Type: "JSON", Text: f.Text} }

// Dependencies are none.
func (JSON[T]) Dependencies() []Dependency { return nil }

// Record is the title of the schema.
func (f JSON[T]) Record() string {
	var schema struct{ Title string }
	if json.Unmarshal([]byte(f.Text), &schema) != nil {
		return ""
	}
	return schema.Title
}

// Encoder writes JSON.
func (JSON[T]) Encoder(Schema) (func([]byte, T) ([]byte, error), error) {
	return func(dst []byte, v T) ([]byte, error) {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("write JSON: %w", err)
		}
		return append(dst, text...), nil
	}, nil
}

// Decoder reads JSON.
func (JSON[T]) Decoder(Schema) (func([]byte) (T, error), error) {
	return func(payload []byte) (v T, err error) {
		if err = json.Unmarshal(payload, &v); err != nil {
			err = fmt.Errorf("read JSON: %w", err)
		}
		return v, err
	}, nil
}

// WritersMatter: JSON says itself what it is.
func (JSON[T]) WritersMatter() bool { return false }

// Null is true of nil.
func (JSON[T]) Null(v T) bool { return serde.IsNil(v) }
