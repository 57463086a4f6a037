package session

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Role says what a client is for; settings of another role are left alone.
type Role uint8

// Roles may be added up: a group member is Consumer|Group.
const (
	Producer Role = 1 << iota
	Consumer
	Group
	Admin Role = 0
)

// property is one client setting: who listens to it and what it becomes.
type property struct {
	role  Role
	apply func(value string, all Properties) ([]kgo.Opt, error)
}

// known holds every property that changes how the client behaves. What concerns
// security is read as a whole, in security.go.
var known = map[string]property{
	"client.id":                          {Admin, text(kgo.ClientID)},
	"metadata.max.age.ms":                {Admin, millis(kgo.MetadataMaxAge)},
	"connections.max.idle.ms":            {Admin, millis(kgo.ConnIdleTimeout)},
	"request.timeout.ms":                 {Admin, requestTimeout},
	"socket.connection.setup.timeout.ms": {Admin, millis(kgo.DialTimeout)},
	"retry.backoff.ms":                   {Admin, retryBackoff},

	"acks":                                  {Producer, acks},
	"enable.idempotence":                    {Producer, idempotence},
	"linger.ms":                             {Producer, millis(kgo.ProducerLinger)},
	"compression.type":                      {Producer, compression},
	"buffer.memory":                         {Producer, bufferMemory},
	"max.request.size":                      {Producer, number(kgo.ProducerBatchMaxBytes)},
	"delivery.timeout.ms":                   {Producer, millis(kgo.RecordDeliveryTimeout)},
	"retries":                               {Producer, whole(kgo.RecordRetries)},
	"max.in.flight.requests.per.connection": {Producer, inFlight},
	"transactional.id":                      {Producer, text(kgo.TransactionalID)},
	"transaction.timeout.ms":                {Producer, millis(kgo.TransactionTimeout)},

	"fetch.min.bytes":           {Consumer, number(kgo.FetchMinBytes)},
	"fetch.max.wait.ms":         {Consumer, millis(kgo.FetchMaxWait)},
	"fetch.max.bytes":           {Consumer, number(kgo.FetchMaxBytes)},
	"max.partition.fetch.bytes": {Consumer, number(kgo.FetchMaxPartitionBytes)},
	"isolation.level":           {Consumer, isolation},
	"auto.offset.reset":         {Consumer, offsetReset},
	"check.crcs":                {Consumer, checkCRCs},
	"client.rack":               {Consumer, text(kgo.Rack)},

	"group.id":                      {Group, text(kgo.ConsumerGroup)},
	"group.instance.id":             {Group, text(kgo.InstanceID)},
	"session.timeout.ms":            {Group, millis(kgo.SessionTimeout)},
	"heartbeat.interval.ms":         {Group, millis(kgo.HeartbeatInterval)},
	"max.poll.interval.ms":          {Group, millis(kgo.RebalanceTimeout)},
	"enable.auto.commit":            {Group, autoCommit},
	"auto.commit.interval.ms":       {Group, millis(kgo.AutoCommitInterval)},
	"partition.assignment.strategy": {Group, balancers},
	"group.protocol":                {Group, groupProtocol},
}

// elsewhere names the properties of Kafka's clients that are read in another
// place, or that change nothing here: no warning is due for them.
var elsewhere = words(`allow.auto.create.topics auto.include.jmx.reporter batch.size bootstrap.servers client.dns.lookup
	default.api.timeout.ms default.list.key.serde.inner enable.metrics.push exclude.internal.topics key.deserializer key.serializer
	max.block.ms max.poll.records metadata.max.idle.ms metadata.recovery.strategy metric.reporters metrics.num.samples
	metrics.recording.level metrics.sample.window.ms receive.buffer.bytes reconnect.backoff.max.ms reconnect.backoff.ms
	retry.backoff.max.ms sasl.jaas.config sasl.mechanism security.protocol send.buffer.bytes
	socket.connection.setup.timeout.max.ms value.deserializer value.serializer compression.gzip.level compression.lz4.level
	compression.zstd.level partitioner.adaptive.partitioning.enable partitioner.availability.timeout.ms
	ssl.truststore.type ssl.truststore.location ssl.truststore.certificates ssl.keystore.type ssl.keystore.location
	ssl.keystore.key ssl.keystore.certificate.chain ssl.endpoint.identification.algorithm ssl.protocol ssl.enabled.protocols`)

