package cluster

import (
	"encoding/base64"
	"fmt"
)

// ID is a 16-byte UUID as Kafka uses it for topics, log directories and the lives of a
// broker. Its text is 22 characters of URL-safe base64.
type ID [16]byte

// idLength is the length of an ID's text in characters.
const idLength = 22

var idText = base64.URLEncoding.WithPadding(base64.NoPadding).Strict()

// NewID makes a version-4 UUID from random bytes. It draws again when Kafka would: for the
// ids that Kafka keeps for itself, and for a text that begins with a dash, which a command
// line would take for an option. So the id is never zero.
func NewID(random func() [16]byte) ID {
	for {
		id := ID(random())
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		if id.String()[0] != '-' {
			return id
		}
	}
}

// ParseID reads the text of an ID.
func ParseID(text string) (ID, error) {
	var id ID
	return id, id.UnmarshalText([]byte(text))
}

// Zero reports whether the id is absent.
func (id ID) Zero() bool { return id == ID{} }

// String is the id as Kafka prints it.
func (id ID) String() string { return idText.EncodeToString(id[:]) }

// MarshalText is the id as Kafka prints it.
func (id ID) MarshalText() ([]byte, error) { return idText.AppendEncode(nil, id[:]), nil }

// UnmarshalText reads what MarshalText wrote, and nothing else.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) != idLength {
		return fmt.Errorf("id %q: want %d characters, got %d", text, idLength, len(text))
	}
	if _, err := idText.Decode(id[:], text); err != nil {
		return fmt.Errorf("id %q: %w", text, err)
	}
	return nil
}
