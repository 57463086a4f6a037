package serde

import (
	"encoding/binary"
	"fmt"
	"math"
)

// given is bytes that are not null, also when there are none of them.
func given(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// sized checks that data has the size that a type needs.
func sized(data []byte, size int, what string) error {
	if len(data) != size {
		return fmt.Errorf("%s is %d bytes, not %d", what, size, len(data))
	}
	return nil
}

// String is text: its bytes.
type String struct{}

// Append appends the bytes of v.
func (String) Append(dst []byte, _ string, _ *[]Header, v string) ([]byte, error) {
	return given(append(dst, v...)), nil
}

// Decode is data as text.
func (String) Decode(_ string, _ []Header, data []byte) (string, error) { return string(data), nil }

// Bytes are bytes; nil is null.
type Bytes struct{}

// Append appends v.
func (Bytes) Append(dst []byte, _ string, _ *[]Header, v []byte) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	return given(append(dst, v...)), nil
}

// Decode is a copy of data.
func (Bytes) Decode(_ string, _ []Header, data []byte) ([]byte, error) {
	if data == nil {
		return nil, nil
	}
	return append([]byte{}, data...), nil
}

// Boolean is one byte, 0 or 1.
type Boolean struct{}

// Append appends a byte.
func (Boolean) Append(dst []byte, _ string, _ *[]Header, v bool) ([]byte, error) {
	if v {
		return append(dst, 1), nil
	}
	return append(dst, 0), nil
}

// Decode refuses any byte but 0 and 1.
func (Boolean) Decode(_ string, _ []Header, data []byte) (bool, error) {
	if data == nil {
		return false, nil
	}
	if err := sized(data, 1, "a boolean"); err != nil {
		return false, err
	}
	if data[0] > 1 {
		return false, fmt.Errorf("a boolean is 0 or 1, not %d", data[0])
	}
	return data[0] == 1, nil
}

// Int16 is Java's short: two bytes, big-endian.
type Int16 struct{}

// Append appends two bytes.
func (Int16) Append(dst []byte, _ string, _ *[]Header, v int16) ([]byte, error) {
	return binary.BigEndian.AppendUint16(dst, uint16(v)), nil
}

// Decode reads two bytes.
func (Int16) Decode(_ string, _ []Header, data []byte) (int16, error) {
	if data == nil {
		return 0, nil
	}
	if err := sized(data, 2, "an int16"); err != nil {
		return 0, err
	}
	return int16(binary.BigEndian.Uint16(data)), nil
}

// Int32 is Java's int: four bytes, big-endian.
type Int32 struct{}

// Append appends four bytes.
func (Int32) Append(dst []byte, _ string, _ *[]Header, v int32) ([]byte, error) {
	return binary.BigEndian.AppendUint32(dst, uint32(v)), nil
}

// Decode reads four bytes.
func (Int32) Decode(_ string, _ []Header, data []byte) (int32, error) {
	if data == nil {
		return 0, nil
	}
	if err := sized(data, 4, "an int32"); err != nil {
		return 0, err
	}
	return int32(binary.BigEndian.Uint32(data)), nil
}

// Int64 is Java's long: eight bytes, big-endian.
type Int64 struct{}

// Append appends eight bytes.
func (Int64) Append(dst []byte, _ string, _ *[]Header, v int64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, uint64(v)), nil
}

// Decode reads eight bytes.
func (Int64) Decode(_ string, _ []Header, data []byte) (int64, error) {
	if data == nil {
		return 0, nil
	}
	if err := sized(data, 8, "an int64"); err != nil {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(data)), nil
}

// Float32 is Java's float: the bits of IEEE 754, big-endian.
type Float32 struct{}

// Append appends four bytes.
func (Float32) Append(dst []byte, _ string, _ *[]Header, v float32) ([]byte, error) {
	return binary.BigEndian.AppendUint32(dst, math.Float32bits(v)), nil
}

// Decode reads four bytes.
func (Float32) Decode(_ string, _ []Header, data []byte) (float32, error) {
	if data == nil {
		return 0, nil
	}
	if err := sized(data, 4, "a float32"); err != nil {
		return 0, err
	}
	return math.Float32frombits(binary.BigEndian.Uint32(data)), nil
}

// Float64 is Java's double: the bits of IEEE 754, big-endian.
type Float64 struct{}

// Append appends eight bytes.
func (Float64) Append(dst []byte, _ string, _ *[]Header, v float64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(v)), nil
}

// Decode reads eight bytes.
func (Float64) Decode(_ string, _ []Header, data []byte) (float64, error) {
	if data == nil {
		return 0, nil
	}
	if err := sized(data, 8, "a float64"); err != nil {
		return 0, err
	}
	return math.Float64frombits(binary.BigEndian.Uint64(data)), nil
}

// Void is for keys or values that are always null.
type Void struct{}

// Append answers null.
func (Void) Append([]byte, string, *[]Header, struct{}) ([]byte, error) { return nil, nil }

// Decode refuses what is not null.
func (Void) Decode(_ string, _ []Header, data []byte) (struct{}, error) {
	if data != nil {
		return struct{}{}, fmt.Errorf("%d bytes stand where only null may be", len(data))
	}
	return struct{}{}, nil
}
