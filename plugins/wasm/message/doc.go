// Package message writes and reads what host and guest say to each other about the plugins
// of clients: placements, keys and values, groups. Package abi draws it byte by byte. Both
// sides use it, and neither believes the other: what cannot be read is an error, and what can
// be read may still be a lie, which the host looks for.
package message

import "errors"

// ErrMalformed is the error of bytes that are not what they should be.
var ErrMalformed = errors.New("it is not drawn as this version of the ABI says")