// clientOptions turns the properties that role listens to into options, and
// lists the names that nothing here knows.
func clientOptions(p Properties, role Role) (options []kgo.Opt, unknown []string, err error) {
	for _, name := range p.names() {
		one, ok := known[name]
		if !ok {
			if !elsewhere[name] {
				unknown = append(unknown, name)
			}
			continue
		}
		if one.role&^role != 0 {
			continue
		}
		more, err := one.apply(p[name], p)
		if err != nil {
			return nil, nil, fmt.Errorf("Invalid value %s for configuration %s: %w", p[name], name, err)
		}
		options = append(options, more...)
	}
	return options, unknown, nil
}

func words(list string) map[string]bool {
	set := map[string]bool{}
	for _, word := range strings.Fields(list) {
		set[word] = true
	}
	return set
}

// text makes a property of an option that takes a string.
func text[O kgo.Opt](option func(string) O) func(string, Properties) ([]kgo.Opt, error) {
	return func(value string, _ Properties) ([]kgo.Opt, error) { return []kgo.Opt{option(value)}, nil }
}

// number makes a property of an option that takes an int32.
func number[O kgo.Opt](option func(int32) O) func(string, Properties) ([]kgo.Opt, error) {
	return func(value string, _ Properties) ([]kgo.Opt, error) {
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			return nil, errNotInteger
		}
		return []kgo.Opt{option(int32(n))}, nil
	}
}

// whole makes a property of an option that takes an int.
func whole[O kgo.Opt](option func(int) O) func(string, Properties) ([]kgo.Opt, error) {
	return func(value string, _ Properties) ([]kgo.Opt, error) {
		n, err := strconv.Atoi(value)
		if err != nil {
			return nil, errNotInteger
		}
		return []kgo.Opt{option(n)}, nil
	}
}

// millis makes a property of an option that takes a duration.
func millis[O kgo.Opt](option func(time.Duration) O) func(string, Properties) ([]kgo.Opt, error) {
	return func(value string, _ Properties) ([]kgo.Opt, error) {
		d, err := parseMillis(value)
		if err != nil {
			return nil, err
		}
		return []kgo.Opt{option(d)}, nil
	}
}

var errNotInteger = fmt.Errorf("Not a number of type INT")

func parseMillis(value string) (time.Duration, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0, errNotInteger
	}
	return time.Duration(n) * time.Millisecond, nil
}

// requestTimeout bounds every request; for produce it is also the time that the
// broker is given to replicate.
func requestTimeout(value string, _ Properties) ([]kgo.Opt, error) {
	d, err := parseMillis(value)
	if err != nil {
		return nil, err
	}
	limit := min(max(d, 100*time.Millisecond), 15*time.Minute) // what the client accepts
	return []kgo.Opt{kgo.ProduceRequestTimeout(limit), kgo.RequestTimeoutOverhead(limit)}, nil
}

func retryBackoff(value string, _ Properties) ([]kgo.Opt, error) {
	d, err := parseMillis(value)
	if err != nil {
		return nil, err
	}
	return []kgo.Opt{kgo.RetryBackoffFn(func(tries int) time.Duration { return min(d<<min(tries, 10), max(d, time.Second)) })}, nil
}

func acks(value string, all Properties) ([]kgo.Opt, error) {
	want, ok := map[string]kgo.Acks{"-1": kgo.AllISRAcks(), "all": kgo.AllISRAcks(), "1": kgo.LeaderAck(), "0": kgo.NoAck()}[value]
	if !ok {
		return nil, fmt.Errorf("String must be one of: all, -1, 0, 1")
	}
	options := []kgo.Opt{kgo.RequiredAcks(want)}
	if value != "-1" && value != "all" {
		if all["enable.idempotence"] == "true" {
			return nil, fmt.Errorf("Must set acks to all in order to use the idempotent producer")
		}
		options = append(options, kgo.DisableIdempotentWrite())
	}
	return options, nil
}

