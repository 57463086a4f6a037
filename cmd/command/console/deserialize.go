package console

import (
	"encoding/binary"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/millrace/millrace/cmd/command/java"
)

// deserializer turns the bytes of a key, value or header into what is printed.
type deserializer func([]byte) ([]byte, error)

// deserializers are known by the Java classes that Kafka's users name.
var deserializers = map[string]deserializer{
	"StringDeserializer":     func(p []byte) ([]byte, error) { return p, nil },
	"ByteArrayDeserializer":  func(p []byte) ([]byte, error) { return p, nil },
	"ByteBufferDeserializer": func(p []byte) ([]byte, error) { return p, nil },
	"BytesDeserializer":      func(p []byte) ([]byte, error) { return []byte(java.Bytes(p)), nil },
	"ShortDeserializer": sized("ShortDeserializer", 2, func(p []byte) string {
		return strconv.Itoa(int(int16(binary.BigEndian.Uint16(p))))
	}),
	"IntegerDeserializer": sized("IntegerDeserializer", 4, func(p []byte) string {
		return strconv.Itoa(int(int32(binary.BigEndian.Uint32(p))))
	}),
	"LongDeserializer": sized("LongDeserializer", 8, func(p []byte) string {
		return strconv.FormatInt(int64(binary.BigEndian.Uint64(p)), 10)
	}),
	"FloatDeserializer": sized("Deserializer", 4, func(p []byte) string {
		return java.Float(math.Float32frombits(binary.BigEndian.Uint32(p)))
	}),
	"DoubleDeserializer": sized("Deserializer", 8, func(p []byte) string {
		return java.Double(math.Float64frombits(binary.BigEndian.Uint64(p)))
	}),
	"BooleanDeserializer": boolean,
	"UUIDDeserializer":    uuid,
	"VoidDeserializer":    func([]byte) ([]byte, error) { return nil, fmt.Errorf("Data should be null for a VoidDeserializer.") },
}

const serialization = "org.apache.kafka.common.serialization."

// findDeserializer looks up a class name, with its package or without.
func findDeserializer(class string) (deserializer, error) {
	if found, ok := deserializers[strings.TrimPrefix(class, serialization)]; ok {
		return found, nil
	}
	return nil, fmt.Errorf("deserializer %s is not known: expected %s followed by String, ByteArray, Bytes, Short, Integer, "+
		"Long, Float, Double, Boolean or UUID, and Deserializer", class, serialization)
}

// sized is a deserializer of values that have one size only.
func sized(class string, size int, format func([]byte) string) deserializer {
	return func(p []byte) ([]byte, error) {
		if len(p) != size {
			return nil, fmt.Errorf("Size of data received by %s is not %d", class, size)
		}
		return []byte(format(p)), nil
	}
}

func boolean(p []byte) ([]byte, error) {
	switch {
	case len(p) != 1:
		return nil, fmt.Errorf("Size of data received by BooleanDeserializer is not 1")
	case p[0] > 1:
		return nil, fmt.Errorf("Unexpected byte received by BooleanDeserializer: %d", int8(p[0]))
	}
	return strconv.AppendBool(nil, p[0] == 1), nil
}

var uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{1,8}-[0-9a-fA-F]{1,4}-[0-9a-fA-F]{1,4}-[0-9a-fA-F]{1,4}-[0-9a-fA-F]{1,12}$`)

// uuid reads the text that UUIDSerializer writes, and pads it as Java prints it.
func uuid(p []byte) ([]byte, error) {
	if !uuidForm.Match(p) {
		return nil, fmt.Errorf("Error parsing data into UUID: %q", p)
	}
	parts := strings.Split(strings.ToLower(string(p)), "-")
	for i, width := range []int{8, 4, 4, 4, 12} {
		parts[i] = strings.Repeat("0", width-len(parts[i])) + parts[i]
	}
	return []byte(strings.Join(parts, "-")), nil
}
