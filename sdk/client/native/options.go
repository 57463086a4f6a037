package native

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"

	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/chain"
)

// What records fail with, beside the errors that brokers answer.
var (
	// ErrClosed: the client was closed.
	ErrClosed = errors.New("the client is closed")
	// ErrTimeout: something took longer than a setting allows.
	ErrTimeout = errors.New("timed out")
)

// Options are a producer's. All of them must be set, but for those that say otherwise.
type Options struct {
	Servers         []string // host:port
	ClientID        string
	Proof           sasl.Mechanism // of who the client is. Nil: brokers do not ask
	BatchBytes      int
	Linger          time.Duration
	BufferBytes     int64
	MaxRequestBytes int
	Acks            int16
	Retries         int
	DeliveryTimeout time.Duration
	RequestTimeout  time.Duration
	MaxInFlight     int
	Idempotent      bool
	Codec           batch.Codec
	Level           int // zero: the codec's own
	// TransactionalID is what transactions go on under; "": there are none. It needs Idempotent.
	TransactionalID    string
	TransactionTimeout time.Duration
	MetadataMaxAge     time.Duration
	MaxIdle            time.Duration // of a connection
	// Plugins see batches before they are numbered and sent. Nil: none do.
	Plugins []chain.Plugin
	// RetryBackoff and ReconnectBackoff are how long to wait before another try.
	RetryBackoff, ReconnectBackoff func(tries int) time.Duration
	Dial                           func(ctx context.Context, network, address string) (net.Conn, error)
	Log                            *slog.Logger
}

// Record is a record as it goes over the wire. Its bytes are copied: they are the caller's
// again when Append returns.
type Record struct {
	Key, Value []byte // nil: null
	Headers    []batch.Header
	Timestamp  int64    // milliseconds; Now: that of the append
	Listener   Listener // nil: nobody wants to know
	// Transaction is the number of that which the record is for: it is refused once that has ended.
	// Zero: whichever is under way when it is appended.
	Transaction int64
	Forgotten   bool // the listener only looks on: when the record is lost, nobody has waited for it
}

// Now as the time of a record is that of its append.
const Now = int64(-1)

// Ack is where a record went, or should have gone.
type Ack struct {
	Topic     string
	Partition int32
	Offset    int64 // −1: not known, as with acks=0
	Timestamp int64 // milliseconds
}

// Listener is told what became of a record, by the goroutine that sends: it must not wait
// for anything.
type Listener interface {
	Done(a Ack, err error)
}
