package serde

import "github.com/millrace/millrace/sdk"

// Nullable makes of what writes and reads a T one for *T, to which null is nil.
type Nullable[T any] struct{ Of Serde[T] }

// Append appends what v points to.
func (n Nullable[T]) Append(dst []byte, topic string, headers *[]Header, v *T) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	return n.Of.Append(dst, topic, headers, *v)
}

// Decode points to what data says.
func (n Nullable[T]) Decode(topic string, headers []Header, data []byte) (*T, error) {
	if data == nil {
		return nil, nil
	}
	v, err := n.Of.Decode(topic, headers, data)
	if err != nil {
		return nil, err
	}
	return &v, nil
}

// Serde writes and reads.
type Serde[T any] interface {
	sdk.Serializer[T]
	sdk.Deserializer[T]
}

// Header is a header of a record.
type Header = sdk.Header
