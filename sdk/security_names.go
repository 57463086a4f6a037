package sdk

import (
	"errors"
	"fmt"
	"strings"
)

// ParsePrincipal reads "User:alice": a type, and a name that may have colons of its own.
func ParsePrincipal(text string) (Principal, error) {
	kind, name, ok := strings.Cut(text, ":")
	if !ok || kind == "" {
		return Principal{}, fmt.Errorf("%q is no principal, which is a type and a name, such as User:alice", text)
	}
	return Principal{Type: kind, Name: name}, nil
}

// Kafka's names of operations and of types of resources, by their codes.
var (
	operationNames = [...]string{"UNKNOWN", "ANY", "ALL", "READ", "WRITE", "CREATE", "DELETE", "ALTER", "DESCRIBE", "CLUSTER_ACTION",
		"DESCRIBE_CONFIGS", "ALTER_CONFIGS", "IDEMPOTENT_WRITE", "CREATE_TOKENS", "DESCRIBE_TOKENS", "TWO_PHASE_COMMIT"}
	resourceNames = [...]string{"UNKNOWN", "ANY", "TOPIC", "GROUP", "CLUSTER", "TRANSACTIONAL_ID", "DELEGATION_TOKEN", "USER"}
)

var errName = errors.New("no such name")

// named is the name of a code, that of the first when it has none.
func named(names []string, code int8) string {
	if code < 0 || int(code) >= len(names) {
		code = 0
	}
	return names[code]
}

// coded is the code of a name. The first name is that of codes which are not known.
func coded(names []string, text []byte) (int8, error) {
	for code := 1; code < len(names); code++ {
		if names[code] == string(text) {
			return int8(code), nil
		}
	}
	return 0, fmt.Errorf("%q: %w (there are: %s)", text, errName, strings.Join(names[1:], ", "))
}

// String is Kafka's name: "READ".
func (o Operation) String() string { return named(operationNames[:], int8(o)) }

// Known reports whether Kafka has the operation.
func (o Operation) Known() bool { return o >= OperationAny && int(o) < len(operationNames) }

// MarshalText writes Kafka's name.
func (o Operation) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads Kafka's name.
func (o *Operation) UnmarshalText(text []byte) error {
	code, err := coded(operationNames[:], text)
	*o = Operation(code)
	return err
}

// String is Kafka's name: "TOPIC".
func (t ResourceType) String() string { return named(resourceNames[:], int8(t)) }

// Known reports whether Kafka has the type.
func (t ResourceType) Known() bool { return t >= ResourceAny && int(t) < len(resourceNames) }

// MarshalText writes Kafka's name.
func (t ResourceType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads Kafka's name.
func (t *ResourceType) UnmarshalText(text []byte) error {
	code, err := coded(resourceNames[:], text)
	*t = ResourceType(code)
	return err
}
