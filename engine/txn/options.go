package txn

import "time"

// Options are the settings of a Coordinator. The zero value has Kafka's defaults, but for
// Version.
type Options struct {
	// MaxTimeout is the longest time limit that a producer may ask for
	// (transaction.max.timeout.ms). Zero: 15 min.
	MaxTimeout time.Duration
	// AbortInterval is the time between two looks for transactions past their time limit
	// (transaction.abort.timed.out.transaction.cleanup.interval.ms). Zero: 10 s.
	AbortInterval time.Duration
	// Expiration is how long an id that is not used is remembered
	// (transactional.id.expiration.ms). Zero: 7 days.
	Expiration time.Duration
	// RemoveInterval is the time between two looks for ids to forget
	// (transaction.remove.expired.transaction.cleanup.interval.ms). Zero: 1 h.
	RemoveInterval time.Duration
	// Patience is how long a batch waits for the end of the transaction before its own
	// (add.partitions.to.txn.retry.backoff.max.ms). Zero: 100 ms.
	Patience time.Duration
	// Pause is the time until what failed for a reason that may pass is tried again. Zero: 1 s.
	Pause time.Duration
	// Version is the finalized level of transaction.version: what a record may say.
	Version int16
}

// limits are the Options in milliseconds.
type limits struct {
	maxTimeout, abortInterval, expiration, removeInterval, patience, pause int64
	version                                                                int16
}

func (o Options) limits() limits {
	return limits{
		maxTimeout:     millisOr(o.MaxTimeout, 15*time.Minute),
		abortInterval:  millisOr(o.AbortInterval, 10*time.Second),
		expiration:     millisOr(o.Expiration, 7*24*time.Hour),
		removeInterval: millisOr(o.RemoveInterval, time.Hour),
		patience:       millisOr(o.Patience, 100*time.Millisecond),
		pause:          millisOr(o.Pause, time.Second),
		version:        o.Version,
	}
}

func millisOr(d, otherwise time.Duration) int64 {
	if d == 0 {
		d = otherwise
	}
	return max(d.Milliseconds(), 1)
}
