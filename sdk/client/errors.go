package client

import (
	"github.com/millrace/millrace/sdk/client/native"
	"github.com/millrace/millrace/sdk/client/native/transaction"
)

// What calls of a client fail with, beside the errors that brokers answer, which are those
// of franz-go's package kerr. Errors wrap these and say more.
var (
	// ErrClosed: the client was closed.
	ErrClosed = native.ErrClosed
	// ErrTimeout: something took longer than a setting allows.
	ErrTimeout = native.ErrTimeout
	// ErrAbort: something of the transaction was lost, and it can only be aborted. The native
	// engine says so.
	ErrAbort = transaction.ErrAbort
	// ErrFatal: the producer can only be closed, such as one whose transactional.id another
	// producer has now (kerr.ProducerFenced). The native engine says so.
	ErrFatal = transaction.ErrFatal
)
