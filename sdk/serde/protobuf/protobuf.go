// Package protobuf serializes messages of generated Go types as Protobuf. With a registry
// bytes carry the id of the file that the message is declared in, and which of its messages
// it is, as those of Confluent's serializers; the file goes to the registry as a descriptor
// in base64, the form that needs no .proto text.
//
//	func init() { protobuf.Register[*pb.Order]() }
//
// makes "protobuf" and "protobuf-registry" known for *pb.Order. A reader with a registry
// takes the message for its own type: Protobuf says itself which fields there are, and the
// registry is not asked.
package protobuf

import (
	"encoding/base64"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/serde"
	"github.com/millrace/millrace/sdk/serde/registry"
)

// Serde is Protobuf of one type of messages. Any goroutine may call it.
type Serde[T proto.Message] struct{}

// Register makes "protobuf" and "protobuf-registry" known for messages of type T. It is for
// init.
func Register[T proto.Message]() {
	sdk.Serializers[T]().Register("protobuf", func(sdk.Config) (sdk.Serializer[T], error) { return Serde[T]{}, nil })
	sdk.Deserializers[T]().Register("protobuf", func(sdk.Config) (sdk.Deserializer[T], error) { return Serde[T]{}, nil })
	registry.Register("protobuf-registry", func() (registry.Format[T], error) { return Serde[T]{}, nil })
}

// Append appends the message; nil is null.
func (s Serde[T]) Append(dst []byte, _ string, _ *[]sdk.Header, v T) ([]byte, error) {
	if s.Null(v) {
		return nil, nil
	}
	return write(dst, v)
}

// write appends a message, with fields in the order of their numbers, so that equal
// messages that are keys are equal bytes.
func write[T proto.Message](dst []byte, v T) ([]byte, error) {
	out, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(dst, v)
	if err != nil {
		return nil, fmt.Errorf("write Protobuf: %w", err)
	}
	if out == nil {
		out = []byte{} // a message whose fields are all unset
	}
	return out, nil
}

// Decode reads a message.
func (Serde[T]) Decode(_ string, _ []sdk.Header, data []byte) (v T, err error) {
	if data == nil {
		return v, nil
	}
	return read[T](data)
}

func read[T proto.Message](data []byte) (v T, err error) {
	v = v.ProtoReflect().Type().New().Interface().(T)
	if err := proto.Unmarshal(data, v); err != nil {
		var none T
		return none, fmt.Errorf("read Protobuf: %w", err)
	}
	return v, nil
}

func (Serde[T]) descriptor() protoreflect.MessageDescriptor {
	var v T
	return v.ProtoReflect().Descriptor()
}

// Schema is the file that the message is declared in.
func (s Serde[T]) Schema() registry.Schema { return schemaOf(s.descriptor().ParentFile()) }

func schemaOf(file protoreflect.FileDescriptor) registry.Schema {
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(protodesc.ToFileDescriptorProto(file))
	if err != nil {
		panic(fmt.Sprintf("the descriptor of %s cannot be written: %v", file.Path(), err))
	}
	return registry.Schema{Type: "PROTOBUF", Text: base64.StdEncoding.EncodeToString(text)}
}

// Dependencies are the files that it imports, but for those that registries have.
func (s Serde[T]) Dependencies() []registry.Dependency {
	var all []registry.Dependency
	seen := map[string]bool{}
	var walk func(file protoreflect.FileDescriptor, name string)
	walk = func(file protoreflect.FileDescriptor, name string) {
		d := registry.Dependency{Name: name, Schema: schemaOf(file)}
		imports := file.Imports()
		for i := range imports.Len() {
			path := imports.Get(i).Path()
			if known(path) {
				continue
			}
			d.Depends = append(d.Depends, path)
			if !seen[path] {
				seen[path] = true
				walk(imports.Get(i).FileDescriptor, path)
			}
		}
		all = append(all, d)
	}
	walk(s.descriptor().ParentFile(), "")
	return all
}

// known are files that every registry has.
func known(path string) bool {
	return strings.HasPrefix(path, "google/protobuf/") || strings.HasPrefix(path, "google/type/") || strings.HasPrefix(path, "confluent/")
}

// Record is the full name of the message.
func (s Serde[T]) Record() string { return string(s.descriptor().FullName()) }

// indexes are the way to a message in its file.
func indexes(m protoreflect.Descriptor) (path []int) {
	if parent, nested := m.Parent().(protoreflect.MessageDescriptor); nested {
		path = indexes(parent)
	}
	return append(path, m.Index())
}

// Encoder writes the message behind its indexes.
func (s Serde[T]) Encoder(registry.Schema) (func([]byte, T) ([]byte, error), error) {
	path := registry.AppendIndexes(nil, indexes(s.descriptor()))
	return func(dst []byte, v T) ([]byte, error) { return write(append(dst, path...), v) }, nil
}

// Decoder reads a message behind its indexes. They are not compared with those of T: its
// place in the file may have been another when it was written.
func (s Serde[T]) Decoder(registry.Schema) (func([]byte) (T, error), error) {
	return func(payload []byte) (v T, err error) {
		_, payload, err = registry.SplitIndexes(payload)
		if err != nil {
			return v, err
		}
		return read[T](payload)
	}, nil
}

// WritersMatter: Protobuf says itself which fields there are.
func (Serde[T]) WritersMatter() bool { return false }

// Null is true of nil.
func (Serde[T]) Null(v T) bool { return serde.IsNil(v) }
