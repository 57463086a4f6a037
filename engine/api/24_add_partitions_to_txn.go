package api

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/txn"
	"github.com/millrace/millrace/sdk"
)

// AddPartitionsToTxn makes partitions part of a transaction, for clients that know
// transaction.version 1 at most; brokers ask many at once, and whether they are (KIP-890).
//
//	v2 PRODUCER_FENCED · v3 flexible · v4 many transactions, verify only · v5 TRANSACTION_ABORTABLE
//
// Differs from Kafka: nothing.
func addPartitionsToTxn(c *call, q *kmsg.AddPartitionsToTxnRequest, a *kmsg.AddPartitionsToTxnResponse) {
	if c.version < 4 {
		c.addOne(q, a)
		return
	}
	if !c.onCluster(sdk.OperationClusterAction) { // from version 4 on brokers ask
		a.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		c.reply(a)
		return
	}
	a.Transactions = make([]kmsg.AddPartitionsToTxnResponseTransaction, len(q.Transactions))
	all := c.gather(func() { c.reply(a) })
	for i := range q.Transactions {
		one, answer := &q.Transactions[i], &a.Transactions[i]
		answer.TransactionalID = one.TransactionalID
		var partitions []txn.Partition
		for _, t := range one.Topics {
			for _, p := range t.Partitions {
				partitions = append(partitions, txn.Partition{Topic: t.Topic, Index: p})
			}
		}
		p := txn.Producer{TransactionalID: one.TransactionalID, ID: one.ProducerID, Epoch: one.ProducerEpoch, Version: int8(min(c.version-3, 2))}
		write := func(errs []*kerr.Error) {
			for i, err := range errs {
				if n := len(answer.Topics); n == 0 || answer.Topics[n-1].Topic != partitions[i].Topic {
					answer.Topics = append(answer.Topics, kmsg.AddPartitionsToTxnResponseTransactionTopic{Topic: partitions[i].Topic})
				}
				t := &answer.Topics[len(answer.Topics)-1]
				t.Partitions = append(t.Partitions, kmsg.AddPartitionsToTxnResponseTransactionTopicPartition{Partition: partitions[i].Index, ErrorCode: c.olderCode(err)})
			}
		}
		later := all.part(func() { write(slices.Repeat([]*kerr.Error{kerr.CoordinatorNotAvailable}, len(partitions))) })
		c.addPartitions(p, partitions, one.VerifyOnly, func(errs []*kerr.Error) { later.tell(func() { write(errs) }) })
	}
	all.done()
}

// addOne serves the versions that clients use, of one transaction.
func (c *call) addOne(q *kmsg.AddPartitionsToTxnRequest, a *kmsg.AddPartitionsToTxnResponse) {
	var partitions []txn.Partition
	for _, t := range q.Topics {
		for _, p := range t.Partitions {
			partitions = append(partitions, txn.Partition{Topic: t.Topic, Index: p})
		}
	}
	p := txn.Producer{TransactionalID: q.TransactionalID, ID: q.ProducerID, Epoch: q.ProducerEpoch}
	c.addPartitions(p, partitions, false, func(errs []*kerr.Error) {
		for i, err := range errs {
			if n := len(a.Topics); n == 0 || a.Topics[n-1].Topic != partitions[i].Topic {
				a.Topics = append(a.Topics, kmsg.AddPartitionsToTxnResponseTopic{Topic: partitions[i].Topic})
			}
			t := &a.Topics[len(a.Topics)-1]
			t.Partitions = append(t.Partitions, kmsg.AddPartitionsToTxnResponseTopicPartition{Partition: partitions[i].Index, ErrorCode: c.olderCode(err)})
		}
		c.reply(a)
	})
}

// addPartitions adds all partitions or, if one of them does not exist, none. There is an
// answer for each.
func (c *call) addPartitions(p txn.Producer, partitions []txn.Partition, verify bool, answer func([]*kerr.Error)) {
	errs := make([]*kerr.Error, len(partitions))
	each := func(err *kerr.Error) {
		for i := range errs {
			errs[i] = err
		}
		answer(errs)
	}
	if c.version < 4 && !c.allowed(sdk.OperationWrite, sdk.ResourceTransactionalID, p.TransactionalID) {
		each(kerr.TransactionalIDAuthorizationFailed)
		return
	}
	missing := false
	for i, one := range partitions {
		switch {
		case c.version < 4 && !c.allowed(sdk.OperationWrite, sdk.ResourceTopic, one.Topic):
			errs[i], missing = kerr.TopicAuthorizationFailed, true
		case !c.server.existing(one.Topic, one.Index):
			errs[i], missing = kerr.UnknownTopicOrPartition, true
		}
	}
	if missing {
		for i := range errs {
			if errs[i] == nil {
				errs[i] = kerr.OperationNotAttempted
			}
		}
		answer(errs)
		return
	}
	c.server.onTransaction(p.TransactionalID, each, func(t *txn.Coordinator, now time.Time) {
		if verify {
			answer(t.Verify(p, partitions))
			return
		}
		t.Add(now, p, partitions, each)
	})
}

// olderCode is the code of err in the words of the version that asks: PRODUCER_FENCED and
// TRANSACTION_ABORTABLE came late.
func (c *call) olderCode(err *kerr.Error) int16 {
	fenced, abortable := int16(2), int16(4)
	switch kmsg.Key(c.key) {
	case kmsg.InitProducerID:
		fenced = 4
	}
	switch {
	case err == nil:
		return 0
	case err == kerr.ProducerFenced && c.version < fenced: //nolint:errorlint // coordinators answer bare errors
		return kerr.InvalidProducerEpoch.Code
	case err == kerr.TransactionAbortable && c.version < abortable: //nolint:errorlint // likewise
		return kerr.InvalidTxnState.Code
	}
	return err.Code
}
