// Package avro serializes values as Avro: by a schema that the program gives, or one that is
// inferred from the type's struct tags. Without a registry bytes are the plain encoding, and
// writers and readers must agree on the schema; with one they carry its id, and what was
// written by an older schema, or a newer one, is read as the program's own.
//
//	func init() { avro.Register[Order](`{"type":"record", …}`) }
//
// makes "avro" and "avro-registry" known for Order.
package avro

import (
	"fmt"

	"github.com/twmb/avro"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/serde"
	"github.com/millrace/millrace/sdk/serde/registry"
)

// Serde is Avro of one schema. Any goroutine may call it.
type Serde[T any] struct{ schema *avro.Schema }

// New makes a serde of a schema; of an empty one, that of the type.
func New[T any](schema string) (*Serde[T], error) {
	var parsed *avro.Schema
	var err error
	if schema == "" {
		parsed, err = avro.SchemaFor[T]()
	} else {
		parsed, err = avro.Parse(schema)
	}
	if err != nil {
		var none T
		return nil, fmt.Errorf("the Avro schema of a %T: %w", none, err)
	}
	return &Serde[T]{parsed}, nil
}

// Register makes "avro" and "avro-registry" known for values of type T. It is for init. A
// schema that is wrong is an error of whoever names them.
func Register[T any](schema string) {
	sdk.Serializers[T]().Register("avro", func(sdk.Config) (sdk.Serializer[T], error) { return New[T](schema) })
	sdk.Deserializers[T]().Register("avro", func(sdk.Config) (sdk.Deserializer[T], error) { return New[T](schema) })
	registry.Register("avro-registry", func() (registry.Format[T], error) { return New[T](schema) })
}

// Append appends v; nil is null.
func (s *Serde[T]) Append(dst []byte, _ string, _ *[]sdk.Header, v T) ([]byte, error) {
	if s.Null(v) {
		return nil, nil
	}
	out, err := s.schema.AppendEncode(dst, v)
	if err != nil {
		return nil, fmt.Errorf("write Avro: %w", err)
	}
	if out == nil {
		out = []byte{} // a record without fields
	}
	return out, nil
}

// Decode reads all of data.
func (s *Serde[T]) Decode(_ string, _ []sdk.Header, data []byte) (v T, err error) {
	if data == nil {
		return v, nil
	}
	return decode[T](s.schema, data)
}

func decode[T any](schema *avro.Schema, data []byte) (v T, err error) {
	rest, err := schema.Decode(data, &v)
	switch {
	case err != nil:
		return v, fmt.Errorf("read Avro: %w", err)
	case len(rest) > 0:
		return v, fmt.Errorf("read Avro: %d bytes follow the value", len(rest))
	}
	return v, nil
}

// Schema is the schema as registries want it.
func (s *Serde[T]) Schema() registry.Schema { return registry.Schema{Text: s.schema.String()} }

// Dependencies are none: the schema has all that it needs.
func (*Serde[T]) Dependencies() []registry.Dependency { return nil }

// Record is the full name of the schema's type.
func (s *Serde[T]) Record() string {
	root := s.schema.Root()
	switch {
	case root.Name == "":
		return root.Type
	case root.Namespace != "":
		return root.Namespace + "." + root.Name
	default:
		return root.Name
	}
}

// Encoder writes by a schema of the registry.
func (s *Serde[T]) Encoder(r registry.Schema) (func([]byte, T) ([]byte, error), error) {
	schema, err := parsed(r)
	if err != nil {
		return nil, err
	}
	return func(dst []byte, v T) ([]byte, error) { return schema.AppendEncode(dst, v) }, nil
}

// Decoder reads what was written by a schema of the registry, as the serde's own schema.
func (s *Serde[T]) Decoder(r registry.Schema) (func([]byte) (T, error), error) {
	writer, err := parsed(r)
	if err != nil {
		return nil, err
	}
	resolved, err := avro.Resolve(writer, s.schema)
	if err != nil {
		return nil, fmt.Errorf("what it writes cannot be read as %s: %w", s.Record(), err)
	}
	return func(payload []byte) (T, error) { return decode[T](resolved, payload) }, nil
}

func parsed(r registry.Schema) (*avro.Schema, error) {
	if r.Type != "" && r.Type != "AVRO" {
		return nil, fmt.Errorf("it is %s, not Avro", r.Type)
	}
	if len(r.References) > 0 {
		return nil, fmt.Errorf("it refers to %q; Avro schemas that refer to others are not supported", r.References[0].Name)
	}
	return avro.Parse(r.Text)
}

// WritersMatter: without the writer's schema Avro is only bytes.
func (*Serde[T]) WritersMatter() bool { return true }

// Null is true of nil.
func (s *Serde[T]) Null(v T) bool { return serde.IsNil(v) }
