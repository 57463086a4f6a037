package client

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"

	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/setting"
)

// ProducerKeys is what producers have for themselves.
var ProducerKeys = Keys.Section("Producers", "Settings of producers.")

// The engines of a producer.
const (
	EngineNative = "native"
	EngineKgo    = "kgo"
)

// Settings of producers.
var (
	Engine = ProducerKeys.String(setting.String{
		Name: "client.engine", Default: EngineNative, Choices: []string{EngineNative, EngineKgo},
		Doc: "What carries records: `native`, which encodes them straight into the batches that are sent, or `kgo`, which is franz-go. Kafka has no such setting.",
	})
	KeySerializer = ProducerKeys.Class(setting.String{
		Name: "key.serializer",
		Doc:  "What makes bytes of keys, by the name that it is registered under for their type. []byte and string need none.",
	})
	ValueSerializer = ProducerKeys.Class(setting.String{
		Name: "value.serializer",
		Doc:  "What makes bytes of values, as `key.serializer`.",
	})
	BufferMemory = ProducerKeys.Long(setting.Long{
		Name: "buffer.memory", Default: 32 << 20,
		Doc: "Bytes of the batches that wait to be sent or acknowledged. When they are spent, Send waits up to `max.block.ms`.",
	})
	BatchSize = ProducerKeys.Int(setting.Int{
		Name: "batch.size", Default: 16 << 10,
		Doc: "Bytes that a batch may have, before it is compressed. A larger record has a batch of its own; 0 gives one to each.",
	})
	Linger = ProducerKeys.Duration(setting.Duration{
		Name: "linger.ms", Default: 5,
		Doc: "How long a batch may wait for more records when it could be sent.",
	})
	MaxBlock = ProducerKeys.Duration(setting.Duration{
		Name: "max.block.ms", Default: 60_000,
		Doc: "How long Send may wait for memory or for metadata of a topic, and the calls of transactions for their answer.",
	})
	MaxRequestSize = ProducerKeys.Int(setting.Int{
		Name: "max.request.size", Default: 1 << 20,
		Doc: "Bytes that a request may have, and a record, before it is compressed. A larger record is refused by Send.",
	})
	Acks = ProducerKeys.String(setting.String{
		Name: "acks", Default: "all", Choices: []string{"all", "-1", "0", "1"},
		Doc: "Who must have a record before it counts as sent: `all` replicas in sync, the leader (`1`), or nobody (`0`: then there is no offset, and an error only if the connection fails).",
	})
	Retries = ProducerKeys.Int(setting.Int{
		Name: "retries", Default: math.MaxInt32,
		Doc: "How often a batch is sent again at most. Leave it, and bound the time with `delivery.timeout.ms`.",
	})
	DeliveryTimeout = ProducerKeys.Duration(setting.Duration{
		Name: "delivery.timeout.ms", Default: 120_000, Int: true,
		Doc: "After how long a record fails that was not acknowledged, counted from the beginning of its batch. At least `linger.ms` + `request.timeout.ms`.",
	})
	MaxInFlight = ProducerKeys.Int(setting.Int{
		Name: "max.in.flight.requests.per.connection", Default: 5, Min: 1,
		Doc: "How many requests may be under way to one broker. At most 5 with `enable.idempotence`. Without it, more than 1 can change the order of records when some are sent again. Under kgo it counts with `enable.idempotence=false` only.",
	})
	Idempotence = ProducerKeys.Bool(setting.Bool{
		Name: "enable.idempotence", Default: true,
		Doc: "Whether brokers know batches that were sent again, so that none is there twice. It needs `acks=all`, `retries` and at most 5 requests under way; when it is not given and one of those is set otherwise, it is off.",
	})
	TransactionalID = ProducerKeys.String(setting.String{
		Name: "transactional.id", Null: true,
		Doc: "Under which name the producer's transactions go on after a restart. It makes transactions possible, and requires `enable.idempotence`.",
	})
	TransactionTimeout = ProducerKeys.Duration(setting.Duration{
		Name: "transaction.timeout.ms", Default: 60_000, Int: true,
		Doc: "After how long the broker aborts a transaction that was not ended.",
	})
	CompressionType = ProducerKeys.String(setting.String{
		Name: "compression.type", Default: "none", Choices: []string{"none", "gzip", "snappy", "lz4", "zstd"},
		Doc: "How batches are compressed.",
	})
	CompressionGzipLevel = ProducerKeys.Int(setting.Int{Name: "compression.gzip.level", Default: -1, Min: 1, Max: 9, Or: -1,
		Doc: "Level of gzip; -1 is its own default."})
	CompressionLZ4Level = ProducerKeys.Int(setting.Int{Name: "compression.lz4.level", Default: 9, Min: 1, Max: 17,
		Doc: "Level of lz4. Up to 9, Kafka's default, the fast way is taken, as Java's clients do."})
	CompressionZstdLevel = ProducerKeys.Int(setting.Int{Name: "compression.zstd.level", Default: 3, Min: -131072, Max: 22,
		Doc: "Level of zstd."})
	PartitionerClass = ProducerKeys.Class(setting.String{
		Name: "partitioner.class", Null: true,
		Doc: "What chooses partitions, by the name that it is registered under. Unset: by the key, as Kafka's Java clients do; records without a key stay with a partition until it has got `batch.size`.",
	})
	PartitionerIgnoreKeys = ProducerKeys.Bool(setting.Bool{
		Name: "partitioner.ignore.keys",
		Doc:  "Whether records with a key are spread as those without one, when there is no `partitioner.class`.",
	})
)

