package serde

import (
	"encoding/hex"
	"fmt"
)

// UUID is a UUID. The types of other libraries that are 16 bytes convert to and from it.
type UUID [16]byte

// String is the UUID as 36 characters.
func (u UUID) String() string { return string(u.append(nil)) }

func (u UUID) append(dst []byte) []byte {
	for i, part := range [...][]byte{u[:4], u[4:6], u[6:8], u[8:10], u[10:]} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, part)
	}
	return dst
}

// ParseUUID reads the 36 characters of a UUID, in upper or lower case.
func ParseUUID(text string) (u UUID, err error) {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return u, fmt.Errorf("%.40q is not a UUID, such as 123e4567-e89b-12d3-a456-426614174000", text)
	}
	digits := text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:]
	if _, err := hex.Decode(u[:], []byte(digits)); err != nil {
		return UUID{}, fmt.Errorf("%q is not a UUID: %w", text, err)
	}
	return u, nil
}

// UUIDText is a UUID as Java writes it: as text.
type UUIDText struct{}

// Append appends 36 characters.
func (UUIDText) Append(dst []byte, _ string, _ *[]Header, v UUID) ([]byte, error) {
	return v.append(dst), nil
}

// Decode reads 36 characters.
func (UUIDText) Decode(_ string, _ []Header, data []byte) (UUID, error) {
	if data == nil {
		return UUID{}, nil
	}
	return ParseUUID(string(data))
}
