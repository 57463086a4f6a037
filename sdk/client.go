package sdk

import (
	"fmt"
	"time"
)

// Header is one header of a record; a nil Value is null.
type Header struct {
	Key   string
	Value []byte
}

// Record is a record with its key and value as the program has them, of whatever type.
// Interceptors of clients see it.
type Record struct {
	Topic     string
	Partition int32 // −1 before one is chosen
	Offset    int64 // −1 before there is one
	Timestamp time.Time
	Headers   []Header
	Key       any
	Value     any
}

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// OffsetAndMetadata is a position that a group commits: the offset of the next record to
// read, which is one more than that of the last one processed.
type OffsetAndMetadata struct {
	Offset      int64
	LeaderEpoch int32 // −1: not known
	Metadata    string
}

// RecordMetadata says where a record went.
type RecordMetadata struct {
	TopicPartition
	Offset    int64 // −1 with acks=0, or when it failed
	Timestamp time.Time
}

// ProducerInterceptor sees records on their way out, as Kafka's interface of that name.
type ProducerInterceptor interface {
	// OnSend is called by whoever sends, before serializers and partitioner, and may change
	// r. After an error r is sent as the interceptor before left it, the error is logged
	// and counted.
	OnSend(r *Record) error
	// OnAck is called once for each record, soon after it was acknowledged or has failed, by
	// the goroutine that reads answers: it must not take long.
	OnAck(m RecordMetadata, err error)
}

// ConsumerInterceptor sees records on their way in, as Kafka's interface of that name.
type ConsumerInterceptor interface {
	// OnConsume is called by Poll with what it is about to return, and may change records,
	// leave some out or add some. After an error the records stay as they were, unless it is
	// a *PassedOver; the error is logged and counted.
	OnConsume(records []*Record) ([]*Record, error)
	// OnCommit is called with what was committed.
	OnCommit(offsets map[TopicPartition]OffsetAndMetadata)
}

// PassedOver is the error of a ConsumerInterceptor that has failed at some records, which stay as they
// were. What it answers beside the error counts.
type PassedOver struct {
	Records int   // how many
	Err     error // of the first
}

func (p *PassedOver) Error() string {
	return fmt.Sprintf("%d of the records were passed over: %v", p.Records, p.Err)
}

// Unwrap is what was wrong with the first.
func (p *PassedOver) Unwrap() error { return p.Err }

// Serializer makes bytes out of keys or values. Any goroutine may call it.
type Serializer[T any] interface {
	// Append appends the bytes of v to dst. It may add headers. A serializer that wants to
	// send null answers a nil slice.
	Append(dst []byte, topic string, headers *[]Header, v T) ([]byte, error)
}

// Deserializer makes keys or values out of bytes. Any goroutine may call it.
type Deserializer[T any] interface {
	// Decode makes a value of data, which is nil for null, and does not keep data.
	Decode(topic string, headers []Header, data []byte) (T, error)
}

// Placement is what a partitioner decides by. It is valid during the call.
type Placement struct {
	Topic      string
	Key, Value []byte // nil: null
	Partitions int32
	// Available are the partitions that have a leader, ascending.
	Available []int32
	// LeaderRack is the rack of each partition's leader, "" when not known.
	LeaderRack func(partition int32) string
}

// Partitioner chooses partitions. One producer calls it from many goroutines at a time.
type Partitioner interface {
	// Partition is in [0, p.Partitions). The client has checked that there are some.
	Partition(p *Placement) int32
}

// Chooser is a Partitioner that may fail, as one that is a WebAssembly module: the record is
// not sent then, and its sender is told why. Hosts call Choose instead of Partition.
type Chooser interface {
	Partitioner
	Choose(p *Placement) (int32, error)
}

// BatchListener is a Partitioner that wants to know when a batch was begun, to go on to
// another partition with the next (KIP-480, KIP-794).
type BatchListener interface {
	// OnNewBatch says that the batch of topic in that partition is full or gone.
	OnNewBatch(topic string, partition int32)
}

// RebalanceProtocol says whether members give up everything before they get new partitions.
type RebalanceProtocol int8

// The protocols of classic groups (KIP-429).
const (
	Eager RebalanceProtocol = iota
	Cooperative
)

// GroupMember is a member of a classic group, as its leader sees it.
type GroupMember struct {
	ID         string
	InstanceID string // "" without static membership
	Rack       string
	Topics     []string // ascending
	Owned      []TopicPartition
	Generation int32 // of Owned; −1: not known
	UserData   []byte
}

// Assignor deals the partitions of a classic group out to its members; the leader of the
// group calls it.
type Assignor interface {
	// Name is the name on the wire: all members of a group have one in common.
	Name() string
	Protocol() RebalanceProtocol
	// UserData is what the leader gets to see of a member subscribed to topics.
	UserData(topics []string, owned []TopicPartition) []byte
	// Assign answers the partitions of each member by ID. Partitions has how many each
	// topic has.
	Assign(members []GroupMember, partitions map[string]int32) (map[string][]TopicPartition, error)
}
