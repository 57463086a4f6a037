package registry

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrNotFramed: bytes do not begin as those of a serializer with a registry do.
var ErrNotFramed = errors.New("the bytes do not begin with 0 and the id of a schema: they were not written with a schema registry")

// AppendID appends the beginning of a frame.
func AppendID(dst []byte, id int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, 0), uint32(id))
}

// SplitID is the id of a frame, and what follows it.
func SplitID(data []byte) (id int, payload []byte, err error) {
	if len(data) < 5 || data[0] != 0 {
		return 0, nil, ErrNotFramed
	}
	return int(int32(binary.BigEndian.Uint32(data[1:]))), data[5:], nil
}

// mostIndexes is how deep messages may be nested.
const mostIndexes = 64

// AppendIndexes appends which message of a .proto file a payload is: the number of the
// outermost, of the one in it, and so on, as zigzag varints behind their count. The first
// message of all is a single 0.
func AppendIndexes(dst []byte, path []int) []byte {
	if len(path) == 1 && path[0] == 0 {
		return append(dst, 0)
	}
	dst = binary.AppendVarint(dst, int64(len(path)))
	for _, i := range path {
		dst = binary.AppendVarint(dst, int64(i))
	}
	return dst
}

// SplitIndexes reads what AppendIndexes wrote, and answers what follows it.
func SplitIndexes(data []byte) (path []int, payload []byte, err error) {
	count, n := binary.Varint(data)
	if n <= 0 || count < 0 || count > mostIndexes {
		return nil, nil, errors.New("the indexes of the message cannot be read: the payload is not Protobuf of a schema registry")
	}
	data = data[n:]
	if count == 0 {
		return []int{0}, data, nil
	}
	for range count {
		i, n := binary.Varint(data)
		if n <= 0 || i < 0 || i > 1<<20 {
			return nil, nil, fmt.Errorf("%d of the %d indexes of the message can be read", len(path), count)
		}
		path, data = append(path, int(i)), data[n:]
	}
	return path, data, nil
}
