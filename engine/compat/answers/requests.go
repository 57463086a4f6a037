package answers

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk/batch"
)

// A parcel is what a batch of records is made from.
type parcel struct {
	records       int
	codec         batch.Codec
	producer      int64
	epoch         int16
	sequence      int32
	transactional bool
	time          int64 // of the first record; zero: now
	keyless       bool
	size          int // of a value; zero: a few bytes
}

// plain is a parcel of no idempotent producer.
func plain(records int) parcel {
	return parcel{records: records, producer: -1, epoch: -1, sequence: -1}
}

func (p parcel) batch() []byte {
	var b batch.Builder
	if p.time == 0 {
		p.time = time.Now().UnixMilli()
	}
	for i := range int64(p.records) {
		key, value := []byte("key"), []byte("value")
		if p.keyless {
			key = nil
		}
		if p.size > 0 {
			value = make([]byte, p.size)
		}
		b.Append(p.time+i, key, value, nil)
	}
	out, err := b.Finish(batch.BatchOptions{
		Codec: p.codec, LeaderEpoch: -1, ProducerID: p.producer, ProducerEpoch: p.epoch, BaseSequence: p.sequence, Transactional: p.transactional,
	})
	if err != nil {
		panic(end{err.Error()})
	}
	return append([]byte(nil), out...)
}

// Places in the head of a batch.
const (
	atMagic      = 16
	atCRC        = 17
	atAttributes = 22
	atLastDelta  = 23
	atCount      = 57
	headSize     = 61
)

// spoiled is a batch of two records with other bytes at a place, whose CRC fits again.
func spoiled(at int, with ...byte) []byte {
	b := plain(2).batch()
	copy(b[at:], with)
	return sealed(b)
}

func sealed(b []byte) []byte {
	binary.BigEndian.PutUint32(b[atCRC:], crc32.Checksum(b[atCRC+4:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// produce is a request to write to one partition; transactional may be empty.
func produce(topic string, partition int32, transactional string, records []byte) *kmsg.ProduceRequest {
	q := kmsg.NewPtrProduceRequest()
	q.Acks, q.TimeoutMillis = -1, 5000
	if transactional != "" {
		q.TransactionID = &transactional
	}
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, records
	t.Partitions = append(t.Partitions, p)
	q.Topics = append(q.Topics, t)
	return q
}

// fetch is a request to read one partition, without a session and without a wait.
func fetch(topic string, partition int32, offset int64) *kmsg.FetchRequest {
	q := kmsg.NewPtrFetchRequest()
	q.ReplicaID, q.MaxBytes, q.MaxWaitMillis, q.SessionEpoch = -1, 1<<20, 0, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, 1<<20
	p.CurrentLeaderEpoch, p.LastFetchedEpoch, p.LogStartOffset = -1, -1, -1
	t.Partitions = append(t.Partitions, p)
	q.Topics = append(q.Topics, t)
	return q
}

// offsets is a request for the offset of a time in partition 0.
func offsets(topic string, at int64) *kmsg.ListOffsetsRequest {
	q := kmsg.NewPtrListOffsetsRequest()
	q.ReplicaID = -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp, p.CurrentLeaderEpoch = at, -1
	t.Partitions = append(t.Partitions, p)
	q.Topics = append(q.Topics, t)
	return q
}

// coordinator waits until somebody coordinates, without writing it down.
func (t *Talk) coordinator(kind int8, key string) {
	q := kmsg.NewPtrFindCoordinatorRequest()
	q.CoordinatorType, q.CoordinatorKeys = kind, []string{key}
	t.Quietly(func() {
		if kind == 1 {
			t.producer("")
		}
		t.Until(4, q, func(a kmsg.Response) bool {
			return a.(*kmsg.FindCoordinatorResponse).Coordinators[0].ErrorCode == 0 //nolint:forcetypeassert // the answer to FindCoordinator
		})
		if kind == 0 {
			t.Until(4, &kmsg.HeartbeatRequest{Group: key, MemberID: "nobody"}, func(a kmsg.Response) bool {
				return a.(*kmsg.HeartbeatResponse).ErrorCode == 25 //nolint:forcetypeassert // the answer to Heartbeat; UNKNOWN_MEMBER_ID
			})
			return
		}
		t.Until(0, &kmsg.DescribeTransactionsRequest{TransactionalIDs: []string{key}}, func(a kmsg.Response) bool {
			code := a.(*kmsg.DescribeTransactionsResponse).TransactionStates[0].ErrorCode //nolint:forcetypeassert // the answer to DescribeTransactions
			return code == 0 || code == 105                                               // TRANSACTIONAL_ID_NOT_FOUND
		})
	})
}

// led is Topic, and waits until all its partitions take questions.
func (t *Talk) led(name string, partitions int32, configs ...string) (id [16]byte) {
	id = t.Topic(name, partitions, configs...)
	q := offsets(name, -1)
	for i := int32(1); i < partitions; i++ {
		p := q.Topics[0].Partitions[0]
		p.Partition = i
		q.Topics[0].Partitions = append(q.Topics[0].Partitions, p)
	}
	t.Quietly(func() {
		t.Until(7, q, func(a kmsg.Response) bool {
			for _, p := range a.(*kmsg.ListOffsetsResponse).Topics[0].Partitions { //nolint:forcetypeassert // the answer to ListOffsets
				if p.ErrorCode != 0 {
					return false
				}
			}
			return true
		})
	})
	return id
}
