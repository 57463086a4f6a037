package native

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk/client/native/transaction"
)

// What is asked about transactions, in the newest version that a producer of version 1 or 2
// of transactions has to speak, and the oldest.
const (
	mostFind            = 3 // one key in a request
	leastInit, mostInit = 3, 5
	mostAddPartitions   = 3 // above are brokers among themselves
	mostAddOffsets      = 4
	mostOffsets1        = 4
	mostEnd1            = 4
	offsets2            = 5
	end2                = 5
)

// coordinators asks those who coordinate transactions and groups, one thing at a time. Its
// goroutine alone touches its fields.
type coordinators struct {
	o      *Options
	events chan<- event
	at     map[string]*coordinator
}

// coordinator is a connection to one of them.
type coordinator struct {
	control
	greeted net.Conn // what it said of its features was over this socket
	version int      // transaction.version that it has finalized; −1: it did not say
}

func (c *coordinators) run(ctx context.Context, asks <-chan *transaction.Ask) {
	defer func() {
		for _, one := range c.at {
			one.hangUp()
		}
	}()
	for {
		select {
		case a := <-asks:
			c.events <- &answered{c.carry(ctx, a)}
		case <-ctx.Done():
			return
		}
	}
}

// carry brings a request to whom it is for.
func (c *coordinators) carry(ctx context.Context, a *transaction.Ask) *transaction.Answer {
	to := c.at[a.To]
	if to == nil {
		o := *c.o
		o.Servers = []string{a.To}
		to = &coordinator{control: control{o: &o}, version: -1}
		c.at[a.To] = to
	}
	answer := &transaction.Answer{ProducerID: -1, Epoch: -1}
	if answer.Err = to.greet(ctx); answer.Err == nil {
		switch a.Kind {
		case transaction.InitProducer:
			to.initProducer(ctx, a, answer)
		case transaction.AddPartitions:
			to.addPartitions(ctx, a, answer)
		case transaction.AddOffsets:
			to.addOffsets(ctx, a, answer)
		case transaction.CommitOffsets:
			to.commitOffsets(ctx, a, answer)
		case transaction.End:
			to.end(ctx, a, answer)
		default:
			panic(fmt.Sprintf("nobody in particular is asked to %s", a.Kind))
		}
	}
	_, answer.Unanswered = errors.AsType[*unreached](answer.Err)
	answer.Version = to.version
	return answer
}

// greet learns which version of transactions the broker has finalized, once for each
// connection.
func (c *coordinator) greet(ctx context.Context) error {
	if c.socket != nil && c.socket == c.greeted {
		return nil
	}
	q := kmsg.NewPtrApiVersionsRequest()
	q.ClientSoftwareName, q.ClientSoftwareVersion = "millrace", "0"
	answer, err := c.askWithin(ctx, q, 0, 3)
	if err != nil {
		return err
	}
	a := answer.(*kmsg.ApiVersionsResponse)
	c.version = -1
	if a.Version >= 3 {
		c.version = 0
	}
	for i := range a.FinalizedFeatures {
		if f := &a.FinalizedFeatures[i]; f.Name == "transaction.version" {
			c.version = int(f.MaxVersionLevel)
		}
	}
	c.greeted = c.socket
	if err := kerr.ErrorForCode(a.ErrorCode); err != nil {
		return &unreached{err}
	}
	return nil
}

func (c *coordinator) initProducer(ctx context.Context, ask *transaction.Ask, to *transaction.Answer) {
	q := kmsg.NewPtrInitProducerIDRequest()
	q.TransactionalID, q.TransactionTimeoutMillis = &c.o.TransactionalID, int32(c.o.TransactionTimeout.Milliseconds())
	q.ProducerID, q.ProducerEpoch = ask.ProducerID, ask.Epoch
	answer, err := c.askWithin(ctx, q, leastInit, mostInit)
	if to.Err = err; err == nil {
		a := answer.(*kmsg.InitProducerIDResponse)
		to.Err, to.ProducerID, to.Epoch = kerr.ErrorForCode(a.ErrorCode), a.ProducerID, a.ProducerEpoch
	}
}

