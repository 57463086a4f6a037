package client

import (
	"context"
	"time"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/client/native"
)

// engine carries serialized records of one producer to brokers.
type engine interface {
	// Topic is what is known of a topic; it waits for that up to a time, and says what is left
	// of that.
	Topic(ctx context.Context, name string, most time.Duration) (t *native.Topic, left time.Duration, err error)
	// Renew is Topic of one that Topic has answered without this partition: it may have been given
	// more. What is answered has as many as brokers know now.
	Renew(ctx context.Context, name string, partition int32, most time.Duration) (t *native.Topic, left time.Duration, err error)
	// Append takes a record whose partition is one of the topic's, and waits for memory up to a
	// time. Full: the partition's batch is complete.
	Append(ctx context.Context, t *native.Topic, partition int32, r native.Record, most time.Duration) (full bool, err error)
	Flush(ctx context.Context) error
	Close(ctx context.Context) error
	// Lost is how many records were lost that nobody waited for.
	Lost() int64
}

// transacting is an engine that has transactions.
type transacting interface {
	initTransactions(ctx context.Context) error
	beginTxn() error
	endTxn(ctx context.Context, commit bool) error
	sendOffsets(ctx context.Context, group GroupMetadata, offsets map[sdk.TopicPartition]sdk.OffsetAndMetadata) error
}

// nativeOptions are the settings as the native engine takes them.
func (p *producing) nativeOptions() native.Options {
	v := p.Values
	return native.Options{
		Servers: BootstrapServers.Of(v), ClientID: ClientID.Of(v), Log: p.log, Proof: p.proof,
		BatchBytes: max(BatchSize.Of(v), batch.HeaderSize), Linger: Linger.Of(v), BufferBytes: BufferMemory.Of(v),
		MaxRequestBytes: MaxRequestSize.Of(v), Acks: p.acks, Retries: Retries.Of(v), DeliveryTimeout: DeliveryTimeout.Of(v),
		RequestTimeout: RequestTimeout.Of(v), MaxInFlight: p.inFlight, Idempotent: p.idempotent, Codec: p.codec, Level: p.level,
		TransactionalID: p.transactionalID(), TransactionTimeout: TransactionTimeout.Of(v),
		MetadataMaxAge: MetadataMaxAge.Of(v), MaxIdle: ConnectionsMaxIdle.Of(v), Dial: p.dial,
		RetryBackoff: p.retryBackoff(), ReconnectBackoff: p.reconnectBackoff(),
	}
}