func idempotence(value string, _ Properties) ([]kgo.Opt, error) {
	if value == "false" {
		return []kgo.Opt{kgo.DisableIdempotentWrite()}, nil
	}
	return nil, nil
}

// inFlight only counts without idempotence: with it the client keeps to five.
func inFlight(value string, all Properties) ([]kgo.Opt, error) {
	n, err := strconv.Atoi(value)
	if err != nil {
		return nil, errNotInteger
	}
	if all["enable.idempotence"] != "false" && all["acks"] != "0" && all["acks"] != "1" {
		return nil, nil
	}
	return []kgo.Opt{kgo.MaxProduceRequestsInflightPerBroker(n)}, nil
}

func compression(value string, all Properties) ([]kgo.Opt, error) {
	codec, ok := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}[value]
	if !ok {
		return nil, fmt.Errorf("String must be one of: none, gzip, snappy, lz4, zstd")
	}
	if level, err := strconv.Atoi(all["compression."+value+".level"]); err == nil {
		codec = codec.WithLevel(level)
	}
	return []kgo.Opt{kgo.ProducerBatchCompression(codec)}, nil
}

// bufferMemory bounds the bytes that wait to be sent; the number of records is
// then bounded by it alone.
func bufferMemory(value string, _ Properties) ([]kgo.Opt, error) {
	n, err := strconv.Atoi(value)
	if err != nil {
		return nil, errNotInteger
	}
	return []kgo.Opt{kgo.MaxBufferedBytes(n), kgo.MaxBufferedRecords(1 << 20)}, nil
}

func isolation(value string, _ Properties) ([]kgo.Opt, error) {
	switch strings.ToLower(value) {
	case "read_committed":
		return []kgo.Opt{kgo.FetchIsolationLevel(kgo.ReadCommitted())}, nil
	case "read_uncommitted":
		return []kgo.Opt{kgo.FetchIsolationLevel(kgo.ReadUncommitted())}, nil
	}
	return nil, fmt.Errorf("String must be one of: read_committed, read_uncommitted")
}

func offsetReset(value string, _ Properties) ([]kgo.Opt, error) {
	offset := kgo.NewOffset()
	switch {
	case value == "earliest":
		offset = offset.AtStart()
	case value == "latest":
		offset = offset.AtEnd()
	case value == "none":
		offset = kgo.NoResetOffset()
	default:
		return nil, fmt.Errorf("expected earliest, latest or none")
	}
	return []kgo.Opt{kgo.ConsumeStartOffset(offset), kgo.ConsumeResetOffset(offset)}, nil
}

func checkCRCs(value string, _ Properties) ([]kgo.Opt, error) {
	if value == "false" {
		return []kgo.Opt{kgo.DisableFetchCRCValidation()}, nil
	}
	return nil, nil
}

func autoCommit(value string, _ Properties) ([]kgo.Opt, error) {
	if value == "false" {
		return []kgo.Opt{kgo.DisableAutoCommit()}, nil
	}
	return nil, nil
}

// balancers accepts the names of Kafka's own assignors.
func balancers(value string, _ Properties) ([]kgo.Opt, error) {
	byName := map[string]kgo.GroupBalancer{
		"RangeAssignor": kgo.RangeBalancer(), "RoundRobinAssignor": kgo.RoundRobinBalancer(),
		"StickyAssignor": kgo.StickyBalancer(), "CooperativeStickyAssignor": kgo.CooperativeStickyBalancer(),
	}
	var all []kgo.GroupBalancer
	for name := range strings.SplitSeq(value, ",") {
		name = strings.TrimSpace(name)
		balancer, ok := byName[name[strings.LastIndexByte(name, '.')+1:]]
		if !ok {
			return nil, fmt.Errorf("%s is not one of RangeAssignor, RoundRobinAssignor, StickyAssignor, CooperativeStickyAssignor", name)
		}
		all = append(all, balancer)
	}
	return []kgo.Opt{kgo.Balancers(all...)}, nil
}

func groupProtocol(value string, _ Properties) ([]kgo.Opt, error) {
	switch strings.ToLower(value) {
	case "classic":
		return nil, nil
	case "consumer":
		return []kgo.Opt{kgo.ServerSideBalancer()}, nil
	}
	return nil, fmt.Errorf("String must be one of: classic, consumer")
}