func (c *coordinator) addPartitions(ctx context.Context, ask *transaction.Ask, to *transaction.Answer) {
	q := kmsg.NewPtrAddPartitionsToTxnRequest()
	q.TransactionalID, q.ProducerID, q.ProducerEpoch = c.o.TransactionalID, ask.ProducerID, ask.Epoch
	at := map[string]int{}
	for _, p := range ask.Partitions {
		i, known := at[p.Topic]
		if !known {
			i = len(q.Topics)
			at[p.Topic] = i
			t := kmsg.NewAddPartitionsToTxnRequestTopic()
			t.Topic = p.Topic
			q.Topics = append(q.Topics, t)
		}
		q.Topics[i].Partitions = append(q.Topics[i].Partitions, p.Index)
	}
	answer, err := c.askWithin(ctx, q, 0, mostAddPartitions)
	if to.Err = err; err != nil {
		return
	}
	for _, t := range answer.(*kmsg.AddPartitionsToTxnResponse).Topics {
		for _, p := range t.Partitions {
			to.Refuse(t.Topic, p.Partition, p.ErrorCode)
		}
	}
}

func (c *coordinator) addOffsets(ctx context.Context, ask *transaction.Ask, to *transaction.Answer) {
	q := kmsg.NewPtrAddOffsetsToTxnRequest()
	q.TransactionalID, q.ProducerID, q.ProducerEpoch, q.Group = c.o.TransactionalID, ask.ProducerID, ask.Epoch, ask.Group
	answer, err := c.askWithin(ctx, q, 0, mostAddOffsets)
	if to.Err = err; err == nil {
		to.Err = kerr.ErrorForCode(answer.(*kmsg.AddOffsetsToTxnResponse).ErrorCode)
	}
}

func (c *coordinator) commitOffsets(ctx context.Context, ask *transaction.Ask, to *transaction.Answer) {
	o := ask.Offsets
	q := kmsg.NewPtrTxnOffsetCommitRequest()
	q.TransactionalID, q.ProducerID, q.ProducerEpoch, q.Group = c.o.TransactionalID, ask.ProducerID, ask.Epoch, o.Group
	q.Generation, q.MemberID = o.Generation, o.Member
	if o.Instance != "" {
		q.InstanceID = &o.Instance
	}
	at := map[string]int{}
	for _, one := range o.All {
		i, known := at[one.Topic]
		if !known {
			i = len(q.Topics)
			at[one.Topic] = i
			t := kmsg.NewTxnOffsetCommitRequestTopic()
			t.Topic = one.Topic
			q.Topics = append(q.Topics, t)
		}
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch = one.Index, one.At, one.Epoch
		if one.Metadata != "" {
			p.Metadata = &one.Metadata
		}
		q.Topics[i].Partitions = append(q.Topics[i].Partitions, p)
	}
	least, most := int16(0), int16(mostOffsets1)
	if ask.Version2 {
		least, most = offsets2, offsets2
	}
	answer, err := c.askWithin(ctx, q, least, most)
	if to.Err = err; err != nil {
		return
	}
	for _, t := range answer.(*kmsg.TxnOffsetCommitResponse).Topics {
		for _, p := range t.Partitions {
			to.Refuse(t.Topic, p.Partition, p.ErrorCode)
		}
	}
}

func (c *coordinator) end(ctx context.Context, ask *transaction.Ask, to *transaction.Answer) {
	q := kmsg.NewPtrEndTxnRequest()
	q.TransactionalID, q.ProducerID, q.ProducerEpoch, q.Commit = c.o.TransactionalID, ask.ProducerID, ask.Epoch, ask.Commit
	least, most := int16(0), int16(mostEnd1)
	if ask.Version2 {
		least, most = end2, end2
	}
	answer, err := c.askWithin(ctx, q, least, most)
	if to.Err = err; err != nil {
		return
	}
	a := answer.(*kmsg.EndTxnResponse)
	to.Err = kerr.ErrorForCode(a.ErrorCode)
	if a.Version >= end2 {
		to.ProducerID, to.Epoch = a.ProducerID, a.ProducerEpoch
	}
}

// locate asks who coordinates the transactions of the producer, or a group.
func (c *control) locate(ctx context.Context, ask *transaction.Ask) *transaction.Answer {
	q := kmsg.NewPtrFindCoordinatorRequest()
	q.CoordinatorKey, q.CoordinatorType = c.o.TransactionalID, 1
	if ask.Kind == transaction.FindGroup {
		q.CoordinatorKey, q.CoordinatorType = ask.Group, 0
	}
	to := &transaction.Answer{ProducerID: -1, Epoch: -1, Version: -1}
	answer, err := c.askWithin(ctx, q, 1, mostFind)
	if to.Err = err; err == nil {
		a := answer.(*kmsg.FindCoordinatorResponse)
		to.Err, to.Broker = kerr.ErrorForCode(a.ErrorCode), net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port)))
	}
	_, to.Unanswered = errors.AsType[*unreached](err)
	return to
}
