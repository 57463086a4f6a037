package serde

import (
	"encoding/json"

	"github.com/millrace/millrace/sdk"
)

func init() { registerAll() }

func registerAll() {
	basic("string", "String", String{})
	basic("bytes", "ByteArray", Bytes{})
	basic("boolean", "Boolean", Boolean{})
	basic("int16", "Short", Int16{})
	basic("int32", "Integer", Int32{})
	basic("int64", "Long", Int64{})
	basic("float32", "Float", Float32{})
	basic("float64", "Double", Float64{})
	basic("uuid", "UUID", UUIDText{})
	basic("void", "Void", Void{})
	RegisterJSON[any]()
	RegisterJSON[map[string]any]()
	RegisterJSON[json.RawMessage]()
}

// java is the package of Kafka's own serializers.
const java = "org.apache.kafka.common.serialization."

func basic[T any](name, class string, s Serde[T]) {
	register(name, java+class+"Serializer", java+class+"Deserializer", s)
	register(name, java+class+"Serializer", java+class+"Deserializer", Serde[*T](Nullable[T]{s}))
}

func register[T any](name, serializer, deserializer string, s Serde[T]) {
	in := func(sdk.Config) (sdk.Serializer[T], error) { return s, nil }
	out := func(sdk.Config) (sdk.Deserializer[T], error) { return s, nil }
	sdk.Serializers[T]().Register(name, in)
	sdk.Serializers[T]().Register(serializer, in)
	sdk.Deserializers[T]().Register(name, out)
	sdk.Deserializers[T]().Register(deserializer, out)
}

// Register makes a serde known by name for values of type T. It is for init.
func Register[T any](name string, s Serde[T]) {
	sdk.Serializers[T]().Register(name, func(sdk.Config) (sdk.Serializer[T], error) { return s, nil })
	sdk.Deserializers[T]().Register(name, func(sdk.Config) (sdk.Deserializer[T], error) { return s, nil })
}

// RegisterJSON makes "json" known for values of type T. It is for init.
func RegisterJSON[T any]() { Register("json", Serde[T](JSON[T]{})) }

// natural are types whose encoding goes without saying.
var natural = []string{"string", "bytes", "boolean", "int16", "int32", "int64", "float32", "float64", "uuid", "void"}

// Natural is the name of the serde of T when nobody named one: T has one, or no name is
// the answer. Kafka's clients always want a name; here the type has said it.
func Natural[T any]() string {
	kind := sdk.Deserializers[T]()
	for _, name := range natural {
		if kind.Has(name) {
			return name
		}
	}
	return ""
}
