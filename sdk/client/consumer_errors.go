package client

import (
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/sdk"
)

// What calls of a consumer fail with, beside ErrClosed, ErrTimeout and what brokers answer.
var (
	// ErrConcurrentUse: two goroutines use one consumer at a time. Kafka's client throws a
	// ConcurrentModificationException.
	ErrConcurrentUse = errors.New("the consumer is in use by another goroutine: one at a time may call it, and only Wakeup at any time")
	// ErrWakeup: somebody called Wakeup.
	ErrWakeup = errors.New("woken up")
	// ErrNotSubscribed: the call needs a subscription or an assignment.
	ErrNotSubscribed = errors.New("the consumer is neither subscribed to topics nor assigned partitions")
	// ErrNotAssigned: the partition is not this consumer's.
	ErrNotAssigned = errors.New("the partition is not assigned to this consumer")
	// ErrCommitFailed: the partitions are those of another member by now. What was read
	// since the last commit will be read again, by whoever has them.
	ErrCommitFailed = errors.New("the commit failed, for the group has rebalanced: let Poll give up the partitions, and call it more often, or raise max.poll.interval.ms, or lower max.poll.records")
	// ErrNoOffset: the group has no committed offset for a partition, or one that is gone, and
	// auto.offset.reset=none forbids choosing one.
	ErrNoOffset = errors.New("there is no offset to begin at, and auto.offset.reset is none: seek to one")
)

// DeserializationError is the error of Poll for a record whose key or value cannot be read.
// The consumer's position stays at the record: Poll answers the same until somebody seeks
// past it. The bytes are there to be put elsewhere.
type DeserializationError struct {
	sdk.TopicPartition
	Offset    int64
	Timestamp time.Time
	Headers   []sdk.Header
	Key       []byte // nil: null
	Value     []byte // nil: null
	InKey     bool   // the key is what cannot be read, not the value
	Err       error
}

func (e *DeserializationError) Error() string {
	part := "value"
	if e.InKey {
		part = "key"
	}
	return fmt.Sprintf("the %s of the record at offset %d of %s-%d cannot be read: %v; seek past it to go on", part, e.Offset, e.Topic, e.Partition, e.Err)
}

// Unwrap is what the deserializer said.
func (e *DeserializationError) Unwrap() error { return e.Err }
