package txn

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/millrace/millrace/sdk/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Record is one record of __transaction_state, in Kafka's own schemas.
type Record struct {
	Key   []byte
	Value []byte // nil: a tombstone, which deletes the id
}

var (
	errValue      = errors.New("what it says to be in it is not there")
	errState      = errors.New("the state is not known")
	errImpossible = errors.New("a value cannot be")
)

// record encodes what is to be known of an id from now on.
func (c *Coordinator) record(id string, m *metadata) Record {
	key := kmsg.TxnMetadataKey{TransactionalID: id}
	v := kmsg.TxnMetadataValue{
		ProducerID: m.producer, ProducerEpoch: m.epoch, TimeoutMillis: m.timeout, State: kmsg.TransactionState(m.state),
		LastUpdateTimestamp: m.updated, StartTimestamp: m.started,
		PreviousProducerID: m.previous, NextProducerID: m.next, ClientTransactionVersion: int16(m.version), NextProducerEpoch: -1,
	}
	if c.version > 0 {
		v.Version = 1
	}
	if m.state != Empty {
		v.Topics = []kmsg.TxnMetadataValueTopic{}
	}
	for _, p := range m.partitions {
		if n := len(v.Topics); n == 0 || v.Topics[n-1].Topic != p.Topic {
			v.Topics = append(v.Topics, kmsg.TxnMetadataValueTopic{Topic: p.Topic})
		}
		t := &v.Topics[len(v.Topics)-1]
		t.Partitions = append(t.Partitions, p.Index)
	}
	return Record{Key: key.AppendTo(nil), Value: v.AppendTo(nil)}
}

func tombstone(id string) Record {
	key := kmsg.TxnMetadataKey{TransactionalID: id}
	return Record{Key: key.AppendTo(nil)}
}

// Replay applies a record that was read from the log at start-up. The error says what is
// wrong with a record that is damaged; it changed nothing.
func (c *Coordinator) Replay(r Record) error {
	var key kmsg.TxnMetadataKey
	if err := key.ReadFrom(r.Key); err != nil {
		return fmt.Errorf("read key of a transaction: %w", err)
	}
	if key.Version != 0 {
		return nil // of a kind that is not known
	}
	if r.Value == nil {
		delete(c.ids, key.TransactionalID)
		return nil
	}
	m, err := decode(r.Value)
	if err != nil {
		return fmt.Errorf("read transaction %q: %w", key.TransactionalID, err)
	}
	c.ids[key.TransactionalID] = &transaction{id: key.TransactionalID, metadata: *m}
	return nil
}

func decode(p []byte) (*metadata, error) {
	if len(p) > 1 && int16(binary.BigEndian.Uint16(p)) >= 1 && !wire.Fits(p[2:], wire.TransactionValue) {
		return nil, errValue
	}
	v := kmsg.NewTxnMetadataValue()
	if err := v.ReadFrom(p); err != nil {
		return nil, err
	}
	if v.Version < 0 || v.Version > 1 {
		return nil, fmt.Errorf("version %d is not known", v.Version)
	}
	m := &metadata{
		producer: v.ProducerID, previous: v.PreviousProducerID, next: v.NextProducerID, epoch: v.ProducerEpoch, last: -1,
		version: int8(v.ClientTransactionVersion), timeout: v.TimeoutMillis, state: State(v.State), started: v.StartTimestamp, updated: v.LastUpdateTimestamp,
	}
	if v.Version == 0 {
		m.previous, m.next, m.version = -1, -1, 0
	}
	var all []Partition
	for _, t := range v.Topics {
		for _, index := range t.Partitions {
			all = append(all, Partition{t.Topic, index})
		}
	}
	m.partitions = union(nil, all)
	switch {
	case m.state < Empty || m.state > CompleteAbort:
		return nil, fmt.Errorf("%w: %d", errState, v.State)
	case m.producer < 0 || m.epoch < 0 || m.epoch == lastEpoch && (m.state == Empty || m.state == Ongoing) || !m.state.holds() && len(m.partitions) > 0:
		return nil, fmt.Errorf("%w: producer %d, epoch %d, %s with %d partitions", errImpossible, m.producer, m.epoch, m.state, len(m.partitions))
	}
	return m, nil
}
