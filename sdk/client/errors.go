package client

import "errors"

// What calls of a client fail with, beside the errors that brokers answer, which are those
// of package kerr. Errors wrap these and say more.
var (
	// ErrClosed: the client was closed.
	ErrClosed = errors.New("the client is closed")
	// ErrTimeout: something took longer than a setting allows.
	ErrTimeout = errors.New("timed out")
)