var (
	_ = ProducerKeys.Table(setting.Ignored, "a partition is drawn from those with a leader, all alike",
		setting.Row{Name: "partitioner.adaptive.partitioning.enable", Type: setting.TypeBoolean, Default: "true", Doc: "Whether slow brokers get less."},
		setting.Row{Name: "partitioner.availability.timeout.ms", Type: setting.TypeLong, Default: "0", Doc: "After how long a slow partition gets nothing."},
	)
	_ = ProducerKeys.Table(setting.Ignored, "topics are remembered until the producer is closed",
		setting.Row{Name: "metadata.max.idle.ms", Type: setting.TypeLong, Default: "300000", Doc: "After how long a topic is forgotten that nothing is sent to."},
	)
	_ = ProducerKeys.Table(setting.Ignored, "a transaction is ended by the program that began it",
		setting.Row{Name: "transaction.two.phase.commit.enable", Type: setting.TypeBoolean, Default: "false", Doc: "Whether somebody else decides about transactions."},
	)
)

// producerRole is a producer, whose socket buffer for answers Kafka has smaller.
var producerRole = role{name: "producer", sections: []*setting.Section{Common, ProducerKeys, Registry},
	defaults: map[string]string{ReceiveBufferBytes.Name: "32768"}}

// mostInFlight is how many batches of an idempotent producer a broker can tell apart.
const mostInFlight = 5

// producing are the settings of a producer that hang together.
type producing struct {
	*settings
	engine     string
	idempotent bool
	acks       int16
	inFlight   int
	codec      batch.Codec
	level      int
}

// resolveProducer checks what Kafka's producer checks.
func resolveProducer(c Config, log *slog.Logger) (*producing, error) {
	s, err := c.withDelivery().resolve(producerRole, log)
	if err != nil {
		return nil, err
	}
	v := s.Values
	p := &producing{settings: s, engine: Engine.Of(v), idempotent: Idempotence.Of(v), inFlight: MaxInFlight.Of(v)}
	p.acks = map[string]int16{"all": -1, "-1": -1, "0": 0, "1": 1}[Acks.Of(v)]
	if p.codec, err = batch.ParseCodec(CompressionType.Of(v)); err != nil {
		return nil, err
	}
	p.level = p.levelOf()
	var wrong []error
	say := func(text string, values ...any) { wrong = append(wrong, fmt.Errorf(text, values...)) }
	_, asked := c[Idempotence.Name]
	transactional := p.transactionalID() != ""
	for _, against := range []struct {
		broken bool
		what   string
	}{
		{p.acks != -1, "acks=all"},
		{Retries.Of(v) == 0, "retries of more than 0"},
		{p.inFlight > mostInFlight, "max.in.flight.requests.per.connection of at most 5"},
	} {
		switch {
		case !p.idempotent || !against.broken:
		case asked || transactional:
			say("enable.idempotence=true needs %s", against.what)
		default:
			p.idempotent = false
		}
	}
	if transactional && !Idempotence.Of(v) {
		say("transactional.id needs enable.idempotence=true")
	}
	if text, given := c[TransactionalID.Name]; given && strings.TrimSpace(text) == "" {
		say("transactional.id is empty: leave it out, or give the producer a name")
	}
	if least := Linger.Of(v) + RequestTimeout.Of(v); DeliveryTimeout.Of(v) < least {
		say("delivery.timeout.ms=%d is less than linger.ms + request.timeout.ms = %d: raise it", DeliveryTimeout.Of(v).Milliseconds(), least.Milliseconds())
	}
	if len(wrong) > 0 {
		return nil, fmt.Errorf("settings of the producer: %w", errors.Join(wrong...))
	}
	return p, nil
}

// withDelivery raises delivery.timeout.ms to what it must be at least, as Kafka does when it
// was not given.
func (c Config) withDelivery() Config {
	if _, given := c[DeliveryTimeout.Name]; given {
		return c
	}
	v := Keys.Resolve(setting.Layer{Source: setting.SourceStatic, Texts: c})
	if least := Linger.Of(v) + RequestTimeout.Of(v); DeliveryTimeout.Of(v) < least {
		return c.With(DeliveryTimeout.Name, fmt.Sprint(min(least.Milliseconds(), math.MaxInt32)))
	}
	return c
}

func (p *producing) transactionalID() string { return strings.TrimSpace(TransactionalID.Of(p.Values)) }

// levelOf is the level of the codec in the scale of batch.Compress.
func (p *producing) levelOf() int {
	switch p.codec {
	case batch.Gzip:
		return CompressionGzipLevel.Of(p.Values)
	case batch.LZ4:
		if level := CompressionLZ4Level.Of(p.Values); level > 9 {
			return level
		}
		return batch.DefaultLevel
	case batch.Zstd:
		return CompressionZstdLevel.Of(p.Values)
	default:
		return batch.DefaultLevel
	}
}
