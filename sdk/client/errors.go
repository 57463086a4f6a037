package client

import "github.com/millrace/millrace/sdk/client/native"

// What calls of a client fail with, beside the errors that brokers answer, which are those
// of franz-go's package kerr. Errors wrap these and say more.
var (
	// ErrClosed: the client was closed.
	ErrClosed = native.ErrClosed
	// ErrTimeout: something took longer than a setting allows.
	ErrTimeout = native.ErrTimeout
)
