package console

import (
	"encoding/base64"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk/wire"
)

// What only a dump shows of the logs of coordinators: the state of transactions, and what
// the members of classic consumer groups subscribe to and are assigned.

type transactionKey struct {
	TransactionalID string `json:"transactionalId"`
}

type transactionValue struct {
	ProducerID               int64                  `json:"producerId"`
	PreviousProducerID       *int64                 `json:"previousProducerId,omitempty"`
	NextProducerID           *int64                 `json:"nextProducerId,omitempty"`
	ProducerEpoch            int16                  `json:"producerEpoch"`
	NextProducerEpoch        *int16                 `json:"nextProducerEpoch,omitempty"`
	TransactionTimeout       int32                  `json:"transactionTimeoutMs"`
	TransactionStatus        int8                   `json:"transactionStatus"`
	Partitions               []transactionPartition `json:"transactionPartitions"`
	LastUpdateTimestamp      int64                  `json:"transactionLastUpdateTimestampMs"`
	StartTimestamp           int64                  `json:"transactionStartTimestampMs"`
	ClientTransactionVersion *int16                 `json:"clientTransactionVersion,omitempty"`
}

type transactionPartition struct {
	Topic      string  `json:"topic"`
	Partitions []int32 `json:"partitionIds"`
}

func transactionRecord(keyBytes, valueBytes []byte) (any, *typed, error) {
	var key kmsg.TxnMetadataKey
	if err := key.ReadFrom(keyBytes); err != nil {
		return nil, nil, err
	}
	if valueBytes == nil {
		return transactionKey{key.TransactionalID}, nil, nil
	}
	if !honest(valueBytes, 1, wire.TransactionValue) {
		return nil, nil, errValue
	}
	v := kmsg.NewTxnMetadataValue()
	if err := v.ReadFrom(valueBytes); err != nil {
		return nil, nil, err
	}
	value := transactionValue{ProducerID: v.ProducerID, ProducerEpoch: v.ProducerEpoch, TransactionTimeout: v.TimeoutMillis, TransactionStatus: int8(v.State),
		LastUpdateTimestamp: v.LastUpdateTimestamp, StartTimestamp: v.StartTimestamp,
		PreviousProducerID: unless(v.PreviousProducerID, -1), NextProducerID: unless(v.NextProducerID, -1),
		NextProducerEpoch: unless(v.NextProducerEpoch, -1), ClientTransactionVersion: unless(v.ClientTransactionVersion, 0)}
	if v.Topics != nil { // null while nothing has been begun
		value.Partitions = []transactionPartition{}
	}
	for _, topic := range v.Topics {
		value.Partitions = append(value.Partitions, transactionPartition{topic.Topic, topic.Partitions})
	}
	return transactionKey{key.TransactionalID}, &typed{Version: &v.Version, Data: value}, nil
}

// unless is v, or nothing when it is the default: such fields are not in the record.
func unless[T int16 | int64](v, otherwise T) *T {
	if v == otherwise {
		return nil
	}
	return &v
}

type subscription struct {
	Topics          []string          `json:"topics"`
	UserData        *string           `json:"userData"`
	OwnedPartitions *[]topicPartition `json:"ownedPartitions,omitempty"`
	GenerationID    *int32            `json:"generationId,omitempty"`
	RackID          **string          `json:"rackId,omitempty"`
}

type topicPartition struct {
	Topic      string  `json:"topic"`
	Partitions []int32 `json:"partitions"`
}

type assigned struct {
	Partitions []topicPartition `json:"assignedPartitions"`
	UserData   *string          `json:"userData"`
}

// readable replaces the bytes of subscriptions and assignments by what they mean, where
// they can be read.
func readable(group groupValue) groupValue {
	if group.ProtocolType != "consumer" {
		return group
	}
	for i := range group.Members {
		m := &group.Members[i]
		if found, ok := readSubscription(m.Subscription); ok {
			m.Subscription = found
		}
		if found, ok := readAssignment(m.Assignment); ok {
			m.Assignment = found
		}
	}
	return group
}

func decoded(field any) []byte {
	text, _ := field.(string)
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return data
}

func userData(data []byte) *string {
	if data == nil {
		return nil
	}
	text := base64.StdEncoding.EncodeToString(data)
	return &text
}

func readSubscription(field any) (subscription, bool) {
	var v kmsg.ConsumerMemberMetadata
	if err := v.ReadFrom(decoded(field)); err != nil {
		return subscription{}, false
	}
	found := subscription{Topics: append([]string{}, v.Topics...), UserData: userData(v.UserData)}
	if v.Version >= 1 {
		owned := []topicPartition{}
		for _, one := range v.OwnedPartitions {
			owned = append(owned, topicPartition{one.Topic, one.Partitions})
		}
		found.OwnedPartitions = &owned
	}
	if v.Version >= 2 {
		found.GenerationID = &v.Generation
	}
	if v.Version >= 3 {
		found.RackID = &v.Rack
	}
	return found, true
}

func readAssignment(field any) (assigned, bool) {
	var v kmsg.ConsumerMemberAssignment
	if err := v.ReadFrom(decoded(field)); err != nil {
		return assigned{}, false
	}
	found := assigned{Partitions: []topicPartition{}, UserData: userData(v.UserData)}
	for _, one := range v.Topics {
		found.Partitions = append(found.Partitions, topicPartition{one.Topic, one.Partitions})
	}
	return found, true
}
